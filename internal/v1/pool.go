package v1

import (
	"net/http"
	"strconv"

	"github.com/moorage-dev/moorage/internal/warm"
)

// Pool is how many sandboxes of a version are ready for new sessions.
type Pool struct {
	Version         string  `json:"version"`
	Ready           int     `json:"ready"`
	Filling         int     `json:"filling"`
	Ahead           bool    `json:"ahead"` // an engine is booted and waits for the golden snapshot
	Want            int     `json:"want"`
	Floor           int     `json:"floor"`
	StartsPerMinute float64 `json:"startsPerMinute"`
	RefillMs        float64 `json:"refillMs"`
	MemoryBytes     int64   `json:"memoryBytes"`
	Problem         string  `json:"problem,omitempty"`
	Golden          string  `json:"golden,omitempty"` // of the golden snapshot: kept, none, making, degraded, fresh starts only
	GoldenProblem   string  `json:"goldenProblem,omitempty"`
}

func (h *Handler) showPool(w http.ResponseWriter, r *http.Request) error {
	if _, err := h.Control.Get(r.Context(), r.PathValue("id"), 0); err != nil {
		return err
	}
	pools := []Pool{}
	for _, s := range h.Control.Pools.State(r.PathValue("id")) {
		pools = append(pools, poolView(s))
	}
	return writeJSON(w, map[string]any{"pools": pools})
}

func poolView(s warm.PoolState) Pool {
	return Pool{
		Version: strconv.Itoa(s.Version), Ready: s.Ready, Filling: s.Filling, Ahead: s.Ahead, Want: s.Want, Floor: s.Floor,
		StartsPerMinute: s.StartsPerMinute, RefillMs: milliseconds(s.Refill), MemoryBytes: s.MemoryBytes, Problem: s.Problem,
		Golden: string(s.Golden), GoldenProblem: s.GoldenProblem,
	}
}
