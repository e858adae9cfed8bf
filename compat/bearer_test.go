package compat

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	controltypes "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// openIDProvider is a real provider, in this process.
type openIDProvider struct {
	issuer string
	client *http.Client // that reaches it; nil is the default one
}

func newOpenIDProvider(t *testing.T) openIDProvider {
	t.Helper()
	return newProviderOf(t, func(s *storage.Storage) tokenStorage { return tokenStorage{Storage: s} })
}

// newProviderOf is newOpenIDProvider with changes to how it stores.
func newProviderOf(t *testing.T, wrap func(*storage.Storage) tokenStorage) openIDProvider {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := openIDProvider{issuer: "http://" + listener.Addr().String()}
	store := wrap(storage.NewStorage(storage.NewUserStore(p.issuer)))
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: p.handler(store, op.WithAllowInsecure())}}
	server.Start()
	t.Cleanup(server.Close)
	return p
}

func (p openIDProvider) handler(store tokenStorage, options ...op.Option) http.Handler {
	before := slog.Default() // which the provider replaces
	defer slog.SetDefault(before)
	return exampleop.SetupServer(p.issuer, store, slog.New(slog.DiscardHandler), false, options...)
}

// tokenStorage has the provider issue JSON Web Tokens, where it would issue opaque ones.
type tokenStorage struct {
	*storage.Storage
	life time.Duration // of access tokens that come with refresh tokens; 0 is the provider's own
	says *atomic.Value // a map of claims that access tokens have besides; nil for none
}

func (s tokenStorage) GetPrivateClaimsFromScopes(ctx context.Context, user, client string, scopes []string) (map[string]any, error) {
	if s.says != nil {
		return s.says.Load().(map[string]any), nil
	}
	return s.Storage.GetPrivateClaimsFromScopes(ctx, user, client, scopes)
}

func (s tokenStorage) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	client, err := s.Storage.GetClientByClientID(ctx, id)
	if err != nil {
		return nil, err
	}
	return tokenClient{client}, nil
}

func (s tokenStorage) CreateAccessAndRefreshTokens(ctx context.Context, r op.TokenRequest, current string) (id, refresh string, expires time.Time, err error) {
	id, refresh, expires, err = s.Storage.CreateAccessAndRefreshTokens(ctx, r, current)
	if s.life > 0 {
		expires = time.Now().Add(s.life)
	}
	return id, refresh, expires, err
}

func (s tokenStorage) ClientCredentials(ctx context.Context, id, secret string) (op.Client, error) {
	client, err := s.Storage.ClientCredentials(ctx, id, secret)
	if err != nil {
		return nil, err
	}
	return tokenClient{client}, nil
}

type tokenClient struct{ op.Client }

func (tokenClient) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }

func (p openIDProvider) discovery() string { return p.issuer + "/.well-known/openid-configuration" }

// token gets one as a machine does.
func (p openIDProvider) token(t *testing.T) string {
	t.Helper()
	return p.asks(t, url.Values{"grant_type": {"client_credentials"}, "client_id": {"sid1"}, "client_secret": {"verysecret"}, "scope": {"openid"}})
}

// asks sends form to the token endpoint and returns the access token.
func (p openIDProvider) asks(t *testing.T, form url.Values) string {
	t.Helper()
	answer, err := cmp.Or(p.client, http.DefaultClient).PostForm(p.issuer+"/oauth/token", form)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	var got struct {
		Token string `json:"access_token"`
	}
	if json.Unmarshal(body, &got) != nil || strings.Count(got.Token, ".") != 2 {
		t.Fatalf("the provider answers %s", body)
	}
	return got.Token
}

func (p openIDProvider) authorizer(change func(*controltypes.CustomJWTAuthorizerConfiguration)) controltypes.AuthorizerConfiguration {
	discovery := p.discovery()
	c := controltypes.CustomJWTAuthorizerConfiguration{DiscoveryUrl: &discovery, AllowedAudience: []string{"sid1"}}
	if change != nil {
		change(&c)
	}
	return &controltypes.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: c}
}

// callWith calls an agent over plain HTTP, as clients with tokens do.
func (a *agent) callWith(t *testing.T, token, session string) (status int, header http.Header, body string) {
	t.Helper()
	u := a.server.client.Endpoint + "/runtimes/" + url.QueryEscape(a.arn) + "/invocations?qualifier=DEFAULT"
	r, err := http.NewRequestWithContext(t.Context(), "POST", u, bytes.NewReader([]byte(`{"op":"state"}`)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", session)
	if token != "" {
		r.Header.Set("Authorization", token)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(said)
}

func TestBearer_tokensOfAProviderCallAgents(t *testing.T) {
	p := newOpenIDProvider(t)
	d := probe
	d.name, d.authorizer = "behind_openid", p.authorizer(nil)
	s := shared(t)
	a := s.deployed(t, d)
	session, good := newSession(t), "Bearer "+p.token(t)
	for _, c := range []struct {
		name, token string
		status      int
		words       string
	}{
		{"a good token", good, 200, `"count": 1`},
		{"once more", good, 200, `"count": 2`},
		{"none", "", 401, `{"jsonrpc":"2.0","error":{"code":-32001,"message":"Missing Authentication Token"}}`},
		{"empty", "Bearer ", 403, "Failed to parse token"},
		{"garbage", "Bearer garbage", 403, "Failed to parse token"},
		{"another's signature", good[:len(good)-6] + "AAAAAA", 401, "Invalid token"},
		{"a password", "Basic YTpi", 403, "Authorization method mismatch"},
	} {
		status, header, body := a.callWith(t, c.token, session)
		if status != c.status || !strings.Contains(body, c.words) {
			t.Errorf("%s: %d %s, want %d %s", c.name, status, body, c.status, c.words)
		}
		if challenge := header.Get("WWW-Authenticate"); (status == 401) != strings.Contains(challenge, "resource_metadata=") {
			t.Errorf("%s: status %d with the challenge %q", c.name, status, challenge)
		}
	}
	t.Run("a signature instead", func(t *testing.T) {
		err := a.call(t.Context(), session, map[string]any{"op": "state"}, nil)
		wantWords(t, wantError(t, err, "AccessDeniedException"), "Authorization method mismatch. The agent is configured for a different authorization method")
		err = a.stopSession(t.Context(), session)
		wantError(t, err, "AccessDeniedException")
	})
	t.Run("a token where signatures are wanted", func(t *testing.T) {
		if status, _, body := s.deployed(t, probe).callWith(t, good, session); status != 403 || !strings.Contains(body, "Authorization method mismatch") {
			t.Errorf("%d %s", status, body)
		}
	})
	t.Run("where to get a token", func(t *testing.T) { a.wantMetadata(t, p) })
	t.Run("by command", func(t *testing.T) {
		out, err := s.cli(t.Context(), "invoke", "--name", a.arn, "--bearer-token", strings.TrimPrefix(good, "Bearer "), "--session", session, "--payload", `{"op":"state"}`)
		if err != nil || !strings.Contains(out, `"count": 3`) {
			t.Errorf("%s (%v)", out, err)
		}
	})
}

// wantMetadata follows the challenge, without credentials, to the provider.
func (a *agent) wantMetadata(t *testing.T, p openIDProvider) {
	t.Helper()
	_, header, _ := a.callWith(t, "", newSession(t))
	_, rest, _ := strings.Cut(header.Get("WWW-Authenticate"), `resource_metadata="`)
	at, _, _ := strings.Cut(rest, `"`)
	const place = "/.well-known/oauth-protected-resource"
	resource := strings.Replace(at, place, "", 1)
	root := a.server.client.Endpoint
	for _, at := range []string{at, root + place + strings.TrimPrefix(resource, root)} { // as told, and by RFC 9728
		answer, err := http.Get(at)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var doc struct {
			Resource string
			Servers  []string `json:"authorization_servers"`
		}
		if err := json.NewDecoder(answer.Body).Decode(&doc); err != nil || len(doc.Servers) != 1 || doc.Servers[0] != p.issuer || doc.Resource != resource {
			t.Errorf("%s answers %d %+v (%v)", at, answer.StatusCode, doc, err)
		}
	}
	if answer, err := http.Get(root + place + "/runtimes/nobody/invocations"); err != nil || answer.StatusCode != http.StatusNotFound {
		t.Errorf("of a runtime that is not there: %v, %v", answer, err)
	} else {
		answer.Body.Close()
	}
}

func TestBearer_theAuthorizerIsTheVersions(t *testing.T) {
	p := newOpenIDProvider(t)
	s := shared(t)
	d := probe
	d.name, d.authorizer = "changes_its_door", p.authorizer(func(c *controltypes.CustomJWTAuthorizerConfiguration) { c.AllowedAudience = []string{"somebody-else"} })
	a := s.deployed(t, d)
	good := "Bearer " + p.token(t)
	if status, _, body := a.callWith(t, good, newSession(t)); status != 401 || !strings.Contains(body, "Claim 'aud' value mismatch with configuration.") {
		t.Errorf("for another audience: %d %s", status, body)
	}
	d.authorizer = p.authorizer(nil)
	if _, err := a.update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if status, _, body := a.callWith(t, good, newSession(t)); status != 200 {
		t.Errorf("after the update: %d %s", status, body)
	}
	d.authorizer = nil // an update says everything anew
	if _, err := a.update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if err := a.call(t.Context(), newSession(t), map[string]any{"op": "state"}, nil); err != nil {
		t.Errorf("signed, without an authorizer: %v", err)
	}
}

func TestBearer_authorizersThatMakeNoSense(t *testing.T) {
	p, s := newOpenIDProvider(t), shared(t)
	text := "x"
	for name, change := range map[string]func(*controltypes.CustomJWTAuthorizerConfiguration){
		"nothing to match": func(c *controltypes.CustomJWTAuthorizerConfiguration) { c.AllowedAudience = nil },
		"no discovery":     func(c *controltypes.CustomJWTAuthorizerConfiguration) { c.DiscoveryUrl = &text },
		"a string that contains": func(c *controltypes.CustomJWTAuthorizerConfiguration) {
			c.CustomClaims = []controltypes.CustomClaimValidationType{{
				InboundTokenClaimName: &text, InboundTokenClaimValueType: controltypes.InboundTokenClaimValueTypeString,
				AuthorizingClaimMatchValue: &controltypes.AuthorizingClaimMatchValueType{
					ClaimMatchOperator: controltypes.ClaimMatchOperatorTypeContains, ClaimMatchValue: &controltypes.ClaimMatchValueTypeMemberMatchValueString{Value: text},
				},
			}}
		},
	} {
		d := probe
		d.name, d.authorizer = "no_door", p.authorizer(change)
		_, err := s.create(t.Context(), d)
		if err == nil {
			t.Errorf("%s: it was accepted", name)
			continue
		}
		wantError(t, err, "ValidationException")
	}
}

func claimRule(name string, kind controltypes.InboundTokenClaimValueType, operator controltypes.ClaimMatchOperatorType, value controltypes.ClaimMatchValueType) controltypes.CustomClaimValidationType {
	return controltypes.CustomClaimValidationType{
		InboundTokenClaimName: &name, InboundTokenClaimValueType: kind,
		AuthorizingClaimMatchValue: &controltypes.AuthorizingClaimMatchValueType{ClaimMatchOperator: operator, ClaimMatchValue: value},
	}
}

// One runtime has a rule of each operator, and a provider says one thing after another: every rule has to fit, by a claim of its
// type, whose name is taken as it is.
func TestBearer_customClaims(t *testing.T) {
	var says atomic.Value
	p := newProviderOf(t, func(s *storage.Storage) tokenStorage { return tokenStorage{Storage: s, says: &says} })
	s := shared(t)
	one := func(v string) controltypes.ClaimMatchValueType {
		return &controltypes.ClaimMatchValueTypeMemberMatchValueString{Value: v}
	}
	any := &controltypes.ClaimMatchValueTypeMemberMatchValueStringList{Value: []string{"owner", "admin"}}
	d := probe
	d.name, d.authorizer = "by_claims", p.authorizer(func(c *controltypes.CustomJWTAuthorizerConfiguration) {
		c.CustomClaims = []controltypes.CustomClaimValidationType{
			claimRule("org.department", controltypes.InboundTokenClaimValueTypeString, controltypes.ClaimMatchOperatorTypeEquals, one("sales")),
			claimRule("cognito:groups", controltypes.InboundTokenClaimValueTypeStringArray, controltypes.ClaimMatchOperatorTypeContains, one("ops")),
			claimRule("roles", controltypes.InboundTokenClaimValueTypeStringArray, controltypes.ClaimMatchOperatorTypeContainsAny, any),
		}
	})
	a := s.deployed(t, d)
	a.wantAuthorizer(t, d.authorizer)
	type claims = map[string]interface{}
	good := claims{"org.department": "sales", "cognito:groups": []string{"dev", "ops"}, "roles": []string{"reader", "admin"}}
	for _, c := range []struct {
		name    string
		change  claims
		refused string // the claim that does not fit
	}{
		{"all fit", nil, ""},
		{"another value", claims{"org.department": "Sales"}, "org.department"},
		{"no value", claims{"org.department": nil}, "org.department"},
		{"a list for a string", claims{"org.department": []string{"sales"}}, "org.department"},
		{"a number for a string", claims{"org.department": 1}, "org.department"},
		{"nested under its name's dots", claims{"org.department": nil, "org": claims{"department": "sales"}}, "org.department"},
		{"other groups", claims{"cognito:groups": []string{"dev", "ops2"}}, "cognito:groups"},
		{"a string for a list", claims{"cognito:groups": "ops"}, "cognito:groups"},
		{"no group", claims{"cognito:groups": []string{}}, "cognito:groups"},
		{"the other of two", claims{"roles": []string{"owner"}}, ""},
		{"neither of two", claims{"roles": []string{"reader"}}, "roles"},
		{"both in one string", claims{"roles": []string{"owner admin"}}, "roles"},
	} {
		said := maps.Clone(good)
		for name, value := range c.change {
			if said[name] = value; value == nil {
				delete(said, name)
			}
		}
		says.Store(said)
		status, _, body := a.callWith(t, "Bearer "+p.token(t), newSession(t))
		if c.refused == "" && status != 200 || c.refused != "" && (status != 401 || !strings.Contains(body, "Claim '"+c.refused+"' value mismatch with configuration.")) {
			t.Errorf("%s: %d %s", c.name, status, body)
		}
	}
}
