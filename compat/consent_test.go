package compat

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	datatypes "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore/types"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	controltypes "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/zitadel/oidc/v3/example/server/storage"
)

// app is the application that users come back to once they consented.
type app struct {
	*httptest.Server
	mu   sync.Mutex
	last url.Values
}

func newApp(t *testing.T) *app {
	a := &app{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.last = r.URL.Query()
	}))
	t.Cleanup(a.Close)
	return a
}

// returned is what the user came back with.
func (a *app) returned() url.Values {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last
}

// visitor is a user's browser as far as forms and redirects go.
type visitor struct {
	http.Client
	seen []string // addresses that it was sent to
}

func newVisitor(t *testing.T) *visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	v := &visitor{}
	v.Jar = jar
	v.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		v.seen = append(v.seen, r.URL.String())
		return nil
	}
	return v
}

var loginForm = regexp.MustCompile(`name="id" value="([^"]+)"`)

// consents visits an address, logs in at the provider, and is sent on.
func (v *visitor) consents(t *testing.T, p openIDProvider, at string) *http.Response {
	t.Helper()
	answer, err := v.Get(at)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(answer.Body)
	answer.Body.Close()
	form := loginForm.FindSubmatch(body)
	if form == nil {
		t.Fatalf("%s leads to %s: %s", at, answer.Status, body)
	}
	done, err := v.PostForm(p.issuer+"/login/username", url.Values{"id": {string(form[1])}, "username": {"test-user@127.0.0.1"}, "password": {"verysecure"}})
	if err != nil {
		t.Fatal(err)
	}
	done.Body.Close()
	return done
}

// asked is what the agent's access returns.
type asked struct{ Token, URL, Error, Message string }

func (s *server) completes(t *testing.T, session, user string) error {
	t.Helper()
	_, err := s.data().CompleteResourceTokenAuth(t.Context(), &data.CompleteResourceTokenAuthInput{
		SessionUri: &session, UserIdentifier: &datatypes.UserIdentifierMemberUserId{Value: user},
	})
	return err
}

func (s *server) returnsTo(t *testing.T, a *agent, home string) {
	t.Helper()
	_, err := s.control().UpdateWorkloadIdentity(t.Context(), &control.UpdateWorkloadIdentityInput{Name: aws.String(a.name()), AllowedResourceOauth2ReturnUrls: []string{home}})
	if err != nil {
		t.Fatal(err)
	}
}

func TestConsent_ofAUserIsForThatUserAlone(t *testing.T) {
	s, p, home := shared(t), newOpenIDProvider(t), newApp(t)
	a := s.deployed(t, identityAgent)
	s.returnsTo(t, a, home.URL+"/done")
	id := fmt.Sprintf("web-%d", time.Now().UnixNano())
	provider, callback := s.keepsClient(t, p, id, "websecret", nil)
	storage.RegisterClients(storage.WebClient(id, "websecret", callback))
	sessions := map[string]string{"ann": newSession(t), "bob": newSession(t)}
	ask := func(user string, more ...any) (out asked) {
		t.Helper()
		in := doing("access", append([]any{"provider", provider, "flow", "USER_FEDERATION", "scopes", []string{"openid", "offline_access"}, "once", true}, more...)...)
		if err := a.callAs(t.Context(), sessions[user], user, in, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	refused := func(what string, err error) {
		t.Helper()
		if err == nil {
			t.Errorf("%s was not refused", what)
			return
		}
		wantWords(t, wantError(t, err, "AccessDeniedException"), "Invalid or expired session")
	}

	first := ask("ann", "state", "mine")
	if first.Token != "" || !strings.HasPrefix(first.URL, s.client.Endpoint+"/identities/oauth2/authorize?request_uri=urn%3Aietf%3Aparams%3Aoauth%3Arequest_uri%3A") {
		t.Fatalf("a user who did not consent: %+v", first)
	}
	if got := ask("ann", "callback", "https://elsewhere.example/"); got.Error != "ValidationException" || !strings.Contains(got.Message, "allowedResourceOauth2ReturnUrls") {
		t.Errorf("another address to return to: %+v", got)
	}
	refusedEarly := s.completes(t, sessionOf(t, first.URL), "ann")
	refused("completing what nobody consented to", refusedEarly)

	browser := newVisitor(t)
	browser.consents(t, p, first.URL)
	back := home.returned()
	session := back.Get("session_id")
	if session != sessionOf(t, first.URL) || back.Get("state") != "mine" || back.Get("error") != "" {
		t.Fatalf("the user comes back with %v", back)
	}
	at := strings.Join(browser.seen, "\n")
	wantWords(t, at, "code_challenge_method=S256", "code_challenge=", "redirect_uri="+url.QueryEscape(callback))

	if got := ask("ann"); got.Token != "" {
		t.Fatal("a token was released before the app vouched for the user")
	}
	if err := s.completes(t, session, "ann"); err != nil {
		t.Fatal(err)
	}
	refused("another user", s.completes(t, session, "bob"))
	refused("completing twice", s.completes(t, session, "ann"))
	token := ask("ann").Token
	if token == "" {
		t.Fatal("no token, though the user consented")
	}
	if got := ask("bob"); got.Token != "" {
		t.Errorf("bob got ann's token: %+v", got)
	}
	for _, again := range browser.seen {
		if !strings.HasPrefix(again, callback) {
			continue
		}
		answer, err := http.Get(again)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != 403 {
			t.Errorf("the provider's answer, replayed: %s", answer.Status)
		}
		answer, err = http.Get(strings.Replace(again, "state=", "state=x", 1))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != 403 {
			t.Errorf("with another state: %s", answer.Status)
		}
	}
	lure := ask("bob")
	newVisitor(t).consents(t, p, lure.URL)
	lured := home.returned().Get("session_id")
	refused("a user who was lured", s.completes(t, lured, "ann"))
	refused("whoever lured the user, after that", s.completes(t, lured, "bob"))
	if got := ask("bob"); got.Token != "" {
		t.Errorf("bob got the token that ann was lured to: %+v", got)
	}
	s.kill()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	if got := ask("ann"); got.Token != token {
		t.Errorf("after a restart: %+v", got)
	}
	if got := ask("ann", "scopes", []string{"openid", "email"}); got.Token != "" {
		t.Errorf("more scopes than were consented to: %+v", got)
	}
	if got := ask("ann", "force", true); got.Token != "" || got.URL == "" {
		t.Errorf("forceAuthentication: %+v", got)
	}
	if got := ask("ann"); got.Token != "" {
		t.Error("a token outlived forceAuthentication")
	}
	replaced := ask("ann")
	newVisitor(t).consents(t, p, replaced.URL+"&iss=https://evil.example")
	wrong := newVisitor(t)
	wrong.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), callback) {
			q := r.URL.Query()
			q.Set("iss", "https://evil.example")
			r.URL.RawQuery = q.Encode()
		}
		return nil
	}
	if answer := wrong.consents(t, p, ask("ann").URL); answer.StatusCode != 403 {
		t.Errorf("an answer of another issuer: %s", answer.Status)
	}
}

// sessionOf is the session's URI in the address that a user visits.
func sessionOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("request_uri")
}

func TestConsent_refreshTokensAreUsedOnce(t *testing.T) {
	s, home := shared(t), newApp(t)
	p := newProviderOf(t, func(s *storage.Storage) tokenStorage { return tokenStorage{Storage: s, life: 30 * time.Second} })
	a := s.deployed(t, identityAgent)
	s.returnsTo(t, a, home.URL+"/done")
	id := fmt.Sprintf("web-%d", time.Now().UnixNano())
	provider, callback := s.keepsClient(t, p, id, "websecret", nil)
	storage.RegisterClients(storage.WebClient(id, "websecret", callback))
	session := newSession(t)
	in := doing("access", "provider", provider, "flow", "USER_FEDERATION", "scopes", []string{"openid", "offline_access"}, "once", true)
	ask := func() (out asked) {
		t.Helper()
		if err := a.callAs(t.Context(), session, "ann", in, &out); err != nil {
			t.Error(err)
		}
		return out
	}
	newVisitor(t).consents(t, p, ask().URL)
	if err := s.completes(t, home.returned().Get("session_id"), "ann"); err != nil {
		t.Fatal(err)
	}
	var all sync.Map
	var work sync.WaitGroup
	for range 6 { // each is within a minute of its end, and so renewed: one at a time, or the provider would refuse
		work.Go(func() {
			if got := ask(); got.Token == "" {
				t.Errorf("a renewed token: %+v", got)
			} else {
				all.Store(got.Token, true)
			}
		})
	}
	work.Wait()
	n := 0
	all.Range(func(any, any) bool { n++; return true })
	if n != 6 {
		t.Errorf("six renewals gave %d tokens", n)
	}
}

func TestConsent_onBehalfOfTheUserWhoCalls(t *testing.T) {
	s, home := shared(t), newApp(t)
	p := newProviderOf(t, func(s *storage.Storage) tokenStorage { return tokenStorage{Storage: s} })
	portal := fmt.Sprintf("portal-%d", time.Now().UnixNano())
	storage.RegisterClients(storage.WebClient(portal, "portalsecret", home.URL+"/portal"))
	user := p.userToken(t, home, portal, "portalsecret")
	d := identityAgent
	d.name = "on_behalf"
	d.authorizer = p.authorizer(func(c *controltypes.CustomJWTAuthorizerConfiguration) { c.AllowedAudience = []string{portal} })
	a := s.deployed(t, d)
	exchanges := func(c *controltypes.CustomOauth2ProviderConfigInput) {
		c.OnBehalfOfTokenExchangeConfig = &controltypes.OnBehalfOfTokenExchangeConfigType{GrantType: controltypes.OnBehalfOfTokenExchangeGrantTypeTypeTokenExchange}
	}
	id := fmt.Sprintf("downstream-%d", time.Now().UnixNano())
	storage.RegisterClients(storage.WebClient(id, "downsecret", home.URL))
	provider, _ := s.keepsClient(t, p, id, "downsecret", exchanges)
	plain, _ := s.keepsClient(t, p, id, "downsecret", nil)
	session := newSession(t)
	const access = "urn:ietf:params:oauth:token-type:access_token" // the provider exchanges no tokens of type jwt
	exchange := doing("access", "provider", provider, "flow", "ON_BEHALF_OF_TOKEN_EXCHANGE", "scopes", []string{"openid"},
		"parameters", map[string]string{"subject_token_type": access, "requested_token_type": access, "client_secret": "not-this-one"})
	var got asked
	a.ask(t, user, session, exchange, &got)
	if got.Token == "" || got.Token == user {
		t.Fatalf("exchanged: %+v", got)
	}
	first := got.Token
	got = asked{}
	if a.ask(t, user, session, exchange, &got); got.Token != first {
		t.Error("a live token was exchanged anew")
	}
	got = asked{}
	if a.ask(t, user, session, doing("access", "provider", plain, "flow", "ON_BEHALF_OF_TOKEN_EXCHANGE", "scopes", []string{}), &got); !strings.Contains(got.Message, "onBehalfOfTokenExchangeConfig") {
		t.Errorf("a provider that exchanges nothing: %+v", got)
	}
	signed := s.deployed(t, identityAgent)
	got = asked{}
	if err := signed.callAs(t.Context(), newSession(t), "ann", doing("access", "provider", provider, "flow", "ON_BEHALF_OF_TOKEN_EXCHANGE", "scopes", []string{}), &got); err != nil || !strings.Contains(got.Message, "called with a token") {
		t.Errorf("a user without a token: %+v, %v", got, err)
	}
}

// userToken logs a user in with a client, and returns the access token.
func (p openIDProvider) userToken(t *testing.T, home *app, client, secret string) string {
	t.Helper()
	redirect := home.URL + "/portal"
	newVisitor(t).consents(t, p, p.issuer+"/auth?response_type=code&scope=openid&state=x&client_id="+client+"&redirect_uri="+url.QueryEscape(redirect))
	return p.asks(t, url.Values{"grant_type": {"authorization_code"}, "code": {home.returned().Get("code")}, "redirect_uri": {redirect}, "client_id": {client}, "client_secret": {secret}})
}
