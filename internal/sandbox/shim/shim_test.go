package shim

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/sandboxtest"
)

func TestMain(m *testing.M) {
	Enter()
	code := m.Run()
	sandboxtest.Cleanup()
	os.Exit(code)
}

func TestSmoke(t *testing.T) {
	img := sandboxtest.BuildImage(t)
	dir := t.TempDir()
	t0 := time.Now()
	c, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Log("open", time.Since(t0))
	defer func() { t.Log(Shutdown(context.Background(), dir)) }()
	var ds, cs []time.Duration
	for range 20 {
		t0 := time.Now()
		s, err := c.Create(t.Context(), sandbox.Spec{ID: sandbox.NewID(), Root: sandbox.Root{EROFS: img.EROFS}, Process: sandbox.ProcessSpec{Args: []string{"/agent"}}, LogDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t1 := time.Since(t0)
		hc := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return s.Dial(ctx, 8080) }}}
		for {
			r, err := hc.Post("http://a/invocations", "", strings.NewReader("hi"))
			if err == nil {
				io.ReadAll(r.Body)
				r.Body.Close()
				break
			}
			time.Sleep(300 * time.Microsecond)
		}
		cs = append(cs, t1)
		ds = append(ds, time.Since(t0))
		hc.CloseIdleConnections()
		if err := s.Stop(t.Context(), time.Second); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(ds)
	slices.Sort(cs)
	t.Log("create", cs[10], cs[0], "first reply p50", ds[10], "min", ds[0], "p90", ds[18])
}
