package server

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/logs"
	"github.com/moorage-dev/moorage/internal/control"
	"github.com/moorage-dev/moorage/internal/identity"
	"github.com/moorage-dev/moorage/internal/identity/audit"
	"github.com/moorage-dev/moorage/internal/identity/bearer"
	"github.com/moorage-dev/moorage/internal/identity/iam"
	"github.com/moorage-dev/moorage/internal/identity/inject"
	"github.com/moorage-dev/moorage/internal/identity/openid"
	"github.com/moorage-dev/moorage/internal/identity/pool"
	"github.com/moorage-dev/moorage/internal/identity/vault"
	"github.com/moorage-dev/moorage/internal/identity/workload"
	"github.com/moorage-dev/moorage/internal/image"
	"github.com/moorage-dev/moorage/internal/invoke"
	"github.com/moorage-dev/moorage/internal/knowledge"
	"github.com/moorage-dev/moorage/internal/model/budget"
	"github.com/moorage-dev/moorage/internal/model/provider"
	"github.com/moorage-dev/moorage/internal/model/spans"
	"github.com/moorage-dev/moorage/internal/object"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/door"
	"github.com/moorage-dev/moorage/internal/sandbox/shim"
	"github.com/moorage-dev/moorage/internal/session"
	"github.com/moorage-dev/moorage/internal/store"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
	"github.com/moorage-dev/moorage/internal/telemetry/calls"
	"github.com/moorage-dev/moorage/internal/telemetry/otlp"
	"github.com/moorage-dev/moorage/internal/telemetry/price"
	"github.com/moorage-dev/moorage/internal/telemetry/usage"
	"github.com/moorage-dev/moorage/internal/v1"
	"github.com/moorage-dev/moorage/internal/warm"
)

// house is the open rooms of one directory.
type house struct {
	Options
	localURL  string
	account   string
	isolation sandbox.Isolation
	store     *store.DB
	shim      *shim.Client
	door      *door.Listener // nil without isolation
	images    *image.Store
	objects   *object.Store
	knowledge *knowledge.Service
	models    *provider.Registry
	asked     *spans.Recorder // of models
	budgets   *budget.Meter
	ending    sync.WaitGroup // sessions whose budget is used up
	prices    *price.Followed
	warm      *warm.Starter
	pools     *warm.Pools
	sessions  *session.Manager
	control   *control.Service
	invoke    *invoke.Service
	telemetry *archive.Archive
	inlet     *otlp.Inlet
	usage     *usage.Meter
	rounds    rounds
	calls     *calls.Recorder
	logs      *logs.Service
	people    *iam.Directory
	verify    *identity.Verifier
	temporary *identity.Temporary
	tokenKey  []byte // of sandboxes' metadata
	browser   *identity.Browser
	login     *openid.Client // of the console; nil where the operator named no provider
	tokens    *bearer.Verifier
	userPools *pool.Service
	workloads *workload.Service
	audit     *audit.Log
	polls     polls
	vault     *vault.Vault
	release   v1.ReleasePolicy // that the vault goes by
	broker    *inject.Broker
}

// build opens every room, lowest rank first, and takes up where an earlier server left off.
func build(ctx context.Context, o Options) (*house, error) {
	h := &house{Options: o}
	for _, open := range []func(context.Context) error{h.openStore, h.openAudit, h.openUserPools, h.openConsole, h.openWorkloads, h.openBroker, h.openTelemetry, h.openModels, h.openBudgets, h.openEngine, h.openDoor, h.openImages, h.openKnowledge, h.openSessions, h.openControl, h.resume} {
		if err := open(ctx); err != nil {
			h.close()
			return nil, err
		}
	}
	return h, nil
}

func (h *house) path(name string) string { return filepath.Join(h.Dir, name) }

func (h *house) openStore(ctx context.Context) (err error) {
	if h.store, err = store.Open(ctx, h.Dir); err != nil {
		return err
	}
	if h.account, err = openAccount(ctx, h.store); err != nil {
		return err
	}
	h.people = &iam.Directory{Store: h.store, Account: h.account, Region: h.Region}
	if err := h.people.Load(ctx); err != nil {
		return err
	}
	if err := h.openTemporary(); err != nil {
		return err
	}
	h.verify = h.verifier()
	endpoints, err := bearer.ParseEndpoints(h.PrivateEndpoints, h.PrivateCAs)
	if err != nil {
		return err
	}
	h.tokens = &bearer.Verifier{Client: bearer.NewClient(h.providerNetworks()), Endpoints: endpoints, Certificates: h.certificate}
	h.browser = &identity.Browser{Keys: h.people.AccessKey, Secure: strings.HasPrefix(h.PublicURL, "https:")}
	return os.MkdirAll(h.path("tmp"), 0o700)
}

// openEngine chooses the isolation and connects to the shim.
func (h *house) openEngine(ctx context.Context) (err error) {
	if h.isolation, err = chooseIsolation(h.Isolation); err != nil {
		return err
	}
	h.shim, err = shim.Open(ctx, shim.Options{Dir: h.Dir, Executable: h.Executable, Log: h.Log})
	if !shim.EngineMended() {
		h.Log.Warn("this binary was not built by make: its engine loses bytes of large requests to agents that read slowly")
	}
	if err == nil && h.isolation == sandbox.None {
		h.Log.Warn("sessions are NOT isolated: they run as plain processes of this machine")
	}
	return err
}

func (h *house) openImages(context.Context) (err error) {
	h.objects = &object.Store{Dir: h.path("objects")}
	if err := h.objects.Recover(); err != nil {
		return err
	}
	h.images, err = image.Open(image.Options{Dir: h.path("images"), Log: h.Log, RegistryHost: h.registryHost(), Index: packageIndex(), Loopback: h.LocalRegistries})
	return err
}

// packageIndex is where installers find packages: what pip on this machine is told by its environment.
func packageIndex() image.Index {
	return image.Index{URL: os.Getenv("PIP_INDEX_URL"), Extra: strings.Fields(os.Getenv("PIP_EXTRA_INDEX_URL"))}
}

func (h *house) openSessions(context.Context) error {
	h.warm = &warm.Starter{
		Driver: h.shim, Isolation: h.isolation, LogDir: h.path("logs"), Limits: h.Limits, Region: h.Region, Log: h.Log,
		Goldens: &warm.Goldens{Dir: h.path("golden")},
		Unpack: func(ctx context.Context, p moorage.Program) (string, error) {
			return h.images.Directory(ctx, image.Artifact{Digest: p.Digest, EROFS: p.Root})
		},
	}
	if h.door != nil {
		h.warm.Door, h.warm.Offer = h.path(doorName), h.offer
		h.warm.Trust, h.warm.TrustsUs = h.path(trustName), func(id string) bool { return h.control.Injects(id) }
	}
	h.pools = &warm.Pools{Starter: h.warm, Budget: h.PoolMemory, Room: func() int { return h.sessions.Room() }, Log: h.Log}
	h.sessions = &session.Manager{
		Store: h.store, Warm: h.warm, Pools: h.pools, Storage: &session.Storage{Dir: h.path("storage")}, Limit: h.MaxSessions, Log: h.Log,
		Quotas: h.Quotas, Starts: h.Starts, SleepDir: h.path("sleep"), SleepAfter: h.SleepAfter, PauseAfter: h.PauseAfter,
		LongSleep: func(runtimeID string) time.Duration { return h.control.LongSleep(runtimeID) },
	}
	h.rounds = newRounds()
	h.sessions.Stirred = h.rounds.stir
	h.usage = &usage.Meter{Rounds: h.rounds.usage, Sessions: h.sessions.List, Stats: h.sessions.Stats, Append: h.telemetry.Append, Used: h.telemetry.Used, Log: h.Log}
	return errors.Join(os.MkdirAll(h.path("logs"), 0o700), os.MkdirAll(h.path("sleep"), 0o700), os.MkdirAll(h.path("golden"), 0o700))
}

func (h *house) openControl(ctx context.Context) error {
	builder := &control.Builder{
		Images: h.images, Objects: h.objects, Driver: h.shim, Isolation: h.isolation, Dir: h.path("builds"), Log: h.Log,
	}
	h.control = &control.Service{
		Store: h.store, Builder: builder, Warm: h.warm, Pools: h.pools, Sessions: h.sessions, Workloads: h.workloads, Vault: h.vault, Region: h.Region, Account: h.account,
		Isolation: h.isolation, Log: h.Log, PoliciesChanged: h.people.Reload, Tokens: h.tokens,
	}
	h.invoke = &invoke.Service{Catalog: h.control, Sessions: h.sessions, Region: h.Region, Account: h.account, PublicURL: strings.TrimSuffix(h.PublicURL, "/"), Log: h.Log, Calls: h.calls, Workloads: h.workloads, Unbound: h.control.Unbound}
	h.invoke.CallerCalls.Rate, h.invoke.RuntimeCalls.Rate = h.Quotas.CallerCalls, h.Quotas.RuntimeCalls
	return h.control.Load(ctx)
}

// resume adopts live sessions and clears away what an earlier server left.
func (h *house) resume(ctx context.Context) error {
	if err := h.control.Builder.Clear(ctx); err != nil {
		return err
	}
	if err := h.sessions.Recover(ctx); err != nil {
		return err
	}
	return h.control.EndStray(ctx)
}

// close lets go of the rooms in reverse. Sandboxes live on in their shim.
func (h *house) close() {
	var errs []error
	if h.sessions != nil {
		h.sessions.Close()
	}
	if h.door != nil {
		errs = append(errs, h.door.Close())
	}
	if h.tokens != nil {
		h.tokens.Close()
	}
	if h.logs != nil {
		h.logs.Close()
	}
	if h.shim != nil {
		errs = append(errs, h.shim.Close())
	}
	if h.knowledge != nil {
		errs = append(errs, h.knowledge.Close())
	}
	if h.telemetry != nil {
		errs = append(errs, h.telemetry.Close())
	}
	if h.audit != nil {
		h.notePolls(h.polls.all())
		errs = append(errs, h.audit.Close())
	}
	if h.store != nil {
		errs = append(errs, h.store.Close())
	}
	if err := errors.Join(errs...); err != nil {
		h.Log.Error("close", "err", err)
	}
}

// chooseIsolation turns the option into what sessions get. Auto is gVisor: a machine that cannot
// run it is told so, rather than given less without asking.
func chooseIsolation(option string) (sandbox.Isolation, error) {
	switch option {
	case "", "auto", "gvisor":
		return sandbox.Kernel, nil
	case "process":
		return sandbox.None, nil
	}
	return 0, moorage.Errorf(moorage.Invalid, "--isolation is one of auto, gvisor and process; %q is none of them", option)
}
