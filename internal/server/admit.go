package server

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/identity"
	"github.com/moorage-dev/moorage/internal/identity/iam"
	"github.com/moorage-dev/moorage/internal/invoke"
)

// resourceMetadata is what the data plane's place without credentials is called.
// Source: IAM action of AgentCore.
const resourceMetadata = "GetRuntimeProtectedResourceMetadata"

// resourcePlace is where that is: behind a resource's path in the cloud service, and before it by RFC 9728, 3.1, which clients go by that were
// not told.
const resourcePlace = "/.well-known/oauth-protected-resource"

// besideResource turns a request for what is before the path to one for what is behind it.
func besideResource(r *http.Request) *http.Request {
	in := r.Clone(r.Context())
	in.URL.RawPath = strings.TrimPrefix(r.URL.EscapedPath(), resourcePlace) + resourcePlace
	in.URL.Path = strings.TrimPrefix(r.URL.Path, resourcePlace) + resourcePlace
	return in
}

// admitted lets a call through to the data plane if it comes by the way that its runtime's version asks
// for: a signature, or a token. One does not stand in for the other.
func (h *house) admitted(next http.Handler) http.Handler {
	signed := h.signed(h.passedOn(next), wire.WriteError)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := wire.CallOf(r.Context())
		if call.Operation == resourceMetadata {
			next.ServeHTTP(w, r)
			return
		}
		to := addressed(r)
		authorizer := h.invoke.Authorizer(to)
		token, sent := bearerToken(r)
		switch {
		case authorizer == nil && iam.IsAPIKey(token):
			h.withAPIKey(next, token, w, r)
		case authorizer == nil && sent:
			wire.WriteError(w, r, errMethod)
		case authorizer == nil:
			signed.ServeHTTP(w, r)
		case sent:
			h.withToken(next, *authorizer, token, w, r)
		case r.Header.Get("Authorization") != "" || isPresigned(r) || h.browser.LoggedIn(r):
			wire.WriteError(w, r, errMethod)
		default:
			h.challenge(w, r, to, authorizer)
		}
	})
}

// addressed is the runtime and endpoint that a data-plane call names.
func addressed(r *http.Request) invoke.Address {
	call := wire.CallOf(r.Context())
	return invoke.Address{Runtime: call.Label("agentRuntimeArn"), Account: call.Query("accountId"), Qualifier: call.Query("qualifier")}
}

func isPresigned(r *http.Request) bool { return strings.Contains(r.URL.RawQuery, "X-Amz-Signature=") }

// errMethod's text is the cloud service's: the lab notebook waits for it.
var errMethod = moorage.Errorf(moorage.Denied, "Authorization method mismatch. The agent is configured for a different authorization method than what was used in your request. Check the agent's authorization configuration and ensure your request uses the matching method (OAuth or SigV4)")

// Browsers cannot set headers on a WebSocket: the token comes as one of the subprotocols, base64url, and the
// bare name as another, which is the one selected. Source: AgentCore Python SDK, browser WebSocket.
const (
	tokenProtocol    = "base64UrlBearerAuthorization"
	maxProtocolToken = 4096
)

// bearerToken returns a call's token, and whether it sent one, were it empty. A token beside other credentials is taken for
// none: an agent that is shown them could believe the other.
func bearerToken(r *http.Request) (token string, sent bool) {
	lines := r.Header.Values("Authorization")
	for _, line := range lines {
		if scheme, rest, _ := strings.Cut(line, " "); strings.EqualFold(scheme, "Bearer") {
			if len(lines) > 1 {
				return "", true
			}
			return strings.TrimSpace(rest), true
		}
	}
	for _, line := range r.Header.Values("Sec-Websocket-Protocol") {
		for name := range strings.SplitSeq(line, ",") {
			if encoded, ok := strings.CutPrefix(strings.TrimSpace(name), tokenProtocol+"."); ok && len(encoded) <= maxProtocolToken {
				raw, _ := base64.RawURLEncoding.DecodeString(strings.TrimRight(encoded, "=")) // what does not decode is no token
				return string(raw), true
			}
		}
	}
	return "", false
}

func (h *house) withToken(next http.Handler, a moorage.JWTAuthorizer, token string, w http.ResponseWriter, r *http.Request) {
	t, err := h.tokens.Verify(r.Context(), a, token)
	chain, broken := h.chain(r)
	if err == nil && r.Header.Get(invoke.HeaderUser) != "" {
		err = moorage.Errorf(moorage.Invalid, "a call with a bearer token is its subject's: leave out %s", invoke.HeaderUser)
	}
	if err == nil && a.Workloads != nil {
		err = h.comesThrough(*a.Workloads, chain, broken)
	}
	if err = h.authenticated(r, t.Caller(), err); err != nil {
		if err == errNoWorkload {
			h.unauthenticated(w, r, `Bearer resource_metadata="`+h.metadataURL(addressed(r))+`"`, err.Error())
			return
		}
		if moorage.CodeOf(err) == moorage.Unauthenticated {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token", resource_metadata="`+h.metadataURL(addressed(r))+`"`)
		}
		wire.WriteError(w, r, err)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxPayload)
	ctx := identity.WithInbound(identity.WithCaller(r.Context(), t.Caller()), identity.Inbound{Token: token, Expires: t.Expires, Through: chain})
	r = r.WithContext(ctx)
	if err := h.permitted(r); err != nil {
		wire.WriteError(w, r, err)
		return
	}
	next.ServeHTTP(w, r)
}

// challenge tells a caller without credentials where to get a token.
func (h *house) challenge(w http.ResponseWriter, r *http.Request, to invoke.Address, a *moorage.JWTAuthorizer) {
	challenge := `Bearer resource_metadata="` + h.metadataURL(to) + `"`
	if len(a.Scopes) > 0 {
		challenge += `, scope="` + strings.Join(advertised(a), " ") + `"`
	}
	message := "Missing Authentication Token"
	if h.invoke.Protocol(to) == "AGUI" {
		message = "Authentication required"
	}
	h.unauthenticated(w, r, challenge, message)
}

// unauthenticated refuses a call that lacks something. Callers of agents on plain HTTP are told in the words of MCP, too: so does the
// cloud service.
func (h *house) unauthenticated(w http.ResponseWriter, r *http.Request, challenge, message string) {
	w.Header().Set("WWW-Authenticate", challenge)
	if h.invoke.Protocol(addressed(r)) != "HTTP" {
		wire.WriteError(w, r, moorage.Errorf(moorage.Unauthenticated, "%s", message))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("x-amzn-ErrorType", "UnauthorizedException")
	w.WriteHeader(http.StatusUnauthorized)
	fmt.Fprintf(w, `{"jsonrpc":"2.0","error":{"code":-32001,"message":%q}}`, message)
}

// advertised are the scopes by the names that callers are told.
func advertised(a *moorage.JWTAuthorizer) (out []string) {
	for _, scope := range a.Scopes {
		if name := a.Advertised[scope]; name != "" {
			scope = name
		}
		out = append(out, scope)
	}
	return out
}

// metadataURL is where the protected resource's metadata is (RFC 9728).
func (h *house) metadataURL(to invoke.Address) string {
	return h.resourceURL(to, resourcePlace)
}

func (h *house) resourceURL(to invoke.Address, suffix string) string {
	query := url.Values{}
	if to.Qualifier != "" {
		query.Set("qualifier", to.Qualifier)
	}
	if to.Account != "" {
		query.Set("accountId", to.Account)
	}
	out := strings.TrimSuffix(h.PublicURL, "/") + "/runtimes/" + url.PathEscape(to.Runtime) + "/invocations" + suffix
	if len(query) > 0 {
		out += "?" + query.Encode()
	}
	return out
}

// resource serves the metadata of a runtime that wants tokens: who needs it has no token yet. Whether
// another runtime exists does not show.
func (h *house) resource(w http.ResponseWriter, r *http.Request) {
	to := addressed(r)
	a := h.invoke.Authorizer(to)
	if a == nil {
		wire.WriteError(w, r, moorage.Errorf(moorage.NotFound, "no runtime here takes bearer tokens at this address"))
		return
	}
	issuer, err := h.tokens.Issuer(r.Context(), *a)
	if err != nil {
		wire.WriteError(w, r, err)
		return
	}
	servers := []string{issuer}
	if id, _, _, ok := h.userPools.Resolve(a.DiscoveryURL); ok { // its issuer's address is not ours
		servers = []string{h.userPools.Local(id), issuer}
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(struct { // the client may be gone
		Servers  []string `json:"authorization_servers"`
		Resource string   `json:"resource"`
		Scopes   []string `json:"scopes_supported,omitempty"`
		Methods  []string `json:"bearer_methods_supported"`
	}{servers, h.resourceURL(to, ""), advertised(a), []string{"header"}})
}

// providerNetworks are where identity providers may be besides the public network.
func (h *house) providerNetworks() []netip.Prefix {
	out := slices.Clone(h.ProviderNetworks)
	if h.local() {
		out = append(out, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
	}
	return out
}
