package invoke

import (
	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/session"
)

// throttle counts a call and refuses it where it is one too many in this second.
func (s *Service) throttle(key session.Key) error {
	switch {
	case !s.CallerCalls.Allow(moorage.PrincipalOf(key.Owner), 1):
		return moorage.Errorf(moorage.Throttled, "Rate exceeded: a caller may make %v calls a second; retry later", s.CallerCalls.Rate.PerSecond)
	case !s.RuntimeCalls.Allow(key.RuntimeID, 1):
		return moorage.Errorf(moorage.Throttled, "Rate exceeded: a runtime takes %v calls a second; retry later", s.RuntimeCalls.Rate.PerSecond)
	}
	return nil
}
