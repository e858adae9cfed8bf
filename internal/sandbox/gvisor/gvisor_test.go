package gvisor

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"context"
	"os"
	"testing"
	"time"

	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/sandboxtest"
	"github.com/moorage-dev/moorage/internal/sandbox/journal"
)

func TestMain(m *testing.M) {
	if IsEngine(os.Args) {
		Main()
	}
	code := m.Run()
	sandboxtest.Cleanup()
	os.Exit(code)
}

func TestSmoke(t *testing.T) {
	img := sandboxtest.BuildImage(t)
	d, err := New(Options{Dir: t.TempDir(), DebugDir: os.Getenv("DBG")})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for i := range 6 {
		t0 := time.Now()
		s, err := d.Create(t.Context(), sandbox.Spec{ID: sandbox.NewID(), Root: sandbox.Root{EROFS: img.EROFS}, Process: sandbox.ProcessSpec{Args: []string{"/agent"}}, LogDir: t.TempDir(),
			Network: sandbox.Network{Egress: []sandbox.Egress{"none", "public"}[i%2]}})
		if err != nil {
			t.Fatal(err)
		}
		t1 := time.Now()
		hc := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return s.Dial(ctx, 8080) }}}
		for {
			r, err := hc.Post("http://a/invocations", "", bytes.NewReader([]byte("hi")))
			if err == nil {
				b, _ := io.ReadAll(r.Body)
				t.Log(string(b), t1.Sub(t0), time.Since(t0), s.Info().Unenforced)
				break
			}
			if time.Since(t0) > 5*time.Second {
				t.Log(err)
				break
			}
			time.Sleep(500*time.Microsecond)
		}
		for _, u := range []string{"/proc", "/syscall", "/read?path=/proc/meminfo", "/dial?addr=169.254.169.254:80", "/lookup?name=pypi.org", "/list?path=/"} {
			r, err := hc.Get("http://a" + u)
			if err != nil {
				t.Log(err)
				continue
			}
			b, _ := io.ReadAll(r.Body)
			t.Log(u, string(b[:min(len(b), 150)]))
		}
		hc.CloseIdleConnections()
		st, err := s.Stats(t.Context())
		t.Log(st, err)
		var out, errb bytes.Buffer
		p, err := s.Exec(t.Context(), sandbox.Command{Args: []string{"/agent", "cat"}, Stdin: bytes.NewReader([]byte("input")), Stdout: &out, Stderr: &errb})
		if err != nil {
			t.Log("exec", err)
		} else {
			e, err := p.Wait()
			t.Log(e, err, out.String(), errb.String())
		}
		t2 := time.Now()
		err = s.Stop(t.Context(), time.Second)
		e, _ := s.Wait(t.Context())
		t.Log("stop", err, time.Since(t2), e)
		l, err := journal.Last(s.Info().LogDir, 10, "")
		t.Log(l, err)
	}
}
