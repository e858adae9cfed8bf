package gvisor

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/door"
	"github.com/moorage-dev/moorage/internal/sandbox/sandboxtest"
)

// agentIn starts the test agent with a network and returns how to ask it.
func agentIn(t *testing.T, d *Driver, n sandbox.Network) (sandbox.Sandbox, func(path string, query url.Values) (string, int)) {
	t.Helper()
	image := sandboxtest.BuildImage(t)
	if image.EROFS == "" {
		t.Skip("needs mkfs.erofs")
	}
	box, err := d.Create(t.Context(), sandbox.Spec{
		ID: sandbox.NewID(), Root: sandbox.Root{EROFS: image.EROFS}, Network: n,
		Process: sandbox.ProcessSpec{Args: []string{"/agent"}}, LogDir: filepath.Join(t.TempDir(), "log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { box.Stop(context.Background(), 0) })
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return box.Dial(ctx, 8080) }}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	ask := func(path string, query url.Values) (string, int) {
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			r, err := client.Get("http://agent" + path + "?" + query.Encode())
			if err != nil {
				if time.Now().After(deadline) {
					t.Fatal(err)
				}
				continue // it does not listen yet
			}
			defer r.Body.Close()
			b, err := io.ReadAll(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			return strings.TrimSpace(string(b)), r.StatusCode
		}
	}
	return box, ask
}

// echo is a server of the outside, on all of the host's addresses.
func echo(t *testing.T) (port string) {
	t.Helper()
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b := make([]byte, 100)
				n, _ := c.Read(b)
				c.Write([]byte("echo " + string(b[:n])))
			}()
		}
	}()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

// hostAddress is an address of this machine that is not its loopback.
func hostAddress(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			return p.Addr().String()
		}
	}
	t.Skip("needs an address that is not loopback")
	return ""
}

func TestEgress_noneReachesNothing(t *testing.T) {
	_, ask := agentIn(t, open(t, Options{}), sandbox.Network{})
	port := echo(t)
	for _, to := range []string{"8.8.8.8:53", hostAddress(t) + ":" + port, "10.0.2.2:53", "127.0.0.1:" + port, "169.254.169.254:80"} {
		if out, status := ask("/dial", url.Values{"addr": {to}}); status == 200 {
			t.Errorf("%s said %q", to, out)
		}
	}
}

func TestEgress_publicReachesNeitherTheHostNorPrivateRanges(t *testing.T) {
	_, ask := agentIn(t, open(t, Options{}), sandbox.Network{Egress: sandbox.EgressPublic})
	port := echo(t)
	for _, to := range []string{hostAddress(t) + ":" + port, "10.0.2.2:" + port, "127.0.0.1:" + port, "169.254.169.254:80", "10.0.2.101:8080", "192.168.0.1:80"} {
		if out, status := ask("/dial", url.Values{"addr": {to}}); status == 200 || !strings.Contains(out, "refused") {
			t.Errorf("%s said %q", to, out)
		}
	}
	if out, status := ask("/lookup", url.Values{"name": {"absent.invalid"}}); status == 200 {
		t.Errorf("a name that does not exist is %q", out)
	}
}

func TestEgress_anExceptionReachesExactlyWhatItNames(t *testing.T) {
	port, other, host := echo(t), echo(t), hostAddress(t)
	box, ask := agentIn(t, open(t, Options{}), sandbox.Network{Allow: []string{host + ":" + port, "127.0.0.1:" + port}})
	for _, to := range []string{host + ":" + port, "10.0.2.2:" + port} {
		if out, status := ask("/dial", url.Values{"addr": {to}}); status != 200 || out != "echo hello" {
			t.Errorf("%s said %q", to, out)
		}
	}
	for _, to := range []string{host + ":" + other, "10.0.2.2:" + other, "8.8.8.8:53"} {
		if out, status := ask("/dial", url.Values{"addr": {to}}); status == 200 {
			t.Errorf("%s said %q", to, out)
		}
	}
	if stats, err := box.Stats(t.Context()); err != nil || stats.EgressBytes != int64(2*len("hello\n")) {
		t.Errorf("stats %+v, %v", stats, err)
	}
}

// serveDoor answers each connection from a sandbox with the sandbox's id and the port, until closed.
func serveDoor(t *testing.T, path string) *door.Listener {
	t.Helper()
	l, err := door.Listen(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			from := c.(*door.Conn)
			c.Read(make([]byte, 100))
			fmt.Fprintf(c, "%s %d", from.Sandbox, from.Port)
			c.Close()
		}
	}()
	return l
}

func TestDoor_leadsToTheServerAndNowhereElse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "guest.sock")
	l := serveDoor(t, path)
	d := open(t, Options{})
	box, ask := agentIn(t, d, sandbox.Network{Egress: sandbox.EgressNone, Door: path})
	dial := func(to string) (string, int) { return ask("/dial", url.Values{"addr": {to}}) }
	if out, status := dial("169.254.169.254:4318"); status != 200 || out != box.Info().ID+" 4318" {
		t.Errorf("the door said %q", out)
	}
	for _, to := range []string{"8.8.8.8:53", hostAddress(t) + ":" + echo(t), "169.254.169.254:22", "169.254.169.253:80"} {
		if out, status := dial(to); status == 200 || !strings.Contains(out, "refused") {
			t.Errorf("%s said %q", to, out)
		}
	}
	l.Close()
	if out, status := dial("169.254.169.254:80"); status == 200 || !strings.Contains(out, "refused") {
		t.Errorf("while the server was away, the door said %q", out)
	}
	serveDoor(t, path)
	if out, _ := dial("169.254.169.254:80"); out != box.Info().ID+" 80" {
		t.Errorf("after a restart of the server, the door said %q", out)
	}
	if stats, err := box.Stats(t.Context()); err != nil || stats.EgressBytes != 0 || stats.Outward != 0 {
		t.Errorf("the platform counts as outside: %+v, %v", stats, err)
	}
}

func TestDoor_aCloneIsKnownAsItself(t *testing.T) {
	path := filepath.Join(t.TempDir(), "guest.sock")
	serveDoor(t, path)
	s := newPythonWith(t, sandbox.Network{Door: path})
	const ask = `
import socket
with socket.create_connection(("169.254.169.254", 80)) as c:
    c.sendall(b"hello")
    answer = c.recv(100).decode()
said = answer
`
	s.run(ask)
	s.sleep()
	for range 2 {
		c := s.clone()
		if err := c.reseed(); err != nil {
			t.Fatal(err)
		}
		if out := c.run(ask); !strings.Contains(out, c.box.Info().ID+" 80") {
			t.Errorf("clone %s is known as %q", c.box.Info().ID, out)
		}
	}
}

func TestSandboxesDoNotReachEachOther(t *testing.T) {
	d := open(t, Options{})
	_, first := agentIn(t, d, sandbox.Network{Egress: sandbox.EgressPublic})
	_, second := agentIn(t, d, sandbox.Network{Egress: sandbox.EgressPublic})
	first("/write", url.Values{"path": {"/tmp/secret"}, "bytes": {"1"}})
	if _, status := second("/read", url.Values{"path": {"/tmp/secret"}}); status == 200 {
		t.Error("the second sandbox reads the first one's file")
	}
	// Both have the same address; what either dials there is itself.
	if out, status := second("/dial", url.Values{"addr": {"10.0.2.100:9"}}); status == 200 {
		t.Errorf("it said %q", out)
	}
}

func TestFilters_areLoadedPrecompiled(t *testing.T) {
	if len(bootFilters()) == 0 {
		t.Skip("needs generated system call filters for this architecture")
	}
	for name, root := range map[string]func(sandboxtest.Image) sandbox.Spec{
		"EROFS":     func(i sandboxtest.Image) sandbox.Spec { return sandbox.Spec{Root: sandbox.Root{EROFS: i.EROFS}} },
		"directory": func(i sandboxtest.Image) sandbox.Spec { return sandbox.Spec{Root: sandbox.Root{Dir: i.Dir}} },
	} {
		t.Run(name, func(t *testing.T) {
			logs := t.TempDir()
			d := open(t, Options{DebugDir: logs})
			spec := root(sandboxtest.BuildImage(t))
			spec.ID, spec.LogDir = sandbox.NewID(), filepath.Join(t.TempDir(), "log")
			spec.Process.Args = []string{"/agent", "exit", "0"}
			box, err := d.Create(t.Context(), spec)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := box.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			files, _ := filepath.Glob(filepath.Join(logs, "*"))
			var all strings.Builder
			for _, f := range files {
				b, _ := os.ReadFile(f)
				all.Write(b)
			}
			if !strings.Contains(all.String(), "Loaded precompiled seccomp instructions") || strings.Contains(all.String(), "No precompiled program found") {
				t.Error("the filters were compiled at start: run go generate")
			}
		})
	}
}

func TestNew_removesWhatAKilledDriverLeft(t *testing.T) {
	dir := t.TempDir()
	id := sandbox.NewID()
	for _, left := range []string{"state/runsc-" + id + ".sock", "bundles/" + id + "/config.json"} {
		path := filepath.Join(dir, left)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	group := filepath.Join("/sys/fs/cgroup/memory/moorage", instanceName(dir), id)
	cgroups := os.MkdirAll(group, 0o755) == nil
	open(t, Options{Dir: dir})
	for _, sub := range []string{"state", "bundles"} {
		if entries, err := os.ReadDir(filepath.Join(dir, sub)); err != nil || len(entries) > 0 {
			t.Errorf("%s holds %v, %v", sub, entries, err)
		}
	}
	if _, err := os.Stat(group); cgroups && err == nil {
		t.Error("the control group is still there")
	}
	if _, err := New(Options{Dir: dir}); err == nil {
		t.Error("two drivers own one directory")
	}
}
