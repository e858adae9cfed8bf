package v1

import (
	"context"
	"net/http"

	"github.com/moorage-dev/moorage/internal/sandbox"
)

func (h *Handler) sleepSession(w http.ResponseWriter, r *http.Request) error {
	return h.changeSession(w, r, h.Sessions.SleepID)
}

func (h *Handler) wakeSession(w http.ResponseWriter, r *http.Request) error {
	return h.changeSession(w, r, h.Sessions.WakeID)
}

// changeSession does something to the session that the path names and shows how it is then.
func (h *Handler) changeSession(w http.ResponseWriter, r *http.Request, change func(context.Context, string) error) error {
	s, err := h.session(r)
	if err != nil {
		return err
	}
	if err := change(r.Context(), s.ID); err != nil {
		return err
	}
	for _, now := range h.Sessions.List() {
		if now.ID == s.ID {
			return writeJSON(w, h.view(now, h.Sessions.Stats(r.Context(), s.ID)))
		}
	}
	return writeJSON(w, h.view(s, sandbox.Stats{})) // it ended in this moment
}
