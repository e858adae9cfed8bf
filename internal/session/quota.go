package session

import (
	"errors"
	"fmt"

	"github.com/moorage-dev/moorage"
)

// crowd is the sessions that count against one limit together. As an error it says that they are too many.
type crowd struct {
	caller, runtime string // whose they are; empty is anybody's
	limit           int    // how many may be up; 0 is any number
	remedy          string
}

func (c *crowd) Error() string {
	of := ""
	switch {
	case c.caller != "":
		of = " of this caller"
	case c.runtime != "":
		of = " of this runtime"
	}
	return fmt.Sprintf("maxVms limit exceeded: %d sessions%s are live, which is the limit; stop some or %s", c.limit, of, c.remedy)
}

func (c *crowd) has(s *live) bool {
	return (c.caller == "" || c.caller == s.key.caller()) && (c.runtime == "" || c.runtime == s.key.RuntimeID)
}

// caller is who is held to quotas: whatever users a principal acts for, it is one caller. Sessions that belong to nobody are, for each
// runtime, those of one.
func (k Key) caller() string {
	if k.Owner == moorage.Anybody {
		return k.Owner + " of " + k.RuntimeID
	}
	return moorage.PrincipalOf(k.Owner)
}

// full returns a crowd in which n sessions of key's, beyond those that are up, would be too many; nil when
// there is room for them. The caller holds mu.
func (m *Manager) full(key Key, n int) *crowd {
	for _, c := range []*crowd{
		{limit: m.limit(), remedy: "raise --max-sessions"},
		{caller: key.caller(), limit: m.Quotas.CallerSessions, remedy: "raise --max-sessions-per-caller"},
		{runtime: key.RuntimeID, limit: m.Quotas.RuntimeSessions, remedy: "raise --max-sessions-per-runtime"},
	} {
		if c.limit > 0 && m.awakeCount(c)+n > c.limit {
			return c
		}
	}
	return nil
}

// everybody is the crowd that all sessions are in.
var everybody = &crowd{}

// mayBegin says why n new sessions of key's may not begin now: Quota when too many are up, Throttled when
// too many began lately. The caller holds mu.
func (m *Manager) mayBegin(key Key, n int) error {
	if c := m.full(key, n); c != nil {
		return &moorage.Error{Code: moorage.Quota, Message: c.Error(), Err: c}
	}
	switch {
	case !m.callerStarts.Allow(key.caller(), n):
		return moorage.Errorf(moorage.Throttled, "Rate exceeded: a caller may begin %v new sessions a second; retry later", m.callerStarts.Rate.PerSecond)
	case !m.runtimeStarts.Allow(key.RuntimeID, n):
		return moorage.Errorf(moorage.Throttled, "Rate exceeded: a runtime may begin %v new sessions a second; retry later", m.runtimeStarts.Rate.PerSecond)
	}
	return nil
}

// crowdOf is the crowd that an error says is full; nil when it says something else.
func crowdOf(err error) (c *crowd) {
	errors.As(err, &c)
	return c
}
