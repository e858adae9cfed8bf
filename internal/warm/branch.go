package warm

import (
	"context"
	"errors"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
)

// Branch starts a further sandbox from what sleeps in dir, and returns when its agent answers. A session's
// owner asked for it, so unlike a clone for anybody it may serve where not all in it reseeded: shares then
// says why it has its random generators in common with what sleeps there. A failure leaves nothing.
func (s *Starter) Branch(ctx context.Context, v moorage.Version, dir string, as sandbox.CloneSpec) (agent *Agent, shares string, err error) {
	defer s.begin()()
	cloner, ok := s.Driver.(sandbox.Cloner)
	if !ok {
		return nil, "", moorage.Errorf(moorage.Unsupported, "this server's engine cannot start two sandboxes from one")
	}
	watch := newStopwatch()
	box, err := cloner.Clone(ctx, dir, as)
	if err != nil {
		s.RemoveJournal(as.ID)
		return nil, "", err
	}
	agent = newAgent(box, v.Config.Protocol)
	watch.lap("restore")
	if err = reseed(ctx, box); moorage.CodeOf(err) == moorage.Unsupported {
		shares, err = firstLine(err.Error()), nil
	}
	watch.lap("reseed")
	if err == nil {
		err = s.AwaitReady(ctx, agent)
	}
	if err != nil {
		return nil, "", errors.Join(err, s.discard(agent))
	}
	watch.lap("agent answers")
	agent.StartedBy, agent.StartTook, agent.Steps = "fork", watch.total(), watch.steps
	return agent, shares, nil
}
