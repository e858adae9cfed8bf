package v1

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/invoke"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/session"
)

// Fork is what a fork made.
type Fork struct {
	Parent   Session   `json:"parent"`
	Branches []Session `json:"branches"`
}

func (h *Handler) forkSession(w http.ResponseWriter, r *http.Request) error {
	parent, err := h.session(r)
	if err != nil {
		return err
	}
	names, err := branchNames(r.URL.Query())
	if err != nil {
		return err
	}
	branches, err := h.Sessions.Fork(r.Context(), parent.ID, names)
	if err != nil {
		return err
	}
	out := Fork{Branches: []Session{}}
	for _, b := range branches {
		out.Branches = append(out.Branches, h.view(b, h.Sessions.Stats(r.Context(), b.ID)))
	}
	for _, now := range h.Sessions.List() {
		if now.ID == parent.ID {
			parent = now
		}
	}
	out.Parent = h.view(parent, sandbox.Stats{})
	return writeJSON(w, out)
}

// branchNames are the callers' ids of the branches: those that were given, or new ones for as many as count says.
func branchNames(query url.Values) (names []string, err error) {
	names = query["sessionId"]
	for _, name := range names {
		if err := invoke.CheckSessionID(name); err != nil {
			return nil, err
		}
	}
	count := max(1, len(names))
	if given := query.Get("count"); given != "" {
		count, err = strconv.Atoi(given)
	}
	if err != nil || count < 1 || count > session.MaxBranches {
		return nil, moorage.Errorf(moorage.Invalid, "count is a number from 1 to %d", session.MaxBranches)
	}
	if len(names) > 0 && len(names) != count {
		return nil, moorage.Errorf(moorage.Invalid, "%d ids are given for %d branches", len(names), count)
	}
	for len(names) < count {
		names = append(names, newBranchName())
	}
	return names, nil
}

// newBranchName is an id that a caller may use: 39 characters.
func newBranchName() string {
	var b [16]byte
	rand.Read(b[:])
	return "branch-" + hex.EncodeToString(b[:])
}
