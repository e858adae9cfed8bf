package pool

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"

	"github.com/moorage-dev/moorage"
)

// poolID is what a pool's id looks like. Source: UserPoolIdType, API reference.
var poolID = regexp.MustCompile(`^[\w-]+_[0-9A-Za-z]+$`)

// Serves reports whether an escaped path is one that Pages has something at: a hosted endpoint, or one under a pool's id.
func Serves(path string) bool {
	if path == "/oauth2/authorize" || path == "/oauth2/token" {
		return true
	}
	id, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch strings.TrimPrefix(path, "/"+id) {
	case discoverySuffix, keysSuffix, "/oauth2/token":
		return poolID.MatchString(id)
	}
	return false
}

const keysSuffix = "/.well-known/jwks.json"

// Pages serves what OpenID's clients and browsers ask of a pool. Fail writes errors of the addresses that no protocol has a shape for.
func (s *Service) Pages(fail func(http.ResponseWriter, *http.Request, error)) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{pool}"+discoverySuffix, s.document(fail, func(p *state) any { return s.metadata(p) }))
	mux.HandleFunc("GET /{pool}"+keysSuffix, s.document(fail, func(p *state) any { return p.keys.public() }))
	mux.HandleFunc("POST /oauth2/token", s.tokenEndpoint)
	mux.HandleFunc("POST /{pool}/oauth2/token", s.tokenEndpoint)
	own := http.NewCrossOriginProtection() // a form on another's page signs nobody in
	mux.Handle("/oauth2/authorize", own.Handler(http.HandlerFunc(s.login)))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, r, moorage.Errorf(moorage.NotFound, "user pools have nothing at %s %s", r.Method, r.URL.Path))
	})
	return mux
}

// document answers with what everybody may know of a pool; browsers' applications ask from other origins.
func (s *Service) document(fail func(http.ResponseWriter, *http.Request, error), of func(*state) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p, err := s.state(r.PathValue("pool"))
		if err != nil {
			fail(w, r, err)
			return
		}
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Cache-Control", "public, max-age=300")
		writeJSON(w, http.StatusOK, of(p))
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // the client may be gone
}

// metadata is what a provider says of itself. Source: OpenID Connect Discovery, 3.
func (s *Service) metadata(p *state) map[string]any {
	return map[string]any{
		"issuer": s.Issuer(p.ID), "jwks_uri": s.Local(p.ID) + keysSuffix,
		"authorization_endpoint": s.PublicURL + "/oauth2/authorize", "token_endpoint": s.PublicURL + "/oauth2/token",
		"response_types_supported": []string{"code"}, "grant_types_supported": []string{"authorization_code", "client_credentials", "refresh_token"},
		"code_challenge_methods_supported":      []string{"S256"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post", "none"},
		"id_token_signing_alg_values_supported": []string{"RS256"}, "subject_types_supported": []string{"public"},
		"scopes_supported": []string{"openid", "email", "phone", "profile"},
	}
}

// Transport resolves the discovery URLs of pools that are here in this process, and leaves everything else to Next: it is for
// those who are told a provider by its discovery URL and then ask it for tokens.
type Transport struct {
	Pools *Service
	Next  http.RoundTripper
}

// RoundTrip is [http.RoundTripper]'s.
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	id, _, _, ok := t.Pools.Resolve(r.URL.String())
	if !ok || r.Method != http.MethodGet {
		return t.Next.RoundTrip(r)
	}
	p, err := t.Pools.state(id)
	if err != nil {
		return nil, err
	}
	doc, err := json.Marshal(t.Pools.metadata(p))
	if err != nil {
		return nil, err
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: r.Proto, ProtoMajor: r.ProtoMajor, ProtoMinor: r.ProtoMinor, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(doc)), ContentLength: int64(len(doc)),
	}, nil
}
