package control_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/control"
	"github.com/moorage-dev/moorage/internal/identity/bearer"
	"github.com/moorage-dev/moorage/internal/image"
	"github.com/moorage-dev/moorage/internal/object"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/session"
	"github.com/moorage-dev/moorage/internal/session/sessiontest"
	"github.com/moorage-dev/moorage/internal/store"
)

func TestMain(m *testing.M) { sessiontest.Main(m) }

const (
	region  = "us-east-1"
	account = "123456789012"
	role    = "arn:aws:iam::" + account + ":role/agent"
)

// plane is a control plane with a registry to push to.
type plane struct {
	*control.Service
	house    *sessiontest.House
	registry string // host:port
	images   *image.Store
	log      *slog.Logger
}

// newPlane opens a control plane that does nothing by itself before run.
func newPlane(t *testing.T) *plane {
	t.Helper()
	p := &plane{house: sessiontest.New(t), log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	var images *image.Store
	srv := httptest.NewUnstartedServer(nil)
	p.registry = srv.Listener.Addr().String()
	images, err := image.Open(image.Options{Dir: filepath.Join(p.house.Dir, "images"), Log: p.log, RegistryHost: p.registry})
	if err != nil {
		t.Fatal(err)
	}
	srv.Config.Handler = images.Registry()
	srv.Start()
	t.Cleanup(srv.Close)
	p.images = images
	p.open(t)
	return p
}

func (p *plane) open(t *testing.T) {
	t.Helper()
	p.Service = &control.Service{
		Store: p.house.Store, Warm: p.house.Warm, Sessions: p.house.Manager, Region: region, Account: account, Isolation: sandbox.Kernel, Log: p.log,
		Builder: &control.Builder{
			Images: p.images, Objects: &object.Store{Dir: filepath.Join(p.house.Dir, "objects")}, Driver: p.house.Shim, Isolation: sandbox.Kernel,
			Dir: filepath.Join(p.house.Dir, "builds"), Log: p.log,
		},
	}
	if err := p.Builder.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// restart opens house and control plane again, as the next server does.
func (p *plane) restart(t *testing.T) {
	t.Helper()
	p.house.Restart(t)
	p.open(t)
}

// run starts the reconcile loop and returns what stops it.
func (p *plane) run(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var loop sync.WaitGroup
	loop.Go(func() { p.Run(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		loop.Wait()
	})
	t.Cleanup(stop)
	return stop
}

// push makes an image of the test agent with the given arguments, and returns its reference.
func (p *plane) push(t *testing.T, args ...string) string {
	t.Helper()
	program, err := os.ReadFile(sessiontest.Agent(t))
	if err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		err := w.WriteHeader(&tar.Header{Name: "agent", Mode: 0o755, Size: int64(len(program))})
		_, e := w.Write(program)
		return io.NopCloser(&b), errors.Join(err, e, w.Close())
	})
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Config.Entrypoint = append([]string{"/agent"}, args...)
	if img, err = mutate.ConfigFile(img, file); err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(fmt.Sprintf("%s/agent:%s", p.registry, strings.Join(append(args, "tag"), "-")), name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img, remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	return ref.String()
}

func config(uri string) moorage.Config {
	return moorage.Config{
		RoleARN: role, Container: &moorage.ContainerImage{URI: uri}, Network: moorage.Network{Mode: "PUBLIC"},
		Lifecycle: moorage.Lifecycle{Idle: moorage.DefaultIdle, Max: moorage.DefaultMax},
	}
}

func (p *plane) create(t *testing.T, name, uri string) string {
	t.Helper()
	made, err := p.Create(t.Context(), control.CreateRequest{Name: name, Config: config(uri)})
	if err != nil {
		t.Fatal(err)
	}
	return made.Runtime.ID
}

// settled waits until a runtime is no longer in progress.
func (p *plane) settled(t *testing.T, id string) control.Created {
	t.Helper()
	var got control.Created
	sessiontest.Eventually(t, id+" settles", func() (done bool) {
		var err error
		if got, err = p.Get(t.Context(), id, 0); err != nil {
			t.Fatal(err)
		}
		return !got.Runtime.Status.InProgress()
	})
	return got
}

func (p *plane) ready(t *testing.T, id string) {
	t.Helper()
	if got := p.settled(t, id); got.Runtime.Status != moorage.Ready {
		t.Fatalf("%s is %s: %s", id, got.Runtime.Status, got.Runtime.FailureReason)
	}
}

// open begins a session on an endpoint.
func (p *plane) session(t *testing.T, id, endpoint, caller string) *session.Lease {
	t.Helper()
	target, err := p.Resolve(id, endpoint)
	if err != nil {
		t.Fatal(err)
	}
	l, err := p.Sessions.Acquire(t.Context(), session.Key{RuntimeID: id, Endpoint: target.Endpoint.Name, Owner: "alice", CallerID: caller}, target.Version)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func wantCode(t *testing.T, what string, err error, want moorage.Code) {
	t.Helper()
	if moorage.CodeOf(err) != want {
		t.Errorf("%s: %v, want %q", what, err, want)
	}
}

func TestCreate_fromARegistryToASession(t *testing.T) {
	p := newPlane(t)
	p.run(t)
	id := p.create(t, "demo", p.push(t))
	p.ready(t, id)
	l := p.session(t, id, "", "one")
	defer l.Release()
	_, e, err := p.Endpoint(t.Context(), id, moorage.DefaultEndpoint)
	if err != nil || e.Status != moorage.Ready || e.Live != 1 || e.Target != 1 {
		t.Errorf("endpoint = %+v, %v", e, err)
	}
	if boxes, err := p.house.Shim.List(t.Context()); err != nil || len(boxes) != 1 {
		t.Errorf("%d sandboxes, %v; the trial start leaves none", len(boxes), err)
	}
	if steps := p.Steps(id, 1); len(steps) == 0 || steps[len(steps)-1].Name != "trial start" {
		t.Errorf("steps = %+v", steps)
	}
}

func TestCreate_failedStartKeepsTheAgentsLastWords(t *testing.T) {
	p := newPlane(t)
	p.run(t)
	id := p.create(t, "demo", p.push(t, "exit", "3"))
	got := p.settled(t, id)
	if got.Runtime.Status != moorage.CreateFailed || !strings.Contains(got.Runtime.FailureReason, "these are my last words") ||
		!slices.Contains(got.Version.LastWords, "these are my last words") {
		t.Errorf("runtime %+v, last words %q", got.Runtime, got.Version.LastWords)
	}
	_, err := p.Resolve(id, "")
	wantCode(t, "a call to it", err, moorage.Conflict)
	_, e, err := p.Endpoint(t.Context(), id, moorage.DefaultEndpoint)
	if err != nil || e.Status != moorage.CreateFailed || e.FailureReason == "" {
		t.Errorf("endpoint = %+v, %v", e, err)
	}
	if _, err := p.Update(t.Context(), id, config(p.push(t)), ""); err != nil {
		t.Fatal(err)
	}
	p.ready(t, id)
	if _, err := p.Resolve(id, ""); err != nil {
		t.Errorf("after the repair: %v", err)
	}
}

func TestCreate_oneNameOnce(t *testing.T) {
	p := newPlane(t)
	var all sync.WaitGroup
	codes := make([]moorage.Code, 8)
	for i := range codes {
		all.Go(func() {
			_, err := p.Create(t.Context(), control.CreateRequest{Name: "demo", Config: config("a/b:1")})
			codes[i] = moorage.CodeOf(err)
		})
	}
	all.Wait()
	slices.Sort(codes)
	if codes[0] != "" || codes[1] != moorage.Conflict || codes[7] != moorage.Conflict {
		t.Errorf("outcomes = %q, want one success and conflicts", codes)
	}
}

func TestChangesInProgressConflict(t *testing.T) {
	p := newPlane(t)
	id := p.create(t, "demo", "a/b:1") // nothing builds it: it stays CREATING
	_, err := p.Update(t.Context(), id, config("a/b:2"), "")
	wantCode(t, "update while CREATING", err, moorage.Conflict)
	_, err = p.Delete(t.Context(), id, 0, "")
	wantCode(t, "delete while CREATING", err, moorage.Conflict)
	_, err = p.UpdateEndpoint(t.Context(), control.EndpointRequest{RuntimeID: id, Name: "DEFAULT"})
	wantCode(t, "update of an endpoint while CREATING", err, moorage.Conflict)
	_, err = p.Resolve(id, "")
	wantCode(t, "a call while CREATING", err, moorage.Conflict)
}

func TestTokens_repeatTheFirstAnswer(t *testing.T) {
	p := newPlane(t)
	p.run(t)
	const token = "a-token-of-the-client-0123456789-abc"
	req := control.CreateRequest{Name: "demo", Config: config(p.push(t)), Token: token}
	req.Config.Environment = map[string]string{"A": "1"}
	first, err := p.Create(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	again, err := p.Create(t.Context(), req)
	if err != nil || again.Runtime.ID != first.Runtime.ID || again.Version.Number != 1 {
		t.Errorf("again = %+v, %v", again, err)
	}
	req.Config.Environment = map[string]string{"A": "2"}
	_, err = p.Create(t.Context(), req)
	var refused *moorage.Error
	if !errors.As(err, &refused) || refused.Reason != "IdempotentParameterMismatchException" {
		t.Errorf("other parameters: %v", err)
	}
	id := first.Runtime.ID
	p.ready(t, id)
	for range 2 {
		got, err := p.Update(t.Context(), id, config(p.push(t)), token)
		if err != nil || got.Version.Number != 2 {
			t.Errorf("update = %+v, %v", got, err)
		}
	}
	p.ready(t, id)
	for range 2 {
		e, err := p.CreateEndpoint(t.Context(), control.EndpointRequest{RuntimeID: id, Name: "prod", Token: token})
		if err != nil || e.Target != 2 {
			t.Errorf("endpoint = %+v, %v", e, err)
		}
	}
	for range 2 {
		if err := p.DeleteEndpoint(t.Context(), id, "prod", token); err != nil {
			t.Error("delete endpoint:", err)
		}
	}
	if _, err := p.Delete(t.Context(), id, 0, token); err != nil {
		t.Fatal(err)
	}
	p.gone(t, id)
	if rt, err := p.Delete(t.Context(), id, 0, token); err != nil || rt.ID != id {
		t.Errorf("delete again = %+v, %v", rt, err)
	}
	_, err = p.Delete(t.Context(), id, 0, "")
	wantCode(t, "delete without the token", err, moorage.NotFound)
}

func (p *plane) gone(t *testing.T, id string) {
	t.Helper()
	sessiontest.Eventually(t, id+" is gone", func() bool {
		_, err := p.Get(t.Context(), id, 0)
		return moorage.CodeOf(err) == moorage.NotFound
	})
}

func TestUpdate_sessionsKeepTheirVersionAndEndpointsTheirs(t *testing.T) {
	p := newPlane(t)
	p.run(t)
	uri := p.push(t)
	id := p.create(t, "demo", uri)
	p.ready(t, id)
	if _, err := p.CreateEndpoint(t.Context(), control.EndpointRequest{RuntimeID: id, Name: "prod"}); err != nil {
		t.Fatal(err)
	}
	l := p.session(t, id, "", "one")
	l.Release()
	made, err := p.Update(t.Context(), id, config(uri), "")
	if err != nil || made.Version.Number != 2 || made.Version.Config.Description != "" {
		t.Fatalf("update = %+v, %v", made, err)
	}
	p.ready(t, id)
	for endpoint, want := range map[string]int{"": 2, "prod": 1} {
		if target, err := p.Resolve(id, endpoint); err != nil || target.Version.Number != want {
			t.Errorf("endpoint %q runs version %d, %v; want %d", endpoint, target.Version.Number, err, want)
		}
	}
	old := p.session(t, id, "", "one")
	if old.Session.ID != l.Session.ID || old.Session.Version != 1 {
		t.Errorf("the session moved to version %d", old.Session.Version)
	}
	old.Release()
	_, err = p.Delete(t.Context(), id, 1, "")
	wantCode(t, "delete a version that an endpoint uses", err, moorage.Conflict)
	if e, err := p.UpdateEndpoint(t.Context(), control.EndpointRequest{RuntimeID: id, Name: "prod", Version: 2}); err != nil || e.Live != 2 {
		t.Errorf("moved to %+v, %v", e, err)
	}
	_, err = p.Delete(t.Context(), id, 1, "")
	wantCode(t, "delete a version that a session runs", err, moorage.Conflict)
	if err := p.Sessions.StopID(t.Context(), l.Session.ID, "test"); err != nil {
		t.Fatal(err)
	}
	_, err = p.Delete(t.Context(), id, 1, "")
	wantCode(t, "delete a version that nothing uses", err, "")
	_, err = p.Delete(t.Context(), id, 2, "")
	wantCode(t, "delete the latest version", err, moorage.Conflict)
}

func TestUpdate_failureLeavesTheOldVersionServing(t *testing.T) {
	p := newPlane(t)
	p.run(t)
	id := p.create(t, "demo", p.push(t))
	p.ready(t, id)
	if _, err := p.Update(t.Context(), id, config(p.push(t, "exit", "4")), ""); err != nil {
		t.Fatal(err)
	}
	if got := p.settled(t, id); got.Runtime.Status != moorage.UpdateFailed || !strings.Contains(got.Runtime.FailureReason, "status 4") {
		t.Errorf("runtime = %+v", got.Runtime)
	}
	target, err := p.Resolve(id, "")
	if err != nil || target.Version.Number != 1 || target.Endpoint.Status != moorage.UpdateFailed {
		t.Errorf("calls go to %+v, %v", target.Endpoint, err)
	}
	_, err = p.CreateEndpoint(t.Context(), control.EndpointRequest{RuntimeID: id, Name: "prod"})
	wantCode(t, "an endpoint on the failed version", err, moorage.Conflict)
}

func TestDelete_endsSessionsAndWipesStorage(t *testing.T) {
	p := newPlane(t)
	p.run(t)
	c := config(p.push(t))
	c.Storage = "/mnt/data"
	made, err := p.Create(t.Context(), control.CreateRequest{Name: "demo", Config: c, Tags: map[string]string{"team": "news"}})
	if err != nil {
		t.Fatal(err)
	}
	id := made.Runtime.ID
	p.ready(t, id)
	l := p.session(t, id, "", "one")
	if _, err := p.Delete(t.Context(), id, 0, ""); err != nil {
		t.Fatal(err)
	}
	_, err = p.Resolve(id, "")
	wantCode(t, "a call while DELETING", err, moorage.NotFound)
	_, err = p.CreateEndpoint(t.Context(), control.EndpointRequest{RuntimeID: id, Name: "prod"})
	if code := moorage.CodeOf(err); code != moorage.Conflict && code != moorage.NotFound {
		t.Errorf("an endpoint while DELETING: %v", err)
	}
	p.gone(t, id)
	if l.Ended.Err() == nil {
		t.Error("its session lives on")
	}
	l.Release()
	for _, dir := range []string{"storage", "logs", "builds"} {
		if left, _ := filepath.Glob(filepath.Join(p.house.Dir, dir, "*")); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
	p.create(t, "demo", "a/b:1") // the name is free
}

func TestDeleteEndpoint_endsItsSessionsAlone(t *testing.T) {
	p := newPlane(t)
	p.run(t)
	c := config(p.push(t))
	c.Storage = "/mnt/data"
	made, err := p.Create(t.Context(), control.CreateRequest{Name: "demo", Config: c})
	if err != nil {
		t.Fatal(err)
	}
	id := made.Runtime.ID
	p.ready(t, id)
	for i := range 10 {
		_, err := p.CreateEndpoint(t.Context(), control.EndpointRequest{RuntimeID: id, Name: fmt.Sprintf("e%d", i)})
		if want := map[bool]moorage.Code{true: moorage.Quota}[i == 9]; moorage.CodeOf(err) != want { // DEFAULT counts
			t.Fatalf("endpoint %d: %v, want %q", i, err, want)
		}
	}
	here, there := p.session(t, id, "e1", "one"), p.session(t, id, "", "one")
	defer here.Release()
	defer there.Release()
	if err := p.DeleteEndpoint(t.Context(), id, "e1", ""); err != nil {
		t.Fatal(err)
	}
	if here.Ended.Err() == nil || there.Ended.Err() != nil {
		t.Errorf("ended: its own %v, another's %v", here.Ended.Err(), there.Ended.Err())
	}
	if left, _ := filepath.Glob(filepath.Join(p.house.Dir, "storage", id, "*")); len(left) != 1 || filepath.Base(left[0]) != "DEFAULT" {
		t.Errorf("storage left: %v", left)
	}
	wantCode(t, "delete it again", p.DeleteEndpoint(t.Context(), id, "e1", ""), moorage.NotFound)
	wantCode(t, "delete DEFAULT", p.DeleteEndpoint(t.Context(), id, "DEFAULT", ""), moorage.Conflict)
	_, err = p.UpdateEndpoint(t.Context(), control.EndpointRequest{RuntimeID: id, Name: "DEFAULT", Version: 1})
	wantCode(t, "move DEFAULT", err, moorage.Conflict)
}

func TestRun_takesUpWhatAnEarlierServerLeft(t *testing.T) {
	p := newPlane(t)
	stop := p.run(t)
	slow := p.create(t, "slow", p.push(t, "never"))
	sessiontest.Eventually(t, "its trial start is under way", func() bool {
		boxes, err := p.house.Shim.List(t.Context())
		return err == nil && len(boxes) == 1
	})
	stop()
	if got, err := p.Get(t.Context(), slow, 0); err != nil || got.Version.Status != moorage.Creating {
		t.Errorf("a build that was cut off is %s, %v", got.Version.Status, err)
	}
	// A server that is killed leaves its trial start behind.
	left, err := p.house.Shim.Create(t.Context(), sandbox.Spec{ID: sandbox.NewID(), Labels: map[string]string{"trial": "slow/1"},
		Root: sandbox.Root{EROFS: sessiontest.Image(t)}, Process: sandbox.ProcessSpec{Args: []string{"/agent"}}, LogDir: filepath.Join(p.house.Dir, "logs", "left")})
	if err != nil {
		t.Fatal(err)
	}
	made, err := p.Create(t.Context(), control.CreateRequest{Name: "doomed", Config: config("a/b:1")})
	if err != nil {
		t.Fatal(err)
	}
	doomed := made.Runtime
	doomed.Status = moorage.Deleting
	if err := p.Store.Update(t.Context(), func(tx *store.Tx) error { return tx.PutRuntime(doomed) }); err != nil {
		t.Fatal(err)
	}
	p.restart(t)
	if boxes, err := p.house.Shim.List(t.Context()); err != nil || len(boxes) != 0 {
		t.Errorf("%d sandboxes left, %v; one is %s", len(boxes), err, left.Info().ID)
	}
	if _, err := os.Stat(left.Info().LogDir); err == nil {
		t.Error("the journal of a trial start is left")
	}
	p.Warm.Patience = 300 * time.Millisecond
	p.run(t)
	p.gone(t, doomed.ID)
	if got := p.settled(t, slow); got.Runtime.Status != moorage.CreateFailed || !strings.Contains(got.Runtime.FailureReason, "initialization time exceeded") {
		t.Errorf("the build that was taken up: %s, %s", got.Runtime.Status, got.Runtime.FailureReason)
	}
}

func TestEndStray_endsSessionsOfEndpointsThatAreGone(t *testing.T) {
	p := newPlane(t)
	p.run(t)
	id := p.create(t, "demo", p.push(t))
	p.ready(t, id)
	if _, err := p.CreateEndpoint(t.Context(), control.EndpointRequest{RuntimeID: id, Name: "prod"}); err != nil {
		t.Fatal(err)
	}
	stray, kept := p.session(t, id, "prod", "one"), p.session(t, id, "", "one")
	stray.Release()
	kept.Release()
	_, e, err := p.Endpoint(t.Context(), id, "prod")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Store.Update(t.Context(), func(tx *store.Tx) error { return tx.DeleteEndpoint(e) }); err != nil { // and killed before it ended the session
		t.Fatal(err)
	}
	p.restart(t)
	if err := p.EndStray(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list := p.Sessions.List(); len(list) != 1 || list[0].ID != kept.Session.ID {
		t.Errorf("sessions = %+v", list)
	}
}

// TestMirror_followsEveryChange makes changes at once: what calls see must be what is on disk.
func TestMirror_followsEveryChange(t *testing.T) {
	p := newPlane(t)
	p.run(t)
	id := p.create(t, "demo", p.push(t))
	p.ready(t, id)
	for round := range 20 {
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				if _, err := p.CreateEndpoint(t.Context(), control.EndpointRequest{RuntimeID: id, Name: fmt.Sprintf("e%d", i)}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for i := range 8 {
			if _, err := p.Resolve(id, fmt.Sprintf("e%d", i)); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			if err := p.DeleteEndpoint(t.Context(), id, fmt.Sprintf("e%d", i), ""); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestRules(t *testing.T) {
	p := newPlane(t)
	p.Tokens = &bearer.Verifier{
		Endpoints:    bearer.Endpoints{"rcfg-here": {Address: "10.0.0.1"}},
		Certificates: func(moorage.CertificateRef) ([]byte, error) { return []byte("none"), nil },
	}
	for what, spoil := range map[string]func(*moorage.Config){
		"role of another account":  func(c *moorage.Config) { c.RoleARN = "arn:aws:iam::999999999999:role/x" },
		"no role":                  func(c *moorage.Config) { c.RoleARN = "notanarn" },
		"reserved port":            func(c *moorage.Config) { c.Protocol = moorage.Protocol{Name: "HTTP", Port: 8443} },
		"low port":                 func(c *moorage.Config) { c.Protocol = moorage.Protocol{Name: "HTTP", Port: 80} },
		"relative path":            func(c *moorage.Config) { c.Protocol = moorage.Protocol{Name: "HTTP", Path: "x"} },
		"path that is none":        func(c *moorage.Config) { c.Protocol = moorage.Protocol{Name: "HTTP", Path: "/%zz"} },
		"idle over lifetime":       func(c *moorage.Config) { c.Lifecycle = moorage.Lifecycle{Idle: time.Hour, Max: time.Minute} },
		"lifetime over 8 hours":    func(c *moorage.Config) { c.Lifecycle.Max = 9 * time.Hour },
		"idle under a minute":      func(c *moorage.Config) { c.Lifecycle.Idle = time.Second },
		"header twice":             func(c *moorage.Config) { c.Headers = []string{"X-A", "x-a"} },
		"header of the transport":  func(c *moorage.Config) { c.Headers = []string{"Connection"} },
		"header of the platform":   func(c *moorage.Config) { c.Headers = []string{"X-Amzn-Bedrock-AgentCore-Runtime-User-Id"} },
		"token of the platform":    func(c *moorage.Config) { c.Headers = []string{"WorkloadAccessToken"} },
		"callback of the platform": func(c *moorage.Config) { c.Headers = []string{"OAuth2CallbackUrl"} },
		"authorization by SigV4":   func(c *moorage.Config) { c.Headers = []string{"Authorization"} },
		"environment over 4 KB":    func(c *moorage.Config) { c.Environment = map[string]string{"A": strings.Repeat("x", 4096)} },
		"variable with a NUL":      func(c *moorage.Config) { c.Environment = map[string]string{"A": "\x00"} },
		"storage over the root":    func(c *moorage.Config) { c.Storage = "/mnt/.." },
		"storage over /mnt":        func(c *moorage.Config) { c.Storage = "/mnt/./" },
		"a rule for client_id": privately(func(a *moorage.JWTAuthorizer) {
			a.Claims = []moorage.ClaimRule{{Name: "client_id", Operator: "EQUALS", Values: []string{"app"}}}
		}),
		"workloads that are none": privately(func(a *moorage.JWTAuthorizer) { a.Workloads = &moorage.WorkloadRule{} }),
		"a gateway as a workload": privately(func(a *moorage.JWTAuthorizer) {
			a.Workloads = &moorage.WorkloadRule{Hosts: []string{"arn:aws:bedrock-agentcore:us-east-1:123456789012:gateway/mine-0123456789"}}
		}),
		"an endpoint as a workload": privately(func(a *moorage.JWTAuthorizer) {
			a.Workloads = &moorage.WorkloadRule{Hosts: []string{"arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/mine-0123456789/runtime-endpoint/DEFAULT"}}
		}),
		"another account's workload": privately(func(a *moorage.JWTAuthorizer) {
			a.Workloads = &moorage.WorkloadRule{Hosts: []string{"arn:aws:bedrock-agentcore:us-east-1:999999999999:runtime/mine-0123456789"}}
		}),
		"private endpoint unknown": privately(func(a *moorage.JWTAuthorizer) { a.Private.Resource = "rcfg-gone" }),
		"private without TLS": privately(func(a *moorage.JWTAuthorizer) {
			a.DiscoveryURL = "http://idp.example.com/.well-known/openid-configuration"
		}),
		"overrides alone": privately(func(a *moorage.JWTAuthorizer) { a.Private = nil }),
		"a certificate alone": privately(func(a *moorage.JWTAuthorizer) {
			a.Private, a.Overrides, a.Certificate = nil, nil, &moorage.CertificateRef{URI: "s3://b/k"}
		}),
		"a certificate that is none": privately(func(a *moorage.JWTAuthorizer) { a.Certificate = &moorage.CertificateRef{URI: "s3://b/k"} }),
		"an override twice": privately(func(a *moorage.JWTAuthorizer) {
			a.Overrides = append(a.Overrides, moorage.PrivateOverride{Domain: "KEYS.example.com", Endpoint: *a.Private})
		}),
		"an override for a URL":   privately(func(a *moorage.JWTAuthorizer) { a.Overrides[0].Domain = "https://keys.example.com" }),
		"an override with a port": privately(func(a *moorage.JWTAuthorizer) { a.Overrides[0].Domain = "keys.example.com:443" }),
		"an override for many":    privately(func(a *moorage.JWTAuthorizer) { a.Overrides[0].Domain = "*.example.com" }),
		"an override unknown":     privately(func(a *moorage.JWTAuthorizer) { a.Overrides[0].Endpoint.Resource = "rcfg-gone" }),
		"an override another's way": privately(func(a *moorage.JWTAuthorizer) {
			a.Overrides[0].Endpoint = moorage.PrivateEndpoint{VPC: &moorage.PrivateVPC{ID: "rcfg-here"}}
		}),
	} {
		c := config("a/b:1")
		spoil(&c)
		_, err := p.Create(t.Context(), control.CreateRequest{Name: "demo", Config: c})
		var e *moorage.Error
		if !errors.As(err, &e) || e.Code != moorage.Invalid || len(e.Fields) == 0 {
			t.Errorf("%s: %v, want Invalid with the field's name", what, err)
		}
	}
	_, err := p.Create(t.Context(), control.CreateRequest{Name: "demo", Config: config("a/b:1"), Tags: map[string]string{"aws:x": "y"}})
	wantCode(t, "a reserved tag", err, moorage.Invalid)
}

// privately spoils an authorizer with private endpoints that make sense.
func privately(spoil func(*moorage.JWTAuthorizer)) func(*moorage.Config) {
	return func(c *moorage.Config) {
		here := moorage.PrivateEndpoint{Resource: "rcfg-here"}
		c.Authorizer = &moorage.JWTAuthorizer{
			DiscoveryURL: "https://idp.example.com/.well-known/openid-configuration", Clients: []string{"app"}, Private: &here,
			Overrides: []moorage.PrivateOverride{{Domain: "keys.example.com", Endpoint: here}},
		}
		spoil(c.Authorizer)
	}
}

func TestRules_privateEndpointsThatAreHere(t *testing.T) {
	p := newPlane(t)
	p.Tokens = &bearer.Verifier{Endpoints: bearer.Endpoints{"rcfg-here": {Address: "10.0.0.1"}}}
	c := config("a/b:1")
	privately(func(*moorage.JWTAuthorizer) {})(&c)
	if _, err := p.Create(t.Context(), control.CreateRequest{Name: "demo", Config: c}); err != nil {
		t.Error(err)
	}
}

func TestPolicies_areKeptPerResource(t *testing.T) {
	p := newPlane(t)
	made, err := p.Create(t.Context(), control.CreateRequest{Name: "demo", Config: config("a/b:1")})
	if err != nil {
		t.Fatal(err)
	}
	arn := made.Runtime.ARN
	for _, bad := range []string{"", "not JSON", "[]", `"text"`} {
		wantCode(t, "a policy that is "+bad, p.PutPolicy(t.Context(), arn, bad), moorage.Invalid)
	}
	policy := `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"` + arn + `"}}`
	wantCode(t, "put", p.PutPolicy(t.Context(), arn, policy), "")
	for at, want := range map[string]string{arn: policy, arn + "/runtime-endpoint/DEFAULT": ""} {
		if got, err := p.Policy(t.Context(), at); err != nil || got != want {
			t.Errorf("policy of %s = %q, %v; want %q", at, got, err, want)
		}
	}
	wantCode(t, "delete", p.DeletePolicy(t.Context(), arn), "")
	wantCode(t, "delete again", p.DeletePolicy(t.Context(), arn), moorage.NotFound)
	_, err = p.Policy(t.Context(), arn+"/runtime-endpoint/none")
	wantCode(t, "policy of an unknown endpoint", err, moorage.NotFound)
}

func TestLists_pageThroughAll(t *testing.T) {
	p := newPlane(t)
	for i := range 7 {
		p.create(t, fmt.Sprintf("demo%d", i), "a/b:1")
	}
	var ids []string
	for after := ""; ; {
		page, err := p.List(t.Context(), after, 3)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, c := range page {
			ids = append(ids, c.Runtime.ID)
		}
		after = ids[len(ids)-1]
	}
	if len(ids) != 7 || !slices.IsSorted(ids) {
		t.Errorf("listed %v", ids)
	}
}
