package agentcore_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/moorage-dev/moorage/internal/invoke"
)

// BenchmarkInvoke is a warm call over one kept connection: wire, resolution, session, and the way into
// the sandbox and back. The client's part is in it.
func BenchmarkInvoke(b *testing.B) {
	p := newPlane(b)
	path := p.URL + "/runtimes/" + url.PathEscape(p.arn) + "/invocations"
	call := func() {
		r, err := http.NewRequestWithContext(b.Context(), "POST", path, strings.NewReader("echo hello"))
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set(invoke.HeaderSession, sessionID)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "hello" {
			b.Fatalf("%q, %v", body, err)
		}
	}
	call()
	b.ReportAllocs()
	for b.Loop() {
		call()
	}
}
