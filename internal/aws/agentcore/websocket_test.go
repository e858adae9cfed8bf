package agentcore_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

const bearer = "base64UrlBearerAuthorization"

func (p *plane) socket(path string) string {
	return p.URL + "/runtimes/" + url.PathEscape(p.arn) + path
}

func TestWebSocket_tokenOfABrowser(t *testing.T) {
	p := newPlane(t)
	for _, path := range []string{"/ws", "/ws/shells"} {
		conn, answer, err := websocket.Dial(t.Context(), p.socket(path), &websocket.DialOptions{
			Subprotocols: []string{bearer + "." + base64.RawURLEncoding.EncodeToString([]byte("a.b-c_d")), bearer, "chat"},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.CloseNow()
		if got := answer.Header.Get("Sec-Websocket-Protocol"); got != bearer || p.seen.Get("Authorization") != "Bearer a.b-c_d" || p.seen.Get("Sec-Websocket-Protocol") != "chat" {
			t.Errorf("%s: answered with %q; authorized by %q, offered %q", path, got, p.seen.Get("Authorization"), p.seen.Get("Sec-Websocket-Protocol"))
		}
	}
}

func TestWebSocket_malformedTokenOfABrowser(t *testing.T) {
	p := newPlane(t)
	for protocols, want := range map[string]int{
		bearer + ".bm8=!," + bearer:                             http.StatusUnauthorized,
		bearer + "." + strings.Repeat("A", 4100) + "," + bearer: http.StatusUnauthorized,
		bearer + ".DQo," + bearer:                               http.StatusUnauthorized, // a line break
		bearer + ".bm8":                                         http.StatusBadRequest,
	} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", p.socket("/ws"), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Sec-WebSocket-Protocol", protocols)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%.40s: %s, want %d", protocols, answer.Status, want)
		}
	}
}
