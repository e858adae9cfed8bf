package console

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity"
)

const keyID, secret = "AKIAEXAMPLEEXAMPLE00", "a secret of forty characters, or nearly so"

// site serves the console to a browser that keeps cookies.
func site(t *testing.T) (*httptest.Server, *http.Client) {
	keys := func(_ context.Context, id string) (identity.AccessKey, error) {
		if id != keyID {
			return identity.AccessKey{}, moorage.Errorf(moorage.NotFound, "no such key")
		}
		return identity.AccessKey{Secret: secret, Principal: "arn:aws:iam::123456789012:user/admin"}, nil
	}
	h := &Handler{Browser: &identity.Browser{Keys: keys}, Error: func(w http.ResponseWriter, _ *http.Request, err error) {
		status := map[moorage.Code]int{moorage.Unauthenticated: 401, moorage.Denied: 403, moorage.NotFound: 404, moorage.Invalid: 400}[moorage.CodeOf(err)]
		http.Error(w, err.Error(), status)
	}}
	server := httptest.NewServer(h.Routes())
	t.Cleanup(server.Close)
	return server, server.Client()
}

func send(t *testing.T, client *http.Client, method, url, body string, header http.Header) *http.Response {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		r.Header[k] = v
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestLogin_byKeyAndByTicket(t *testing.T) {
	server, client := site(t)
	ticket := identity.Ticket(keyID, secret, time.Now())
	for _, c := range []struct {
		body string
		want int
	}{
		{`{"accessKeyId":"` + keyID + `","secretAccessKey":"` + secret + `"}`, 200},
		{`{"accessKeyId":"` + keyID + `","secretAccessKey":"wrong"}`, 401},
		{`{"accessKeyId":"AKIANOBODYNOBODY0000","secretAccessKey":""}`, 401},
		{`{"ticket":"` + ticket + `"}`, 200},
		{`{"ticket":"` + ticket + `"}`, 401}, // used
		{`{"ticket":"` + identity.Ticket(keyID, secret, time.Now().Add(-time.Hour)) + `"}`, 401},
		{`{"ticket":"` + identity.Ticket(keyID, "wrong", time.Now()) + `"}`, 401},
		{`{"ticket":"..."}`, 401},
		{`not JSON`, 400},
		{strings.Repeat("x", maxLogin+1), 400},
	} {
		resp := send(t, client, "POST", server.URL+"/console/login", c.body, nil)
		if resp.StatusCode != c.want {
			t.Errorf("%.80s: status %d, want %d: %s", c.body, resp.StatusCode, c.want, text(t, resp))
		}
		if logged := len(resp.Cookies()) == 1; logged != (c.want == 200) {
			t.Errorf("%.80s: cookies %v", c.body, resp.Cookies())
		}
	}
}

func TestMe_onlyOurOwnPagesUseTheLogin(t *testing.T) {
	server, client := site(t)
	login := send(t, client, "POST", server.URL+"/console/login", `{"accessKeyId":"`+keyID+`","secretAccessKey":"`+secret+`"}`, nil)
	cookie := login.Cookies()[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode {
		t.Errorf("cookie = %v, want one that scripts and other sites cannot use", cookie)
	}
	sent := cookie.Name + "=" + cookie.Value
	for _, c := range []struct {
		name   string
		header http.Header
		status int
		known  bool
	}{
		{"no cookie", http.Header{}, 200, false},
		{"a page of ours", http.Header{"Cookie": {sent}, "Sec-Fetch-Site": {"same-origin"}}, 200, true},
		{"a browser that does not say", http.Header{"Cookie": {sent}}, 200, true},
		{"another port of this machine", http.Header{"Cookie": {sent}, "Sec-Fetch-Site": {"same-site"}}, 403, false},
		{"another site", http.Header{"Cookie": {sent}, "Sec-Fetch-Site": {"cross-site"}}, 403, false},
		{"another origin", http.Header{"Cookie": {sent}, "Origin": {"http://localhost:1"}}, 403, false},
		{"a socket from nowhere", http.Header{"Cookie": {sent}, "Upgrade": {"websocket"}, "Connection": {"Upgrade"}}, 403, false},
		{"a changed cookie", http.Header{"Cookie": {sent[:len(sent)-2] + "AA"}}, 200, false},
		{"a ticket for a cookie", http.Header{"Cookie": {cookie.Name + "=" + identity.Ticket(keyID, secret, time.Now())}}, 200, false},
	} {
		resp := send(t, client, "GET", server.URL+"/console/me", "", c.header)
		body := text(t, resp)
		if resp.StatusCode != c.status || strings.Contains(body, "user/admin") != c.known {
			t.Errorf("%s: %d %s", c.name, resp.StatusCode, body)
		}
	}
}

func TestPage_everyViewIsTheApplication(t *testing.T) {
	server, client := site(t)
	for _, path := range []string{"/console/", "/console/sessions/sn42", "/console/a.b"} {
		resp := send(t, client, "GET", server.URL+path, "", nil)
		if body := text(t, resp); resp.StatusCode != 200 || !strings.Contains(body, `<div id="root">`) {
			t.Errorf("%s: %d %.200s", path, resp.StatusCode, body)
		}
		if csp := resp.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'self'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
	}
	for _, path := range []string{"/console/assets/none.js", "/console/traces/../x", "/console/../../root.key", "/console//x"} {
		if resp := send(t, client, "GET", server.URL+path, "", nil); resp.StatusCode != 404 {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
	resp := send(t, client, "GET", server.URL+"/console/", "", nil)
	again := send(t, client, "GET", server.URL+"/console/", "", http.Header{"If-None-Match": {resp.Header.Get("ETag")}})
	if again.StatusCode != http.StatusNotModified {
		t.Errorf("the page again: %d", again.StatusCode)
	}
}

// Bytes that a browser loads, compressed. The first is what index.html names.
const firstView, wholeConsole = 100_000, 250_000

func TestDist_isSmallAndOfTheseSources(t *testing.T) {
	whole, first := 0, 0
	index := unzipped(t, "dist/index.html.gz")
	err := fs.WalkDir(dist, "dist", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		whole += int(info.Size())
		if asset := strings.TrimSuffix(path.Base(name), ".gz"); strings.Contains(index, asset) {
			first += int(info.Size())
		}
		return err
	})
	if err != nil || first == 0 || first > firstView || whole > wholeConsole {
		t.Errorf("the first view has %d bytes and the console %d, want at most %d and %d: %v", first, whole, firstView, wholeConsole, err)
	}
	built, err := fs.ReadFile(dist, "dist/SOURCE")
	if now := sources(t); err != nil || strings.TrimSpace(string(built)) != now {
		t.Errorf("dist was built from other sources than web/ has now: run `make console` and commit internal/console/dist")
	}
}

func unzipped(t *testing.T, name string) string {
	t.Helper()
	f, err := dist.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(plain)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// sources is the digest that web/seal.mjs writes.
func sources(t *testing.T) string {
	t.Helper()
	root := os.DirFS("../../web")
	names := []string{"index.html", "package-lock.json", "vite.config.ts", "tsconfig.json", "seal.mjs"}
	for _, folder := range []string{"src", "public"} {
		err := fs.WalkDir(root, folder, func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				names = append(names, name)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	slices.Sort(names)
	all := sha256.New()
	for _, name := range names {
		b, err := fs.ReadFile(root, name)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(b)
		io.WriteString(all, name+"\n"+hex.EncodeToString(sum[:])+"\n")
	}
	return hex.EncodeToString(all.Sum(nil))
}
