package warm_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/warm"
	"golang.org/x/sys/unix"
)

// trusting is a driver that takes the test agent's word for its randomness: it has none. Everything else
// is the shim's.
type trusting struct {
	engine
	refuse atomic.Bool // clones confirm nothing
}

type engine interface {
	sandbox.Preparer
	Build() string
}

func (d *trusting) Create(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	box, err := d.engine.Create(ctx, spec)
	return d.trust(box, err, nil)
}

func (d *trusting) Clone(ctx context.Context, dir string, as sandbox.CloneSpec) (sandbox.Sandbox, error) {
	box, err := d.engine.Clone(ctx, dir, as)
	var doubt error
	if d.refuse.Load() {
		doubt = moorage.Errorf(moorage.Unsupported, "process 7 (sh) did not confirm")
	}
	return d.trust(box, err, doubt)
}

func (d *trusting) Prepare(ctx context.Context, dir string, as sandbox.CloneSpec) (sandbox.Prepared, error) {
	box, err := d.engine.Prepare(ctx, dir, as)
	if err != nil {
		return nil, err
	}
	return prepared{trusted{box.(sandbox.Sleeper), nil}}, nil
}

type prepared struct{ trusted }

func (p prepared) Load(ctx context.Context) error { return p.Sleeper.(sandbox.Prepared).Load(ctx) }

func (d *trusting) trust(box sandbox.Sandbox, err, doubt error) (sandbox.Sandbox, error) {
	if err != nil {
		return nil, err
	}
	return trusted{box.(sandbox.Sleeper), doubt}, nil
}

type trusted struct {
	sandbox.Sleeper
	doubt error
}

func (b trusted) Reseed(context.Context) error { return b.doubt }

// cloning has h keep goldens, in a directory of its own.
func cloning(set warm.Settings, v ...moorage.Version) func(*house) {
	return func(h *house) {
		h.driver = &trusting{engine: h.shim}
		h.Starter.Driver = h.driver
		h.Starter.Goldens = &warm.Goldens{Dir: h.goldens()}
		h.Serve(runtimeID, set, v)
	}
}

func (h *house) goldens() string { return filepath.Join(h.dir, "golden") }

// golden waits until the golden of the only version stands so, and returns why.
func (h *house) golden(t testing.TB, want warm.GoldenState) (problem string) {
	t.Helper()
	eventually(t, "the golden is "+string(want), func() bool {
		s := h.State(runtimeID)
		problem = s[0].GoldenProblem
		return s[0].Golden == want
	})
	return problem
}

// session starts a sandbox as a session does whose pool is empty; it ends with the test.
func (h *house) session(t testing.TB, v moorage.Version) *warm.Agent {
	t.Helper()
	agent, err := h.Starter.Start(t.Context(), v, sandbox.NewID(), map[string]string{"session": "one"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		agent.Close()
		agent.Sandbox.Stop(context.Background(), 0)
	})
	return agent
}

// ask calls the test agent.
func ask(t testing.TB, a *warm.Agent, path string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://agent"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := a.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// snapshots are the names of what is in the directory of goldens.
func (h *house) snapshots(t testing.TB) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(h.goldens())
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestGolden_sessionsStartFromClones(t *testing.T) {
	v := version(t, 1)
	h := newHouse(t, cloning(warm.Settings{WarmUp: warm.WarmUp{Path: "/add"}}, v))
	h.golden(t, warm.GoldenKept)
	if left := h.boxes(t); len(left) > 0 {
		t.Errorf("making it left sandboxes: %v", left)
	}
	for range 2 {
		agent := h.session(t, v)
		if agent.StartedBy != "restore" || agent.StartTook <= 0 || len(agent.Steps) != 3 || agent.Sandbox.Info().Labels["session"] != "one" {
			t.Errorf("started by %q in %v: %v, %v", agent.StartedBy, agent.StartTook, agent.Steps, agent.Sandbox.Info().Labels)
		}
		if got := ask(t, agent, "/add"); got != "2" { // the warm-up call was the first
			t.Errorf("the clone counts to %q", got)
		}
	}
}

func TestGolden_poolsAreFilledWithClones(t *testing.T) {
	v := version(t, 1)
	h := newHouse(t, cloning(warm.Settings{WarmUp: warm.WarmUp{Path: "/add"}}, v))
	h.golden(t, warm.GoldenKept)
	h.Serve(runtimeID, warm.Settings{Floor: 2, WarmUp: warm.WarmUp{Path: "/add"}}, []moorage.Version{v})
	h.awaitReady(t, 2)
	for range 2 {
		if got := ask(t, h.take(t, v), "/add"); got != "2" {
			t.Errorf("the clone counts to %q", got)
		}
	}
}

func TestTake_restoresIntoAnEngineThatWaits(t *testing.T) {
	v, set := version(t, 1), warm.Settings{Floor: 1, WarmUp: warm.WarmUp{Path: "/add"}}
	h := newHouse(t, func(h *house) {
		h.Budget = 20 << 20 // enough for an engine, and not for a sandbox
		cloning(set, v)(h)
	})
	waits := func() bool { return h.State(runtimeID)[0].Ahead }
	for range 2 {
		eventually(t, "an engine waits", waits)
		agent := h.take(t, v)
		if got := ask(t, agent, "/add"); got != "2" || agent.StartedBy != "restore" || len(agent.Steps) != 3 {
			t.Errorf("started by %q in %v, it counts to %q", agent.StartedBy, agent.Steps, got)
		}
	}
	eventually(t, "an engine waits", waits)
	engine := h.aheadOf(t)
	killEngine(t, engine)
	eventually(t, "another waits in its place", func() bool { return waits() && h.aheadOf(t) != engine })
	h.Serve(runtimeID, set, nil)
	eventually(t, "none is left", func() bool { return len(h.boxes(t)) == 2 }) // of the sessions
}

// aheadOf is the sandbox of the engine that waits; "" while there is none.
func (h *house) aheadOf(t *testing.T) (id string) {
	all, err := h.shim.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, box := range all {
		if box.Info().Labels["pool"] != "" {
			id = box.Info().ID
		}
	}
	return id
}

// The engine's word counts: it confirms nothing for an agent that knows no reseeding.
func TestGolden_whatDoesNotReseedStartsAfresh(t *testing.T) {
	v := version(t, 1)
	h := newHouse(t, func(h *house) {
		cloning(warm.Settings{}, v)(h)
		h.Starter.Driver = h.shim
	})
	if why := h.golden(t, warm.GoldenRefused); why == "" {
		t.Error("it does not say why")
	}
	if got := h.session(t, v).StartedBy; got != "cold" {
		t.Errorf("started by %q", got)
	}
	if left := h.snapshots(t); len(left) > 0 {
		t.Errorf("left on disk: %v", left)
	}
}

func TestGolden_aCloneThatDoesNotReseedIsNeverUsed(t *testing.T) {
	v := version(t, 1)
	h := newHouse(t, cloning(warm.Settings{}, v))
	h.golden(t, warm.GoldenKept)
	h.driver.refuse.Store(true)
	agent := h.session(t, v)
	if agent.StartedBy != "cold" {
		t.Errorf("started by %q", agent.StartedBy)
	}
	if why := h.golden(t, warm.GoldenDegraded); !strings.Contains(why, "process 7 (sh)") {
		t.Errorf("the reason is %q", why)
	}
	eventually(t, "the clone is gone", func() bool { list := h.boxes(t); return len(list) == 1 && list[0] == agent.Sandbox.Info().ID })
}

func TestGolden_aDamagedOneIsMadeAnew(t *testing.T) {
	v := version(t, 1)
	h := newHouse(t, cloning(warm.Settings{}, version(t, 2)))
	h.golden(t, warm.GoldenKept)
	foreign := filepath.Join(t.TempDir(), h.snapshots(t)[0])
	if err := os.CopyFS(foreign, os.DirFS(filepath.Join(h.goldens(), filepath.Base(foreign)))); err != nil {
		t.Fatal(err)
	}
	h.Serve(runtimeID, warm.Settings{}, []moorage.Version{v})
	for name, harm := range map[string]func(image string, whole []byte) error{
		"changed": func(image string, b []byte) error { b[len(b)/2] ^= 1; return os.WriteFile(image, b, 0o600) },
		"cut":     func(image string, b []byte) error { return os.Truncate(image, int64(len(b)/2)) },
		"of another build": func(image string, _ []byte) error {
			manifest := filepath.Join(filepath.Dir(image), "snapshot.json")
			b, err := os.ReadFile(manifest)
			return errors.Join(err, os.WriteFile(manifest, []byte(strings.Replace(string(b), h.shim.Build(), "0123456789abcdef", 1)), 0o600))
		},
		"of another version": func(image string, _ []byte) error {
			dir := filepath.Dir(image)
			return errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(foreign)))
		},
	} {
		h.golden(t, warm.GoldenKept)
		image := filepath.Join(h.goldens(), h.snapshots(t)[0], "image")
		whole, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		if err := harm(image, whole); err != nil {
			t.Fatal(err)
		}
		agent := h.session(t, v)
		if agent.StartedBy != "cold" || ask(t, agent, "/add") != "1" {
			t.Errorf("%s: started by %q", name, agent.StartedBy)
		}
		eventually(t, "it is made anew", func() bool {
			h.Serve(runtimeID, warm.Settings{}, []moorage.Version{v}) // looks at it now
			return h.State(runtimeID)[0].Golden == warm.GoldenKept
		})
		if got := h.session(t, v).StartedBy; got != "restore" { // and forgets the failure
			t.Errorf("%s: the next session started by %q", name, got)
		}
	}
}

func TestGolden_aFullDiskIsNoReasonToFail(t *testing.T) {
	v := version(t, 1)
	h := newHouse(t, func(h *house) {
		if err := os.Mkdir(h.goldens(), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("tmpfs", h.goldens(), "tmpfs", 0, "size=512k"); err != nil {
			t.Skip("cannot mount a small file system:", err)
		}
		t.Cleanup(func() { unix.Unmount(h.goldens(), unix.MNT_DETACH) })
		cloning(warm.Settings{}, v)(h)
	})
	if why := h.golden(t, warm.GoldenDegraded); !strings.Contains(why, "disk") {
		t.Errorf("the reason is %q", why)
	}
	if got := h.session(t, v).StartedBy; got != "cold" {
		t.Errorf("started by %q", got)
	}
	h.close()
	if left := h.snapshots(t); len(left) > 0 {
		t.Errorf("half a snapshot is left: %v", left)
	}
}

func TestGolden_aFailedWarmUpCallIsTold(t *testing.T) {
	h := newHouse(t, cloning(warm.Settings{WarmUp: warm.WarmUp{Path: "/nothing-there"}}, version(t, 1)))
	if why := h.golden(t, warm.GoldenDegraded); !strings.Contains(why, "404") {
		t.Errorf("the reason is %q", why)
	}
}

func TestGolden_theNextServerFindsItAndClearsAwayTheRest(t *testing.T) {
	v := version(t, 1)
	h := newHouse(t, cloning(warm.Settings{}, v))
	h.golden(t, warm.GoldenKept)
	kept := h.snapshots(t)
	h.close()
	for _, name := range []string{kept[0] + ".new", runtimeID + ".1.ofanotherbuild", "gone-abcdefghij.1.whatever"} {
		if err := os.MkdirAll(filepath.Join(h.goldens(), name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	again := open(t, h.dir, cloning(warm.Settings{}, v))
	if again.State(runtimeID)[0].Golden != warm.GoldenKept || again.session(t, v).StartedBy != "restore" {
		t.Error("the golden was not found again")
	}
	eventually(t, "the rest is gone", func() bool { now := again.snapshots(t); return len(now) == 1 && now[0] == kept[0] })
	again.close()
	other := open(t, h.dir, func(h *house) {
		h.Starter.Limits.PIDs = 99
		cloning(warm.Settings{}, v)(h)
	})
	eventually(t, "it is made for the new limits", func() bool {
		now := other.snapshots(t)
		return len(now) == 1 && now[0] != kept[0] && other.State(runtimeID)[0].Golden == warm.GoldenKept
	})
}

func TestGolden_goesWithItsVersion(t *testing.T) {
	old, fresh := version(t, 1), version(t, 2)
	h := newHouse(t, cloning(warm.Settings{}, old))
	h.golden(t, warm.GoldenKept)
	before := h.snapshots(t)[0]
	h.Serve(runtimeID, warm.Settings{}, []moorage.Version{fresh})
	h.golden(t, warm.GoldenKept)
	if now := h.snapshots(t); len(now) != 1 || now[0] == before {
		t.Errorf("the goldens are %v, and were %s", now, before)
	}
	if got := h.session(t, old).StartedBy; got != "cold" {
		t.Errorf("a version that is not live started by %q", got)
	}
	if err := h.Drop(t.Context(), runtimeID); err != nil {
		t.Fatal(err)
	}
	if left := h.snapshots(t); len(left) > 0 {
		t.Errorf("goldens are left: %v", left)
	}
}

func TestTry_leavesAGolden(t *testing.T) {
	v := version(t, 1)
	h := newHouse(t, cloning(warm.Settings{}))
	try := func(set warm.Settings, mounts ...sandbox.Mount) {
		t.Helper()
		if err := h.Starter.Try(t.Context(), v, sandbox.NewID(), map[string]string{"trial": "one"}, mounts, set); err != nil {
			t.Fatal(err)
		}
		eventually(t, "no sandbox is left", func() bool { return len(h.boxes(t)) == 0 })
	}
	try(warm.Settings{Fresh: true})
	if left := h.snapshots(t); len(left) > 0 {
		t.Errorf("an owner who wants no clones has %v", left)
	}
	try(warm.Settings{})
	h.Serve(runtimeID, warm.Settings{}, []moorage.Version{v})
	h.golden(t, warm.GoldenKept)
	if got := h.session(t, v).StartedBy; got != "restore" {
		t.Errorf("started by %q", got)
	}
}

func TestParseWarmUp(t *testing.T) {
	for text, want := range map[string]warm.WarmUp{
		"":                 {},
		"/warm":            {Path: "/warm"},
		`{"prompt":"hi"}`:  {Payload: []byte(`{"prompt":"hi"}`)},
		"eyJwcm9tcHQiOjF9": {Payload: []byte(`{"prompt":1}`)},
	} {
		if got, err := warm.ParseWarmUp(text); err != nil || got.Path != want.Path || string(got.Payload) != string(want.Payload) {
			t.Errorf("%q is %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"warm", "{", "eyJ"} {
		if _, err := warm.ParseWarmUp(text); moorage.CodeOf(err) != moorage.Invalid {
			t.Errorf("%q: %v", text, err)
		}
	}
}
