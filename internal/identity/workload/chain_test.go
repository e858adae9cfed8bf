package workload

import (
	"fmt"
	"slices"
	"testing"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/store"
)

func TestChain_growsByWhoPassesACallOn(t *testing.T) {
	s := newService(t)
	for _, name := range []string{"gateway", "stranger"} {
		if _, err := s.Create(t.Context(), name, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	own := moorage.WorkloadIdentity{Name: "runs-0123456789", RuntimeID: "runs-0123456789"}
	if err := s.change(t.Context(), own.Name, func(tx *store.Tx) error { return tx.PutWorkloadIdentity(own) }); err != nil {
		t.Fatal(err)
	}
	first, err := s.Token(t.Context(), "gateway")
	if err != nil {
		t.Fatal(err)
	}
	chain, err := s.Chain(t.Context(), first)
	if err != nil || !slices.Equal(chain, []string{"gateway"}) {
		t.Fatalf("%v, %v", chain, err)
	}
	second, err := s.Deliver(t.Context(), own.Name, "one", User{ID: "ann", Through: chain})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Chain(t.Context(), second); moorage.CodeOf(err) != moorage.Denied {
		t.Errorf("an agent's token counts outside of its sandbox: %v", err)
	}
	chain, err = s.Chain(inside(t, "one"), second)
	if err != nil || !slices.Equal(chain, []string{"gateway", own.Name}) {
		t.Fatalf("%v, %v", chain, err)
	}
	arn := moorage.RuntimeARN(s.Region, s.Account, own.RuntimeID).String()
	for name, c := range map[string]struct {
		rule  moorage.WorkloadRule
		chain []string
		want  bool
	}{
		"by name":                 {moorage.WorkloadRule{Names: []string{own.Name}}, chain, true},
		"by host":                 {moorage.WorkloadRule{Hosts: []string{arn}}, chain, true},
		"by one of both":          {moorage.WorkloadRule{Hosts: []string{arn}, Names: []string{"stranger"}}, chain, true},
		"farther up":              {moorage.WorkloadRule{Names: []string{"gateway"}}, chain, true},
		"another":                 {moorage.WorkloadRule{Names: []string{"stranger"}}, chain, false},
		"nobody":                  {moorage.WorkloadRule{Names: []string{"gateway"}}, nil, false},
		"no rule is met":          {moorage.WorkloadRule{}, chain, false},
		"a host by its name":      {moorage.WorkloadRule{Hosts: []string{own.Name}}, chain, false},
		"a caller's has no host":  {moorage.WorkloadRule{Hosts: []string{arn}}, chain[:1], false},
		"one that is gone":        {moorage.WorkloadRule{Names: []string{"gone"}}, []string{"gone"}, false},
		"what only begins so":     {moorage.WorkloadRule{Names: []string{"gate"}}, chain, false},
		"another case of letters": {moorage.WorkloadRule{Names: []string{"GATEWAY"}}, chain, false},
	} {
		if got := s.Allows(c.rule, c.chain); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestChain_isBounded(t *testing.T) {
	s := newService(t)
	var through []string
	for i := range 40 {
		through = append(through, fmt.Sprint("w", i))
	}
	token, err := s.Deliver(t.Context(), "agent", "one", User{ID: "ann", Through: through})
	if err != nil {
		t.Fatal(err)
	}
	chain, err := s.Chain(inside(t, "one"), token)
	if err != nil || len(chain) != maxChain || chain[maxChain-1] != "agent" || chain[maxChain-2] != "w39" {
		t.Errorf("%v, %v", chain, err)
	}
}
