package workload

import (
	"context"
	"slices"

	"github.com/moorage-dev/moorage"
)

// maxChain bounds how many workloads a token remembers. Of more the farthest are forgotten, and rules that want them not met.
const maxChain = 16

// Chain returns the workloads that a call came through which presents token, the nearest last: the one that holds the token, and
// those that it was called through itself. Errors are Redeem's: a token of an agent counts only out of its session's sandbox.
func (s *Service) Chain(ctx context.Context, token string) ([]string, error) {
	g, err := s.Redeem(ctx, token)
	if err != nil {
		return nil, err
	}
	chain := append(g.User.Through, g.Workload)
	return chain[max(0, len(chain)-maxChain):], nil
}

// Allows reports whether one of the workloads that a call came through is one of a rule's.
func (s *Service) Allows(rule moorage.WorkloadRule, chain []string) bool {
	return slices.ContainsFunc(chain, func(name string) bool {
		w, ok := s.Identity(name)
		if !ok { // gone since
			return false
		}
		return slices.Contains(rule.Names, name) || w.RuntimeID != "" && slices.Contains(rule.Hosts, moorage.RuntimeARN(s.Region, s.Account, w.RuntimeID).String())
	})
}
