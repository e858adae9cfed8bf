package invoke

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
)

// Limits of a command. Source: AgentCore developer guide, InvokeAgentRuntimeCommand.
const (
	maxCommandOutput = 100_000_000 // bytes of stdout and stderr together
	maxDelta         = 48 << 10    // bytes per event; JSON may lengthen some, and an event has 64 KiB
	defaultTimeout   = 300 * time.Second
)

// Command is a shell command that is about to run beside a session's agent.
type Command struct {
	SessionID string

	conn    *connection
	text    string
	timeout time.Duration
	release func()
}

// CommandEvent is one thing that a command did: first it started, then it wrote to one of its
// streams, and last it ended.
type CommandEvent struct {
	Started        bool
	Stdout, Stderr string
	Result         *CommandResult
}

// CommandResult says how a command ended.
type CommandResult struct {
	Code     int
	TimedOut bool
}

// Command prepares a shell command in the session's sandbox, starting the session when there is
// none. Timeout 0 is 300 s. Range over Run once at most; the session is held until that ends, or ctx.
func (s *Service) Command(ctx context.Context, a Address, command string, timeout time.Duration) (*Command, error) {
	conn, err := s.open(ctx, "InvokeAgentRuntimeCommand", Call{Address: a})
	if err != nil {
		return nil, err
	}
	if timeout == 0 {
		timeout = defaultTimeout
	}
	release := sync.OnceFunc(func() { conn.release(nil) })
	context.AfterFunc(ctx, release) // a caller may be gone before Run begins
	return &Command{conn.sessionID, conn, command, timeout, release}, nil
}

var errCommandTimeout = errors.New("the command ran out of its time")

// Run runs the command and yields what it does. Breaking off kills it.
func (c *Command) Run(ctx context.Context) iter.Seq2[CommandEvent, error] {
	return func(yield func(CommandEvent, error) bool) {
		defer c.release()
		if !yield(CommandEvent{Started: true}, nil) {
			return
		}
		ctx, cancel := c.conn.context(ctx)
		defer cancel(nil)
		ctx, stop := context.WithTimeoutCause(ctx, c.timeout, errCommandTimeout)
		defer stop()

		events := make(chan CommandEvent)
		ended := make(chan struct{})
		var result CommandResult
		var failure error
		go func() {
			defer close(ended)
			result, failure = c.execute(ctx, events)
		}()
		for {
			select {
			case e := <-events:
				if !yield(e, nil) {
					cancel(nil)
					<-ended
					return
				}
			case <-ended:
				if failure != nil {
					yield(CommandEvent{}, failure)
					return
				}
				yield(CommandEvent{Result: &result}, nil)
				return
			}
		}
	}
}

// execute runs the command to its end, sending its output to events.
func (c *Command) execute(ctx context.Context, events chan<- CommandEvent) (CommandResult, error) {
	left := &allowance{bytes: maxCommandOutput}
	stdout := &splitter{ctx: ctx, left: left, send: func(text string) CommandEvent { return CommandEvent{Stdout: text} }, events: events}
	stderr := &splitter{ctx: ctx, left: left, send: func(text string) CommandEvent { return CommandEvent{Stderr: text} }, events: events}
	p, err := c.conn.lease.Agent.Sandbox.Exec(ctx, sandbox.Command{Args: []string{"/bin/bash", "-c", c.text}, Stdout: stdout, Stderr: stderr})
	if err != nil {
		return outcome(ctx, CommandResult{}, err)
	}
	kill := context.AfterFunc(ctx, func() { p.Kill() })
	defer kill()
	exit, err := p.Wait()
	stdout.flush()
	stderr.flush()
	if left.spent.Load() && ctx.Err() == nil {
		err = moorage.Errorf(moorage.Invalid, "the command wrote more than %d bytes; redirect its output to a file", maxCommandOutput)
	}
	return outcome(ctx, CommandResult{Code: exit.Code}, err)
}

// outcome is the result of a command, unless ctx ended it: what happened to ctx then says why.
func outcome(ctx context.Context, result CommandResult, err error) (CommandResult, error) {
	switch cause := context.Cause(ctx); cause {
	case nil:
		return result, err
	case errCommandTimeout:
		return CommandResult{Code: result.Code, TimedOut: true}, nil
	default:
		return CommandResult{}, cause
	}
}

// splitter sends what a command writes as events no larger than maxDelta, cut between characters.
type splitter struct {
	ctx    context.Context
	left   *allowance
	send   func(string) CommandEvent
	events chan<- CommandEvent
	rest   []byte // the beginning of a character whose end is still to come
}

func (s *splitter) Write(p []byte) (int, error) {
	data := append(s.rest, p...)
	s.rest = nil
	for len(data) > 0 {
		n := cut(data)
		if n == 0 {
			s.rest = append([]byte(nil), data...)
			break
		}
		if !s.left.take(n) {
			return 0, errors.New("too much output")
		}
		if err := s.emit(data[:n]); err != nil {
			return 0, err
		}
		data = data[n:]
	}
	return len(p), nil
}

func (s *splitter) emit(data []byte) error {
	select {
	case s.events <- s.send(string(data)):
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// flush sends a character that was never finished, once the command has ended.
func (s *splitter) flush() {
	if len(s.rest) > 0 && s.left.take(len(s.rest)) {
		s.emit(s.rest)
	}
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
