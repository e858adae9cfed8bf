package gvisor

import (
	"os"
	"sync"

	"github.com/moorage-dev/moorage/internal/sandbox/journal"
)

// stdio is what a new engine gets as the agent's standard files.
type stdio struct{ in, out, err *os.File }

func (s stdio) close() {
	for _, f := range []*os.File{s.in, s.out, s.err} {
		if f != nil {
			f.Close()
		}
	}
}

// oursMu guards the process's own os.Stdin, os.Stdout and os.Stderr while they are swapped.
var oursMu sync.Mutex

// asOurs runs f with the files in the place of the process's own: gVisor gives a new engine whatever
// these variables hold. It makes boots take turns, about 30 ms each.
func (s stdio) asOurs(f func() error) error {
	oursMu.Lock()
	defer oursMu.Unlock()
	in, out, err := os.Stdin, os.Stdout, os.Stderr
	defer func() { os.Stdin, os.Stdout, os.Stderr = in, out, err }()
	os.Stdin, os.Stdout, os.Stderr = s.in, s.out, s.err
	return f()
}

// openOutput begins the journal and returns the files that lead into it.
func (b *box) openOutput() (s stdio, err error) {
	output, err := journal.Open(b.spec.LogDir, b.spec.Limits.JournalBytes)
	if err != nil {
		return s, err
	}
	b.later(output.Drain)
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.in, err = os.Open(os.DevNull); err != nil {
		return s, err
	}
	if s.out, err = output.Pipe(journal.Stdout); err != nil {
		return s, err
	}
	s.err, err = output.Pipe(journal.Stderr)
	return s, err
}
