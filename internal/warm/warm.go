// Package warm turns a version into a running agent that answers.
//
// [Starter.Start] creates a sandbox for a version, waits until the agent in it answers ping, and
// hands it over as an [Agent]. [Pools] has that done ahead of need, and [Goldens] has it done once: later
// sandboxes are clones of that moment. When a start fails, the error says
// why in terms the agent's owner can act on: the exit code or signal, what was being waited for, and
// the last lines of stderr.
//
// The package knows no callers and no sessions: labels that identify those are passed through.
package warm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/journal"
)

// Starter starts agents on one driver. Its fields are set before the first Start.
type Starter struct {
	Driver    sandbox.Driver
	Isolation sandbox.Isolation // None runs agents as plain processes
	// Unpack returns a directory of the host that holds a program's root. None needs it.
	Unpack func(context.Context, moorage.Program) (dir string, err error)
	LogDir string         // journals of sandboxes live in LogDir/ID
	Limits sandbox.Limits // of each sandbox
	Region string         // as agents see it in AWS_REGION
	Door   string         // socket of the platform's own addresses in each sandbox; empty for none
	// Trust is a host directory that sandboxes have at TrustDir, where TrustsUs says so of a runtime. It holds what
	// their programs have to trust for the server to speak for other hosts.
	Trust    string
	TrustsUs func(runtimeID string) bool
	// Offer is what points agents at those addresses, beside what is set already; nil for nothing.
	Offer    func(v moorage.Version, set map[string]string) map[string]string
	Patience time.Duration // from start to the first healthy answer; default 30 s
	Goldens  *Goldens      // what sessions may be cloned from; nil starts every one afresh
	Log      *slog.Logger

	starting atomic.Int64 // sessions that are starting now; fills of pools wait for them
}

// Start brings up a sandbox of v, cloned from its golden where there is one, and returns when its agent
// answers. On failure nothing is left running; the journal stays. Mounts are bound into the sandbox as they are.
func (s *Starter) Start(ctx context.Context, v moorage.Version, id string, labels map[string]string, mounts []sandbox.Mount) (*Agent, error) {
	defer s.begin()()
	return s.bringUp(ctx, v, id, labels, mounts)
}

// bringUp is Start, for a session or a pool.
func (s *Starter) bringUp(ctx context.Context, v moorage.Version, id string, labels map[string]string, mounts []sandbox.Mount) (*Agent, error) {
	if len(mounts) == 0 {
		if agent := s.restore(ctx, v, id, labels); agent != nil {
			return agent, nil
		}
	}
	return s.start(ctx, v, id, labels, mounts)
}

// start is a fresh start.
func (s *Starter) start(ctx context.Context, v moorage.Version, id string, labels map[string]string, mounts []sandbox.Mount) (*Agent, error) {
	if v.Program == nil {
		return nil, moorage.Errorf(moorage.Conflict, "version %d of %s is not built yet", v.Number, v.RuntimeID)
	}
	began := time.Now()
	spec := s.spec(v, id, labels, mounts)
	if s.Isolation == sandbox.None {
		var err error
		if spec, err = s.plain(ctx, v.Program, spec); err != nil {
			return nil, err
		}
	}
	box, err := s.Driver.Create(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("create sandbox: %w", err)
	}
	agent := newAgent(box, v.Config.Protocol)
	created := time.Since(began)
	if err := s.AwaitReady(ctx, agent); err != nil {
		agent.Close()
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return nil, errors.Join(err, box.Stop(stop, 0))
	}
	agent.StartedBy, agent.StartTook = "cold", time.Since(began)
	agent.Steps = []moorage.Step{{Name: "create sandbox", Took: created}, {Name: "agent answers", Took: agent.StartTook - created}}
	return agent, nil
}

// Adopt makes an Agent of a sandbox that runs already, such as one found after a restart.
func (s *Starter) Adopt(box sandbox.Sandbox, v moorage.Version) *Agent {
	return newAgent(box, v.Config.Protocol)
}

// TrustDir is where sandboxes have Starter.Trust.
const TrustDir = "/run/moorage/trust"

func (s *Starter) spec(v moorage.Version, id string, labels map[string]string, mounts []sandbox.Mount) sandbox.Spec {
	p := v.Program
	if s.Trust != "" && s.TrustsUs(v.RuntimeID) {
		mounts = append(slices.Clone(mounts), sandbox.Mount{Source: s.Trust, Target: TrustDir, ReadOnly: true})
	}
	return sandbox.Spec{
		ID: id, Labels: labels, Root: sandbox.Root{EROFS: p.Root},
		Process: sandbox.ProcessSpec{Args: p.Args, Env: s.environment(v), Dir: p.Dir, User: p.User},
		Mounts:  mounts,
		Limits:  s.Limits,
		Network: sandbox.Network{Egress: sandbox.EgressPublic, Door: s.Door},
		LogDir:  filepath.Join(s.LogDir, id),

		Reseeder: true,
	}
}

// environment holds what is the same for every session of a version: nothing of a session may be
// in it, since frozen environments are shared. Of several values for one name the owner's wins, then
// the image's; programs differ in which they would take.
func (s *Starter) environment(v moorage.Version) []string {
	values := map[string]string{
		"AWS_REGION":         s.Region,
		"AWS_DEFAULT_REGION": s.Region,
		"DOCKER_CONTAINER":   "1", // the AgentCore Python SDK binds to all interfaces only when it sees this
	}
	for _, pair := range v.Program.Env {
		name, value, _ := strings.Cut(pair, "=")
		values[name] = value
	}
	maps.Copy(values, v.Config.Environment)
	if s.Offer != nil && s.Door != "" {
		maps.Copy(values, s.Offer(v, values))
	}
	env := make([]string, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		env = append(env, name+"="+values[name])
	}
	return env
}

// DefaultPatience is the contract's limit on an agent's start.
const DefaultPatience = 30 * time.Second

// AwaitReady polls until the agent answers, its sandbox ends, or Patience runs out. Start has done so
// already; it is for an adopted agent whose start nobody saw the end of.
func (s *Starter) AwaitReady(ctx context.Context, a *Agent) error {
	patience := s.Patience
	if patience == 0 {
		patience = DefaultPatience
	}
	var watcher sync.WaitGroup
	defer watcher.Wait()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	died := make(chan sandbox.Exit, 1)
	watcher.Go(func() {
		if exit, err := a.Sandbox.Wait(ctx); err == nil {
			died <- exit
		}
	})
	var last error
	for pause := 2 * time.Millisecond; ; pause = min(pause*5/4, 50*time.Millisecond) {
		err := a.answers(ctx)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil { // a try that our own patience cut short says nothing
			last = err
		}
		select {
		case exit := <-died:
			return a.failed("the agent "+exit.Cause+" before it answered "+a.probe(), nil)
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return a.failed(fmt.Sprintf("Runtime initialization time exceeded. Please make sure that initialization completes in %s. (Waited for %s; the last try said: %v)",
					seconds(patience), a.probe(), last), last)
			}
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// RemoveJournal forgets what a sandbox printed. Call it when the sandbox is gone for good.
func (s *Starter) RemoveJournal(id string) {
	if err := os.RemoveAll(filepath.Join(s.LogDir, id)); err != nil {
		s.Log.Warn("remove journal", "sandbox", id, "err", err)
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%gs", d.Seconds()) }

// lastWords is how many lines of stderr an error quotes.
const lastWords = 40

// Failure says why an agent failed; errors.As finds it for its LastWords.
type Failure struct {
	LastWords []string // the last lines of stderr, or of stdout when stderr is empty
	err       error
}

func (f *Failure) Error() string {
	if f.err == nil {
		return "the agent failed"
	}
	return f.err.Error()
}
func (f *Failure) Unwrap() error { return f.err }

// failed makes the error for an agent that did not do its part, quoting its last words.
func (a *Agent) failed(what string, cause error) error {
	words := a.LastWords()
	message := what
	if len(words) > 0 {
		message += ". Its last words:\n" + strings.Join(words, "\n")
	} else {
		message += ". It wrote nothing to stderr or stdout."
	}
	return &moorage.Error{Code: moorage.AgentFailed, Message: message, Err: &Failure{words, cause}}
}

// LastWords returns the end of the agent's stderr, or of its stdout when stderr is empty. That it
// answered our health checks, as many servers print, is not among them.
func (a *Agent) LastWords() []string { return wordsIn(a.Sandbox.Info().LogDir) }

func wordsIn(dir string) []string {
	for _, stream := range []string{"stderr", "stdout"} {
		lines, err := journal.Last(dir, lastLines, stream)
		if err != nil {
			continue
		}
		var words []string
		for _, l := range lines {
			if !healthCheck.MatchString(l.Text) {
				words = append(words, l.Text)
			}
		}
		if len(words) > 0 {
			return words[max(0, len(words)-lastWords):]
		}
	}
	return nil
}

// lastLines is how far back LastWords looks for words that are worth quoting.
const lastLines = 25 * lastWords

// healthCheck is a line of an access log that tells of a ping that went well.
var healthCheck = regexp.MustCompile(`\bGET /ping\b.*\b200\b`)
