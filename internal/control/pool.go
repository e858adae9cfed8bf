package control

import (
	"strconv"
	"strings"

	"github.com/moorage-dev/moorage"
)

// TagPool is the tag by which a runtime says how many sandboxes of each live version shall always be
// ready for new sessions: 0 (the default) to 64, under the server's own ceiling. "off" starts every
// session cold, for agents whose start does something that only a session may cause.
const TagPool = "moorage:pool"

const (
	maxPool = 64
	poolOff = -1
)

// poolFloor reads the tag; poolOff means no pool at all.
func poolFloor(tags map[string]string) (int, error) {
	value, ok := tags[TagPool]
	if !ok {
		return 0, nil
	}
	if value == "off" {
		return poolOff, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || n > maxPool {
		return 0, invalid("tags", "the tag %s is off or a number from 0 to %d; %q is neither", TagPool, maxPool, value)
	}
	return n, nil
}

// checkTags holds tags against the rules of AWS, and the platform's own against theirs.
func checkTags(tags map[string]string) error {
	for k := range tags {
		if strings.HasPrefix(strings.ToLower(k), "aws:") {
			return invalid("tags", "the prefix aws: is reserved; tag key %q cannot be set", k)
		}
	}
	if _, err := leastIsolation(tags); err != nil {
		return err
	}
	_, err := poolFloor(tags)
	return err
}

// servePools says which versions of a runtime sessions can start from. The caller holds mu.
func (s *Service) servePools(id string) {
	m := s.view[id]
	if m == nil || m.runtime.Status == moorage.Deleting || m.least > s.Isolation || m.floor == poolOff {
		s.Pools.Serve(id, 0, nil)
		return
	}
	var live []moorage.Version
	for _, e := range m.endpoints {
		if v, ok := m.versions[e.Live]; ok {
			live = append(live, v)
		}
	}
	s.Pools.Serve(id, m.floor, live)
}

// ready counts the sandboxes that a runtime's pools hold.
func (s *Service) ready(runtimeID string) (n int) {
	for _, p := range s.Pools.State(runtimeID) {
		n += p.Ready
	}
	return n
}
