package gvisor

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/image"
	"github.com/moorage-dev/moorage/internal/image/erofs"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/journal"
)

// pythonImage is the root of testdata/reseed's agent, made once per test process.
func pythonImage(t *testing.T) image.Artifact {
	t.Helper()
	made, err := makePythonImage()
	return known(t, made, err)
}

func known(t *testing.T, made image.Artifact, err error) image.Artifact {
	t.Helper()
	if moorage.CodeOf(err) == moorage.Unsupported || moorage.CodeOf(err) == moorage.Invalid || moorage.CodeOf(err) == moorage.Unavailable {
		t.Skip("Python 3.11: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return made
}

var makePythonImage = sync.OnceValues(func() (image.Artifact, error) {
	dir, err := os.MkdirTemp("", "moorage-reseed")
	if err != nil {
		return image.Artifact{}, err
	}
	afterTests = append(afterTests, func() { os.RemoveAll(dir) })
	return imageOf(dir, "testdata/reseed")
})

// imageOf makes the root of an agent.py and what lies beside it; dir is for whatever that takes.
func imageOf(dir, source string) (image.Artifact, error) {
	code := filepath.Join(dir, "code.zip")
	f, err := os.Create(code)
	if err != nil {
		return image.Artifact{}, err
	}
	defer f.Close()
	w := zip.NewWriter(f)
	if err := errors.Join(w.AddFS(os.DirFS(source)), w.Close()); err != nil {
		return image.Artifact{}, err
	}
	store, err := image.Open(image.Options{Dir: filepath.Join(dir, "images")})
	if err != nil {
		return image.Artifact{}, err
	}
	return store.Code(context.Background(), image.Code{Zip: code, Runtime: "PYTHON_3_11", EntryPoint: []string{"agent.py"}}, nil, nil)
}

func newPython(t *testing.T) *sleeper {
	t.Helper()
	return newPythonWith(t, sandbox.Network{})
}

func newPythonWith(t *testing.T, n sandbox.Network) *sleeper {
	t.Helper()
	return startPython(t, pythonImage(t), n)
}

// startPython starts an agent that imports the modules.
func startPython(t *testing.T, root image.Artifact, n sandbox.Network, modules ...string) *sleeper {
	t.Helper()
	return startSleeper(t, sandbox.Spec{
		ID: sandbox.NewID(), Root: sandbox.Root{EROFS: root.EROFS}, Reseeder: true, Network: n, LogDir: filepath.Join(t.TempDir(), "log"),
		Process: sandbox.ProcessSpec{Args: append(slices.Clone(root.Config.Args), modules...), Env: root.Config.Env, Dir: root.Config.Dir},
	})
}

func (s *sleeper) reseed() error { return s.box.(sandbox.Reseeder).Reseed(s.t.Context()) }

// run runs Python in the agent and returns what it called said.
func (s *sleeper) run(code string) string {
	s.t.Helper()
	return s.ask("/exec", "code", code)
}

// clone starts a clone of what sleeps. It is stopped when the test ends, or by the caller.
func (s *sleeper) clone() *sleeper {
	s.t.Helper()
	box, err := s.d.Clone(s.t.Context(), s.dir, sandbox.CloneSpec{ID: sandbox.NewID(), LogDir: filepath.Join(s.t.TempDir(), "log")})
	if err != nil {
		s.t.Fatal("clone: ", err)
	}
	s.t.Cleanup(func() { box.Stop(context.Background(), 0) })
	return &sleeper{s.t, s.d, box, s.dir}
}

// draw asks the agent for a value of each of its generators.
func (s *sleeper) draw() (values map[string]any) {
	s.t.Helper()
	d := json.NewDecoder(strings.NewReader(s.ask("/draw")))
	d.UseNumber()
	if err := d.Decode(&values); err != nil {
		s.t.Fatal(err)
	}
	return values
}

// TestReseed_nothingLeavesACloneBefore has a thread of the agent draw and send as fast as it can, from
// before the clones are made.
func TestReseed_nothingLeavesACloneBefore(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	heard := make(chan string, 1000)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			said, _ := io.ReadAll(c)
			c.Close()
			heard <- string(said)
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	s := newPythonWith(t, sandbox.Network{Allow: []string{"127.0.0.1:" + port}})
	s.run(`
import random, socket, threading
def send():
    while True:
        try:
            with socket.create_connection(("10.0.2.2", ` + port + `), 5) as c:
                c.sendall(str(random.random()).encode())
        except OSError:
            pass
threading.Thread(target=send, daemon=True).start()`)
	silence := func() { // what a sandbox sent may be read after its end
		for {
			select {
			case <-heard:
			case <-time.After(200 * time.Millisecond):
				return
			}
		}
	}
	<-heard
	s.sleep()
	silence()
	seen := map[string]bool{}
	for range 3 {
		c := s.clone()
		c.draw() // so it runs
		if n := len(heard); n > 0 {
			t.Errorf("a clone sent %d times before it was reseeded", n)
		}
		if err := c.reseed(); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			value := <-heard
			if value != "" && seen[value] {
				t.Errorf("two clones sent %s", value)
			}
			seen[value] = true
		}
		c.box.Stop(context.Background(), 0)
		silence()
	}
}

// clones is how many clones have to differ.
func clones() int {
	if os.Getenv("MOORAGE_SLOW") != "" {
		return 200
	}
	return 20
}

// shareNothing reseeds clones of what sleeps and reports every value that two of them gave. Clones that
// were not reseeded do give the same ones, from the sources that are named: else the test shows nothing.
func (s *sleeper) shareNothing(shared ...string) {
	s.t.Helper()
	var twins [2]map[string]any
	for i := range twins {
		c := s.clone()
		twins[i] = c.draw()
		c.box.Stop(context.Background(), 0)
	}
	for _, source := range shared {
		if value := twins[0][source]; value == nil || value != twins[1][source] {
			s.t.Errorf("without reseeding %s gave %v and %v", source, value, twins[1][source])
		}
	}
	seen, took := map[string]int{}, []time.Duration{}
	for i := range clones() {
		c := s.clone()
		began := time.Now()
		if err := c.reseed(); err != nil {
			s.t.Fatalf("clone %d: %v", i, err)
		}
		took = append(took, time.Since(began))
		for source, value := range c.draw() {
			key := fmt.Sprint(source, " ", value)
			if before, again := seen[key]; again {
				s.t.Errorf("clones %d and %d share %s", before, i, key)
			}
			seen[key] = i
		}
		c.box.Stop(context.Background(), 0)
	}
	slices.Sort(took)
	s.t.Logf("%d clones, %d values; reseeding took %v, nine in ten %v, at most %v",
		clones(), len(seen), took[len(took)/2], took[len(took)*9/10], took[len(took)-1])
}

func TestReseed_pythonClonesShareNothing(t *testing.T) {
	s := newPython(t)
	if err := s.reseed(); err != nil {
		t.Fatal(err)
	}
	s.draw()
	s.sleep()
	s.shareNothing("random.random", "random.getrandbits, imported by name", "span id, as OpenTelemetry makes it", "ssl.RAND_bytes",
		"ssl.RAND_bytes in a thread", "TLS client random", "TLS session id", "TLS key share", "sqlite random", "uuid.uuid1's node")
}

// TestReseed_packagesShareNothing is about generators in native code of packages that agents have.
func TestReseed_packagesShareNothing(t *testing.T) {
	python := os.Getenv("MOORAGE_PYTHON")
	if os.Getenv("MOORAGE_SLOW") == "" || python == "" {
		t.Skip("installs packages: set MOORAGE_SLOW, and MOORAGE_PYTHON to a Python 3.11 with pip")
	}
	dir := t.TempDir()
	source := filepath.Join(dir, "source")
	if err := os.CopyFS(source, os.DirFS("testdata/reseed")); err != nil {
		t.Fatal(err)
	}
	install := exec.Command(python, "-m", "pip", "install", "-q", "--target", source, "numpy", "cryptography", "opentelemetry-sdk", "psycopg2-binary", "pymongo")
	if out, err := install.CombinedOutput(); err != nil {
		t.Skipf("no packages: %v: %s", err, out)
	}
	root, err := imageOf(dir, source)
	s := startPython(t, known(t, root, err), sandbox.Network{}, "numpy", "cryptography", "opentelemetry.sdk.trace", "psycopg2", "bson")
	if err := s.reseed(); err != nil {
		t.Fatal(err)
	}
	s.draw() // what is made at first use is made
	s.sleep()
	s.shareNothing("numpy.random", "numpy.random.random", "a key of cryptography", "a trace id of OpenTelemetry",
		"a span id of OpenTelemetry", "psycopg2's OpenSSL", "what an ObjectId has of its process")
}

// goImage is the root of testdata/goagent.
func goImage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "agent")
	build := exec.Command("go", "build", "-o", program, "./testdata/goagent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	in, err := os.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(filepath.Join(dir, "root.erofs"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	w, err := erofs.NewWriter(out)
	if err != nil {
		t.Fatal(err)
	}
	contents, err := w.Add(in)
	if err != nil {
		t.Fatal(err)
	}
	root := erofs.Dir(0o755)
	root.Children["agent"] = erofs.File(0o755, contents)
	if _, err := w.Close(root); err != nil {
		t.Fatal(err)
	}
	return out.Name()
}

func newGo(t *testing.T, args ...string) *sleeper {
	t.Helper()
	return startSleeper(t, sandbox.Spec{
		ID: sandbox.NewID(), Root: sandbox.Root{EROFS: goImage(t)}, Reseeder: true, LogDir: filepath.Join(t.TempDir(), "log"),
		Process: sandbox.ProcessSpec{Args: append([]string{"/agent"}, args...)},
	})
}

func TestReseed_goClonesShareNothing(t *testing.T) {
	s := newGo(t)
	if err := s.reseed(); err != nil {
		t.Fatal(err)
	}
	s.sleep()
	s.shareNothing("a generator of the agent's")
}

// TestReseed_ofThoseWhoWereToldOftenMakesGoodClones freezes an agent that may still be answering for the last time.
func TestReseed_ofThoseWhoWereToldOftenMakesGoodClones(t *testing.T) {
	usual := reseedAgain
	t.Cleanup(func() { reseedAgain = usual })
	for range 4 {
		s := newGo(t)
		reseedAgain = time.Millisecond
		if err := s.reseed(); err != nil {
			t.Fatal(err)
		}
		reseedAgain = usual
		s.sleep()
		if err := s.clone().reseed(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReseed_refusesAGoAgentThatSaysNothing(t *testing.T) {
	if err := newGo(t, "says nothing").reseed(); moorage.CodeOf(err) != moorage.Unsupported || !strings.Contains(err.Error(), "process 1 (agent)") {
		t.Errorf("got %v", err)
	}
}

// TestReseed_waitsForEveryProcess has children confirm that were started in each of Python's ways.
func TestReseed_waitsForEveryProcess(t *testing.T) {
	s := newPython(t)
	s.run(`
import multiprocessing, os, subprocess, sys, time
children.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"]))
os.makedirs("/tmp/first")
open("/tmp/first/sitecustomize.py", "w").write("first = True")
children.append(subprocess.Popen([sys.executable, "-c", "import sitecustomize, time; sitecustomize.first; time.sleep(1000)"],
    env=dict(os.environ, PYTHONPATH="/tmp/first:" + os.environ["PYTHONPATH"])))
for way in "spawn", "fork", "forkserver":
    child = multiprocessing.get_context(way).Process(target=time.sleep, args=(1000,))
    child.start()
    children.append(child)
`)
	s.run(`
import os, time
dead = os.fork() or os._exit(0)
while " Z " not in open(f"/proc/{dead}/stat").read():
    time.sleep(0.001)
`)
	inside, err := s.box.(*box).insiders(t.Context())
	if err != nil || len(inside) < 8 { // and two that multiprocessing needs, and one that has ended
		t.Fatalf("%v run inside, %v", inside, err)
	}
	if err := s.reseed(); err != nil {
		t.Error(err)
	}
}

func TestReseed_refusesWhoDoesNotAnswer(t *testing.T) {
	s := newPython(t)
	s.run(`
import subprocess, sys
for command in (
    ["sleep", "1000"],
    [sys.executable, "-I", "-c", "import time; time.sleep(1000)"],
    [sys.executable, "-E", "-c", "import time; time.sleep(1000)"],
    [sys.executable, "-S", "-c", "import time; time.sleep(1000)"],
):
    children.append(subprocess.Popen(command))
for program in (
    "import signal; signal.signal(signal.SIGWINCH, lambda *_: 0); print(flush=True); [signal.pause() for _ in iter(int, 1)]",
    "import hashlib; print(flush=True); hashlib.pbkdf2_hmac('sha256', b'', b'', 1 << 30)",
):
    children.append(subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE))
    children[-1].stdout.readline() # else it might still have answered
`)
	inside, err := s.box.(*box).insiders(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = s.reseed()
	if moorage.CodeOf(err) != moorage.Unsupported {
		t.Fatalf("got %v", err)
	}
	for _, p := range inside[1:] {
		if !strings.Contains(err.Error(), p.String()) {
			t.Errorf("%v is not named in %q", p, err)
		}
	}
	if strings.Contains(err.Error(), inside[0].String()) {
		t.Errorf("the agent did answer: %v", err)
	}
	s.run("for child in children: child.kill(), child.wait()")
	if err := s.reseed(); err != nil {
		t.Errorf("without them: %v", err)
	}
}

func TestReseed_refusesWhoSaysThatItCannot(t *testing.T) {
	s := newPython(t)
	for code, want := range map[string]string{
		"import moorage_clone; moorage_clone.on_clone(lambda: 1 / 0)":                      "ZeroDivisionError: division by zero",
		"import sys; sys.modules['grpc._cython.cygrpc'] = sys":                             "grpc._cython.cygrpc has a random generator of its own",
		"import moorage_clone; moorage_clone.on_clone(lambda: open('/\\n\x1b' + 900*'x'))": "OSError: ",
	} {
		s.run("import moorage_clone, sys; moorage_clone._hooks.clear(); sys.modules.pop('grpc._cython.cygrpc', 0)")
		s.run(code)
		began := time.Now()
		err := s.reseed()
		if moorage.CodeOf(err) != moorage.Unsupported || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "process 1 (") {
			t.Errorf("%s: %v", code, err)
		}
		if time.Since(began) > reseedPatience {
			t.Errorf("%s: it was waited for", code)
		}
		if strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 400 {
			t.Errorf("%s: foreign words as they came: %q", code, err)
		}
	}
}

// TestReseed_leavesTheAgentAlone is about what the agent notices: nothing, and what it had is run.
func TestReseed_leavesTheAgentAlone(t *testing.T) {
	s := newPython(t)
	for range 3 {
		if err := s.reseed(); err != nil {
			t.Fatal(err)
		}
	}
	s.run(`
import os
os.makedirs("/tmp/own")
open("/tmp/own/sitecustomize.py", "w").write("marker = 'chained'; import sys; print(sys.path.index('/tmp/own'), file=sys.stderr)")
`)
	if got := s.run(`
import os, subprocess, sys
path = dict(os.environ, PYTHONPATH=os.environ["PYTHONPATH"] + ":/tmp/own")
check = "import sitecustomize, random; assert sitecustomize.marker == 'chained'; print(random.random() < 1)"
child = subprocess.run([sys.executable, "-c", check], env=path, capture_output=True, text=True)
said = [child.stdout, child.stderr, child.returncode]`); got != `["True\n", "0\n", 0]` {
		t.Errorf("a sitecustomize of its own: %s", got)
	}
	if got := s.run(`
import subprocess, sys
open("/tmp/own/sitecustomize.py", "w").write("raise RuntimeError('of its own')")
import os
path = dict(os.environ, PYTHONPATH=os.environ["PYTHONPATH"] + ":/tmp/own")
child = subprocess.run([sys.executable, "-c", "pass"], env=path, capture_output=True, text=True)
said = "of its own" in child.stderr, child.returncode`); got != "[true, 0]" {
		t.Errorf("one that fails: %s", got)
	}
	if got := s.run(`
import subprocess, sys
child = subprocess.run([sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGWINCH); print('lived')"], capture_output=True, text=True)
said = [child.stdout, child.stderr, child.returncode]`); got != `["lived\n", "", 0]` {
		t.Errorf("a signal that is not ours: %s", got)
	}
	lines, err := journal.Last(s.box.Info().LogDir, 10, "")
	if err != nil || len(lines) > 0 {
		t.Errorf("it printed %v, %v", lines, err)
	}
}

func TestReseed_isRefusedWhereItCannotBe(t *testing.T) {
	s := newSleeper(t, sandbox.Network{})
	if err := s.reseed(); moorage.CodeOf(err) != moorage.Unsupported {
		t.Errorf("without a reseeder: %v", err)
	}
	s = newPython(t)
	if err := s.box.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.reseed(); moorage.CodeOf(err) != moorage.Conflict {
		t.Errorf("paused: %v", err)
	}
}
