// Package v1 is Moorage's own API under /v1: what operators need and the cloud service's API lacks.
//
//	GET    /v1/info                                  this server
//	GET    /v1/runtimes                              all runtimes, with how many sessions each has
//	GET    /v1/runtimes/{id}                         one of them
//	GET    /v1/sessions?runtime=ID&all=true          sessions that live; all=true adds those that ended
//	GET    /v1/sessions/{id}                         one session, alive or ended
//	POST   /v1/sessions/{id}/stop
//	POST   /v1/sessions/{id}/sleep                   onto the disk; the next call wakes it
//	POST   /v1/sessions/{id}/wake
//	POST   /v1/sessions/{id}/fork?count=N&sessionId=A further sessions from this moment, N or one for each id
//	GET    /v1/sessions/{id}/logs?tail=N&follow=true one JSON object per line
//	GET    /v1/runtimes/{id}/logs?tail=N&follow=true the same for all sessions of a runtime
//	GET    /v1/runtimes/{id}/versions/{n}/build      how the build of a version goes
//	GET    /v1/runtimes/{id}/pool                    how many sandboxes are ready for new sessions
//	GET    /v1/sessions/{id}/usage?since=&until=     what it took of the machine while it worked
//	GET    /v1/sessions/{id}/trace                   everything of a session in order: spans, messages, log lines
//	GET    /v1/traces?runtime=&session=&since=&…     traces, the newest first; ?span=ID the one that a span is in
//	GET    /v1/traces/{id}                           one trace, whole; ?format=otlp or perfetto exports it, and so a session's
//	GET    /v1/telemetry/sessions?runtime=&since=&…  sessions as their traces add up: latency, tokens, cost, errors
//	GET    /v1/logs?session=&runtime=&text=&since=&… log lines that have a text in them, by time
//	GET    /v1/metrics?name=&by=&runtime=&step=&…    a metric over time
//	GET    /v1/metrics/names?runtime=                what can be asked for
//	GET    /v1/tail?runtime=&session=&trace=         what comes in from now on, as server-sent events
//	POST   /v1/{traces,logs,metrics}                 OTLP over HTTP, as protobuf or JSON
//	GET    /v1/audit?kind=&refused=&caller=&action=&since=&before=&… who did what; ?before=NUMBER the page before
//	POST   /v1/audit/verify                          whether that record is as it was written
//	GET    /v1/principals                            users and roles, with their keys and policies; /v1/principals/{kind}/{name} one, whole
//	POST   /v1/users/{name}/access-keys              an access key; POST …/{key}/disable and …/enable, DELETE …/{key}
//	GET    /v1/keys?runtime=ID                       API keys of all runtimes
//	GET    /v1/runtimes/{id}/keys                    API keys; POST makes one, POST …/{key}/disable and …/enable, DELETE …/{key}
//	GET    /v1/providers                             credential providers of the token vault, without their secrets, and its key
//	GET    /v1/workloads?after=NAME                  workload identities, by name
//	GET    /v1/policies                              policies of resources, on the release of credentials, and those that can be attached
//	POST   /v1/policy/simulate, /v1/policy/lint      what a policy would decide; what in it can match nothing
//	GET    /v1/policy/explain?request=ID             why a request was refused
//	DELETE /v1/runtimes/{id}                         remove it and wait; says what was removed
//	GET    /v1/model-providers                       who answers for models, and which route leads there
//	PUT    /v1/model-providers/{name}                set one up; DELETE takes it away
//	PUT    /v1/model-routes                          lead models to a provider; DELETE ?pattern= takes that back
//	GET    /v1/vault                                 which key the token vault is under, and how far
//
// Requests reach it authenticated. Errors have the form of AWS's JSON services.
package v1

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/control"
	"github.com/moorage-dev/moorage/internal/identity/audit"
	"github.com/moorage-dev/moorage/internal/identity/iam"
	"github.com/moorage-dev/moorage/internal/identity/policy"
	"github.com/moorage-dev/moorage/internal/identity/vault"
	"github.com/moorage-dev/moorage/internal/identity/workload"
	"github.com/moorage-dev/moorage/internal/model/budget"
	"github.com/moorage-dev/moorage/internal/model/provider"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/session"
	"github.com/moorage-dev/moorage/internal/store"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
	"github.com/moorage-dev/moorage/internal/telemetry/usage"
)

// Info describes the server to its clients.
type Info struct {
	Version   string `json:"version"`
	Account   string `json:"account"`
	Region    string `json:"region"`
	Driver    string `json:"driver"`
	Isolation string `json:"isolation"`         // none, kernel or vm
	Warning   string `json:"warning,omitempty"` // what an operator has to know, such as that sessions are not isolated
	Endpoint  string `json:"endpoint"`
	Dir       string `json:"dir"`
}

// Handler serves /v1. Its fields are set before the first request.
type Handler struct {
	Info     Info
	Store    *store.DB
	Sessions *session.Manager
	Control  *control.Service
	Driver   sandbox.Driver
	// Telemetry answers what became of the calls; Inlet takes what agents elsewhere report.
	Telemetry *archive.Archive
	Inlet     http.Handler
	Audit     *audit.Log
	Models    *provider.Registry
	Budgets   *budget.Meter
	Usage     *usage.Meter // what sessions take of the machine
	People    *iam.Directory
	Release   ReleasePolicy
	Vault     *vault.Vault
	Workloads *workload.Service
	Known     policy.Known // what the linter of policies compares with
	LogDir    string       // journals, one directory per sandbox
	Log       *slog.Logger
	// Error answers with a coded error in the form of AWS's JSON services.
	Error func(http.ResponseWriter, *http.Request, error)

	mux *http.ServeMux
}

// Routes readies the handler.
func (h *Handler) Routes() http.Handler {
	h.mux = http.NewServeMux()
	for pattern, serve := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /v1/info":                                 h.info,
		"GET /v1/vault":                                h.showVault,
		"GET /v1/runtimes":                             h.listRuntimes,
		"GET /v1/runtimes/{id}":                        h.showRuntime,
		"GET /v1/sessions":                             h.listSessions,
		"GET /v1/sessions/{id}":                        h.showSession,
		"POST /v1/sessions/{id}/stop":                  h.stopSession,
		"POST /v1/sessions/{id}/sleep":                 h.sleepSession,
		"POST /v1/sessions/{id}/wake":                  h.wakeSession,
		"POST /v1/sessions/{id}/fork":                  h.forkSession,
		"GET /v1/sessions/{id}/logs":                   h.sessionLogs,
		"GET /v1/runtimes/{id}/logs":                   h.runtimeLogs,
		"GET /v1/runtimes/{id}/versions/{n}/build":     h.showBuild,
		"GET /v1/runtimes/{id}/pool":                   h.showPool,
		"GET /v1/sessions/{id}/trace":                  h.sessionTrace,
		"GET /v1/sessions/{id}/usage":                  h.sessionUsage,
		"GET /v1/traces":                               h.listTraces,
		"GET /v1/traces/{id}":                          h.showTrace,
		"GET /v1/telemetry/sessions":                   h.listTracedSessions,
		"POST /v1/traces":                              h.takeTelemetry,
		"POST /v1/metrics":                             h.takeTelemetry,
		"GET /v1/logs":                                 h.findLogs,
		"GET /v1/metrics":                              h.showMetric,
		"GET /v1/metrics/names":                        h.listMetrics,
		"GET /v1/tail":                                 h.tailTelemetry,
		"POST /v1/logs":                                h.takeTelemetry,
		"GET /v1/audit":                                h.listAudit,
		"POST /v1/audit/verify":                        h.verifyAudit,
		"GET /v1/principals":                           h.listPrincipals,
		"GET /v1/principals/{kind}/{name}":             h.showPrincipal,
		"POST /v1/users/{name}/access-keys":            h.createAccessKey,
		"POST /v1/users/{name}/access-keys/{key}/{to}": h.changeAccessKey,
		"DELETE /v1/users/{name}/access-keys/{key}":    h.deleteAccessKey,
		"GET /v1/keys":                                 h.listAllKeys,
		"GET /v1/runtimes/{id}/keys":                   h.listKeys,
		"POST /v1/runtimes/{id}/keys":                  h.createKey,
		"POST /v1/runtimes/{id}/keys/{key}/{to}":       h.changeKey,
		"DELETE /v1/runtimes/{id}/keys/{key}":          h.deleteKey,
		"GET /v1/providers":                            h.listProviders,
		"GET /v1/workloads":                            h.listWorkloads,
		"GET /v1/policies":                             h.listPolicies,
		"POST /v1/policy/simulate":                     h.simulatePolicy,
		"POST /v1/policy/lint":                         h.lintPolicy,
		"GET /v1/policy/explain":                       h.explain,
		"DELETE /v1/runtimes/{id}":                     h.destroy,
		"GET /v1/model-providers":                      h.listModels,
		"PUT /v1/model-providers/{name}":               h.putProvider,
		"DELETE /v1/model-providers/{name}":            h.deleteProvider,
		"PUT /v1/model-routes":                         h.putRoute,
		"DELETE /v1/model-routes":                      h.deleteRoute,
	} {
		h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			err := serve(w, r)
			if moorage.CodeOf(err) == moorage.Internal && r.Context().Err() == nil {
				h.Log.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "error", err)
			}
			if err != nil {
				h.Error(w, r, err)
			}
		})
	}
	h.mux.HandleFunc("/v1/", h.unknown)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isPlain(r.URL.EscapedPath()) {
			h.unknown(w, r) // ServeMux would redirect to what it takes the path for
			return
		}
		h.mux.ServeHTTP(w, r)
	})
}

func (h *Handler) unknown(w http.ResponseWriter, r *http.Request) {
	h.Error(w, r, moorage.Errorf(moorage.NotFound, "%s %s is not part of the API under /v1", r.Method, r.URL.Path))
}

// isPlain reports whether an escaped path is as it was meant: without dots to go up by or empty parts.
func isPlain(escaped string) bool {
	return strings.TrimSuffix(escaped, "/") == path.Clean(escaped)
}

func (h *Handler) info(w http.ResponseWriter, _ *http.Request) error { return writeJSON(w, h.Info) }

func writeJSON(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(v)
}

// Session is a session as operators see it.
type Session struct {
	ID           string     `json:"id"`
	SessionID    string     `json:"sessionId"` // the caller's
	RuntimeARN   string     `json:"runtimeArn"`
	Endpoint     string     `json:"endpoint"`
	Owner        string     `json:"owner"`
	Version      string     `json:"version"`
	State        string     `json:"state"`
	CreatedAt    time.Time  `json:"createdAt"`
	LastActiveAt time.Time  `json:"lastActiveAt"`
	StartedBy    string     `json:"startedBy,omitempty"` // pool, restore, cold or fork
	StartMs      float64    `json:"startMs"`             // from the first call to an agent that answers
	StartSteps   []Step     `json:"startSteps"`          // in order; what they leave of StartMs is bookkeeping
	MemoryBytes  int64      `json:"memoryBytes"`
	PeakBytes    int64      `json:"peakMemoryBytes"`
	CPUMs        float64    `json:"cpuMs"`
	SleepBytes   int64      `json:"sleepBytes,omitempty"` // on disk, while asleep
	Sleeps       int        `json:"sleeps"`
	SleptMs      float64    `json:"sleptMs,omitempty"`  // all sleeps, with the one that it is in
	WokeMs       float64    `json:"wokeMs,omitempty"`   // of the last time
	ParentID     string     `json:"parentId,omitempty"` // of a branch: the session that it was forked from
	ForkedAt     *time.Time `json:"forkedAt,omitempty"` // the moment up to which both remember the same
	Shares       string     `json:"shares,omitempty"`   // what a branch has in common with its parent that it should not
	EndedAt      *time.Time `json:"endedAt,omitempty"`
	EndReason    string     `json:"endReason,omitempty"`
	Spending     Spending   `json:"spending"` // on models; of the last few hundred that ended, too
}

func (h *Handler) view(s moorage.Session, stats sandbox.Stats) Session {
	out := Session{
		ID: s.ID, SessionID: s.CallerID, RuntimeARN: moorage.RuntimeARN(h.Info.Region, h.Info.Account, s.RuntimeID).String(),
		Endpoint: s.Endpoint, Owner: s.Owner, Version: strconv.Itoa(s.Version), State: string(s.State),
		CreatedAt: s.CreatedAt, LastActiveAt: s.LastActiveAt, StartedBy: s.StartedBy, StartMs: milliseconds(s.StartTook),
		StartSteps:  stepsView(s.Steps),
		MemoryBytes: stats.MemoryBytes, PeakBytes: max(stats.PeakBytes, s.PeakBytes), CPUMs: milliseconds(max(stats.CPU, s.CPU)), EndReason: s.EndReason,
		SleepBytes: s.SleepBytes, Sleeps: s.Sleeps, SleptMs: milliseconds(slept(s, time.Now())), WokeMs: milliseconds(s.WokeTook),
	}
	out.ParentID, out.Shares = s.ParentID, s.Shares
	out.Spending, _ = h.spending(s.RuntimeID, s.ID)
	if !s.ForkedAt.IsZero() {
		out.ForkedAt = &s.ForkedAt
	}
	if !s.EndedAt.IsZero() {
		out.EndedAt = &s.EndedAt
	}
	return out
}

// slept is how long a session was asleep until now, or until it ended.
func slept(s moorage.Session, now time.Time) time.Duration {
	if s.SleptFrom.IsZero() {
		return s.Slept
	}
	if !s.EndedAt.IsZero() {
		now = s.EndedAt
	}
	return s.Slept + now.Sub(s.SleptFrom)
}

func stepsView(steps []moorage.Step) []Step {
	out := []Step{}
	for _, s := range steps {
		out = append(out, Step{s.Name, milliseconds(s.Took)})
	}
	return out
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// endedShown is how many ended sessions a list holds at most.
const endedShown = 1000

func (h *Handler) listSessions(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	runtime := q.Get("runtime")
	out := []Session{}
	live := h.live(runtime)
	used := h.stats(r.Context(), live)
	for i, s := range live {
		out = append(out, h.view(s, used[i]))
	}
	if all, _ := strconv.ParseBool(q.Get("all")); all {
		var ended []moorage.Session
		err := h.Store.View(r.Context(), func(tx *store.Tx) (err error) {
			ended, err = tx.EndedSessions(runtime, endedShown)
			return err
		})
		if err != nil {
			return err
		}
		for _, s := range ended {
			out = append(out, h.view(s, sandbox.Stats{}))
		}
	}
	return writeJSON(w, map[string]any{"sessions": out})
}

// askers is how many sandboxes are asked at once for what they use.
const askers = 8

// stats asks every session for what it uses.
func (h *Handler) stats(ctx context.Context, sessions []moorage.Session) []sandbox.Stats {
	out := make([]sandbox.Stats, len(sessions))
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(askers, len(sessions)) {
		all.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(sessions); i = next.Add(1) - 1 {
				out[i] = h.Sessions.Stats(ctx, sessions[i].ID)
			}
		})
	}
	all.Wait()
	return out
}

func (h *Handler) showSession(w http.ResponseWriter, r *http.Request) error {
	s, err := h.session(r)
	if err != nil {
		return err
	}
	return writeJSON(w, h.view(s, h.Sessions.Stats(r.Context(), s.ID)))
}

// session finds the session that a path names: by internal id, or by the caller's id where only
// one session has it.
func (h *Handler) session(r *http.Request) (moorage.Session, error) {
	id := r.PathValue("id")
	var match []moorage.Session
	for _, s := range h.Sessions.List() {
		if s.ID == id {
			return s, nil
		}
		if s.CallerID == id {
			match = append(match, s)
		}
	}
	if len(match) == 1 {
		return match[0], nil
	}
	if len(match) > 1 {
		return moorage.Session{}, moorage.Errorf(moorage.Conflict, "%d sessions are called %q; name one by its internal id: %s, …", len(match), id, match[0].ID)
	}
	found, err := h.byID(r.Context(), id)
	if moorage.CodeOf(err) == moorage.NotFound {
		err = h.Store.View(r.Context(), func(tx *store.Tx) (err error) {
			found, err = tx.LatestSession(id)
			return err
		})
	}
	return found, err
}

// byID returns the session with an internal id, alive or ended.
func (h *Handler) byID(ctx context.Context, id string) (found moorage.Session, err error) {
	err = h.Store.View(ctx, func(tx *store.Tx) (err error) {
		found, err = tx.Session(id)
		return err
	})
	return found, err
}

func (h *Handler) stopSession(w http.ResponseWriter, r *http.Request) error {
	s, err := h.session(r)
	if err != nil {
		return err
	}
	if err := h.Sessions.StopID(r.Context(), s.ID, "stopped by an operator"); err != nil {
		return err
	}
	return writeJSON(w, struct{}{})
}

// Build says how the build of a version goes.
type Build struct {
	Status        moorage.Status `json:"status"`
	Steps         []Step         `json:"steps"`
	FailureReason string         `json:"failureReason,omitempty"`
	LastWords     []string       `json:"lastWords,omitempty"`
}

// Step is one finished part of a build, or of a start.
type Step struct {
	Name   string  `json:"name"`
	TookMs float64 `json:"tookMs"`
}

func (h *Handler) showBuild(w http.ResponseWriter, r *http.Request) error {
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil || n < 1 {
		return moorage.Errorf(moorage.Invalid, "%q is not a version number", r.PathValue("n"))
	}
	made, err := h.Control.Get(r.Context(), r.PathValue("id"), n)
	if err != nil {
		return err
	}
	v := made.Version
	out := Build{Status: v.Status, Steps: []Step{}, FailureReason: v.FailureReason, LastWords: v.LastWords}
	for _, s := range h.Control.Steps(v.RuntimeID, v.Number) {
		out.Steps = append(out.Steps, Step{s.Name, milliseconds(s.Took)})
	}
	return writeJSON(w, out)
}

func (h *Handler) destroy(w http.ResponseWriter, r *http.Request) error {
	removed, err := h.Control.Destroy(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]any{"removed": removed})
}

// live are the sessions of a runtime, or of all, the newest first.
func (h *Handler) live(runtime string) (out []moorage.Session) {
	for _, s := range h.Sessions.List() {
		if runtime == "" || s.RuntimeID == runtime {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b moorage.Session) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return out
}
