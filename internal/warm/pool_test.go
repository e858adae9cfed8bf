package warm_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/sandboxtest"
	"github.com/moorage-dev/moorage/internal/sandbox/shim"
	"github.com/moorage-dev/moorage/internal/warm"
)

func TestMain(m *testing.M) {
	shim.Enter()
	code := m.Run()
	sandboxtest.Cleanup()
	os.Exit(code)
}

const runtimeID = "demo-abcdefghij"

// house is pools over real sandboxes, in a directory of its own.
type house struct {
	*warm.Pools
	dir    string
	shim   *shim.Client
	driver *trusting // of a house with goldens
	close  func()    // as a stopping server does; may be called twice
}

// open starts a house in dir, as a server does that comes back to it. prepare sees it before it runs.
func open(t testing.TB, dir string, prepare func(*house)) *house {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	client, err := shim.Open(t.Context(), shim.Options{Dir: dir, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{dir: dir, shim: client, Pools: &warm.Pools{Log: log, Starter: &warm.Starter{
		Driver: client, Isolation: sandbox.Kernel, LogDir: filepath.Join(dir, "logs"), Region: "us-east-1", Log: log,
	}}}
	prepare(h)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { h.Run(ctx) })
	h.close = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(h.close)
	return h
}

// newHouse opens a house whose sandboxes end with the test.
func newHouse(t testing.TB, prepare func(*house)) *house {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := shim.Shutdown(ctx, dir); err != nil {
			t.Error(err)
		}
	})
	return open(t, dir, prepare)
}

// version is the test agent in a mode.
func version(t testing.TB, number int, args ...string) moorage.Version {
	t.Helper()
	image := sandboxtest.BuildImage(t)
	if image.EROFS == "" {
		t.Skip("needs mkfs.erofs")
	}
	return moorage.Version{RuntimeID: runtimeID, Number: number, Status: moorage.Ready,
		Program: &moorage.Program{Root: image.EROFS, Args: append([]string{"/agent"}, args...)}}
}

// serving has h keep at least floor sandboxes of v ready.
func serving(floor int, v ...moorage.Version) func(*house) {
	return func(h *house) { h.Serve(runtimeID, warm.Settings{Floor: floor}, v) }
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never happened that", what)
		}
	}
}

// awaitReady waits until so many sandboxes are ready, and none is on its way.
func (h *house) awaitReady(t testing.TB, n int) {
	t.Helper()
	eventually(t, strconv.Itoa(n)+" sandboxes are ready", func() bool {
		state := h.State(runtimeID)
		return len(state) == 1 && state[0].Ready == n && state[0].Filling == 0
	})
}

// boxes are the ids of the sandboxes that run.
func (h *house) boxes(t testing.TB) (ids []string) {
	t.Helper()
	list, err := h.shim.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, box := range list {
		ids = append(ids, box.Info().ID)
	}
	return ids
}

// take opens a sandbox of the pool, which ends with the test.
func (h *house) take(t testing.TB, v moorage.Version) *warm.Agent {
	t.Helper()
	ready := h.Take(v)
	if ready == nil {
		t.Fatal("the pool is empty")
	}
	agent, err := ready.Open(t.Context(), map[string]string{"session": "s-" + ready.ID()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { agent.Sandbox.Stop(context.Background(), 0) })
	return agent
}

func TestTake_theFirstSessionIsColdAndTheSecondFromThePool(t *testing.T) {
	v := version(t, 1)
	h := newHouse(t, serving(0, v))
	if h.Take(v) != nil {
		t.Fatal("a version that nobody called has a ready sandbox")
	}
	h.awaitReady(t, 1)
	agent := h.take(t, v)
	info := agent.Sandbox.Info()
	if agent.StartedBy != "pool" || agent.StartTook <= 0 || len(info.Labels) != 1 || info.Labels["session"] != "s-"+info.ID {
		t.Errorf("started by %q in %v, labels %v", agent.StartedBy, agent.StartTook, info.Labels)
	}
	known, err := h.shim.Lookup(t.Context(), info.ID)
	if err != nil || known.Info().Labels["session"] != "s-"+info.ID || known.Info().Labels["pool"] != "" {
		t.Errorf("the shim knows the sandbox as %v, %v", known, err)
	}
	h.awaitReady(t, 1)
	if h.State(runtimeID)[0].MemoryBytes <= 0 {
		t.Error("what a ready sandbox takes is not counted")
	}
}

func TestTake_sessionsAtOnceNeverShareASandbox(t *testing.T) {
	v := version(t, 1)
	h := newHouse(t, serving(4, v))
	h.awaitReady(t, 4)
	var all sync.WaitGroup
	taken := make(chan string, 12)
	for range cap(taken) {
		all.Go(func() {
			ready := h.Take(v)
			if ready == nil {
				return
			}
			agent, err := ready.Open(t.Context(), map[string]string{"session": "one"})
			if err != nil {
				t.Error(err)
				return
			}
			taken <- agent.Sandbox.Info().ID
			agent.Sandbox.Stop(context.Background(), 0)
		})
	}
	all.Wait()
	close(taken)
	seen := map[string]bool{}
	for id := range taken {
		if seen[id] {
			t.Errorf("two sessions got the sandbox %s", id)
		}
		seen[id] = true
	}
	if len(seen) < 4 {
		t.Errorf("%d of 4 ready sandboxes were handed over", len(seen))
	}
}

func TestServe_anUpdateMakesThePoolStale(t *testing.T) {
	old, fresh := version(t, 1), version(t, 2)
	h := newHouse(t, serving(2, old))
	h.awaitReady(t, 2)
	before := h.boxes(t)
	h.Serve(runtimeID, warm.Settings{Floor: 1}, []moorage.Version{fresh})
	if h.Take(old) != nil {
		t.Error("a session got a sandbox of a version that is live nowhere")
	}
	h.awaitReady(t, 1)
	eventually(t, "only the new version's sandbox is left", func() bool {
		now := h.boxes(t)
		return len(now) == 1 && now[0] != before[0] && now[0] != before[1]
	})
}

func TestDrop_leavesNothing(t *testing.T) {
	v := version(t, 1)
	h := newHouse(t, serving(3, v))
	eventually(t, "one is ready and others are on their way", func() bool { return h.State(runtimeID)[0].Ready >= 1 })
	if err := h.Drop(t.Context(), runtimeID); err != nil {
		t.Fatal(err)
	}
	if left := h.boxes(t); len(left) > 0 {
		t.Errorf("sandboxes are left: %v", left)
	}
	if journals, _ := os.ReadDir(filepath.Join(h.dir, "logs")); len(journals) > 0 {
		t.Errorf("journals are left: %v", journals)
	}
	if state := h.State(runtimeID); len(state) > 0 {
		t.Errorf("pools are left: %+v", state)
	}
}

// killEngine kills a sandbox from outside, as the kernel does when memory runs out.
func killEngine(t *testing.T, id string) {
	t.Helper()
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		b, _ := os.ReadFile(path)
		if pid, err := strconv.Atoi(strings.Split(path, "/")[2]); err == nil && strings.Contains(string(b), id) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

func TestDeathInThePool_isReplaced(t *testing.T) {
	v := version(t, 1)
	h := newHouse(t, serving(1, v))
	h.awaitReady(t, 1)
	dead := h.boxes(t)[0]
	killEngine(t, dead)
	eventually(t, "the death is seen", func() bool { s := h.State(runtimeID)[0]; return s.Problem != "" || s.Filling > 0 })
	h.awaitReady(t, 1)
	if now := h.boxes(t); len(now) != 1 || now[0] == dead {
		t.Errorf("sandboxes %v, want one that is not %s", now, dead)
	}
	if h.take(t, v).Sandbox.Info().ID == dead {
		t.Error("a dead sandbox was handed over")
	}
}

func TestOpen_ofADeadSandboxFailsAndLeavesNothing(t *testing.T) {
	v := version(t, 1)
	h := newHouse(t, serving(1, v))
	h.awaitReady(t, 1)
	ready := h.Take(v)
	h.Serve(runtimeID, warm.Settings{}, nil)
	killEngine(t, ready.ID())
	if _, err := ready.Open(t.Context(), nil); err == nil {
		t.Error("a dead sandbox was opened")
	}
	eventually(t, "nothing is left", func() bool { return len(h.boxes(t)) == 0 })
}

func TestRestart_adoptsReadySandboxes(t *testing.T) {
	v := version(t, 1)
	h := newHouse(t, serving(2, v))
	h.awaitReady(t, 2)
	before := h.boxes(t)
	h.close()
	again := open(t, h.dir, serving(2, v))
	again.awaitReady(t, 2)
	if after := again.boxes(t); strings.Join(after, " ") != strings.Join(before, " ") {
		t.Errorf("the sandboxes are %v, and were %v", after, before)
	}
	again.take(t, v)
}

func TestRestart_clearsWhatWouldBeStartedOtherwiseNow(t *testing.T) {
	v := version(t, 1)
	h := newHouse(t, serving(1, v))
	h.awaitReady(t, 1)
	before := h.boxes(t)[0]
	h.close()
	again := open(t, h.dir, func(h *house) {
		h.Starter.Limits.PIDs = 99
		h.Serve(runtimeID, warm.Settings{Floor: 1}, []moorage.Version{v})
	})
	again.awaitReady(t, 1)
	if after := again.boxes(t); len(after) != 1 || after[0] == before {
		t.Errorf("the sandboxes are %v, and were %s under other limits", after, before)
	}
}

func TestPools_stayInsideTheMemoryBudget(t *testing.T) {
	v := version(t, 1)
	h := newHouse(t, func(h *house) {
		h.Budget = 100 << 20 // one that is guessed at 64 MiB; then as many as are measured to fit
		h.Serve(runtimeID, warm.Settings{Floor: 8}, []moorage.Version{v})
	})
	eventually(t, "the budget is used", func() bool {
		s := h.State(runtimeID)[0]
		return s.Ready > 0 && s.Filling == 0 && s.MemoryBytes*int64(s.Ready+1)/int64(s.Ready) > h.Budget || s.Ready == s.Want
	})
	if s := h.State(runtimeID)[0]; s.MemoryBytes > h.Budget {
		t.Errorf("%d bytes are in use", s.MemoryBytes)
	}
	none := newHouse(t, func(h *house) {
		h.Budget = 1
		h.Serve(runtimeID, warm.Settings{Floor: 8}, []moorage.Version{v})
	})
	none.Take(v)
	if s := none.State(runtimeID)[0]; s.Ready+s.Filling > 0 || s.Want != 8 {
		t.Errorf("without memory the pool is %+v", s)
	}
}

func TestPools_leaveRoomForSessions(t *testing.T) {
	v := version(t, 1)
	var mu sync.Mutex
	room := 2
	h := newHouse(t, func(h *house) {
		h.Room = func() int { mu.Lock(); defer mu.Unlock(); return room }
		h.Serve(runtimeID, warm.Settings{Floor: 5}, []moorage.Version{v})
	})
	h.awaitReady(t, 2)
	mu.Lock()
	room = 1
	mu.Unlock()
	h.Serve(runtimeID, warm.Settings{Floor: 5}, []moorage.Version{v}) // looks at the pools now
	h.awaitReady(t, 1)
}

func TestServe_someVersionsHaveNoPool(t *testing.T) {
	stored, unbuilt := version(t, 1), version(t, 2)
	stored.Config.Storage, unbuilt.Program = "/mnt/data", nil
	h := newHouse(t, serving(1, stored, unbuilt))
	if state := h.State(runtimeID); len(state) > 0 || h.Take(stored) != nil {
		t.Errorf("pools %+v", state)
	}
	var none *warm.Pools
	none.Serve(runtimeID, warm.Settings{Floor: 1}, []moorage.Version{stored})
	if none.Take(stored) != nil || none.Drop(t.Context(), runtimeID) != nil || none.State(runtimeID) != nil {
		t.Error("no pools are not no pools")
	}
}

func TestFill_thatFailsSaysWhyAndWaits(t *testing.T) {
	h := newHouse(t, serving(1, version(t, 1, "exit", "7")))
	eventually(t, "the failure shows", func() bool { return strings.Contains(h.State(runtimeID)[0].Problem, "status 7") })
	if left := h.boxes(t); len(left) > 0 {
		t.Errorf("sandboxes are left: %v", left)
	}
}
