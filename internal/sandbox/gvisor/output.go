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

// openOutput begins the journal and returns the files whose other ends it reads.
func (b *box) openOutput() (s stdio, err error) {
	if b.journal, err = journal.Open(b.spec.LogDir, b.spec.Limits.JournalBytes); err != nil {
		return s, err
	}
	b.later(b.closeOutput)
	if s.in, err = os.Open(os.DevNull); err != nil {
		return s, err
	}
	if s.out, err = b.pump(journal.Stdout); err != nil {
		s.close()
		return s, err
	}
	if s.err, err = b.pump(journal.Stderr); err != nil {
		s.close()
	}
	return s, err
}

// pump copies one stream into the journal until every writer closed it.
func (b *box) pump(stream string) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	b.output.Go(func() {
		defer r.Close()
		if err := b.journal.Copy(stream, r); err != nil {
			b.driver.opts.Log.Error("copy a sandbox's output", "sandbox", b.info.ID, "stream", stream, "err", err)
		}
	})
	return w, nil
}

// closeOutput waits for what the agent wrote before it ended. The engine must be gone.
func (b *box) closeOutput() error {
	b.output.Wait()
	return b.journal.Close()
}
