package v1

import (
	"net/http"
	"strconv"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity/audit"
)

// listAudit answers with records, oldest first.
func (h *Handler) listAudit(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	f := audit.Filter{Kind: audit.Kind(q.Get("kind")), Caller: q.Get("caller"), RequestID: q.Get("request"), Action: q.Get("action")}
	f.Refused, _ = strconv.ParseBool(q.Get("refused"))
	if limit := q.Get("limit"); limit != "" {
		n, err := strconv.Atoi(limit)
		if err != nil || n < 1 || n > 10000 {
			return moorage.Errorf(moorage.Invalid, "limit must be a number from 1 to 10000")
		}
		f.Limit = n
	}
	if since := q.Get("since"); since != "" {
		at, err := time.Parse(time.RFC3339, since)
		if err != nil {
			return moorage.Errorf(moorage.Invalid, "since must be a time such as 2026-01-31T12:00:00Z")
		}
		f.Since = at
	}
	records, err := h.Audit.List(f)
	if err != nil {
		return err
	}
	if records == nil {
		records = []audit.Record{}
	}
	return writeJSON(w, map[string]any{"records": records})
}

// verifyAudit reads the whole record and says whether it is as it was written.
func (h *Handler) verifyAudit(w http.ResponseWriter, r *http.Request) error {
	if err := h.Audit.Flush(); err != nil {
		return err
	}
	report, err := audit.Verify(h.Audit.Dir, h.Audit.Key)
	if err != nil {
		return err
	}
	return writeJSON(w, report)
}
