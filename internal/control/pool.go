package control

import (
	"strconv"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/model/budget"
	"github.com/moorage-dev/moorage/internal/warm"
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

// TagWarmUp names the call that an agent gets before the golden snapshot of its version is taken, so that
// its clones are warm: a path to GET, or JSON (in base64, as tags are) to POST. TagClones is "off" for
// agents whose sessions must each start afresh: those that keep randomness where no reseeding reaches.
const (
	TagWarmUp = "moorage:warm-up"
	TagClones = "moorage:clones"
)

// starts reads the tags that say how a runtime's sessions start.
func starts(tags map[string]string) (set warm.Settings, err error) {
	if set.Floor, err = poolFloor(tags); err != nil {
		return set, err
	}
	if set.WarmUp, err = warm.ParseWarmUp(tags[TagWarmUp]); err != nil {
		return set, invalid("tags", "the tag %s: %v", TagWarmUp, err)
	}
	value, ok := tags[TagClones]
	if ok && value != "off" && value != "auto" {
		return set, invalid("tags", "the tag %s is off or auto; %q is neither", TagClones, value)
	}
	set.Fresh = value == "off" || set.Floor == poolOff
	return set, nil
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
	if _, err := longSleep(tags); err != nil {
		return err
	}
	if _, err := budget.Parse(tags); err != nil {
		return invalid("tags", "%v", err)
	}
	if v, ok := tags[TagInject]; ok && v != injectOn && v != "off" {
		return invalid("tags", "the tag %s is on or off; %q is neither", TagInject, v)
	}
	if v, ok := tags[TagSessionBinding]; ok && v != "on" && v != bindingOff {
		return invalid("tags", "the tag %s is on or off; %q is neither", TagSessionBinding, v)
	}
	_, err := starts(tags)
	return err
}

// startsOf says how a runtime's sessions start.
func (s *Service) startsOf(id string) warm.Settings {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if m := s.view[id]; m != nil {
		return m.starts
	}
	return warm.Settings{Fresh: true}
}

// servePools says which versions of a runtime sessions can start from. The caller holds mu.
func (s *Service) servePools(id string) {
	m := s.view[id]
	if m == nil || m.runtime.Status == moorage.Deleting || m.least > s.Isolation || m.starts.Floor == poolOff {
		s.Pools.Serve(id, warm.Settings{}, nil)
		return
	}
	var live []moorage.Version
	for _, e := range m.endpoints {
		if v, ok := m.versions[e.Live]; ok {
			live = append(live, v)
		}
	}
	s.Pools.Serve(id, m.starts, live)
}

// ready counts the sandboxes that a runtime's pools hold.
func (s *Service) ready(runtimeID string) (n int) {
	for _, p := range s.Pools.State(runtimeID) {
		n += p.Ready
	}
	return n
}
