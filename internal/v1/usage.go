package v1

import (
	"net/http"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/telemetry/usage"
)

// UsagePage is an answer to GET /v1/sessions/{id}/usage.
type UsagePage struct {
	Samples []usage.Sample `json:"samples"` // by time
}

// sessionUsage answers what a session took of the machine while it worked, since a time and until another.
func (h *Handler) sessionUsage(w http.ResponseWriter, r *http.Request) error {
	since, err := timeOf(r.URL.Query(), "since")
	if err != nil {
		return err
	}
	until, err := timeOf(r.URL.Query(), "until")
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	s, err := h.session(r)
	if err == nil {
		id = s.ID
	} else if moorage.CodeOf(err) != moorage.NotFound { // one that is not on record took nothing here
		return err
	}
	samples, err := h.Usage.Of(r.Context(), id, since, until)
	if err != nil {
		return err
	}
	return writeJSON(w, UsagePage{samples})
}
