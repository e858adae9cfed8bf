// Package control deploys: it turns what an owner asks for into versions that sessions can start from.
//
// A use-case ([Service.Create], [Service.Update], …) checks the rules, writes rows in one transaction
// and returns; what the rows promise is then done by a reconcile loop ([Service.Run]) that is driven
// by those rows and not by memory, so that a crash at any moment loses nothing:
//
//	CREATING or UPDATING ── build the artifact, trial start ──▶ READY, and endpoints move to it
//	                                   └──────────────────────▶ CREATE_FAILED or UPDATE_FAILED, with the agent's last words
//	DELETING ── stop sessions, wipe storage, remove rows ─────▶ gone
//
// The state that calls need (runtime, endpoint, version) is mirrored in memory, so that resolving a
// call touches no disk; the mirror is refreshed after each commit and never written elsewhere.
package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity/bearer"
	"github.com/moorage-dev/moorage/internal/identity/vault"
	"github.com/moorage-dev/moorage/internal/identity/workload"
	"github.com/moorage-dev/moorage/internal/model/budget"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/session"
	"github.com/moorage-dev/moorage/internal/store"
	"github.com/moorage-dev/moorage/internal/warm"
)

// Quotas of the cloud service, kept as defaults.
const (
	maxRuntimes  = 1000
	maxVersions  = 1000
	maxEndpoints = 10
)

// Service is the control plane. Its exported fields are set before Load.
type Service struct {
	Store    *store.DB
	Builder  *Builder
	Warm     *warm.Starter
	Pools    *warm.Pools // nil for none
	Sessions *session.Manager
	// Vault holds the credential providers, whose tags are asked for here too.
	Vault *vault.Vault
	// Workloads holds the identities that runtimes get; nil where nobody asks for them.
	Workloads *workload.Service
	Region    string
	Account   string
	// Isolation is what sessions get here; runtimes that accept no less than more are not run.
	Isolation sandbox.Isolation
	Log       *slog.Logger
	// Tokens will check callers' tokens, and says whether their providers can be reached as authorizers want it; nil knows no way but
	// the public one.
	Tokens *bearer.Verifier
	// PoliciesChanged hears of every change of resource policies, once it is on disk; nil for nobody.
	PoliciesChanged func(context.Context) error

	// committing is held while the rows and the mirror differ, so that who reads READY calls what is
	// ready, and a refresh that read earlier is not the last to write.
	committing sync.RWMutex

	mu    sync.RWMutex
	view  map[string]*mirror // by runtime id
	wake  chan struct{}
	steps steps

	// injecting holds which runtimes have TagInject. It is apart from view: who starts sandboxes asks while view changes.
	injecting sync.Map
}

// mirror is one runtime with all that calls to it need.
type mirror struct {
	runtime   moorage.Runtime
	endpoints map[string]moorage.Endpoint
	versions  map[int]moorage.Version
	least     sandbox.Isolation // by the runtime's tag
	starts    warm.Settings     // by the runtime's tags
	longSleep time.Duration     // by the runtime's tag
	unbound   bool              // by the runtime's tag
	budget    budget.Limits     // by its tags
}

// Load reads every runtime into memory. Call it once before any other method.
func (s *Service) Load(ctx context.Context) error {
	s.view, s.wake = map[string]*mirror{}, make(chan struct{}, 1)
	var runtimes []moorage.Runtime
	err := s.Store.View(ctx, func(tx *store.Tx) (err error) {
		runtimes, err = tx.Runtimes("", -1)
		return err
	})
	if err != nil {
		return err
	}
	for _, rt := range runtimes {
		if err := s.refresh(ctx, rt.ID); err != nil {
			return err
		}
	}
	s.kick()
	return nil
}

// refresh brings the mirror of one runtime up to what is on disk. The caller holds committing, but for Load.
func (s *Service) refresh(ctx context.Context, id string) error {
	m := &mirror{endpoints: map[string]moorage.Endpoint{}, versions: map[int]moorage.Version{}}
	err := s.Store.View(ctx, func(tx *store.Tx) (err error) {
		if m.runtime, err = tx.Runtime(id); err != nil {
			return err
		}
		endpoints, err := tx.Endpoints(id, "", -1)
		if err != nil {
			return err
		}
		for _, e := range endpoints {
			m.endpoints[e.Name] = e
		}
		versions, err := tx.Versions(id, 0, -1)
		if err != nil {
			return err
		}
		for _, v := range versions {
			m.versions[v.Number] = v
		}
		tags, err := tx.Tags(m.runtime.ARN)
		if err != nil {
			return err
		}
		m.starts, _ = starts(tags) // ones from before the tags had a meaning are none
		m.longSleep, _ = longSleep(tags)
		m.unbound = tags[TagSessionBinding] == bindingOff
		m.budget, _ = budget.Parse(tags)
		s.injecting.Store(id, tags[TagInject] == injectOn)
		if m.least, err = leastIsolation(tags); err != nil {
			m.least = sandbox.VM // who asked for something that we cannot read gets no less than the most
		}
		return nil
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if moorage.CodeOf(err) == moorage.NotFound {
		delete(s.view, id)
		s.injecting.Delete(id)
		s.servePools(id)
		return nil
	}
	if err == nil {
		s.view[id] = m
		s.servePools(id)
	}
	return err
}

// change runs fn as one transaction on runtime id and refreshes the mirror when it is on disk.
func (s *Service) change(ctx context.Context, id string, fn func(*store.Tx) error) error {
	s.committing.Lock()
	defer s.committing.Unlock()
	if err := s.Store.Update(ctx, fn); err != nil {
		return err
	}
	// The change is made, whatever happens to the request that asked for it.
	ctx = context.WithoutCancel(ctx)
	if err := s.refresh(ctx, id); err != nil || s.Workloads == nil {
		return err
	}
	return s.Workloads.Refresh(ctx, id)
}

// read runs fn on rows that the mirror agrees with.
func (s *Service) read(ctx context.Context, fn func(*store.Tx) error) error {
	s.committing.RLock()
	defer s.committing.RUnlock()
	return s.Store.View(ctx, fn)
}

// kick wakes the reconcile loop.
func (s *Service) kick() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Resolve finds the version that an endpoint of a runtime points at, in memory. The message for an
// unknown one is the cloud service's own.
func (s *Service) Resolve(runtimeID, qualifier string) (moorage.Target, error) {
	if qualifier == "" {
		qualifier = moorage.DefaultEndpoint
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	m := s.view[runtimeID]
	if m == nil || m.runtime.Status == moorage.Deleting {
		return moorage.Target{}, s.noEndpoint(runtimeID, qualifier)
	}
	e, ok := m.endpoints[qualifier]
	if !ok {
		return moorage.Target{}, s.noEndpoint(runtimeID, qualifier)
	}
	v, ok := m.versions[e.Live]
	if !ok {
		return moorage.Target{}, notReady(m.runtime, e)
	}
	if s.Isolation < m.least {
		return moorage.Target{}, moorage.Errorf(moorage.Conflict, "agent runtime %s accepts no less isolation than %q (tag %s), and this server offers %q", runtimeID, m.least, TagIsolation, s.Isolation)
	}
	return moorage.Target{Runtime: m.runtime, Endpoint: e, Version: v}, nil
}

// Version finds a version of a runtime in memory, whatever its status, with the runtime that it is of.
func (s *Service) Version(runtimeID string, number int) (moorage.Runtime, moorage.Version, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if m := s.view[runtimeID]; m != nil {
		if v, ok := m.versions[number]; ok {
			return m.runtime, v, nil
		}
	}
	return moorage.Runtime{}, moorage.Version{}, moorage.Errorf(moorage.NotFound, "there is no version %d of agent runtime %s", number, runtimeID)
}

func (s *Service) noEndpoint(runtimeID, qualifier string) error {
	arn := moorage.RuntimeARN(s.Region, s.Account, runtimeID)
	return moorage.Errorf(moorage.NotFound, "No endpoint or agent found with qualifier '%s' for agent '%s'", qualifier, arn)
}

func notReady(rt moorage.Runtime, e moorage.Endpoint) error {
	why := ""
	if e.FailureReason != "" {
		why = ": " + e.FailureReason
	}
	return moorage.Errorf(moorage.Conflict, "endpoint %s of %s is %s and has no version to run%s", e.Name, rt.ID, e.Status, why)
}

// once makes a use-case idempotent by client token: the same token with the same parameters gives
// the first answer again, with others it is refused. Without a token fn simply runs.
func once[P, R any](tx *store.Tx, operation, token string, params P, now time.Time, fn func() (R, error)) (R, error) {
	var answer R
	if token == "" {
		return fn()
	}
	doc, err := json.Marshal(params)
	if err != nil {
		return answer, err
	}
	sum := sha256.Sum256(doc)
	digest := hex.EncodeToString(sum[:])
	seen, response, err := tx.Idempotent(operation, token)
	if err != nil {
		return answer, err
	}
	if response != "" {
		if seen != digest {
			return answer, &moorage.Error{Code: moorage.Invalid, Reason: "IdempotentParameterMismatchException",
				Message: "the client token was used before with other parameters; use a new token for a new request"}
		}
		return answer, json.Unmarshal([]byte(response), &answer)
	}
	if answer, err = fn(); err != nil {
		return answer, err
	}
	doc, err = json.Marshal(answer)
	if err != nil {
		return answer, err
	}
	return answer, tx.PutIdempotent(operation, token, digest, string(doc), now)
}

// Step is one part of a build and how long it took.
type Step struct {
	Name string        `json:"name"`
	Took time.Duration `json:"took"`
}

// steps remembers what the builds of this server's life did, for whoever waits for them.
type steps struct {
	mu    sync.Mutex
	byKey map[string][]Step
}

func stepsKey(runtimeID string, number int) string { return fmt.Sprintf("%s/%d", runtimeID, number) }

func (st *steps) add(key string, step Step) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.byKey == nil {
		st.byKey = map[string][]Step{}
	}
	st.byKey[key] = append(st.byKey[key], step)
}

// drop forgets the steps of a runtime's builds.
func (st *steps) drop(runtimeID string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	maps.DeleteFunc(st.byKey, func(key string, _ []Step) bool { return strings.HasPrefix(key, runtimeID+"/") })
}

// Steps returns what the build of a version did so far.
func (s *Service) Steps(runtimeID string, number int) []Step {
	s.steps.mu.Lock()
	defer s.steps.mu.Unlock()
	return append([]Step(nil), s.steps.byKey[stepsKey(runtimeID, number)]...)
}

// Runtimes returns every runtime with its endpoints, from memory.
func (s *Service) Runtimes() map[string]map[string]moorage.Endpoint {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := map[string]map[string]moorage.Endpoint{}
	for id, m := range s.view {
		out[id] = maps.Clone(m.endpoints)
	}
	return out
}

// EndpointNames returns the names of a runtime's endpoints, sorted.
func (s *Service) EndpointNames(runtimeID string) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if m := s.view[runtimeID]; m != nil {
		return slices.Sorted(maps.Keys(m.endpoints))
	}
	return nil
}
