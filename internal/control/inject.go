package control

// TagInject is the tag by which a runtime's agents trust the server to speak for other hosts, so that it puts
// credentials into their calls: "on". It holds for versions that are deployed from then on.
const (
	TagInject = "moorage:inject"
	injectOn  = "on"
)

// Injects reports whether a runtime has the tag.
func (s *Service) Injects(runtimeID string) bool {
	on, _ := s.injecting.Load(runtimeID)
	return on == true
}
