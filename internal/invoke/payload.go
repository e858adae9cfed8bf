package invoke

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/telemetry/calls"
)

// maxReplay is how much of a body is kept to send it again, in bytes. More than the transport's own
// buffers hold has reached the agent by then, and is not sent twice.
const maxReplay = 64 << 10

// payload is the body of a call on its way to the agent. It remembers its beginning, since the
// transport sends a request once more when a pooled connection turned out to be closed before
// anything was written to it; and why it broke off, if the caller's side was the reason.
type payload struct {
	from  io.Reader
	words *calls.Words

	mu   sync.Mutex // the transport may still read when the answer is there
	head []byte
	lost bool // more was read than head holds
	err  error
}

func (p *payload) Read(b []byte) (int, error) {
	n, err := p.from.Read(b)
	p.words.Asked(b[:n])
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lost = p.lost || len(p.head)+n > maxReplay; p.lost {
		p.head = nil
	} else {
		p.head = append(p.head, b[:n]...)
	}
	if err != nil && err != io.EOF {
		p.err = err
	}
	return n, err
}

// Buffered returns how many bytes a Read gives without waiting, as far as that is known.
func (p *payload) Buffered() int { return buffered(p.from) }

func buffered(r io.Reader) int {
	if b, ok := r.(interface{ Buffered() int }); ok {
		return b.Buffered()
	}
	return 0
}

// Close implements [io.Closer]. Whoever made the call closes its body.
func (p *payload) Close() error { return nil }

var errNoReplay = errors.New("too much of the body was sent to send it again")

// again is the body from its start, for a second try.
func (p *payload) again() (io.ReadCloser, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lost {
		return nil, errNoReplay
	}
	return &replay{io.MultiReader(bytes.NewReader(p.head), p)}, nil
}

type replay struct{ io.Reader }

func (*replay) Close() error { return nil }

// failure says why the body could not be read to its end, or nil.
func (p *payload) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var coded *moorage.Error
	if p.err == nil || errors.As(p.err, &coded) {
		return p.err
	}
	return &moorage.Error{Code: moorage.Invalid, Reason: "CannotParse", Message: "the request body ended early", Err: p.err}
}
