package server

import (
	"context"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity/workload"
)

// openWorkloads opens what agents are and hold.
func (h *house) openWorkloads(ctx context.Context) error {
	key, err := h.store.Key("workload access tokens")
	if err != nil {
		return err
	}
	h.workloads = &workload.Service{Store: h.store, Key: key, Region: h.Region, Account: h.account, SessionIn: h.sessionIn, Verify: h.verifyUser}
	return h.workloads.Load(ctx)
}

// sessionIn is the session that a sandbox belongs to, by its labels.
func (h *house) sessionIn(ctx context.Context, sandbox string) (string, error) {
	box, err := h.shim.Lookup(ctx, sandbox)
	if err != nil {
		return "", err
	}
	return box.Info().Labels["session"], nil
}

func (h *house) verifyUser(ctx context.Context, discoveryURL, token string) (workload.User, error) {
	t, err := h.tokens.Verify(ctx, moorage.JWTAuthorizer{DiscoveryURL: discoveryURL}, token)
	return workload.User{Issuer: t.Issuer, Subject: t.Subject, Token: token, Expires: t.Expires}, err
}
