package agentcore

import (
	"context"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/invoke"
)

// webSocket is a connection to the agent's /ws.
func (h handlers) webSocket(w http.ResponseWriter, r *http.Request) {
	if err := h.invoke.WebSocket(w, r, socketCall(r)); err != nil {
		wire.WriteError(w, r, err)
	}
}

// shell is a terminal in a session. The parameter command, a line to run in place of an interactive
// shell, is ours.
func (h handlers) shell(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if err := h.invoke.Shell(w, r, socketCall(r), query.Get("shellId"), query.Get("command")); err != nil {
		wire.WriteError(w, r, err)
	}
}

// socketCall takes the session's id and the agent's custom headers from the query as well, since
// browsers cannot set headers.
func socketCall(r *http.Request) invoke.Call {
	call := wire.CallOf(r.Context())
	header := r.Header.Clone()
	query := r.URL.Query()
	for name, values := range query {
		if isPlatformHeader(name) && header.Get(name) == "" {
			header[http.CanonicalHeaderKey(name)] = values
		}
	}
	return invoke.Call{
		Address: invoke.Address{
			Runtime: call.Label("agentRuntimeArn"), Account: query.Get("accountId"), Qualifier: query.Get("qualifier"),
			SessionID: header.Get(invoke.HeaderSession), Owner: owner(r.Context(), header.Get(invoke.HeaderUser)),
		},
		RequestID: call.RequestID, Header: header, Subprotocol: subprotocolOf(r.Context()),
		User: user(r.Context(), header.Get(invoke.HeaderUser)),
	}
}

// isPlatformHeader reports whether a query parameter stands for a header.
func isPlatformHeader(name string) bool {
	name = http.CanonicalHeaderKey(name)
	return name == http.CanonicalHeaderKey(invoke.HeaderSession) || len(name) > len(customPrefix) && name[:len(customPrefix)] == customPrefix
}

var customPrefix = http.CanonicalHeaderKey("X-Amzn-Bedrock-AgentCore-Runtime-Custom-")

// bearerProtocol is how a browser, which can set no header on a WebSocket, sends a token: as the
// subprotocol bearerProtocol.TOKEN, in base64 for URLs, beside bearerProtocol alone, which is the answer.
// Source: AgentCore developer guide, Get started with bidirectional streaming.
const bearerProtocol = "base64UrlBearerAuthorization"

const maxBearerProtocol = 4096 // characters of the encoded token

type subprotocolKey struct{}

// subprotocolOf is what a WebSocket's caller has to be answered with, or empty where the agent decides.
func subprotocolOf(ctx context.Context) string {
	name, _ := ctx.Value(subprotocolKey{}).(string)
	return name
}

// bearerOfBrowsers is a layer that turns a token in a subprotocol into the Authorization that it stands
// for. The agent sees neither.
func bearerOfBrowsers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		offered := r.Header.Values("Sec-Websocket-Protocol")
		if !strings.Contains(strings.Join(offered, ","), bearerProtocol+".") {
			next.ServeHTTP(w, r)
			return
		}
		token, others, err := bearerIn(offered)
		if err != nil {
			wire.WriteError(w, r, err)
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), subprotocolKey{}, bearerProtocol))
		r.Header = r.Header.Clone()
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Del("Sec-Websocket-Protocol")
		if len(others) > 0 {
			r.Header.Set("Sec-Websocket-Protocol", strings.Join(others, ", "))
		}
		next.ServeHTTP(w, r)
	})
}

// bearerIn takes the token out of the subprotocols that a client offers.
func bearerIn(offered []string) (token string, others []string, err error) {
	for name := range strings.SplitSeq(strings.Join(offered, ","), ",") {
		name = strings.TrimSpace(name)
		encoded, is := strings.CutPrefix(name, bearerProtocol+".")
		if !is {
			others = append(others, name)
			continue
		}
		text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(encoded, "="))
		if err != nil || len(encoded) > maxBearerProtocol || strings.ContainsAny(string(text), "\r\n") {
			return "", nil, moorage.Errorf(moorage.Unauthenticated, "the token in the subprotocol %s is not one: it is base64 for URLs, of at most %d characters", bearerProtocol, maxBearerProtocol)
		}
		token = string(text)
	}
	if !slices.Contains(others, bearerProtocol) {
		return "", nil, moorage.Errorf(moorage.Invalid, "the subprotocol %s.TOKEN needs %s beside it, which is the answer", bearerProtocol, bearerProtocol)
	}
	return token, slices.DeleteFunc(others, func(name string) bool { return name == bearerProtocol }), nil
}
