package server

import (
	"context"
	"net/http"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity"
	"github.com/moorage-dev/moorage/internal/store"
	"github.com/moorage-dev/moorage/internal/telemetry/otlp"
)

// keyring holds the access keys in memory: a call waits for no disk to learn who makes it.
type keyring map[string]store.AccessKey

func loadKeys(ctx context.Context, db *store.DB) (keyring, error) {
	ring := keyring{}
	err := db.View(ctx, func(tx *store.Tx) error {
		keys, err := tx.AccessKeys()
		for _, k := range keys {
			ring[k.ID] = k
		}
		return err
	})
	return ring, err
}

// find is what the verifier asks for a key.
func (ring keyring) find(_ context.Context, id string) (identity.AccessKey, error) {
	k, ok := ring[id]
	if !ok || !k.Active {
		return identity.AccessKey{}, moorage.Errorf(moorage.NotFound, "no active access key has the id %q", id)
	}
	return identity.AccessKey{Secret: k.Secret, Principal: k.Principal}, nil
}

// Bounds of a request's body in bytes.
const (
	maxPayload = 100_000_000 // an invocation; source: AgentCore quotas
	maxUpload  = 1 << 30     // an object; a code zip has 250 MB at most
	maxQuery   = 1 << 20     // what STS is asked
	maxBedrock = 25 << 20    // a model's or knowledge base's request; source: InvokeModel, API reference
)

func (h *house) verifier() *identity.Verifier {
	return &identity.Verifier{
		Keys:            h.keys.find,
		Temporary:       h.temporary,
		Services:        map[string]int64{identity.AgentCore: maxPayload, identity.S3: maxUpload, "sts": maxQuery, bedrockName: maxBedrock, "xray": otlp.MaxBody, "logs": otlp.MaxBody, "monitoring": otlp.MaxBody},
		Regions:         []string{h.Region},
		UnsignedPayload: h.TLSCert != "", // S3 clients leave the body to TLS where there is some
		TempDir:         h.path("tmp"),
		Now:             time.Now,
	}
}

// signed lets through what one of our keys signed, or what a browser asks that is logged in, and tells
// the rooms behind it who calls. The body that they read is the verified one.
func (h *house) signed(next http.Handler, fail func(http.ResponseWriter, *http.Request, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.browser.LoggedIn(r) {
			h.fromBrowser(next, fail, w, r)
			return
		}
		coming := inTime(w, r, bodyPatience)
		sent := r.Body
		by, err := h.verify.Verify(r)
		coming.release()
		if err = h.authenticated(r, by.Caller, err); err != nil {
			fail(w, r, err)
			return
		}
		if r.Body != sent {
			defer r.Body.Close()
		}
		next.ServeHTTP(w, r.WithContext(identity.WithCaller(r.Context(), by.Caller)))
	})
}

func (h *house) fromBrowser(next http.Handler, fail func(http.ResponseWriter, *http.Request, error), w http.ResponseWriter, r *http.Request) {
	caller, err := h.browser.Caller(r)
	if err = h.authenticated(r, caller, err); err != nil {
		fail(w, r, err)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxPayload)
	next.ServeHTTP(w, r.WithContext(identity.WithCaller(r.Context(), caller)))
}
