package v1

import (
	"encoding/json"
	"net/http"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/model"
	"github.com/moorage-dev/moorage/internal/model/provider"
)

// modelsAnswer is who may answer for models.
type modelsAnswer struct {
	Providers []provider.Spec `json:"providers"`
	Routes    []model.Route   `json:"routes"` // in the order in which they count
}

func (h *Handler) listModels(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, modelsAnswer{h.Models.Providers(), h.Models.Table.Routes()})
}

func (h *Handler) putProvider(w http.ResponseWriter, r *http.Request) error {
	var s provider.Spec
	if err := readJSON(w, r, &s); err != nil {
		return err
	}
	s.Name = r.PathValue("name")
	if err := h.Models.Put(r.Context(), s); err != nil {
		return err
	}
	return h.listModels(w, r)
}

func (h *Handler) deleteProvider(w http.ResponseWriter, r *http.Request) error {
	if err := h.Models.Remove(r.Context(), r.PathValue("name")); err != nil {
		return err
	}
	return h.listModels(w, r)
}

func (h *Handler) putRoute(w http.ResponseWriter, r *http.Request) error {
	var route model.Route
	if err := readJSON(w, r, &route); err != nil {
		return err
	}
	if err := h.Models.Route(r.Context(), route); err != nil {
		return err
	}
	return h.listModels(w, r)
}

func (h *Handler) deleteRoute(w http.ResponseWriter, r *http.Request) error {
	if err := h.Models.Unroute(r.Context(), r.URL.Query().Get("pattern")); err != nil {
		return err
	}
	return h.listModels(w, r)
}

// maxDocument is how large what is set up here may be, in bytes.
const maxDocument = 64 << 10

func readJSON(w http.ResponseWriter, r *http.Request, into any) error {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxDocument)).Decode(into); err != nil {
		return &moorage.Error{Code: moorage.Invalid, Message: "the body is not the JSON object that it should be", Err: err}
	}
	return nil
}
