package invoke

import (
	"context"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
)

// Limits of a command. Source: AgentCore developer guide, InvokeAgentRuntimeCommand.
const (
	maxCommandOutput = 100_000_000 // bytes of stdout and stderr together
	maxDelta         = 48 << 10    // bytes per event; JSON may double some, and an event has 64 KiB
	defaultTimeout   = 300 * time.Second
)

// CommandEvents receives what a command does, in order; its methods are not called concurrently.
// An error from one ends the command.
type CommandEvents struct {
	Started func(sessionID string) error
	Stdout  func(text string) error
	Stderr  func(text string) error
}

// CommandResult says how a command ended. Code is -1 when the platform could not run it.
type CommandResult struct {
	Code     int
	TimedOut bool
}

// Command runs a shell command in the session's sandbox, beside the agent, starting the session
// when there is none. Timeout 0 is 300 s.
func (s *Service) Command(ctx context.Context, a Address, command string, timeout time.Duration, events CommandEvents) (CommandResult, error) {
	conn, err := s.open(ctx, a)
	if err != nil {
		return CommandResult{}, err
	}
	defer conn.lease.Release()
	ctx, cancel := conn.context(ctx)
	defer cancel(nil)
	if err := events.Started(conn.sessionID); err != nil {
		return CommandResult{}, err
	}
	if timeout == 0 {
		timeout = defaultTimeout
	}
	ctx, stop := context.WithTimeoutCause(ctx, timeout, errCommandTimeout)
	defer stop()
	return conn.run(ctx, command, events)
}

var errCommandTimeout = errors.New("the command ran out of its time")

func (c *connection) run(ctx context.Context, command string, events CommandEvents) (CommandResult, error) {
	out := newFunnel(ctx, events)
	p, err := c.lease.Agent.Sandbox.Exec(ctx, sandbox.Command{
		Args: []string{"/bin/bash", "-c", command}, Stdout: out.stream(events.Stdout), Stderr: out.stream(events.Stderr),
	})
	if err != nil {
		return CommandResult{Code: -1}, err
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-ctx.Done():
			p.Kill()
		case <-ended:
		}
	}()
	exit, err := p.Wait()
	if context.Cause(ctx) == errCommandTimeout {
		return CommandResult{Code: exit.Code, TimedOut: true}, nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return CommandResult{Code: -1}, cause
	}
	if err = errors.Join(err, out.err()); err != nil {
		return CommandResult{Code: -1}, err
	}
	return CommandResult{Code: exit.Code}, nil
}

// funnel brings two concurrent streams of output into one order of events.
type funnel struct {
	ctx   context.Context
	turn  chan struct{} // holds one token: whoever has it may send
	left  int
	first error
}

func newFunnel(ctx context.Context, _ CommandEvents) *funnel {
	f := &funnel{ctx: ctx, turn: make(chan struct{}, 1), left: maxCommandOutput}
	f.turn <- struct{}{}
	return f
}

func (f *funnel) err() error {
	<-f.turn
	defer func() { f.turn <- struct{}{} }()
	return f.first
}

// stream returns a writer that sends text in events no larger than maxDelta, cut between characters.
func (f *funnel) stream(send func(string) error) *funnelWriter {
	return &funnelWriter{f: f, send: send}
}

type funnelWriter struct {
	f    *funnel
	send func(string) error
	rest []byte // the beginning of a character whose end is still to come
}

func (w *funnelWriter) Write(p []byte) (int, error) {
	<-w.f.turn
	defer func() { w.f.turn <- struct{}{} }()
	data := append(w.rest, p...)
	w.rest = nil
	for len(data) > 0 && w.f.first == nil {
		n := cut(data)
		if n == 0 {
			w.rest = append([]byte(nil), data...)
			break
		}
		w.f.first = w.deliver(data[:n])
		data = data[n:]
	}
	return len(p), w.f.first
}

func (w *funnelWriter) deliver(data []byte) error {
	if w.f.left -= len(data); w.f.left < 0 {
		return moorage.Errorf(moorage.Invalid, "the command wrote more than %d bytes; redirect its output to a file", maxCommandOutput)
	}
	return w.send(string(data))
}

// cut returns how many bytes to send next, so that no character is split between two events.
func cut(data []byte) int {
	n := min(len(data), maxDelta)
	for back := 1; back <= min(n, utf8.UTFMax); back++ {
		if c := data[n-back]; utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(data[n-back:n]) {
				return n - back
			}
			break
		}
	}
	return n
}
