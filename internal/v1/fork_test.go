package v1_test

import (
	"strings"
	"testing"

	"github.com/moorage-dev/moorage/internal/v1"
)

func TestFork_namesAreGivenOrMadeUp(t *testing.T) {
	a := newAPI(t)
	parent := a.say(t, "alice", strings.Repeat("p", 33), "print hello")
	var made v1.Fork
	if status := a.ask(t, "POST", "/v1/sessions/"+parent.ID+"/fork?count=2", &made); status != 200 || len(made.Branches) != 2 {
		t.Fatalf("%d, %+v", status, made)
	}
	for _, b := range made.Branches {
		if len(b.SessionID) < 33 || b.ParentID != parent.ID || b.ForkedAt == nil || b.Owner != "alice" || b.StartedBy != "fork" || len(b.StartSteps) == 0 {
			t.Errorf("branch = %+v", b)
		}
	}
	if made.Branches[0].SessionID == made.Branches[1].SessionID || made.Parent.ID != parent.ID || made.Parent.Sleeps != 1 {
		t.Errorf("fork = %+v", made)
	}
	name := strings.Repeat("b", 33)
	if status := a.ask(t, "POST", "/v1/sessions/"+parent.ID+"/fork?sessionId="+name, &made); status != 200 || made.Branches[0].SessionID != name {
		t.Errorf("by name: %d, %+v", status, made)
	}
	for query, want := range map[string]int{
		"?count=0": 400, "?count=65": 400, "?count=two": 400, "?sessionId=short": 400, "?count=2&sessionId=" + strings.Repeat("c", 33): 400,
		"?sessionId=" + name: 409,
	} {
		if status := a.ask(t, "POST", "/v1/sessions/"+parent.ID+"/fork"+query, nil); status != want {
			t.Errorf("%s: %d, want %d", query, status, want)
		}
	}
	if status := a.ask(t, "POST", "/v1/sessions/none/fork", nil); status != 404 {
		t.Errorf("no such session: %d", status)
	}
}
