package warm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/snapshot"
)

// Goldens keeps a golden snapshot of each version that can have one: a sandbox that was started afresh,
// answered a ping and its owner's warm-up call, and was frozen before it saw a caller. Sessions and
// pools start from clones of it, which is several times faster than a fresh start.
//
//	       freeze, then a clone that answers
//	none ─────────────────────────────────────▶ kept ──▶ clones
//	 ▲ │ └──▶ fresh starts only, until the next server   │
//	 │ └──────────▶ degraded ◀───────────────────────────┘ a clone failed
//	 └─── later ───────┘
//
// A clone is used only once every process in it confirmed that it has new entropy (sandbox.Reseeder).
// Whatever goes wrong, a fresh start takes its place: no call fails because of a golden.
//
// A golden is good for what it was made of alone: see Starter.goldenName. A snapshot that is not a live
// version's, as it would be started now, is removed. Nil keeps none.
type Goldens struct {
	Dir string // one directory for each; they hold what agents know when they start, sealed at rest

	mu     sync.Mutex
	of     map[poolKey]*golden
	making map[*golden]poolKey // of versions that are gone, too
	work   sync.WaitGroup      // what is made by nobody's goroutine but its own
}

// golden is the snapshot of one version, or the lack of it. Its fields but the first belong to Goldens.mu.
type golden struct {
	dir   string
	kept  bool               // it is there
	stop  context.CancelFunc // ends the making of it; nil when it is not being made
	done  chan struct{}      // closed when that ended
	never bool               // the version cannot be cloned, for the reason in retry.problem
	retry retry              // of making it; forgotten once a clone was of use
}

// GoldenState says how a version's golden snapshot stands.
type GoldenState string

const (
	GoldenNone     GoldenState = "none" // not made yet
	GoldenMaking   GoldenState = "making"
	GoldenKept     GoldenState = "kept"
	GoldenRefused  GoldenState = "fresh starts only"
	GoldenDegraded GoldenState = "degraded" // fresh starts for now
)

// settled reports whether nothing is to be done about the golden: it is there, or shall not be.
func (s GoldenState) settled() bool { return s == GoldenKept || s == GoldenRefused || s == "" }

// serve says in which directory the golden of a version is, if there is one. It returns those of other
// recipes, which are to be removed.
func (g *Goldens) serve(key poolKey, dir string) (stale []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.of == nil {
		g.of, g.making = map[poolKey]*golden{}, map[*golden]poolKey{}
	}
	if old := g.of[key]; old != nil {
		if old.dir == dir {
			return nil
		}
		stale = append(stale, g.forget(key, old))
	}
	_, err := snapshot.Open(dir)
	g.of[key] = &golden{dir: dir, kept: err == nil}
	return stale
}

// dropOthers forgets the goldens of a runtime's versions that keep does not name.
func (g *Goldens) dropOthers(runtimeID string, keep map[poolKey]bool) (dirs []string) {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for key, old := range g.of {
		if key.runtimeID == runtimeID && !keep[key] {
			dirs = append(dirs, g.forget(key, old))
		}
	}
	return dirs
}

// forget lets go of a golden and returns its directory, which is to be removed. The caller holds mu.
func (g *Goldens) forget(key poolKey, old *golden) (dir string) {
	delete(g.of, key)
	if old.stop != nil {
		old.stop()
	}
	return old.dir
}

// settled returns once no golden of a runtime is being made that nobody wants any more.
func (g *Goldens) settled(ctx context.Context, runtimeID string) error {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	var leaving []*golden
	for at, key := range g.making {
		if key.runtimeID == runtimeID && g.of[key] != at {
			leaving = append(leaving, at)
		}
	}
	g.mu.Unlock()
	for _, at := range leaving {
		select {
		case <-at.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// leave breaks off what is being made, and waits for what nobody else waits for.
func (g *Goldens) leave() {
	if g == nil {
		return
	}
	g.mu.Lock()
	for at := range g.making {
		at.stop()
	}
	g.mu.Unlock()
	g.work.Wait()
}

// find returns a version's golden, if it is kept.
func (g *Goldens) find(key poolKey) *golden {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if at := g.of[key]; at != nil && at.kept {
		return at
	}
	return nil
}

// begin returns the golden of a version if it is to be made now, for the caller to make and then to
// settle by made. Its context ends when nobody wants it any more.
func (g *Goldens) begin(key poolKey, now time.Time) (context.Context, *golden) {
	if g == nil {
		return nil, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	at := g.of[key]
	if at == nil || at.kept || at.stop != nil || at.never || !at.retry.due(now) {
		return nil, nil
	}
	ctx, stop := context.WithCancel(context.Background())
	at.stop, at.done = stop, make(chan struct{})
	g.making[at] = key
	return ctx, at
}

// made settles what begin began. What failed, or nobody wants any more, goes.
func (g *Goldens) made(key poolKey, at *golden, err error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	defer close(at.done)
	at.stop()
	at.stop = nil
	delete(g.making, at)
	if err == nil && g.of[key] == at {
		at.kept = true
		return nil
	}
	if err != nil {
		at.never = moorage.CodeOf(err) == moorage.Unsupported
		at.retry.failed(time.Now(), firstLine(err.Error()))
	}
	return snapshot.Remove(at.dir)
}

// failed puts a golden away whose clone was of no use, until it is made anew.
func (g *Goldens) failed(key poolKey, at *golden, err error) error {
	g.mu.Lock()
	if g.of[key] != at || !at.kept {
		g.mu.Unlock()
		return nil
	}
	at.kept = false
	at.retry.failed(time.Now(), firstLine(err.Error()))
	g.mu.Unlock()
	return snapshot.Remove(at.dir)
}

// worked notes that a clone was of use.
func (g *Goldens) worked(at *golden) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at.retry = retry{}
}

// state says how a version's golden stands, and why it is not kept.
func (g *Goldens) state(key poolKey) (state GoldenState, problem string) {
	if g == nil {
		return "", ""
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	at := g.of[key]
	if at == nil {
		return "", ""
	}
	switch {
	case at.kept:
		return GoldenKept, ""
	case at.never:
		return GoldenRefused, at.retry.problem
	case at.retry.problem != "":
		return GoldenDegraded, at.retry.problem
	case at.stop != nil:
		return GoldenMaking, ""
	}
	return GoldenNone, ""
}

// sweep removes what is in the directory and no version's golden: of other builds, of versions that
// are gone, of a server that was killed while it made one.
func (g *Goldens) sweep() (err error) {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	wanted := map[string]bool{}
	for _, at := range g.of {
		wanted[at.dir] = at.kept || at.stop != nil
		wanted[at.dir+snapshot.Unfinished] = at.stop != nil
	}
	g.mu.Unlock()
	found, _ := filepath.Glob(filepath.Join(g.Dir, "*"))
	for _, dir := range found {
		if !wanted[dir] {
			err = errors.Join(err, snapshot.Remove(dir))
		}
	}
	return err
}

func removeGoldens(dirs []string) (err error) {
	for _, dir := range dirs {
		err = errors.Join(err, snapshot.Remove(dir))
	}
	return err
}

// canClone reports whether v can have a golden at all. Session storage is bound when a sandbox starts.
func (s *Starter) canClone(v moorage.Version, set Settings) bool {
	_, ok := s.Driver.(sandbox.Cloner)
	return ok && s.Goldens != nil && !set.Fresh && v.Program != nil && v.Config.Storage == "" && s.Isolation != sandbox.None
}

// goldenDir is where the golden of v is, for this build on this machine.
func (s *Starter) goldenDir(v moorage.Version, w WarmUp) string {
	key := poolKey{v.RuntimeID, v.Number}
	return filepath.Join(s.Goldens.Dir, fmt.Sprintf("%s.%d.%s", key.runtimeID, key.number, s.goldenName(v, w)))
}

// goldenName is a digest of all that a golden depends on: what the sandbox is started from (its
// artifact, arguments, environment, limits), the engine's build, the processor, the warm-up call.
func (s *Starter) goldenName(v moorage.Version, w WarmUp) string {
	build := ""
	if driver, ok := s.Driver.(interface{ Build() string }); ok {
		build = driver.Build()
	}
	parts := []string{v.Program.Digest, s.recipe(v), build, runtime.GOARCH, processor(), w.Path, string(w.Payload)}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:12])
}

// processor names the features of this machine's processor. What is frozen on one cannot run on another
// that has fewer.
var processor = sync.OnceValue(func() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.SplitSeq(string(info), "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			if name = strings.TrimSpace(name); name == "flags" || name == "Features" {
				return value
			}
		}
	}
	return ""
})
