package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/moorage-dev/moorage/internal/guest"
	"github.com/moorage-dev/moorage/internal/identity/bearer"
	"github.com/moorage-dev/moorage/internal/identity/inject"
	"github.com/moorage-dev/moorage/internal/image"
)

// What sandboxes trust lies in a directory of its own, which is all of DIR that they see.
const (
	trustName   = "trust"
	trustBundle = "ca-bundle.pem"
)

// openBroker readies what makes calls in sandboxes' stead.
func (h *house) openBroker(context.Context) error {
	key, err := h.store.Key("egress authority")
	if err != nil {
		return err
	}
	authority, err := inject.NewAuthority(key)
	if err != nil {
		return err
	}
	h.broker = &inject.Broker{
		Authority: authority, Vault: h.vault, Log: h.Log,
		Transport: &http.Transport{
			DialContext: bearer.NewDialer(h.providerNetworks()).DialContext, TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true,
			DisableCompression: true, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10,
		},
	}
	return h.writeTrust(authority)
}

// writeTrust renews what sandboxes trust: this machine's authorities, and ours. Running sandboxes have the
// directory, and find the new file.
func (h *house) writeTrust(a *inject.Authority) error {
	bundle, err := image.Bundle()
	if err != nil {
		return err
	}
	if n := len(bundle); n > 0 && bundle[n-1] != '\n' {
		bundle = append(bundle, '\n')
	}
	dir := h.path(trustName)
	tmp := h.path("tmp/" + trustBundle)
	return errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(tmp, append(bundle, a.PEM()...), 0o644), os.Rename(tmp, filepath.Join(dir, trustBundle)))
}

// brokers serves a connection of a sandbox to a host for which the vault has credentials.
func (h *house) brokers(ctx context.Context, c net.Conn, who guest.Occupant, port uint16) {
	h.broker.Serve(ctx, c, inject.Place{Sandbox: who.Sandbox, Workload: who.RuntimeID, Session: who.Session, Port: port})
}
