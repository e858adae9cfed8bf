package shim

import (
	"context"
	"maps"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
)

// A sandbox may live in a shim of an older build: what that does not know must be an answer and not
// the end of anything.
func TestShim_answersARequestThatItDoesNotKnow(t *testing.T) {
	c := openIn(t, t.TempDir())
	box := create(t, c, spec(t))
	awaitAgent(t, box)
	err := box.(*remote).tell(t.Context(), request{Op: "juggle"})
	if moorage.CodeOf(err) != moorage.Unsupported {
		t.Errorf("the shim answers %v", err)
	}
	if err := ping(box); err != nil {
		t.Error("the sandbox after that:", err)
	}
}

func TestOpen_findsPausedSandboxesAndTheirNewLabels(t *testing.T) {
	dir := t.TempDir()
	box := create(t, openIn(t, dir), spec(t))
	awaitAgent(t, box)
	labels := map[string]string{"pool": "demo/1"}
	if err := box.Relabel(t.Context(), labels); err != nil {
		t.Fatal(err)
	}
	if err := box.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := openIn(t, dir)
	found, err := again.Lookup(t.Context(), box.Info().ID)
	if err != nil || !maps.Equal(found.Info().Labels, labels) {
		t.Fatal(found, err)
	}
	if _, err := found.Dial(t.Context(), 8080); moorage.CodeOf(err) != moorage.Conflict {
		t.Errorf("a paused sandbox answers %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := found.Resume(ctx); err != nil {
		t.Fatal(err)
	}
	if err := ping(found); err != nil {
		t.Error(err)
	}
}
