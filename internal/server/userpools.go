package server

import (
	"context"
	"net"
	"net/http"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/moorage-dev/moorage/internal/aws/cognitoidp"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/identity/audit"
	"github.com/moorage-dev/moorage/internal/identity/pool"
)

// openUserPools opens the user pools, whose tokens are checked in this process.
func (h *house) openUserPools(ctx context.Context) error {
	key, err := h.store.Key("user pool refresh tokens")
	if err != nil {
		return err
	}
	h.userPools = &pool.Service{
		Store: h.store, Key: key, Region: h.Region, Account: h.account, PublicURL: strings.TrimSuffix(h.PublicURL, "/"), Note: h.noteSignIn,
	}
	h.tokens.Local = func(discoveryURL string) (string, jose.JSONWebKeySet, bool) {
		_, issuer, keys, ok := h.userPools.Resolve(discoveryURL)
		return issuer, keys, ok
	}
	return h.userPools.Load(ctx)
}

// noteSignIn puts on record who signed in, or did not. What was typed as a name that nobody has may be a password: it is left out.
func (h *house) noteSignIn(ctx context.Context, e pool.Event) error {
	record := audit.Record{
		Kind: audit.Authentication, RequestID: wire.RequestID(ctx), Action: e.Action, Resources: []string{h.poolARN(e.Pool)},
		Detail: map[string]string{"client": e.Client},
	}
	record.From, _ = ctx.Value(fromKey{}).(string)
	if e.Token {
		record.Kind = audit.Token
	}
	if e.User != "" {
		record.Caller = h.userPools.Issuer(e.Pool) + "#" + e.User
	}
	if e.Refused != nil {
		record.Refused, record.Reason = true, e.Refused.Error()
	}
	return h.audit.Record(ctx, record)
}

type fromKey struct{}

// withFrom has what a request leads to know the address that it came from.
func withFrom(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, _, _ := net.SplitHostPort(r.RemoteAddr)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), fromKey{}, from)))
	})
}

// cognitoTarget begins the names of Cognito's operations in X-Amz-Target.
var cognitoTarget = cognitoidp.Model.TargetPrefix + "."

// isCognito reports whether a request, signed for service, is for Cognito's API: InitiateAuth comes without a signature.
func isCognito(r *http.Request, service string) bool {
	return service == "cognito-idp" || strings.HasPrefix(r.Header.Get("X-Amz-Target"), cognitoTarget)
}

// cognito serves the API of user pools. Who signs in has no key yet: their password speaks for them. What is not served says so
// to everybody, since clients send much of it without a signature, too.
func (h *house) cognito() http.Handler {
	svc := cognitoService(h.userPools, wire.Options{Logger: h.Log, MaxBody: maxQuery})
	open := map[string]bool{cognitoidp.InitiateAuth.Name: true, cognitoidp.RespondToAuthChallenge.Name: true}
	for _, op := range svc.Operations() {
		open[op.Name] = open[op.Name] || !op.Offered
	}
	svc.Use(func(next http.Handler) http.Handler {
		signed := h.signed(next, wire.WriteError)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if open[wire.OperationName(r.Context())] {
				next.ServeHTTP(w, r)
				return
			}
			signed.ServeHTTP(w, r)
		})
	})
	return withFrom(svc)
}

const cognitoNote = "User pools, a subset. Discovery and keys are at `/POOL/.well-known/…`, and a runtime's discovery URL in Cognito's own shape finds a pool that is\n" +
	"here without a request. `/oauth2/authorize` (code, with PKCE; a login page) and `/oauth2/token` (authorization_code, client_credentials, refresh_token) are at\n" +
	"the server's own address for every pool, with or without a domain. InitiateAuth knows USER_PASSWORD_AUTH and REFRESH_TOKEN_AUTH; challenges are NEW_PASSWORD_REQUIRED\n" +
	"alone. No SRP, second factors, sign-up, messages, triggers, groups, other identity providers, userInfo, revocation or logout."

func cognitoService(s *pool.Service, o wire.Options) *wire.Service {
	svc := wire.NewService(cognitoidp.Model, o)
	cognitoidp.Serve(svc, s)
	return svc
}

func (h *house) poolPages() http.Handler { return withFrom(h.userPools.Pages(wire.WriteError)) }
