package server

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/logs"
	"github.com/moorage-dev/moorage/internal/guest"
	"github.com/moorage-dev/moorage/internal/store"
	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
	"github.com/moorage-dev/moorage/internal/telemetry/calls"
	"github.com/moorage-dev/moorage/internal/telemetry/forward"
	"github.com/moorage-dev/moorage/internal/telemetry/otlp"
	"github.com/moorage-dev/moorage/internal/telemetry/price"
	"github.com/moorage-dev/moorage/internal/telemetry/printed"
)

func (h *house) openTelemetry(ctx context.Context) (err error) {
	if h.prices, err = price.Follow(h.path("prices.json"), h.Log); err != nil {
		return err
	}
	if h.telemetry, err = archive.Open(ctx, archive.Options{Dir: h.path("telemetry"), Price: h.prices.Of, Keep: h.KeepTelemetry, Retention: h.retention, Limit: h.TelemetryLimit, Log: h.Log}); err != nil {
		return err
	}
	h.inlet = otlp.New(h.telemetry.Append, h.telemetry.Codec(), h.Log)
	h.calls = calls.New(h.telemetry.Append, h.telemetry.Codec(), h.Region, h.account, h.Log)
	return nil
}

// retention says how long the log groups are kept that have a policy; nil while none has.
func (h *house) retention() func(telemetry.Source) time.Duration {
	keep := map[string]time.Duration{}
	err := h.store.View(context.Background(), func(tx *store.Tx) error {
		groups, err := tx.LogGroups()
		for _, g := range groups {
			if g.Retention > 0 {
				keep[g.Name] = logs.Days(g.Retention)
			}
		}
		return err
	})
	if err != nil {
		h.Log.Error("read how long log groups are kept", "err", err)
	}
	if len(keep) == 0 {
		return nil
	}
	return func(s telemetry.Source) time.Duration { return keep[logs.GroupName(s)] }
}

// forwarder sends telemetry on to another backend. What a header's value is may be percent-encoded, as in
// OTEL_EXPORTER_OTLP_HEADERS.
func (h *house) forwarder() *forward.Forwarder {
	header := map[string]string{}
	for _, pair := range strings.Split(h.ForwardHeaders, ",") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			if plain, err := url.QueryUnescape(strings.ReplaceAll(value, "+", "%2B")); err == nil {
				value = plain
			}
			header[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return &forward.Forwarder{Archive: h.telemetry, URL: h.Forward, Header: header, Cursor: h.path("forward.json"), Log: h.Log}
}

// fromInside takes telemetry from sandboxes, for whom they belong to.
func (h *house) fromInside() http.Handler { return h.sourced(h.inlet) }

// sourced tells a handler which sandbox a request comes from.
func (h *house) sourced(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := guest.OccupantOf(r.Context())
		ctx := telemetry.WithBirth(telemetry.WithSource(r.Context(), h.sourceOf(who)), who.ClonedAt)
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// sourceOf is what telemetry that comes from a sandbox is kept under.
func (h *house) sourceOf(who guest.Occupant) telemetry.Source {
	if s, ok := h.sessions.Find(who.Session); ok {
		return sourceOf(s)
	}
	return telemetry.Source{
		Runtime: who.RuntimeID, Endpoint: who.Endpoint, Version: strconv.Itoa(who.Version), Session: who.Session, Sandbox: who.Sandbox,
	}
}

func sourceOf(s moorage.Session) telemetry.Source {
	return telemetry.Source{
		Runtime: s.RuntimeID, Endpoint: s.Endpoint, Version: strconv.Itoa(s.Version), Session: s.ID, Caller: s.CallerID, Sandbox: s.SandboxID,
	}
}

// printed follows the journals of sessions.
func (h *house) printed() *printed.Follower {
	w := &awake{house: h, seen: map[string]sighting{}}
	return &printed.Follower{Archive: h.telemetry, Dir: h.path("logs"), Rounds: h.rounds.printed, Sandboxes: w.sandboxes, Ended: h.endedSandboxes, Log: h.Log}
}

// awake knows which sandboxes may print.
type awake struct {
	*house
	seen   map[string]sighting // by sandbox
	looked time.Time           // for sessions that ended, last
}

type sighting struct {
	source telemetry.Source
	at     time.Time
}

// lastWords is how long after a sandbox was awake last its journal is still looked at.
const lastWords = 10 * time.Second

func (a *awake) sandboxes() (out []telemetry.Source, rest bool) {
	now := time.Now()
	for _, s := range a.sessions.List() {
		if !s.State.Rests() {
			a.seen[s.SandboxID] = sighting{sourceOf(s), now}
		}
	}
	ended, looked := a.ended(now)
	for _, s := range ended {
		a.seen[s.SandboxID] = sighting{sourceOf(s), s.EndedAt.Add(lookBack)}
	}
	for id, s := range a.seen {
		if now.Sub(s.at) > lastWords {
			delete(a.seen, id)
			continue
		}
		out = append(out, s.source)
	}
	return out, looked && len(out) == 0
}

// Sessions that are over sooner than anybody looks are found on record: so often, and so many at once.
const (
	lookBack  = 2 * time.Second
	maxLatest = 50
)

// ended are the sessions that ended a moment ago, and whether they were looked for.
func (a *awake) ended(now time.Time) (out []moorage.Session, looked bool) {
	if now.Sub(a.looked) < lookBack {
		return nil, false
	}
	a.looked = now
	err := a.store.View(context.Background(), func(tx *store.Tx) error {
		latest, err := tx.EndedSessions("", maxLatest)
		for _, s := range latest {
			if now.Sub(s.EndedAt) < lastWords {
				out = append(out, s)
			}
		}
		return err
	})
	if err != nil {
		a.Log.Error("find what ended sessions printed", "err", err)
	}
	return out, err == nil
}

// maxEnded is how many sessions that ended before this server started are looked at.
const maxEnded = 1000

func (h *house) endedSandboxes(ctx context.Context) (out []telemetry.Source, err error) {
	err = h.store.View(ctx, func(tx *store.Tx) error {
		ended, err := tx.EndedSessions("", maxEnded)
		for _, s := range ended {
			out = append(out, sourceOf(s))
		}
		return err
	})
	return out, err
}
