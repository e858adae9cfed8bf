package invoke

import "github.com/moorage-dev/moorage"

// throttle counts a call of an owner to a runtime, and refuses it where it is one too many in this second.
func (s *Service) throttle(owner, runtimeID string) error {
	switch {
	case !s.CallerCalls.Allow(moorage.PrincipalOf(owner), 1):
		return moorage.Errorf(moorage.Throttled, "Rate exceeded: a caller may make %v calls a second; retry later", s.CallerCalls.Rate.PerSecond)
	case !s.RuntimeCalls.Allow(runtimeID, 1):
		return moorage.Errorf(moorage.Throttled, "Rate exceeded: a runtime takes %v calls a second; retry later", s.RuntimeCalls.Rate.PerSecond)
	}
	return nil
}
