package v1

import (
	"net/http"
	"strconv"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/control"
)

// Runtime is a runtime as operators see it, with its endpoints and what is going on there.
type Runtime struct {
	ID            string    `json:"id"`
	Name          string    `json:"name"`
	ARN           string    `json:"arn"`
	Status        string    `json:"status"`
	Version       string    `json:"version"` // the latest
	Protocol      string    `json:"protocol"`
	Description   string    `json:"description,omitempty"`
	Source        string    `json:"source"` // the image, or the uploaded code
	FailureReason string    `json:"failureReason,omitempty"`
	LastWords     []string  `json:"lastWords,omitempty"` // what the agent printed last, when its trial start failed
	Endpoints     []string  `json:"endpoints"`
	Sessions      int       `json:"sessions"` // alive, those asleep included
	Asleep        int       `json:"asleep"`
	CreatedAt     time.Time `json:"createdAt"`
	UpdatedAt     time.Time `json:"updatedAt"`
	SpendingToday Spending  `json:"spendingToday"`           // of all its sessions on models
	SessionBudget *Spending `json:"sessionBudget,omitempty"` // what each session may spend; none where nothing is limited
}

const runtimesShown = 1000

func (h *Handler) listRuntimes(w http.ResponseWriter, r *http.Request) error {
	all, err := h.Control.List(r.Context(), "", runtimesShown)
	if err != nil {
		return err
	}
	out := []Runtime{}
	for _, made := range all {
		out = append(out, h.runtimeView(made))
	}
	return writeJSON(w, map[string]any{"runtimes": out})
}

func (h *Handler) showRuntime(w http.ResponseWriter, r *http.Request) error {
	made, err := h.Control.Get(r.Context(), r.PathValue("id"), 0)
	if err != nil {
		return err
	}
	return writeJSON(w, h.runtimeView(made))
}

func (h *Handler) runtimeView(made control.Created) Runtime {
	rt, v := made.Runtime, made.Version
	out := Runtime{
		ID: rt.ID, Name: rt.Name, ARN: rt.ARN, Status: string(rt.Status), Version: strconv.Itoa(v.Number),
		Protocol: v.Config.Protocol.Resolved().Name, Description: v.Config.Description, Source: source(v.Config),
		FailureReason: v.FailureReason, LastWords: v.LastWords, Endpoints: h.Control.EndpointNames(rt.ID), CreatedAt: rt.CreatedAt, UpdatedAt: rt.UpdatedAt,
	}
	if out.FailureReason == "" {
		out.FailureReason = rt.FailureReason
	}
	var each Spending
	if each, out.SpendingToday = h.spending(rt.ID, ""); each.AtTheLimit != "" {
		out.SessionBudget = &each
	}
	for _, s := range h.live(rt.ID) {
		out.Sessions++
		if s.State == moorage.Asleep {
			out.Asleep++
		}
	}
	return out
}

// source says where a version's program came from.
func source(c moorage.Config) string {
	switch {
	case c.Container != nil:
		return c.Container.URI
	case c.Code != nil:
		return "s3://" + c.Code.Bucket + "/" + c.Code.Key
	}
	return ""
}
