package v1

import (
	"context"
	"net/http"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
	"github.com/moorage-dev/moorage/internal/telemetry/perfetto"
)

// exported answers with a trace or session in a format of others where format asks for one: otlp is
// OpenTelemetry's JSON, as any OTLP endpoint takes it; perfetto is what ui.perfetto.dev opens.
func (h *Handler) exported(w http.ResponseWriter, r *http.Request, q archive.SpanQuery, traces func() ([]telemetry.Trace, error)) (done bool, err error) {
	switch format := r.URL.Query().Get("format"); format {
	case "":
		return false, nil
	case "otlp":
		return true, h.exportOTLP(r.Context(), w, q)
	case "perfetto":
		all, err := traces()
		if err != nil {
			return true, err
		}
		w.Header().Set("Content-Type", "application/json")
		return true, perfetto.Write(w, all...)
	default:
		return true, moorage.Errorf(moorage.Invalid, "format is otlp or perfetto; %q is neither", format)
	}
}

func (h *Handler) exportOTLP(ctx context.Context, w http.ResponseWriter, q archive.SpanQuery) error {
	doc, err := h.Telemetry.Export(ctx, q)
	if err != nil {
		return err
	}
	text, err := new(ptrace.JSONMarshaler).MarshalTraces(doc)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(text)
	return err
}
