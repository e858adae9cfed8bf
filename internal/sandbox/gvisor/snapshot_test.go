package gvisor

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/journal"
	"github.com/moorage-dev/moorage/internal/sandbox/sandboxtest"
	"github.com/moorage-dev/moorage/internal/sandbox/snapshot"
	"golang.org/x/sys/unix"
)

// sleeper is a sandbox that tests put to sleep and wake; ask always means the one that is awake.
type sleeper struct {
	t   *testing.T
	d   *Driver
	box sandbox.Sandbox
	dir string
}

func newSleeper(t *testing.T, n sandbox.Network, mounts ...sandbox.Mount) *sleeper {
	t.Helper()
	image := sandboxtest.BuildImage(t)
	if image.EROFS == "" {
		t.Skip("needs mkfs.erofs")
	}
	return startSleeper(t, sandbox.Spec{
		ID: sandbox.NewID(), Root: sandbox.Root{EROFS: image.EROFS}, Network: n, Mounts: mounts,
		Process: sandbox.ProcessSpec{Args: []string{"/agent"}}, LogDir: filepath.Join(t.TempDir(), "log"),
	})
}

// startSleeper starts a sandbox and waits until its agent listens.
func startSleeper(t *testing.T, spec sandbox.Spec) *sleeper {
	t.Helper()
	d := open(t, Options{Build: "b1"})
	box, err := d.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { box.Stop(context.Background(), 0) })
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if c, err := box.Dial(t.Context(), 8080); err == nil {
			c.Close()
			return &sleeper{t, d, box, filepath.Join(t.TempDir(), "asleep")}
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// ask calls the agent on a connection of its own, as none survives a sleep.
func (s *sleeper) ask(path string, query ...string) string {
	s.t.Helper()
	q := url.Values{}
	for i := 0; i+1 < len(query); i += 2 {
		q.Set(query[i], query[i+1])
	}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return s.box.Dial(ctx, 8080) },
	}}
	r, err := client.Get("http://agent" + path + "?" + q.Encode())
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Body.Close()
	var b strings.Builder
	if _, err := io.Copy(&b, r.Body); err != nil || r.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %d %s, %v", path, r.StatusCode, b.String(), err)
	}
	return b.String()
}

func (s *sleeper) number(path string) int64 {
	s.t.Helper()
	text := s.ask(path)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		s.t.Fatalf("%s answered %q", path, text)
	}
	return n
}

func (s *sleeper) sleep() {
	s.t.Helper()
	if err := s.box.(sandbox.Sleeper).Checkpoint(s.t.Context(), s.dir); err != nil {
		s.t.Fatal("sleep: ", err)
	}
}

func (s *sleeper) wake() {
	s.t.Helper()
	box, err := s.d.Restore(s.t.Context(), s.dir)
	if err != nil {
		s.t.Fatal("wake: ", err)
	}
	s.t.Cleanup(func() { box.Stop(context.Background(), 0) })
	s.box = box
}

func TestSleep_theDoorIsOpenAfterwards(t *testing.T) {
	path := filepath.Join(t.TempDir(), "guest.sock")
	serveDoor(t, path)
	s := newSleeper(t, sandbox.Network{Door: path})
	for range 2 {
		if out := s.ask("/dial", "addr", "169.254.169.254:80"); out != s.box.Info().ID+" 80" {
			t.Errorf("the door said %q", out)
		}
		s.ask("/hold", "addr", "169.254.169.254:9400") // an exporter keeps its connection
		s.sleep()
		s.wake()
	}
}

func TestSleep_keepsMemoryFilesTimersAndTheClock(t *testing.T) {
	s := newSleeper(t, sandbox.Network{})
	for range 3 {
		s.ask("/add")
	}
	s.ask("/write", "path", "/kept", "bytes", "3000000")
	s.ask("/write", "path", "/tmp/kept", "bytes", "2000000")
	s.ask("/print", "text", "before")
	ticks := s.number("/ticks")
	for round := range 2 {
		began := time.Now()
		s.sleep()
		asleep := time.Now()
		s.wake()
		woke := time.Now()
		if n := s.number("/add"); n != int64(4+round) {
			t.Errorf("round %d: memory says %d", round, n)
		}
		t.Logf("sleep %v, wake %v, first reply %v", asleep.Sub(began), woke.Sub(asleep), time.Since(woke))
	}
	if n := len(s.ask("/read", "path", "/kept")) + len(s.ask("/read", "path", "/tmp/kept")); n != 5000000 {
		t.Errorf("the files hold %d bytes", n)
	}
	before := s.number("/ticks")
	for deadline := time.Now().Add(5 * time.Second); s.number("/ticks") <= before; {
		if time.Now().After(deadline) {
			t.Fatalf("the ticker stands still at %d (%d before sleep)", before, ticks)
		}
	}
	if off := time.Since(time.UnixMilli(s.number("/now"))); off.Abs() > time.Second {
		t.Errorf("the clock is off by %v", off)
	}
	s.ask("/print", "text", "after")
	if err := s.box.Stop(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	lines, err := journal.Last(s.box.Info().LogDir, 100, journal.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, l := range lines {
		said = append(said, l.Text)
	}
	if strings.Join(said, " ") != "before after goodbye" {
		t.Errorf("the journal holds %q", said)
	}
}

func TestSleep_leavesNothingInMemory(t *testing.T) {
	s := newSleeper(t, sandbox.Network{Egress: sandbox.EgressPublic})
	if err := s.box.Relabel(t.Context(), map[string]string{"session": "s1"}); err != nil {
		t.Fatal(err)
	}
	info := s.box.Info()
	s.sleep()
	exit, err := s.box.Wait(t.Context())
	if err != nil || !exit.Stopped || exit.Cause != "was put to sleep" {
		t.Errorf("exit %+v, %v", exit, err)
	}
	if pids := enginesOf(filepath.Join(s.d.opts.Dir, "bundles")); len(pids) != 0 {
		t.Errorf("engines are left: %v", pids)
	}
	if list, _ := s.d.List(t.Context()); len(list) != 0 {
		t.Errorf("listed: %v", list)
	}
	if _, err := s.box.Dial(t.Context(), 8080); moorage.CodeOf(err) != moorage.AgentFailed {
		t.Errorf("dial: %v", err)
	}
	s.wake()
	if now := s.box.Info(); now.ID != info.ID || now.Labels["session"] != "s1" || !now.CreatedAt.Equal(info.CreatedAt) || now.LogDir != info.LogDir {
		t.Errorf("woke as %+v, was %+v", now, info)
	}
	if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
		t.Errorf("the snapshot could be woken again: %v", err)
	}
	if _, err := s.d.Restore(t.Context(), s.dir); moorage.CodeOf(err) != moorage.NotFound {
		t.Errorf("it was: %v", err)
	}
}

func TestSleep_cutsConnectionsOutward(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	s := newSleeper(t, sandbox.Network{Allow: []string{"127.0.0.1:" + port}})
	s.ask("/hold", "addr", "10.0.2.2:"+port)
	if stats, err := s.box.Stats(t.Context()); err != nil || stats.Outward != 1 {
		t.Errorf("%d connections outward are open, %v", stats.Outward, err)
	}
	s.sleep()
	s.wake()
	if got := s.ask("/held"); got == "<nil>" { // it does not hang, which ask would not wait for
		t.Error("the read brought something")
	}
	if addr := s.ask("/hold", "addr", "10.0.2.2:"+port); !strings.HasPrefix(addr, "10.0.2.100:") {
		t.Errorf("a new connection: %q", addr)
	}
}

func TestSleep_ofAPausedSandboxWakesRunning(t *testing.T) {
	s := newSleeper(t, sandbox.Network{})
	if err := s.box.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.sleep()
	s.wake()
	s.ask("/ping")
}

// The memory of a large sandbox is many times what waits in the pipe through which it is saved.
func TestSleep_ofALargeSandboxKeepsAll(t *testing.T) {
	s := newSleeper(t, sandbox.Network{})
	s.ask("/add")
	s.ask("/write", "path", "/tmp/large", "bytes", strconv.Itoa(256<<20))
	s.ask("/write", "path", "/tmp/small", "bytes", "1000")
	s.sleep()
	s.wake()
	if n, small := s.number("/add"), s.ask("/read", "path", "/tmp/small"); n != 2 || len(small) != 1000 {
		t.Errorf("memory says %d, and the file holds %d bytes", n, len(small))
	}
}

// What an agent looked up in its root and does not use any more is not saved: half of a heavy agent's kernel would be that.
func TestSleep_forgetsWhatWasLookedUp(t *testing.T) {
	const folders = 400
	root, tour := rootWithFolders(t, folders)
	s := startSleeper(t, sandbox.Spec{
		ID: sandbox.NewID(), Root: sandbox.Root{EROFS: root}, Process: sandbox.ProcessSpec{Args: []string{"/agent"}}, LogDir: filepath.Join(t.TempDir(), "log"),
	})
	kernel := func() int64 {
		s.sleep()
		info, err := os.Stat(filepath.Join(s.dir, "image"))
		if err != nil {
			t.Fatal(err)
		}
		s.wake()
		return info.Size()
	}
	before := kernel()
	s.ask("/list", "path", tour)
	if after := kernel(); after > before+100*folders {
		t.Errorf("the kernel takes %d bytes, %d before; is this the engine that make builds?", after, before)
	}
	s.ask("/list", "path", tour)
}

// rootWithFolders makes an image with the agent and so many folders, and a path that leads through all of them.
func rootWithFolders(t *testing.T, n int) (image, tour string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Link(sandboxtest.BuildImage(t).Agent, filepath.Join(dir, "agent")); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		name := strconv.Itoa(i)
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		tour += "/" + name + "/.."
	}
	image = filepath.Join(t.TempDir(), "root.erofs")
	if out, err := exec.Command("mkfs.erofs", "--quiet", "-E", "noinline_data", image, dir).CombinedOutput(); err != nil {
		t.Skipf("needs mkfs.erofs: %v %s", err, out)
	}
	return image, tour
}

func TestSleep_waitsForConnectionsIntoTheSandbox(t *testing.T) {
	s := newSleeper(t, sandbox.Network{})
	c, err := s.box.Dial(t.Context(), 8080)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s.ask("/add")
	if err := s.box.(sandbox.Sleeper).Checkpoint(t.Context(), s.dir); moorage.CodeOf(err) != moorage.Busy {
		t.Errorf("with an open connection: %v", err)
	}
	if n := s.number("/add"); n != 2 {
		t.Errorf("memory says %d", n)
	}
	c.Close()
	s.sleep()
	s.wake()
	if n := s.number("/add"); n != 3 {
		t.Errorf("memory says %d", n)
	}
}

func TestSleep_keepsMountsAndFilesOpenInThem(t *testing.T) {
	host := t.TempDir()
	if err := os.Chmod(host, 0o777); err != nil {
		t.Fatal(err)
	}
	s := newSleeper(t, sandbox.Network{}, sandbox.Mount{Source: host, Target: "/mnt/storage"})
	s.ask("/open", "path", "/mnt/storage/open")
	s.ask("/append", "text", "before ")
	s.sleep()
	if err := os.WriteFile(filepath.Join(host, "new"), []byte("of the host"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.wake()
	s.ask("/append", "text", "after")
	if got := s.ask("/read", "path", "/mnt/storage/open"); got != "before after" {
		t.Errorf("the open file holds %q", got)
	}
	if got := s.ask("/read", "path", "/mnt/storage/new"); got != "of the host" {
		t.Errorf("the file that came meanwhile holds %q", got)
	}
}

func TestSleep_onAFullDiskChangesNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts a small file system")
	}
	s := newSleeper(t, sandbox.Network{})
	s.ask("/add")
	full := t.TempDir()
	if err := unix.Mount("tmpfs", full, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip("cannot mount a small file system:", err)
	}
	defer unix.Unmount(full, unix.MNT_DETACH)
	s.ask("/write", "path", "/big", "bytes", "8000000")
	err := s.box.(sandbox.Sleeper).Checkpoint(t.Context(), filepath.Join(full, "asleep"))
	if moorage.CodeOf(err) != moorage.Unavailable {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(full); len(left) != 0 {
		t.Errorf("half a snapshot is left: %v", left)
	}
	if n := s.number("/add"); n != 2 {
		t.Errorf("memory says %d", n)
	}
	s.sleep() // and it can be tried again
	s.wake()
	if n := s.number("/add"); n != 3 {
		t.Errorf("memory says %d", n)
	}
}

func TestRestore_refusesWhatItCannotTrust(t *testing.T) {
	s := newSleeper(t, sandbox.Network{})
	s.sleep()
	image := filepath.Join(s.dir, "image")
	whole, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	for name, broken := range map[string][]byte{
		"cut":     whole[:len(whole)/2],
		"changed": slices.Concat(whole[:5000], []byte{whole[5000] ^ 1}, whole[5001:]),
		"empty":   nil,
	} {
		if err := os.WriteFile(image, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.d.Restore(t.Context(), s.dir); moorage.CodeOf(err) != moorage.Conflict {
			t.Errorf("%s: %v", name, err)
		}
	}
	if pids := enginesOf(filepath.Join(s.d.opts.Dir, "bundles")); len(pids) != 0 {
		t.Errorf("engines are left: %v", pids)
	}
	other := open(t, Options{Build: "b2"})
	if _, err := other.Restore(t.Context(), s.dir); moorage.CodeOf(err) != moorage.Conflict || !strings.Contains(err.Error(), "b1") {
		t.Errorf("another build: %v", err)
	}
	if err := os.WriteFile(image, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	memory := filepath.Join(s.dir, "pages")
	pages, err := os.ReadFile(memory)
	if err != nil {
		t.Fatal(err)
	}
	for name, broken := range map[string][]byte{
		"half its memory":    pages[:len(pages)/2],
		"none of its memory": nil,
		"changed memory":     slices.Concat(pages[:len(pages)-5000], []byte{pages[len(pages)-5000] ^ 1}, pages[len(pages)-4999:]),
	} {
		if err := os.WriteFile(memory, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.d.Restore(t.Context(), s.dir); moorage.CodeOf(err) != moorage.Conflict {
			t.Errorf("%s: %v", name, err)
		}
		as := sandbox.CloneSpec{ID: sandbox.NewID(), LogDir: filepath.Join(t.TempDir(), "log")}
		if _, err := s.d.Clone(t.Context(), s.dir, as); moorage.CodeOf(err) != moorage.Conflict {
			t.Errorf("a clone with %s: %v", name, err)
		}
	}
	if err := os.WriteFile(memory, pages, 0o600); err != nil {
		t.Fatal(err)
	}
	s.wake()
	s.ask("/ping")
}

// TestRestore_ofNonsenseEndsByItself is about images that were sealed as nonsense, by a bug of ours say.
func TestRestore_ofNonsenseEndsByItself(t *testing.T) {
	s := newSleeper(t, sandbox.Network{})
	s.sleep()
	good, err := snapshot.Open(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	w, err := snapshot.Create(s.dir+"2", good.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := good.ReadPart(specPart)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range append([]string{specPart}, apart...) {
		content := strings.Repeat("nonsense", 1000)
		if part == specPart {
			content = string(spec)
		}
		if err := w.Write(part, strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.d.Restore(t.Context(), s.dir+"2"); moorage.CodeOf(err) != moorage.Conflict {
		t.Errorf("got %v", err)
	}
}
