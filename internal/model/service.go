package model

import (
	"context"
	"iter"
	"time"

	"github.com/moorage-dev/moorage"
)

// Service answers by the provider that its table names. Its fields are set before the first request.
type Service struct {
	Table *Table
	// Done is told of every answer when it is over, and of every refusal; nil tells nobody.
	Done func(context.Context, Record)
}

// Record is one call to a model, as it went.
type Record struct {
	Request Request
	Answer  Answer // as far as it came
	Began   time.Time
	First   time.Duration // until the first piece; 0 where there was none
	Took    time.Duration
	Err     error
}

// Answer answers one request. It yields errors as a [Provider] does, and NotFound for a model that nobody answers for.
func (s *Service) Answer(ctx context.Context, r Request) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		record := Record{Request: r, Began: time.Now()}
		made := collector{message: Message{Role: Assistant}}
		for e, err := range s.ask(ctx, r) {
			if record.First == 0 {
				record.First = time.Since(record.Began)
			}
			if err == nil {
				made.add(e)
			}
			record.Err = err
			if !yield(e, err) || err != nil {
				break
			}
		}
		made.finishTool()
		record.Answer, record.Took = Answer{made.message, made.stop}, time.Since(record.Began)
		if record.Err == nil && made.stop.Reason == "" {
			record.Err = moorage.Errorf(moorage.AgentFailed, "the answer to %q was not read to its end", r.Model)
		}
		if s.Done != nil {
			s.Done(context.WithoutCancel(ctx), record)
		}
	}
}

// ask asks the provider, whose name for the model may be another.
func (s *Service) ask(ctx context.Context, r Request) iter.Seq2[Event, error] {
	provider, name, err := s.Table.Find(r.Model)
	if err != nil {
		return func(yield func(Event, error) bool) { yield(Event{}, err) }
	}
	r.Model = name
	return whole(provider.Answer(ctx, r))
}

// whole ends an answer that its provider broke off in an error, so that none is taken for whole that is not.
func whole(events iter.Seq2[Event, error]) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		stopped := false
		for e, err := range events {
			stopped = e.Stop != nil
			if !yield(e, err) || err != nil {
				return
			}
		}
		if !stopped {
			yield(Event{}, moorage.Errorf(moorage.AgentFailed, "the model's provider broke off its answer"))
		}
	}
}
