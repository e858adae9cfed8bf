package v1

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
)

// TracePage is an answer to GET /v1/traces.
type TracePage struct {
	Traces []telemetry.TraceSummary `json:"traces"`         // the newest first
	Next   string                   `json:"next,omitempty"` // to pass as after for what comes next; absent at the end
}

// SessionPage is an answer to GET /v1/telemetry/sessions.
type SessionPage struct {
	Sessions []telemetry.SessionSummary `json:"sessions"` // the last active first
	Next     string                     `json:"next,omitempty"`
}

func (h *Handler) listTraces(w http.ResponseWriter, r *http.Request) error {
	q, err := h.traceQuery(r)
	if err != nil {
		return err
	}
	page, next, err := h.Telemetry.Traces(r.Context(), q)
	if err != nil {
		return err
	}
	return writeJSON(w, TracePage{page, next})
}

func (h *Handler) listTracedSessions(w http.ResponseWriter, r *http.Request) error {
	q, err := h.traceQuery(r)
	if err != nil {
		return err
	}
	page, next, err := h.Telemetry.Sessions(r.Context(), q)
	if err != nil {
		return err
	}
	return writeJSON(w, SessionPage{page, next})
}

// traceQuery reads a query: runtime, endpoint, session, span, since, until, failed, plumbing, name, limit, after.
func (h *Handler) traceQuery(r *http.Request) (q archive.Query, err error) {
	asked := r.URL.Query()
	q = archive.Query{
		Runtime: asked.Get("runtime"), Endpoint: asked.Get("endpoint"), Session: asked.Get("session"), Name: asked.Get("name"),
		After: asked.Get("after"),
	}
	if q.Since, err = timeOf(asked, "since"); err != nil {
		return q, err
	}
	if q.Until, err = timeOf(asked, "until"); err != nil {
		return q, err
	}
	for name, to := range map[string]*bool{"failed": &q.Failed, "plumbing": &q.Plumbing} {
		if text := asked.Get(name); text != "" {
			if *to, err = strconv.ParseBool(text); err != nil {
				return q, moorage.Errorf(moorage.Invalid, "%s must be true or false", name)
			}
		}
	}
	if text := asked.Get("span"); text != "" {
		var ok bool
		if q.Span, ok = telemetry.ParseSpanID(text); !ok || q.Span.IsZero() {
			return q, moorage.Errorf(moorage.Invalid, "%q is not a span id: 16 hexadecimal digits", text)
		}
	}
	if text := asked.Get("limit"); text != "" {
		if q.Limit, err = strconv.Atoi(text); err != nil || q.Limit < 1 || q.Limit > archive.MaxPage {
			return q, moorage.Errorf(moorage.Invalid, "limit must be a number from 1 to %d", archive.MaxPage)
		}
	}
	return q, nil
}

// timeOf reads a moment, as RFC 3339 or as how long ago it was: 15m, 24h. Zero when it is not given.
func timeOf(asked url.Values, name string) (time.Time, error) {
	text := asked.Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil {
		return time.Now().Add(-ago), nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return t, moorage.Errorf(moorage.Invalid, "%s must be a time such as 2026-11-22T06:10:00Z, or how long ago, such as 15m", name)
	}
	return t, nil
}

func (h *Handler) showTrace(w http.ResponseWriter, r *http.Request) error {
	id, ok := telemetry.ParseTraceID(r.PathValue("id"))
	if !ok {
		return moorage.Errorf(moorage.Invalid, "%q is not a trace id: 32 hexadecimal digits", r.PathValue("id"))
	}
	whole := func() ([]telemetry.Trace, error) {
		t, err := h.Telemetry.Trace(r.Context(), id)
		return []telemetry.Trace{t}, err
	}
	if done, err := h.exported(w, r, archive.SpanQuery{Traces: []telemetry.TraceID{id}}, whole); done || err != nil {
		return err
	}
	t, err := whole()
	if err != nil {
		return err
	}
	return writeJSON(w, t[0])
}

// sessionTrace shows everything of a session. A session that only sent telemetry from elsewhere is known
// by the id that it gave itself.
func (h *Handler) sessionTrace(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	s, err := h.session(r)
	if err == nil {
		id = s.ID
	} else if moorage.CodeOf(err) != moorage.NotFound {
		return err
	}
	traces := func() ([]telemetry.Trace, error) {
		out, err := h.Telemetry.Session(r.Context(), id)
		return out.Traces, err
	}
	if done, err := h.exported(w, r, archive.SpanQuery{Session: id}, traces); done || err != nil {
		return err
	}
	out, failed := h.Telemetry.Session(r.Context(), id)
	if failed != nil {
		return failed
	}
	if err != nil && out.Session.Traces == 0 && len(out.Logs) == 0 {
		return err
	}
	return writeJSON(w, out)
}
