package server

import (
	"net/http"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity"
	"github.com/moorage-dev/moorage/internal/invoke"
)

// errNoWorkload's text is the cloud service's.
var errNoWorkload = moorage.Errorf(moorage.Unauthenticated, "Transaction token required: authorizer has AllowedWorkloadConfiguration configured")

// chain returns the workloads that a call came through, the nearest last, as the workload access token says that the caller
// attached. Only who asks for workloads minds an error: to others such a token is nothing, and it never reaches an agent.
func (h *house) chain(r *http.Request) ([]string, error) {
	token := r.Header.Get(invoke.HeaderWAT)
	if token == "" {
		return nil, errNoWorkload
	}
	return h.workloads.Chain(r.Context(), token)
}

// comesThrough decides whether a call comes through one of the workloads that an authorizer allows.
func (h *house) comesThrough(rule moorage.WorkloadRule, chain []string, broken error) error {
	if broken != nil {
		return broken
	}
	if !h.workloads.Allows(rule, chain) {
		return moorage.Errorf(moorage.Denied, "The workloads that this call came through are not allowed to invoke this agent runtime")
	}
	return nil
}

// passedOn has calls that were signed know the workloads that they came through.
func (h *house) passedOn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if chain, err := h.chain(r); err == nil {
			r = r.WithContext(identity.WithInbound(r.Context(), identity.Inbound{Through: chain}))
		}
		next.ServeHTTP(w, r)
	})
}
