package control

import "github.com/moorage-dev/moorage/internal/model/budget"

// Budget is what a runtime's sessions may spend on models; nothing is limited for one that is not known.
func (s *Service) Budget(runtimeID string) budget.Limits {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if m := s.view[runtimeID]; m != nil {
		return m.budget
	}
	return budget.Limits{}
}
