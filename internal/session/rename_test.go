package session_test

import (
	"testing"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/session/sessiontest"
)

func TestRename_onlyTheNewIDFindsTheSession(t *testing.T) {
	h := sessiontest.New(t)
	v := h.Version(t, moorage.Lifecycle{})
	lease := acquire(t, h, key("alice", "first"), v)
	id := lease.Session.ID
	if err := lease.Rename("second"); err != nil || lease.Session.CallerID != "second" {
		t.Fatalf("Rename = %v, %+v", err, lease.Session)
	}
	lease.Release()
	other := acquire(t, h, key("alice", "first"), v)
	if other.Session.ID == id {
		t.Error("the old id still finds the session")
	}
	if err := other.Rename("second"); moorage.CodeOf(err) != moorage.Conflict {
		t.Errorf("a name that is taken: %v", err)
	}
	other.Release()
	h.Restart(t)
	again := acquire(t, h, key("alice", "second"), v)
	defer again.Release()
	if again.Session.ID != id {
		t.Error("after a restart the new id does not find the session")
	}
}
