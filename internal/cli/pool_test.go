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
}
