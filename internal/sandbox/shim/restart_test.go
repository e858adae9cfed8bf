package shim

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/journal"
	"github.com/moorage-dev/moorage/internal/sandbox/sandboxtest"
	"golang.org/x/sys/unix"
)

const patience = 20 * time.Second

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("it never happened that", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func spec(t testing.TB, args ...string) sandbox.Spec {
	t.Helper()
	image := sandboxtest.BuildImage(t)
	if image.EROFS == "" {
		t.Skip("needs mkfs.erofs")
	}
	return sandbox.Spec{
		ID: sandbox.NewID(), Root: sandbox.Root{EROFS: image.EROFS}, LogDir: filepath.Join(t.TempDir(), "log"),
		Process: sandbox.ProcessSpec{Args: append([]string{"/agent"}, args...)},
	}
}

func create(t *testing.T, c *Client, spec sandbox.Spec) sandbox.Sandbox {
	t.Helper()
	box, err := c.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return box
}

// ping asks the agent in a sandbox whether it is there.
func ping(box sandbox.Sandbox) error {
	client := http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return box.Dial(ctx, 8080) },
	}}
	r, err := client.Get("http://agent/ping")
	if err != nil {
		return err
	}
	defer r.Body.Close()
	_, err = io.Copy(io.Discard, r.Body)
	return err
}

func awaitAgent(t *testing.T, box sandbox.Sandbox) {
	t.Helper()
	eventually(t, "the agent answers", func() bool { return ping(box) == nil })
}

func wait(t *testing.T, box sandbox.Sandbox) sandbox.Exit {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	exit, err := box.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return exit
}

// shimPID finds the shim of an engine directory.
func shimPID(t testing.TB, engineDir string) int {
	t.Helper()
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range paths {
		b, _ := os.ReadFile(path)
		if bytes.HasSuffix(b, []byte("\x00"+command0+"\x00"+engineDir+"\x00")) {
			pid, err := strconv.Atoi(strings.Split(path, "/")[2])
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatal("no shim runs on", engineDir)
	return 0
}

func TestOpen_findsTheSandboxesOfAServerThatIsGone(t *testing.T) {
	dir := t.TempDir()
	first := openIn(t, dir)
	asked := spec(t)
	asked.Labels = map[string]string{"session": "s1"}
	awaitAgent(t, create(t, first, asked))
	first.Close() // as the end of the server would

	second := openIn(t, dir)
	list, err := second.List(t.Context())
	if err != nil || len(list) != 1 || list[0].Info().ID != asked.ID || list[0].Info().Labels["session"] != "s1" {
		t.Fatalf("list %v, %v", list, err)
	}
	if err := ping(list[0]); err != nil {
		t.Fatal(err)
	}
}

func TestLookup_tellsHowASandboxEndedWhileNobodyLooked(t *testing.T) {
	dir := t.TempDir()
	first := openIn(t, dir)
	asked := spec(t, "exit", "5")
	create(t, first, asked)
	first.Close()

	second := openIn(t, dir)
	box, err := second.Lookup(t.Context(), asked.ID)
	if err != nil {
		t.Fatal(err)
	}
	if exit := wait(t, box); exit.Code != 5 {
		t.Errorf("exit %+v", exit)
	}
	if list, err := second.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("an ended sandbox is listed: %v, %v", list, err)
	}
	if err := box.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Lookup(t.Context(), asked.ID); moorage.CodeOf(err) != moorage.NotFound {
		t.Errorf("the acknowledged exit is still there: %v", err)
	}
	if exit := wait(t, box); exit.Code != 5 {
		t.Errorf("the handle forgot: %+v", exit)
	}
}

func TestKillOfTheShim_endsItsSandboxesAndTheNextCreateStartsAnother(t *testing.T) {
	c := openIn(t, t.TempDir())
	asked := spec(t)
	box := create(t, c, asked)
	awaitAgent(t, box)
	waited := make(chan sandbox.Exit, 1)
	go func() {
		exit, _ := box.Wait(context.Background())
		waited <- exit
	}()
	engines := processesOf(asked.ID)
	if len(engines) == 0 {
		t.Fatal("no engine process found")
	}
	if err := unix.Kill(shimPID(t, c.current), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case exit := <-waited:
		if exit.Cause != "was lost: the engine process ended" {
			t.Errorf("exit %+v", exit)
		}
	case <-time.After(patience):
		t.Fatal("Wait does not see it")
	}
	eventually(t, "the engines died too", func() bool { return len(processesOf(asked.ID)) == 0 })
	if _, err := box.Dial(t.Context(), 8080); moorage.CodeOf(err) != moorage.AgentFailed {
		t.Errorf("dial: %v", err)
	}
	next := create(t, c, spec(t))
	awaitAgent(t, next)
	left, _ := filepath.Glob(filepath.Join(c.current, "*", "*"+asked.ID+"*"))
	groups, _ := filepath.Glob("/sys/fs/cgroup/*/moorage/*/" + asked.ID)
	if len(left)+len(groups) > 0 {
		t.Errorf("the killed shim's things are left: %v %v", left, groups)
	}
}

// processesOf lists the processes that have a sandbox's id on their command line.
func processesOf(id string) (found []string) {
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range paths {
		if b, _ := os.ReadFile(path); bytes.Contains(b, []byte(id)) {
			found = append(found, path)
		}
	}
	return found
}

// newBuild is this program with another identity.
func newBuild(t *testing.T) string {
	t.Helper()
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "upgraded")
	if err := os.WriteFile(path, append(program, "another build"...), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUpgrade_keepsLiveSandboxesOnTheEngineTheyBeganWith(t *testing.T) {
	dir := t.TempDir()
	before := openIn(t, dir)
	old := create(t, before, spec(t))
	awaitAgent(t, old)
	before.Close()

	after, err := Open(t.Context(), Options{Dir: dir, Executable: newBuild(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	if after.Build() == before.Build() {
		t.Fatal("both builds have one id")
	}
	young := create(t, after, spec(t))
	awaitAgent(t, young)
	list, err := after.List(t.Context())
	if err != nil || len(list) != 2 {
		t.Fatalf("list %v, %v", list, err)
	}
	found, err := after.Lookup(t.Context(), old.Info().ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := ping(found); err != nil {
		t.Fatal(err)
	}
	if found.Info().Engine == young.Info().Engine {
		t.Errorf("both run on %s", young.Info().Engine)
	}
	pid := shimPID(t, before.current)
	if err := found.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the old shim left", func() bool { return unix.Kill(pid, 0) == unix.ESRCH || isZombie(pid) })
	after.sweep()
	if _, err := os.Stat(before.current); !os.IsNotExist(err) {
		t.Errorf("the old build is still there: %v", err)
	}
}

func isZombie(pid int) bool {
	b, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	_, after, _ := strings.Cut(string(b), ") ")
	return strings.HasPrefix(after, "Z")
}

func TestShutdown_asksAgentsToGo(t *testing.T) {
	dir := t.TempDir()
	c := openIn(t, dir)
	var boxes []sandbox.Sandbox
	for range 2 {
		box := create(t, c, spec(t))
		awaitAgent(t, box)
		boxes = append(boxes, box)
	}
	pid := shimPID(t, c.current)
	if err := Shutdown(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	for _, box := range boxes {
		lines, err := journal.Last(box.Info().LogDir, 1, journal.Stdout)
		if err != nil || len(lines) != 1 || lines[0].Text != "goodbye" {
			t.Errorf("the agent's last line is %v, %v", lines, err)
		}
		if left := processesOf(box.Info().ID); len(left) > 0 {
			t.Errorf("processes are left: %v", left)
		}
	}
	eventually(t, "the shim ended", func() bool { return unix.Kill(pid, 0) == unix.ESRCH || isZombie(pid) })
}

func TestOpen_worksBelowALongDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long-directory-name/", 10))
	box := create(t, openIn(t, dir), spec(t))
	awaitAgent(t, box)
}

func TestShim_inheritsNothing(t *testing.T) {
	t.Setenv("SERVER_SECRET", "hunter2")
	c := openIn(t, t.TempDir())
	pid := shimPID(t, c.current)
	environ, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(environ, []byte("hunter2")) {
		t.Error("the server's environment is in the shim")
	}
	sid, err := unix.Getsid(pid)
	if err != nil || sid != pid {
		t.Errorf("the shim is in session %d, %v", sid, err)
	}
	if info, err := os.Stat(c.current); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestShim_endsWithItsDirectory(t *testing.T) {
	dir := t.TempDir()
	c := openIn(t, dir)
	asked := spec(t)
	awaitAgent(t, create(t, c, asked))
	pid := shimPID(t, c.current)
	if err := os.RemoveAll(filepath.Join(dir, "engines")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the shim ended", func() bool { return unix.Kill(pid, 0) == unix.ESRCH || isZombie(pid) })
	if left := processesOf(asked.ID); len(left) > 0 {
		t.Errorf("its engines are left: %v", left)
	}
	if groups, _ := filepath.Glob("/sys/fs/cgroup/*/moorage/*/" + asked.ID); len(groups) > 0 {
		t.Errorf("its control groups are left: %v", groups)
	}
}

func TestShim_refusesOtherUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to become another user")
	}
	c := openIn(t, t.TempDir())
	// Through a descriptor that root opened: the directory's mode would stop the other user before.
	dir, err := os.Open(c.current)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	os.Chmod(filepath.Join(c.current, socketName), 0o777)
	cmd := exec.Command("/proc/self/exe", "-test.run", "TestHelperConnect")
	cmd.Env = []string{"CONNECT=/proc/self/fd/3/" + socketName}
	cmd.ExtraFiles = []*os.File{dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, _ := cmd.CombinedOutput()
	if strings.Contains(string(out), "answered") {
		t.Errorf("another user was served: %s", out)
	}
}

// TestHelperConnect is the other user of TestShim_refusesOtherUsers.
func TestHelperConnect(t *testing.T) {
	path := os.Getenv("CONNECT")
	if path == "" {
		t.Skip("a helper of another test")
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	send(conn.(*net.UnixConn), request{Protocol: protocol, Op: opList})
	if _, err := answer(t.Context(), conn.(*net.UnixConn)); !errors.Is(err, errNoShim) {
		t.Fatal("answered:", err)
	}
}

func TestConn_refusesAnotherProtocol(t *testing.T) {
	c := openIn(t, t.TempDir())
	conn, err := connect(t.Context(), c.current)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := send(conn, request{Protocol: protocol + 1, Op: opList}); err != nil {
		t.Fatal(err)
	}
	if _, err := answer(t.Context(), conn); moorage.CodeOf(err) != moorage.Unsupported {
		t.Errorf("error %v", err)
	}
}

// asNobody runs a test of this package as the user 65534, in a home of its own. prepare, when set,
// is a shell command that root of a new user namespace runs before.
func asNobody(t *testing.T, test, prepare string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to become an ordinary user")
	}
	image := sandboxtest.BuildImage(t)
	if image.EROFS == "" {
		t.Skip("needs mkfs.erofs")
	}
	home, err := os.MkdirTemp("", "moorage-nobody-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(home)
	if err := os.Chown(home, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(home, "test")
	if err := linkOrCopy("/proc/self/exe", program); err != nil {
		t.Fatal(err)
	}
	os.Chmod(program, 0o755)
	cmd := exec.Command(program, "-test.run", test, "-test.v")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if prepare != "" {
		cmd = exec.Command("sh", "-c", prepare+` && exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"`, "sh", program, "-test.run", test, "-test.v")
		everyone := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 65536}}
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: everyone, GidMappings: everyone, GidMappingsEnableSetgroups: true}
	}
	cmd.Dir = home
	cmd.Env = []string{"HOME=" + home, "TMPDIR=" + home, "IMAGE=" + image.EROFS, "AGENT=" + image.Agent, "PATH=/usr/sbin:/usr/bin:/bin"}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !strings.Contains(string(out), "PASS: "+test) {
		t.Fatal(err)
	}
}

func TestShim_asAnOrdinaryUserMakesItsOwnNamespace(t *testing.T) {
	asNobody(t, "TestHelperOrdinary", "")
}

func TestHelperOrdinary(t *testing.T) {
	image := os.Getenv("IMAGE")
	if image == "" {
		t.Skip("a helper of another test")
	}
	dir := filepath.Join(os.Getenv("HOME"), "data")
	sandboxtest.Run(t, openIn(t, dir), sandboxtest.Fixture{
		Root: sandbox.Root{EROFS: image}, Agent: "/agent", StateDir: filepath.Join(dir, "engines"),
	})
}

func TestShim_withoutNamespacesRunsPlainProcessesAndSaysSo(t *testing.T) {
	if _, err := exec.LookPath("setpriv"); err != nil {
		t.Skip("needs setpriv")
	}
	asNobody(t, "TestHelperWithoutNamespaces", "echo 0 > /proc/sys/user/max_user_namespaces")
}

func TestHelperWithoutNamespaces(t *testing.T) {
	agent := os.Getenv("AGENT")
	if agent == "" {
		t.Skip("a helper of another test")
	}
	home := os.Getenv("HOME")
	c := openIn(t, filepath.Join(home, "data"))
	if c.Isolation() != sandbox.None {
		t.Errorf("isolation %v", c.Isolation())
	}
	asked := sandbox.Spec{
		ID: sandbox.NewID(), LogDir: filepath.Join(home, "log"),
		Root: sandbox.Root{EROFS: os.Getenv("IMAGE")}, Process: sandbox.ProcessSpec{Args: []string{"/agent"}},
	}
	if _, err := c.Create(t.Context(), asked); moorage.CodeOf(err) != moorage.Unavailable || !strings.Contains(err.Error(), "namespace") {
		t.Errorf("error %v", err)
	}
	asked.Root, asked.Process.Args = sandbox.Root{Host: home}, []string{agent}
	box := create(t, c, asked)
	awaitAgent(t, box)
	if info := box.Info(); info.Isolation != sandbox.None || len(info.Unenforced) == 0 {
		t.Errorf("info %+v", info)
	}
	if err := box.Stop(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
}

func TestCreate_runsAPlainProcessForTheHostsOwnRoot(t *testing.T) {
	image := sandboxtest.BuildImage(t)
	c := openIn(t, t.TempDir())
	asked := spec(t)
	asked.Root, asked.Process.Args = sandbox.Root{Host: image.Dir}, []string{image.Agent}
	box := create(t, c, asked)
	awaitAgent(t, box)
	if box.Info().Isolation != sandbox.None || c.Isolation() != sandbox.Kernel {
		t.Errorf("the sandbox has %v, the shim offers %v", box.Info().Isolation, c.Isolation())
	}
	pid := shimPID(t, c.current)
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the process died with its shim", func() bool { return len(processesOf(image.Agent)) == 0 })
}
