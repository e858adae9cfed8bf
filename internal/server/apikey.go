package server

import (
	"net/http"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/identity"
	"github.com/moorage-dev/moorage/internal/invoke"
)

// withAPIKey lets a call through that comes with an API key of ours, where callers would else have to sign.
func (h *house) withAPIKey(next http.Handler, key string, w http.ResponseWriter, r *http.Request) {
	runtime, endpoint := h.invoke.Names(addressed(r))
	arn, err := moorage.ParseARN(endpoint)
	id, qualifier := runtime, ""
	if err == nil {
		id, qualifier, _ = arn.RuntimeID() // what is none has no keys
	}
	caller, err := h.people.CheckAPIKey(key, id, qualifier, wire.OperationName(r.Context()))
	if err == nil && r.Header.Get(invoke.HeaderUser) != "" {
		err = moorage.Errorf(moorage.Invalid, "a call with an API key is the key's: leave out %s", invoke.HeaderUser)
	}
	if err = h.authenticated(r, caller, err); err != nil {
		if moorage.CodeOf(err) == moorage.Unauthenticated {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		}
		wire.WriteError(w, r, err)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxPayload)
	r = r.WithContext(identity.WithCaller(r.Context(), caller))
	if err := h.permitted(r); err != nil {
		wire.WriteError(w, r, err)
		return
	}
	next.ServeHTTP(w, r)
}
