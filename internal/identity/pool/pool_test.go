package pool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity/bearer"
	"github.com/moorage-dev/moorage/internal/store"
)

// clock is a time that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

const password = "correct horse battery staple"

// place is a service over a real store, with the pool "staff", a client in it and the user alice.
type place struct {
	*Service
	clock  clock
	noting sync.Mutex
	dir    string
	pool   Pool
	app    Client
	events []Event
}

func newPlace(t *testing.T, change func(*Client)) *place {
	t.Helper()
	p := &place{clock: clock{now: time.Now()}, dir: t.TempDir()}
	p.open(t)
	var err error
	if p.pool, err = p.CreatePool(t.Context(), Pool{Name: "staff", Passwords: PasswordPolicy{Min: 8, TemporaryDays: 7}, Shown: json.RawMessage("{}")}); err != nil {
		t.Fatal(err)
	}
	c := Client{
		Pool: p.pool.ID, Name: "app", Flows: []string{PasswordFlow, RefreshFlow}, Access: DefaultLife, Identity: DefaultLife, Refresh: DefaultRefresh,
		OAuth: []string{"code"}, Scopes: []string{"openid", "email"}, Callbacks: []string{"https://app.example/in"}, Shown: json.RawMessage("{}"),
	}
	if change != nil {
		change(&c)
	}
	if p.app, err = p.PutClient(t.Context(), c, false); err != nil {
		t.Fatal(err)
	}
	p.adds(t, "alice", Attribute{"email", "alice@example.com"}, Attribute{"email_verified", "true"})
	return p
}

func (p *place) pass(d time.Duration) { p.clock.pass(d) }

// open opens the store anew, as after a restart.
func (p *place) open(t *testing.T) {
	t.Helper()
	db, err := store.Open(context.Background(), p.dir)
	if err != nil {
		t.Fatal(err)
	}
	p.Service = &Service{
		Store: db, Key: []byte(strings.Repeat("k", 32)), Region: "us-east-1", Account: "123456789012", PublicURL: "http://127.0.0.1:9400", Now: p.clock.Now,
		Note: func(_ context.Context, e Event) error {
			p.noting.Lock()
			defer p.noting.Unlock()
			p.events = append(p.events, e)
			return nil
		},
	}
	if err := p.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
}

func (p *place) adds(t *testing.T, name string, attributes ...Attribute) {
	t.Helper()
	if _, err := p.CreateUser(t.Context(), p.pool.ID, name, "", attributes); err != nil {
		t.Fatal(err)
	}
	if err := p.SetPassword(t.Context(), p.pool.ID, name, password, true); err != nil {
		t.Fatal(err)
	}
}

func (p *place) tokens(t *testing.T) Tokens {
	t.Helper()
	got, err := p.SignIn(t.Context(), p.app.ID, "alice", password, "")
	if err != nil {
		t.Fatal(err)
	}
	return got.Tokens
}

// wantException fails unless err has the exception and says the words.
func wantException(t *testing.T, what string, err error, exception, words string) {
	t.Helper()
	var e *moorage.Error
	if !errors.As(err, &e) || e.Exception != exception || !strings.Contains(e.Message, words) {
		t.Errorf("%s: %v, want %s %q", what, err, exception, words)
	}
}

func claimsOf(t *testing.T, token string) map[string]any {
	t.Helper()
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(signed.UnsafePayloadWithoutVerification(), &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// verifier checks tokens as a runtime's authorizer does; it asks no network.
func (p *place) verifier(t *testing.T) (*bearer.Verifier, moorage.JWTAuthorizer) {
	v := &bearer.Verifier{
		Now:    p.clock.Now,
		Client: &http.Client{Transport: refusing{}},
		Local: func(u string) (string, jose.JSONWebKeySet, bool) {
			_, issuer, keys, ok := p.Resolve(u)
			return issuer, keys, ok
		},
	}
	t.Cleanup(v.Close)
	return v, moorage.JWTAuthorizer{DiscoveryURL: p.Issuer(p.pool.ID) + discoverySuffix, Clients: []string{p.app.ID}}
}

type refusing struct{}

func (refusing) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("%s is not asked in this test", r.URL)
}

func TestTokens_passTheAuthorizerUntilTheyExpire(t *testing.T) {
	p := newPlace(t, func(c *Client) { c.Access = 5 * time.Minute })
	v, a := p.verifier(t)
	got := p.tokens(t)
	caller, err := v.Verify(t.Context(), a, got.Access)
	if err != nil {
		t.Fatal(err)
	}
	users, _ := p.Users(p.pool.ID)
	if caller.Subject != users[0].Sub || caller.Issuer != "https://cognito-idp.us-east-1.amazonaws.com/"+p.pool.ID {
		t.Errorf("the token is %s's of %s", caller.Subject, caller.Issuer)
	}
	if _, err := v.Verify(t.Context(), a, got.Identity); err == nil || !strings.Contains(err.Error(), "Claim 'client_id' value mismatch") {
		t.Errorf("an identity token where clients are asked for: %v", err)
	}
	other := a
	other.Clients = []string{"another"}
	if _, err := v.Verify(t.Context(), other, got.Access); err == nil || !strings.Contains(err.Error(), "Claim 'client_id' value mismatch") {
		t.Errorf("another client: %v", err)
	}
	p.pass(5*time.Minute + bearerLeeway + time.Second)
	if _, err := v.Verify(t.Context(), a, got.Access); moorage.CodeOf(err) != moorage.Unauthenticated || !strings.Contains(err.Error(), "Token has expired") {
		t.Errorf("an expired token: %v", err)
	}
	if _, err := v.Verify(t.Context(), a, p.tokens(t).Access); err != nil {
		t.Errorf("a token of now: %v", err)
	}
	if err := p.DeletePool(t.Context(), p.pool.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), a, got.Access); moorage.CodeOf(err) != moorage.Unavailable {
		t.Errorf("a pool that is gone: %v", err)
	}
}

const bearerLeeway = time.Minute // of package bearer

func TestTokens_sayWhatCognitosSay(t *testing.T) {
	p := newPlace(t, nil)
	got := p.tokens(t)
	access, identity := claimsOf(t, got.Access), claimsOf(t, got.Identity)
	for name, want := range map[string]any{
		"client_id": p.app.ID, "token_use": "access", "scope": "aws.cognito.signin.user.admin", "username": "alice", "iss": p.Issuer(p.pool.ID),
	} {
		if access[name] != want {
			t.Errorf("access token: %s is %v, want %v", name, access[name], want)
		}
	}
	for _, name := range []string{"sub", "origin_jti", "event_id", "auth_time", "exp", "iat", "jti"} {
		if access[name] == nil || identity[name] == nil {
			t.Errorf("a token lacks %s: %v %v", name, access, identity)
		}
	}
	if _, has := access["aud"]; has || access["exp"].(float64)-access["iat"].(float64) != 3600 {
		t.Errorf("access token: %v", access)
	}
	if identity["aud"] != p.app.ID || identity["token_use"] != "id" || identity["cognito:username"] != "alice" || identity["email_verified"] != true || identity["email"] != "alice@example.com" {
		t.Errorf("identity token: %v", identity)
	}
	_, _, keys, _ := p.Resolve(p.Issuer(p.pool.ID) + discoverySuffix)
	if len(keys.Keys) != 2 || !keys.Keys[0].IsPublic() || !keys.Keys[1].IsPublic() {
		t.Errorf("%d keys are shown", len(keys.Keys))
	}
}

func TestResolve_knowsPoolsOfThisServerAlone(t *testing.T) {
	p := newPlace(t, nil)
	id := p.pool.ID
	for discovery, want := range map[string]bool{
		"https://cognito-idp.us-east-1.amazonaws.com/" + id + discoverySuffix:                      true,
		"http://127.0.0.1:9400/" + id + discoverySuffix:                                            true,
		"https://cognito-idp.us-east-1.amazonaws.com/us-east-1_elsewhere" + discoverySuffix:        false,
		"https://cognito-idp.eu-west-1.amazonaws.com/" + id + discoverySuffix:                      false,
		"http://cognito-idp.us-east-1.amazonaws.com/" + id + discoverySuffix:                       false,
		"https://cognito-idp.us-east-1.amazonaws.com.evil.example/" + id + discoverySuffix:         false,
		"https://cognito-idp.us-east-1.amazonaws.com/x/" + id + discoverySuffix:                    false,
		"https://cognito-idp.us-east-1.amazonaws.com/" + id:                                        false,
		"https://evil.example/https://cognito-idp.us-east-1.amazonaws.com/" + id + discoverySuffix: false,
		"https://cognito-idp.us-east-1.amazonaws.com/" + discoverySuffix:                           false,
	} {
		if _, _, _, ok := p.Resolve(discovery); ok != want {
			t.Errorf("%s: %v", discovery, ok)
		}
	}
}

func TestSignIn_refusals(t *testing.T) {
	p := newPlace(t, nil)
	hiding := p.app
	hiding.ID, hiding.HideUsers, hiding.Flows = "", true, []string{PasswordFlow}
	hiding, err := p.PutClient(t.Context(), hiding, false)
	if err != nil {
		t.Fatal(err)
	}
	secret := p.app
	secret.ID = ""
	if secret, err = p.PutClient(t.Context(), secret, true); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, client, name, password, hash, exception, words string
	}{
		{"no such client", "nobody", "alice", password, "", "ResourceNotFoundException", "does not exist"},
		{"a wrong password", p.app.ID, "alice", "wrong", "", "NotAuthorizedException", "Incorrect username or password."},
		{"nobody", p.app.ID, "bob", password, "", "UserNotFoundException", "User does not exist."},
		{"nobody, hidden", hiding.ID, "bob", password, "", "NotAuthorizedException", "Incorrect username or password."},
		{"another case", p.app.ID, "Alice", password, "", "UserNotFoundException", "User does not exist."},
		{"no hash", secret.ID, "alice", password, "", "NotAuthorizedException", "SECRET_HASH was not received"},
		{"a wrong hash", secret.ID, "alice", password, SecretHash("x", "alice", secret.ID), "NotAuthorizedException", "Unable to verify secret hash"},
	} {
		_, err := p.SignIn(t.Context(), c.client, c.name, c.password, c.hash)
		wantException(t, c.what, err, c.exception, c.words)
	}
	if _, err := p.SignIn(t.Context(), secret.ID, "alice", password, SecretHash(secret.Secret, "alice", secret.ID)); err != nil {
		t.Errorf("with the hash: %v", err)
	}
	got, err := p.SignIn(t.Context(), hiding.ID, "alice", password, "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Renew(t.Context(), hiding.ID, got.Refresh, "")
	wantException(t, "no refresh tokens", err, "InvalidParameterException", "not enabled for this client")
	_, err = p.Renew(t.Context(), p.app.ID, got.Refresh, "")
	wantException(t, "another client's refresh token", err, "NotAuthorizedException", "Invalid Refresh Token")
}

func TestSignIn_wrongPasswordsLockANameForLonger(t *testing.T) {
	p := newPlace(t, nil)
	try := func(name, password string) error {
		_, err := p.SignIn(t.Context(), p.app.ID, name, password, "")
		return err
	}
	for range freeAttempts {
		wantException(t, "a guess", try("alice", "wrong"), "NotAuthorizedException", "Incorrect")
	}
	wantException(t, "the right one while locked", try("alice", password), "NotAuthorizedException", "Password attempts exceeded")
	p.adds(t, "bob")
	if err := try("bob", password); err != nil {
		t.Errorf("somebody else: %v", err)
	}
	for lock := firstLock; lock < longestLock; lock *= 2 {
		p.pass(lock - time.Millisecond)
		wantException(t, fmt.Sprintf("before %v are over", lock), try("alice", password), "NotAuthorizedException", "Password attempts exceeded")
		p.pass(time.Millisecond)
		wantException(t, fmt.Sprintf("after %v", lock), try("alice", "wrong"), "NotAuthorizedException", "Incorrect")
	}
	p.pass(longestLock)
	if err := try("alice", password); err != nil {
		t.Fatalf("after the longest lock: %v", err)
	}
	wantException(t, "a guess after that", try("alice", "wrong"), "NotAuthorizedException", "Incorrect")
	if err := try("alice", password); err != nil {
		t.Errorf("counting begins anew: %v", err)
	}
	for range freeAttempts {
		wantException(t, "a name that nobody has", try("ghost", "x"), "UserNotFoundException", "")
	}
	wantException(t, "a name that nobody has, locked", try("ghost", "x"), "NotAuthorizedException", "Password attempts exceeded")
}

// Guesses that come at once are counted one by one.
func TestSignIn_guessesAtOnceAreCounted(t *testing.T) {
	p := newPlace(t, nil)
	var wg sync.WaitGroup
	var mu sync.Mutex
	looked := 0
	for i := range 40 {
		wg.Go(func() {
			_, err := p.SignIn(t.Context(), p.app.ID, "alice", fmt.Sprint("guess", i), "")
			if err != nil && strings.Contains(err.Error(), "Incorrect") {
				mu.Lock()
				defer mu.Unlock()
				looked++
			}
		})
	}
	wg.Wait()
	if looked != freeAttempts {
		t.Errorf("%d of 40 guesses were looked at, want %d", looked, freeAttempts)
	}
}

func TestRenew_endsWithThePasswordTheUserAndTime(t *testing.T) {
	p := newPlace(t, nil)
	renew := func(token string) error { _, err := p.Renew(t.Context(), p.app.ID, token, ""); return err }
	first := p.tokens(t)
	p.pass(time.Hour)
	again, err := p.Renew(t.Context(), p.app.ID, first.Refresh, "")
	if err != nil || again.Refresh != "" {
		t.Fatalf("%+v (%v)", again, err)
	}
	old, now := claimsOf(t, first.Access), claimsOf(t, again.Access)
	if now["origin_jti"] != old["origin_jti"] || now["auth_time"] != old["auth_time"] || now["jti"] == old["jti"] || now["exp"] == old["exp"] {
		t.Errorf("%v, then %v", old, now)
	}
	p.open(t) // a restart
	if err := renew(first.Refresh); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	for what, token := range map[string]string{
		"nothing": "", "garbage": "garbage", "changed": first.Refresh[:20] + "A" + first.Refresh[21:], "an access token": first.Access,
	} {
		wantException(t, what, renew(token), "NotAuthorizedException", "Invalid Refresh Token")
	}
	p.pass(DefaultRefresh)
	wantException(t, "expired", renew(first.Refresh), "NotAuthorizedException", "Refresh Token has expired")
	second := p.tokens(t)
	p.pass(time.Second)
	if err := p.SetPassword(t.Context(), p.pool.ID, "alice", password, true); err != nil {
		t.Fatal(err)
	}
	wantException(t, "after another password", renew(second.Refresh), "NotAuthorizedException", "revoked")
	third := p.tokens(t)
	if err := p.DeleteUser(t.Context(), p.pool.ID, "alice"); err != nil {
		t.Fatal(err)
	}
	wantException(t, "of a user who is gone", renew(third.Refresh), "NotAuthorizedException", "Invalid Refresh Token")
	p.adds(t, "alice")
	wantException(t, "of another user of that name", renew(third.Refresh), "NotAuthorizedException", "Invalid Refresh Token")
}

func TestPasswords_temporaryOnesAreReplaced(t *testing.T) {
	p := newPlace(t, nil)
	if _, err := p.CreateUser(t.Context(), p.pool.ID, "bob", "Temporary1", nil); err != nil {
		t.Fatal(err)
	}
	got, err := p.SignIn(t.Context(), p.app.ID, "bob", "Temporary1", "")
	if err != nil || got.Session == "" || got.Access != "" {
		t.Fatalf("%+v (%v)", got, err)
	}
	_, err = p.ChoosePassword(t.Context(), p.app.ID, "bob", got.Session, "short", "")
	wantException(t, "too short", err, "InvalidPasswordException", "not long enough")
	done, err := p.ChoosePassword(t.Context(), p.app.ID, "bob", got.Session, "of my own", "")
	if err != nil || done.Access == "" {
		t.Fatalf("%+v (%v)", done, err)
	}
	_, err = p.ChoosePassword(t.Context(), p.app.ID, "bob", got.Session, "of another's", "")
	wantException(t, "the session again", err, "NotAuthorizedException", "only be used once")
	if _, err := p.CreateUser(t.Context(), p.pool.ID, "carol", "Temporary1", nil); err != nil {
		t.Fatal(err)
	}
	p.pass(8 * 24 * time.Hour)
	_, err = p.SignIn(t.Context(), p.app.ID, "carol", "Temporary1", "")
	wantException(t, "a temporary one after its days", err, "NotAuthorizedException", "Temporary password has expired")
}

func TestPasswordPolicy_namesWhatIsMissing(t *testing.T) {
	for password, words := range map[string]string{
		"aB3$": "not long enough", "ab3$5678": "uppercase", "AB3$5678": "lowercase", "abC$efgh": "numeric", "abC3efgh": "symbol", "abC3$fgh": "",
	} {
		err := DefaultPasswords.check(password)
		if words == "" && err != nil || words != "" && (err == nil || !strings.Contains(err.Error(), words)) {
			t.Errorf("%s: %v", password, err)
		}
	}
}

// What is kept gives nothing away: neither the database nor the audit's events hold a secret.
func TestStore_holdsNoSecretInTheClear(t *testing.T) {
	p := newPlace(t, nil)
	secret := p.app
	secret.ID = ""
	secret, err := p.PutClient(t.Context(), secret, true)
	if err != nil {
		t.Fatal(err)
	}
	got := p.tokens(t)
	p.Store.Close()
	files, _ := filepath.Glob(filepath.Join(p.dir, "moorage.db*"))
	if len(files) == 0 {
		t.Fatal("no database")
	}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for what, canary := range map[string]string{
			"password": password, "client secret": secret.Secret, "refresh token": got.Refresh, "signing key": `"kty":"RSA"`, "hash": "$argon2id$", "user's address": "alice@example.com",
		} {
			if strings.Contains(string(raw), canary) {
				t.Errorf("%s holds the %s", filepath.Base(name), what)
			}
		}
	}
	if told := fmt.Sprint(p.events); strings.Contains(told, password) || strings.Contains(told, got.Access) || len(p.events) == 0 {
		t.Errorf("events: %s", told)
	}
}

// serve serves the pages, and returns a client that follows no redirect.
func (p *place) serve(t *testing.T) (at string, client *http.Client) {
	server := httptest.NewServer(p.Pages(func(w http.ResponseWriter, _ *http.Request, err error) {
		http.Error(w, err.Error(), http.StatusNotFound)
	}))
	t.Cleanup(server.Close)
	return server.URL, &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

const verifier = "a-verifier-of-forty-three-characters-or-more-0123"

func (p *place) request(change ...string) url.Values {
	q := url.Values{
		"response_type": {"code"}, "client_id": {p.app.ID}, "redirect_uri": {"https://app.example/in"}, "state": {"xyz"}, "scope": {"openid"},
		"code_challenge": {challengeOf(verifier)}, "code_challenge_method": {"S256"}, "nonce": {"n-1"},
	}
	for i := 0; i+1 < len(change); i += 2 {
		if q.Del(change[i]); change[i+1] != "" {
			q.Set(change[i], change[i+1])
		}
	}
	return q
}

func TestLogin_codeWithPKCE(t *testing.T) {
	p := newPlace(t, nil)
	at, client := p.serve(t)
	signIn := func(name, word string) (*http.Response, string) {
		t.Helper()
		answer, err := client.PostForm(at+"/oauth2/authorize?"+p.request().Encode(), url.Values{"username": {name}, "password": {word}})
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, _ := io.ReadAll(answer.Body)
		return answer, string(body)
	}
	for _, who := range [][2]string{{"alice", "wrong"}, {"nobody", password}} {
		answer, body := signIn(who[0], who[1])
		if answer.StatusCode != http.StatusForbidden || !strings.Contains(body, "Incorrect username or password.") || strings.Contains(body, who[1]) {
			t.Errorf("%s: %d %s", who, answer.StatusCode, body)
		}
	}
	code := func() string {
		t.Helper()
		answer, body := signIn("alice", password)
		to, err := answer.Location()
		if err != nil || to.Host != "app.example" || to.Query().Get("state") != "xyz" || to.Query().Get("code") == "" {
			t.Fatalf("%d %v %s", answer.StatusCode, to, body)
		}
		return to.Query().Get("code")
	}
	exchange := func(form url.Values) (int, map[string]any) {
		t.Helper()
		answer, err := client.PostForm(at+"/oauth2/token", form)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var got map[string]any
		if err := json.NewDecoder(answer.Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, got
	}
	form := func(code string, change ...string) url.Values {
		q := url.Values{"grant_type": {"authorization_code"}, "client_id": {p.app.ID}, "redirect_uri": {"https://app.example/in"}, "code": {code}, "code_verifier": {verifier}}
		for i := 0; i+1 < len(change); i += 2 {
			q.Set(change[i], change[i+1])
		}
		return q
	}
	once := code()
	status, got := exchange(form(once))
	if status != 200 || got["token_type"] != "Bearer" || got["expires_in"] != 3600.0 {
		t.Fatalf("%d %v", status, got)
	}
	if access := claimsOf(t, got["access_token"].(string)); access["scope"] != "openid" || access["version"] != 2.0 {
		t.Errorf("access token: %v", access)
	}
	if identity := claimsOf(t, got["id_token"].(string)); identity["nonce"] != "n-1" || identity["email"] != nil {
		t.Errorf("identity token: %v", identity)
	}
	if status, got := exchange(url.Values{"grant_type": {"refresh_token"}, "client_id": {p.app.ID}, "refresh_token": {got["refresh_token"].(string)}}); status != 200 || got["access_token"] == nil {
		t.Errorf("refresh: %d %v", status, got)
	}
	for what, bad := range map[string]url.Values{
		"the code again":       form(once),
		"another verifier":     form(code(), "code_verifier", strings.Repeat("x", 43)),
		"no verifier":          form(code(), "code_verifier", ""),
		"another redirect_uri": form(code(), "redirect_uri", "https://app.example/other"),
		"no code":              form(""),
	} {
		if status, got := exchange(bad); status != 400 || got["error"] != "invalid_grant" {
			t.Errorf("%s: %d %v", what, status, got)
		}
	}
	late := code()
	p.pass(codeLife)
	if status, got := exchange(form(late)); status != 400 || got["error"] != "invalid_grant" {
		t.Errorf("a late code: %d %v", status, got)
	}
	for grant, want := range map[string]string{"": "invalid_request", "password": "unsupported_grant_type", "client_credentials": "unauthorized_client"} {
		if status, got := exchange(form("x", "grant_type", grant)); status != 400 || got["error"] != want {
			t.Errorf("%s: %d %v", grant, status, got)
		}
	}
	if status, got := exchange(form("x", "client_id", "nobody")); status != 400 || got["error"] != "invalid_client" {
		t.Errorf("no such client: %d %v", status, got)
	}
}

func TestLogin_whatIsWrongWithARequestGoesWhereItIsSafe(t *testing.T) {
	p := newPlace(t, nil)
	at, client := p.serve(t)
	for _, c := range []struct {
		what   string
		change []string
		error  string // at the client; "" is on the page
	}{
		{"another redirect_uri", []string{"redirect_uri", "https://evil.example/"}, ""},
		{"a longer redirect_uri", []string{"redirect_uri", "https://app.example/in/../evil"}, ""},
		{"no redirect_uri", []string{"redirect_uri", ""}, ""},
		{"no such client", []string{"client_id", "nobody"}, ""},
		{"implicit", []string{"response_type", "token"}, "unsupported_response_type"},
		{"a scope that is not allowed", []string{"scope", "openid phone"}, "invalid_scope"},
		{"no challenge", []string{"code_challenge", "", "code_challenge_method", ""}, "invalid_request"},
		{"a plain challenge", []string{"code_challenge_method", "plain"}, "invalid_request"},
	} {
		answer, err := client.Get(at + "/oauth2/authorize?" + p.request(c.change...).Encode())
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		to, _ := answer.Location()
		if c.error == "" {
			if answer.StatusCode != 400 || to != nil || strings.Contains(string(body), "<form") {
				t.Errorf("%s: %d to %v", c.what, answer.StatusCode, to)
			}
			continue
		}
		if to == nil || to.Host != "app.example" || to.Query().Get("error") != c.error || to.Query().Get("state") != "xyz" {
			t.Errorf("%s: %d to %v", c.what, answer.StatusCode, to)
		}
	}
	r, _ := http.NewRequest("POST", at+"/oauth2/authorize?"+p.request().Encode(), strings.NewReader(url.Values{"username": {"alice"}, "password": {password}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusForbidden || answer.Header.Get("Location") != "" {
		t.Errorf("a form on another's page: %d", answer.StatusCode)
	}
}

var hidden = regexp.MustCompile(`name="session" value="([^"]+)"`)

func TestLogin_aTemporaryPasswordIsReplacedOnThePage(t *testing.T) {
	p := newPlace(t, nil)
	at, client := p.serve(t)
	if _, err := p.CreateUser(t.Context(), p.pool.ID, "bob", "Temporary1", nil); err != nil {
		t.Fatal(err)
	}
	post := func(form url.Values) (*http.Response, string) {
		t.Helper()
		answer, err := client.PostForm(at+"/oauth2/authorize?"+p.request().Encode(), form)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, _ := io.ReadAll(answer.Body)
		return answer, string(body)
	}
	_, body := post(url.Values{"username": {"bob"}, "password": {"Temporary1"}})
	session := hidden.FindStringSubmatch(body)
	if session == nil {
		t.Fatal(body)
	}
	_, body = post(url.Values{"username": {"bob"}, "session": {session[1]}, "new_password": {"short"}})
	if !strings.Contains(body, "not long enough") || hidden.FindString(body) == "" {
		t.Errorf("too short: %s", body)
	}
	answer, body := post(url.Values{"username": {"bob"}, "session": {session[1]}, "new_password": {"of my own"}})
	if to, err := answer.Location(); err != nil || to.Query().Get("code") == "" {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
	_, body = post(url.Values{"username": {"bob"}, "session": {session[1]}, "new_password": {"of another's"}})
	if !strings.Contains(body, "only be used once") || hidden.FindString(body) != "" {
		t.Errorf("the session again: %s", body)
	}
}

func TestMachines_getTokensByTheirSecret(t *testing.T) {
	p := newPlace(t, nil)
	if err := p.AddServer(t.Context(), p.pool.ID, Server{ID: "https://api.example", Name: "API", Scopes: []Scope{{"read", "Read"}, {"write", "Write"}}}); err != nil {
		t.Fatal(err)
	}
	c := Client{Pool: p.pool.ID, Name: "machine", Flows: []string{RefreshFlow}, Access: DefaultLife, Identity: DefaultLife, Refresh: DefaultRefresh, OAuth: []string{"client_credentials"}, Scopes: []string{"https://api.example/read", "https://api.example/write"}}
	_, err := p.PutClient(t.Context(), c, false)
	wantException(t, "without a secret", err, "InvalidOAuthFlowException", "does not have a client secret")
	c, err = p.PutClient(t.Context(), c, true)
	if err != nil {
		t.Fatal(err)
	}
	at, client := p.serve(t)
	ask := func(path string, form url.Values, basic ...string) (int, map[string]any) {
		t.Helper()
		r, _ := http.NewRequest("POST", at+path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if len(basic) == 2 {
			r.SetBasicAuth(basic[0], basic[1])
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var got map[string]any
		if err := json.NewDecoder(answer.Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, got
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	for _, path := range []string{"/oauth2/token", "/" + p.pool.ID + "/oauth2/token"} {
		status, got := ask(path, form, c.ID, c.Secret)
		if status != 200 || got["refresh_token"] != nil || got["id_token"] != nil {
			t.Fatalf("%s: %d %v", path, status, got)
		}
		if claims := claimsOf(t, got["access_token"].(string)); claims["sub"] != c.ID || claims["scope"] != "https://api.example/read https://api.example/write" {
			t.Errorf("%v", claims)
		}
	}
	one := url.Values{"grant_type": {"client_credentials"}, "client_id": {c.ID}, "client_secret": {c.Secret}, "scope": {"https://api.example/read"}}
	if status, got := ask("/oauth2/token", one); status != 200 || claimsOf(t, got["access_token"].(string))["scope"] != "https://api.example/read" {
		t.Errorf("by the form: %d %v", status, got)
	}
	one.Set("scope", "https://api.example/delete")
	if status, got := ask("/oauth2/token", one); status != 400 || got["error"] != "invalid_scope" {
		t.Errorf("another scope: %d %v", status, got)
	}
	for what, secret := range map[string]string{"a wrong secret": c.Secret + "x", "no secret": ""} {
		if status, got := ask("/oauth2/token", form, c.ID, secret); status != 400 || got["error"] != "invalid_client" {
			t.Errorf("%s: %d %v", what, status, got)
		}
	}
	if status, got := ask("/us-east-1_elsewhere/oauth2/token", form, c.ID, c.Secret); status != 400 || got["error"] != "invalid_client" {
		t.Errorf("another pool's address: %d %v", status, got)
	}
}

func TestClients_callbacksThatBrowsersWouldRunAreRefused(t *testing.T) {
	p := newPlace(t, nil)
	for callback, good := range map[string]bool{
		"https://app.example/in": true, "http://localhost:3000/": true, "http://127.0.0.1:1/x": true, "myapp://in": true, "com.example.app:/in": true,
		"http://app.example/": false, "javascript:alert(1)": false, "JavaScript:alert(1)": false, "data:text/html,x": false, "/in": false, "https://app.example/#x": false, "https:///in": false, "": false,
	} {
		c := p.app
		c.Callbacks = []string{callback}
		if _, err := p.PutClient(t.Context(), c, false); (err == nil) != good {
			t.Errorf("%q: %v", callback, err)
		}
	}
}

func TestService_survivesARestart(t *testing.T) {
	p := newPlace(t, nil)
	if err := p.SetDomain(t.Context(), p.pool.ID, "staff-1"); err != nil {
		t.Fatal(err)
	}
	wantException(t, "a pool with a domain", p.DeletePool(t.Context(), p.pool.ID), "InvalidParameterException", "has a domain configured")
	before := p.tokens(t)
	p.open(t)
	v, a := p.verifier(t)
	if _, err := v.Verify(t.Context(), a, before.Access); err != nil {
		t.Errorf("a token of before: %v", err)
	}
	if id, ok := p.DomainPool("staff-1"); !ok || id != p.pool.ID {
		t.Errorf("the domain is %s's", id)
	}
	if names := slices.Collect(func(yield func(string) bool) {
		for _, u := range must(p.Users(p.pool.ID)) {
			yield(u.Name)
		}
	}); !slices.Equal(names, []string{"alice"}) {
		t.Errorf("users: %v", names)
	}
	p.tokens(t)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestServes_leavesOthersTheirPaths(t *testing.T) {
	for path, want := range map[string]bool{
		"/oauth2/token": true, "/oauth2/authorize": true, "/us-east-1_AbCdEfGhI/oauth2/token": true, "/us-east-1_AbCdEfGhI/.well-known/jwks.json": true,
		"/us-east-1_AbCdEfGhI/.well-known/openid-configuration": true,
		"/identities/oauth2/token":                              false, "/identities/oauth2/authorize": false, "/oauth2/": false, "/us-east-1_AbCdEfGhI": false, "/": false, "": false,
		"/bucket/.well-known/jwks.json": false, "/x/us-east-1_AbCdEfGhI/oauth2/token": false, "/runtimes/arn%3Aaws/invocations/.well-known/oauth-protected-resource": false,
	} {
		if Serves(path) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
}
