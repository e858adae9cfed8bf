package cli

import (
	"maps"
	"testing"
)

func TestProject_poolIsATagThatCanBeWrittenOut(t *testing.T) {
	for name, c := range map[string]struct {
		p    project
		want map[string]string
	}{
		"none":      {project{Tags: map[string]string{"team": "a"}}, map[string]string{"team": "a"}},
		"beside":    {project{Pool: "2", Tags: map[string]string{"team": "a"}}, map[string]string{"team": "a", tagPool: "2"}},
		"off":       {project{Pool: "off"}, map[string]string{tagPool: "off"}},
		"a warm-up": {project{WarmUp: `{"a":1}`, Clones: "off"}, map[string]string{tagWarmUp: "eyJhIjoxfQ==", tagClones: "off"}},
		"a path":    {project{WarmUp: "/warm"}, map[string]string{tagWarmUp: "/warm"}},
		"overruled": {project{Pool: "2", Tags: map[string]string{tagPool: "5"}}, map[string]string{tagPool: "5"}},
	} {
		if got := c.p.tags(); !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestPoolStatus_line(t *testing.T) {
	p := poolStatus{Version: "2", Ready: 1, Want: 3, Problem: "exited with status 1"}
	if got, want := p.line(), "version 2: 1 of 3 ready (exited with status 1)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	p = poolStatus{Version: "2", Want: 1, Golden: "degraded", GoldenProblem: "the disk is full"}
	if got, want := p.line(), "version 2: 0 of 1 ready; golden snapshot degraded (the disk is full)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
