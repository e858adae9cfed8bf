package server

import (
	"context"
	"net"
	"net/http"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/identity/audit"
)

func (h *house) openAudit(context.Context) error {
	key, err := h.store.Key(audit.KeyPurpose)
	if err != nil {
		return err
	}
	h.audit, err = audit.Open(audit.Options{Dir: h.path("audit"), Key: key, Log: h.Log})
	return err
}

// note puts on record what a request was about, adding what the request itself says.
func (h *house) note(r *http.Request, record audit.Record) error {
	call := wire.CallOf(r.Context())
	record.RequestID = wire.RequestID(r.Context())
	record.From, _, _ = net.SplitHostPort(r.RemoteAddr)
	if record.Action == "" && call.Operation != "" {
		record.Action = call.Service + ":" + call.Operation
	}
	if record.Action == "" {
		record.Action = r.Method + " " + r.URL.Path
	}
	if h.polled(r, record) {
		return nil
	}
	return h.audit.Record(r.Context(), record)
}

// authenticated puts on record whether a request's credentials were good, and returns why it may not go on.
func (h *house) authenticated(r *http.Request, c moorage.Caller, refusal error) error {
	record := audit.Record{Kind: audit.Authentication, Caller: callerName(c), Source: string(c.Source), Key: c.AccessKeyID, Detail: behind(c)}
	if refusal != nil {
		record.Refused, record.Reason = true, refusal.Error()
	}
	if err := h.note(r, record); err != nil {
		return err
	}
	return refusal
}

// callerName is a caller as the record names it.
func callerName(c moorage.Caller) string {
	if c.Source == moorage.JWT {
		return c.Owner()
	}
	return c.ARN
}
