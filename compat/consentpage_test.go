package compat

import (
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	datatypes "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore/types"
	"github.com/zitadel/oidc/v3/example/server/storage"
)

// portal is an application with users of its own, who come back to it once they consented. It vouches for whoever
// its cookie names, as an application has to.
type portal struct {
	*httptest.Server
	s    *server
	mu   sync.Mutex
	back []string // users that came back
}

func newPortal(t *testing.T, s *server) *portal {
	p := &portal{s: s}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sign-in", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "user", Value: r.URL.Query().Get("as"), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
		fmt.Fprintf(w, "<h1>Hello %s</h1>", html.EscapeString(r.URL.Query().Get("as")))
	})
	mux.HandleFunc("GET /done", p.done)
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func (p *portal) done(w http.ResponseWriter, r *http.Request) {
	user, err := r.Cookie("user")
	if err != nil {
		http.Error(w, "sign in first", http.StatusUnauthorized)
		return
	}
	p.mu.Lock()
	p.back = append(p.back, user.Value)
	p.mu.Unlock()
	session := r.URL.Query().Get("session_id")
	_, err = p.s.data().CompleteResourceTokenAuth(r.Context(), &data.CompleteResourceTokenAuthInput{
		SessionUri: &session, UserIdentifier: &datatypes.UserIdentifierMemberUserId{Value: user.Value},
	})
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err != nil {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, "<h1>Not connected</h1><p>%s</p>", html.EscapeString(err.Error()))
		return
	}
	fmt.Fprintf(w, "<h1>Connected</h1><p>%s's files can be read now.</p>", html.EscapeString(user.Value))
}

// Users consent in a real browser at a real OpenID provider, on the way that AgentCore documents: the agent's address,
// the provider's login, the callback, the application. The provider's example asks for a login and no further consent.
func TestConsent_inABrowser(t *testing.T) {
	b := findBrowser(t)
	s, p := shared(t), newOpenIDProvider(t)
	home := newPortal(t, s)
	a := s.deployed(t, identityAgent)
	s.returnsTo(t, a, home.URL+"/done")
	id := unique("web")
	provider, callback := s.keepsClient(t, p, id, "websecret", nil)
	storage.RegisterClients(storage.WebClient(id, "websecret", callback))
	sessions := map[string]string{"ann": newSession(t), "mallory": newSession(t)}
	ask := func(user string) (out asked) {
		t.Helper()
		in := doing("access", "provider", provider, "flow", "USER_FEDERATION", "scopes", []string{"openid", "offline_access"}, "once", true)
		if err := a.callAs(t.Context(), sessions[user], user, in, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	ann, mallory := ask("ann"), ask("mallory")
	if ann.URL == "" || ann.Token != "" || mallory.URL == "" {
		t.Fatalf("before anybody consented: %+v, %+v", ann, mallory)
	}
	b.run(t, s, "consent.test.mjs", map[string]string{"app": home.URL, "callback": callback, "provider": p.issuer, "ann": ann.URL, "lure": mallory.URL})
	if got := ask("ann"); got.Token == "" {
		t.Errorf("ann consented, and her agent gets %+v", got)
	}
	if got := ask("mallory"); got.Token != "" {
		t.Errorf("bob was lured to mallory's address, and her agent gets %+v", got)
	}
	if fmt.Sprint(home.back) != "[ann bob mallory]" {
		t.Errorf("%v came back to the application", home.back)
	}
}
