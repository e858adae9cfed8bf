package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/image/erofs"
)

// TaskDir is where code lies in its root, and its working directory.
const TaskDir = "/var/task"

// Code is a zip of source, and how to start it.
type Code struct {
	Zip        string   // host path
	Runtime    string   // PYTHON_3_10 … PYTHON_3_14 or NODE_22
	EntryPoint []string // one file, or a launcher such as "opentelemetry-instrument" and a file

	// BaseRef is an image to put the code on, instead of the root that is baked from the
	// interpreter of this machine.
	BaseRef string
	Cred    Credentials // for BaseRef
}

// Code makes the artifact of a zip: the code at /var/task on a base, with the dependencies that
// requirements.txt or pyproject.toml name unless the zip brings them along. Dependencies are
// installed through run; nil refuses code that needs any.
func (s *Store) Code(ctx context.Context, c Code, run Runner, progress func(Step)) (Artifact, error) {
	s.sweeping.RLock()
	defer s.sweeping.RUnlock()
	steps := stopwatch{report: progress, since: time.Now()}
	language, err := languageOf(c.Runtime)
	if err != nil {
		return Artifact{}, err
	}
	args, err := language.command(c.EntryPoint)
	if err != nil {
		return Artifact{}, err
	}
	digest, err := s.zipDigest(c.Zip)
	if err != nil {
		return Artifact{}, err
	}
	base, err := s.base(ctx, c, language)
	if err != nil {
		return Artifact{}, err
	}
	steps.done("prepare " + language.name)
	p := &project{store: s, code: c, digest: digest, base: base, language: language, args: args, run: run}
	return p.build(ctx, &steps)
}

// zipDigest also refuses a zip that is too large before anything reads it.
func (s *Store) zipDigest(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(f, s.limits.ZipBytes+1))
	if err != nil {
		return "", err
	}
	if n > s.limits.ZipBytes {
		return "", moorage.Errorf(moorage.Invalid, "the zip is larger than %d MB", s.limits.ZipBytes>>20)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// foundation is what code is put on.
type foundation struct {
	digest string
	apply  func(context.Context, *builder) (Config, error)
	prefix string // of the interpreter, such as /usr/local
}

// base returns the image that was named, or the baked root.
func (s *Store) base(ctx context.Context, c Code, l language) (foundation, error) {
	if c.BaseRef == "" {
		return s.bakedBase(ctx, l)
	}
	src, err := s.pull(ctx, c.BaseRef, c.Cred)
	if err != nil {
		return foundation{}, err
	}
	return foundation{digest: src.digest, apply: func(ctx context.Context, b *builder) (Config, error) {
		return src.fill(ctx, b, s.limits)
	}}, nil
}

// project is one zip on its way to an artifact.
type project struct {
	store    *Store
	code     Code
	digest   string // of the zip
	base     foundation
	language language
	args     []string
	run      Runner
}

func (p *project) build(ctx context.Context, steps *stopwatch) (Artifact, error) {
	plan, err := p.plan()
	if err != nil {
		return Artifact{}, err
	}
	id := p.id("artifact", plan.id())
	if a, err := p.store.reuse(id); err == nil {
		steps.done("reuse the artifact")
		return a, nil
	}
	var layer string
	if !plan.empty() {
		if layer, err = p.install(ctx, plan); err != nil {
			return Artifact{}, err
		}
		steps.done("install dependencies")
	}
	a, err := p.store.artifact(ctx, id, "code "+p.digest, func(ctx context.Context, b *builder) (Config, error) {
		return p.fill(ctx, b, plan, layer)
	})
	steps.done("write the root file system")
	return a, err
}

// id names something made from this project: equal inputs, equal ids.
func (p *project) id(parts ...string) string {
	raw, err := json.Marshal(append(parts, format, p.base.digest, p.digest, strings.Join(p.args, "\x00")))
	if err != nil {
		panic(err) // strings always encode
	}
	return digestOf(raw)
}

func digestOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// fill puts base, dependencies and code together.
func (p *project) fill(ctx context.Context, b *builder, plan plan, layer string) (Config, error) {
	config, err := p.base.apply(ctx, b)
	if err != nil {
		return Config{}, err
	}
	if layer != "" {
		if err := applyFile(b, layer); err != nil {
			return Config{}, fmt.Errorf("apply dependencies: %w", err)
		}
	}
	task, err := p.unzip(b)
	if err != nil {
		return Config{}, err
	}
	plan.strip(task)
	if p.language.entry(task, p.args) == nil {
		return Config{}, moorage.Errorf(moorage.Invalid, "entry point %q is not in the zip", p.args[len(p.args)-1])
	}
	if err := b.graft(TaskDir, task); err != nil {
		return Config{}, err
	}
	config.Args, config.Dir = p.args, TaskDir
	return config, nil
}

// unzip bounds the code by its own limit beside the root's.
func (p *project) unzip(b *builder) (*erofs.Node, error) {
	f, err := os.Open(p.code.Zip)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b.layer++
	outer := b.budget
	b.budget = min(outer, p.store.limits.CodeBytes)
	given := b.budget
	task, err := b.unzip(f, info.Size())
	b.budget = outer - (given - b.budget)
	if errors.Is(err, errBudget) {
		return nil, moorage.Errorf(moorage.Invalid, "the zip holds more than %d MB", p.store.limits.CodeBytes>>20)
	}
	return task, err
}

func applyFile(b *builder, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return b.apply(f)
}

// language is a runtime of the contract.
type language struct {
	name    string // for people: "Python 3.11"
	program string // on PATH in the root: "python"
	version string // "3.11", or "22"
}

// languages are those of the contract's enum.
var languages = map[string]language{
	"PYTHON_3_10": {"Python 3.10", "python", "3.10"},
	"PYTHON_3_11": {"Python 3.11", "python", "3.11"},
	"PYTHON_3_12": {"Python 3.12", "python", "3.12"},
	"PYTHON_3_13": {"Python 3.13", "python", "3.13"},
	"PYTHON_3_14": {"Python 3.14", "python", "3.14"},
	"NODE_22":     {"Node.js 22", "node", "22"},
}

func languageOf(runtime string) (language, error) {
	l, ok := languages[runtime]
	if !ok {
		return l, moorage.Errorf(moorage.Invalid, "%q is not a runtime; it is one of PYTHON_3_10 to PYTHON_3_14 and NODE_22", runtime)
	}
	return l, nil
}

func (l language) python() bool { return l.program == "python" }

// command is what the entry point starts: "main.py" runs as "python main.py", and
// "opentelemetry-instrument", "main.py" as "opentelemetry-instrument python main.py".
func (l language) command(entryPoint []string) ([]string, error) {
	switch len(entryPoint) {
	case 1:
		return []string{l.program, entryPoint[0]}, nil
	case 2:
		return []string{entryPoint[0], l.program, entryPoint[1]}, nil
	}
	return nil, moorage.Errorf(moorage.Invalid, "the entry point has %d parts; it is a file, or a launcher and a file", len(entryPoint))
}

// entry returns the file that args start, nil if the zip does not hold it.
func (l language) entry(task *erofs.Node, args []string) *erofs.Node {
	t := &tree{root: task}
	name := args[len(args)-1]
	n, err := t.lookup(path.Clean("/"+strings.TrimPrefix(name, TaskDir)), true)
	if err != nil || n == nil || n.IsDir() {
		return nil
	}
	return n
}

// stopwatch reports how long each step took.
type stopwatch struct {
	report func(Step)
	since  time.Time
}

func (w *stopwatch) done(name string) {
	now := time.Now()
	if w.report != nil {
		w.report(Step{Name: name, Took: now.Sub(w.since)})
	}
	w.since = now
}
