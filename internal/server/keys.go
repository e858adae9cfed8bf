package server

import (
	"net/http"
	"time"

	"github.com/moorage-dev/moorage/internal/identity"
	"github.com/moorage-dev/moorage/internal/telemetry/otlp"
)

// Bounds of a request's body in bytes.
const (
	maxPayload = 100_000_000 // an invocation; source: AgentCore quotas
	maxUpload  = 1 << 30     // an object; a code zip has 250 MB at most
	maxQuery   = 1 << 20     // what STS is asked
	maxBedrock = 25 << 20    // a model's or knowledge base's request; source: InvokeModel, API reference
)

func (h *house) verifier() *identity.Verifier {
	return &identity.Verifier{
		Keys:            h.people.AccessKey,
		Temporary:       h.temporary,
		Services:        map[string]int64{identity.AgentCore: maxPayload, identity.S3: maxUpload, "sts": maxQuery, "iam": maxQuery, "cognito-idp": maxQuery, bedrockName: maxBedrock, "xray": otlp.MaxBody, "logs": otlp.MaxBody, "monitoring": otlp.MaxBody, "application-signals": maxQuery},
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
		h.people.Use(by.Caller.AccessKeyID, by.Service)
		r = r.WithContext(identity.WithCaller(r.Context(), by.Caller))
		if err := h.permitted(r); err != nil {
			fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (h *house) fromBrowser(next http.Handler, fail func(http.ResponseWriter, *http.Request, error), w http.ResponseWriter, r *http.Request) {
	caller, err := h.browser.Caller(r)
	if err = h.authenticated(r, caller, err); err != nil {
		fail(w, r, err)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxPayload)
	r = r.WithContext(identity.WithCaller(r.Context(), caller))
	if err := h.permitted(r); err != nil {
		fail(w, r, err)
		return
	}
	next.ServeHTTP(w, r)
}
