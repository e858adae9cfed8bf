package control

// TagSessionBinding is the tag by which a runtime gives up that sessions belong to whoever opened them: "off" has every caller
// who may call the runtime reach a session by its id, as in the cloud service. "on" is as without it. It holds for calls from then
// on; sessions of before are not among those that later calls find, and end by their clocks.
const (
	TagSessionBinding = "moorage:session-binding"
	bindingOff        = "off"
)

// Unbound reports whether sessions of a runtime belong to nobody.
func (s *Service) Unbound(runtimeID string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	m := s.view[runtimeID]
	return m != nil && m.unbound
}
