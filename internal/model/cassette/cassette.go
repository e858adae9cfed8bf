// Package cassette records what a provider answers, and plays it again where there is no provider: so that a
// session that went wrong in production runs again offline, with the same words.
//
// A cassette is a file of lines, each a JSON object: a request, the events that answered it in their order, and the
// error that ended it, if one did. Pauses are not kept. A request is answered by the line whose request is the same
// in everything but the model's name, for which a route may have another; one that was made several times is
// answered in the order in which it was, and by the last from then on. What was not recorded is NotFound.
//
// No key of a provider is on a cassette: requests are kept as agents made them, without headers, and the secrets that the
// recorder is told are taken out wherever they stand. What agents and models say is there in clear, secrets of theirs
// included: files are made for their owner alone.
package cassette

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"sync"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/model"
)

// take is a line.
type take struct {
	Request model.Request `json:"request"`
	Events  []model.Event `json:"events,omitempty"`
	Error   *failure      `json:"error,omitempty"`
}

type failure struct {
	Code    moorage.Code `json:"code,omitempty"`
	Message string       `json:"message"`
}

// Recorder is a provider that writes down what another answers. Its fields are set before its first use.
type Recorder struct {
	Provider model.Provider
	File     string   // is appended to
	Secrets  []string // that must not be in it

	mu sync.Mutex // one line at a time
}

var _ model.Provider = (*Recorder)(nil)

// Answer implements [model.Provider]. An answer that cannot be written down ends in an error, so that nobody takes the
// cassette for whole; one that its caller broke off is not recorded.
func (c *Recorder) Answer(ctx context.Context, r model.Request) iter.Seq2[model.Event, error] {
	return func(yield func(model.Event, error) bool) {
		t := take{Request: r}
		for e, err := range c.Provider.Answer(ctx, r) {
			if err != nil {
				t.Error = failureOf(err)
				if ctx.Err() == nil {
					err = errors.Join(err, c.write(t))
				}
				yield(model.Event{}, err)
				return
			}
			t.Events = append(t.Events, e)
			if e.Stop != nil { // before it is told that the answer is over
				if err := c.write(t); err != nil {
					yield(model.Event{}, err)
					return
				}
			}
			if !yield(e, nil) {
				return
			}
		}
		if n := len(t.Events); n > 0 && t.Events[n-1].Stop != nil {
			return
		}
		if err := c.write(t); err != nil { // of an answer that the provider broke off
			yield(model.Event{}, err)
		}
	}
}

// failureOf is what callers see of an error.
func failureOf(err error) *failure {
	if coded := (*moorage.Error)(nil); errors.As(err, &coded) {
		return &failure{coded.Code, coded.Message}
	}
	return &failure{moorage.Internal, err.Error()}
}

func (c *Recorder) write(t take) error {
	line, err := json.Marshal(t)
	if err != nil {
		return err
	}
	for _, secret := range c.Secrets {
		quoted, _ := json.Marshal(secret) // as it would stand in a line
		line = bytes.ReplaceAll(line, quoted[1:len(quoted)-1], []byte("(secret)"))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f, err := os.OpenFile(c.File, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("record on the cassette: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// Player is a provider that plays a cassette. Make one with [Load].
type Player struct {
	mu    sync.Mutex
	takes map[[sha256.Size]byte][]take // that are left, by their request
}

var _ model.Provider = (*Player)(nil)

// Load reads a cassette; what is recorded on it later is not played.
func Load(file string) (*Player, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, &moorage.Error{Code: moorage.Invalid, Message: "the cassette cannot be read", Err: err}
	}
	defer f.Close()
	p := &Player{takes: map[[sha256.Size]byte][]take{}}
	in := json.NewDecoder(bufio.NewReader(f))
	for n := 1; ; n++ {
		var t take
		if err := in.Decode(&t); errors.Is(err, io.EOF) {
			return p, nil
		} else if err != nil {
			return nil, &moorage.Error{Code: moorage.Invalid, Message: fmt.Sprintf("the cassette is damaged at its answer %d", n), Err: err}
		}
		key := keyOf(t.Request)
		p.takes[key] = append(p.takes[key], t)
	}
}

// keyOf tells requests apart that are not the same.
func keyOf(r model.Request) [sha256.Size]byte {
	r.Model = ""
	doc, _ := json.Marshal(r) // it came from JSON, or will be written as such
	return sha256.Sum256(doc)
}

// Answer implements [model.Provider].
func (p *Player) Answer(_ context.Context, r model.Request) iter.Seq2[model.Event, error] {
	return func(yield func(model.Event, error) bool) {
		t, err := p.next(r)
		if err != nil {
			yield(model.Event{}, err)
			return
		}
		for _, e := range t.Events {
			if !yield(e, nil) {
				return
			}
		}
		if t.Error != nil {
			yield(model.Event{}, &moorage.Error{Code: t.Error.Code, Message: t.Error.Message})
		}
	}
}

func (p *Player) next(r model.Request) (take, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := keyOf(r)
	left := p.takes[key]
	if len(left) == 0 {
		return take{}, moorage.Errorf(moorage.NotFound, "nothing on the cassette answers this request, whose last message begins %q: it was recorded with another conversation, tools or settings", beginning(r))
	}
	if len(left) > 1 {
		p.takes[key] = left[1:]
	}
	return left[0], nil
}

// beginning is how a request's last message begins, for who looks for what is different.
func beginning(r model.Request) string {
	if len(r.Messages) == 0 {
		return ""
	}
	words := []rune(r.Messages[len(r.Messages)-1].Text())
	return string(words[:min(len(words), 80)])
}
