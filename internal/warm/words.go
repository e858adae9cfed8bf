package warm

import (
	"time"

	"github.com/moorage-dev/moorage/internal/sandbox/journal"
)

// journalLag is how long what an agent printed may take to be in its journal. Its answer comes by a
// shorter way.
const journalLag = 150 * time.Millisecond

// WordsSince returns the last words of an agent that failed a call which began at t, giving what it
// printed meanwhile the time to arrive.
func (a *Agent) WordsSince(t time.Time) []string {
	for deadline := time.Now().Add(journalLag); !a.spokeSince(t) && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	return a.LastWords()
}

func (a *Agent) spokeSince(t time.Time) bool {
	lines, err := journal.Last(a.Sandbox.Info().LogDir, 1, "stderr")
	return err == nil && len(lines) > 0 && !lines[0].Time.Before(t)
}
