package v1

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity/audit"
)

// maxRecords is how many records one answer has at most.
const maxRecords = 10_000

// listAudit answers with records, oldest first. Those before them are asked for with before, the number of the first.
func (h *Handler) listAudit(w http.ResponseWriter, r *http.Request) error {
	f, err := auditFilter(r.URL.Query())
	if err != nil {
		return err
	}
	limit := f.Limit
	f.Limit++ // one more tells whether there are more
	records, err := h.Audit.List(f)
	if err != nil {
		return err
	}
	more := len(records) > limit
	if more {
		records = records[1:]
	}
	return writeJSON(w, map[string]any{"records": append([]audit.Record{}, records...), "more": more})
}

func auditFilter(q url.Values) (f audit.Filter, err error) {
	f = audit.Filter{
		Kind: audit.Kind(q.Get("kind")), Caller: q.Get("caller"), RequestID: q.Get("request"), Action: q.Get("action"), Text: q.Get("text"), Limit: 100,
	}
	for name, into := range map[string]*bool{"refused": &f.Refused, "allowed": &f.Allowed, "notable": &f.Notable} {
		*into, _ = strconv.ParseBool(q.Get(name))
	}
	if f.Since, err = timeOf(q, "since"); err != nil {
		return f, err
	}
	if f.Until, err = timeOf(q, "until"); err != nil {
		return f, err
	}
	if limit := q.Get("limit"); limit != "" {
		if f.Limit, err = strconv.Atoi(limit); err != nil || f.Limit < 1 || f.Limit > maxRecords {
			return f, moorage.Errorf(moorage.Invalid, "limit must be a number from 1 to %d", maxRecords)
		}
	}
	if before := q.Get("before"); before != "" {
		if f.Before, err = strconv.ParseUint(before, 10, 64); err != nil || f.Before == 0 {
			return f, moorage.Errorf(moorage.Invalid, "before must be the number of a record, from 1")
		}
	}
	return f, nil
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
