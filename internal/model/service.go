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
	// Admit says whether a request may be answered; settle is called once, when that is over. Nil lets all in.
	Admit func(context.Context, Request) (settle func(Record), err error)
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
	Tries   int // how often a provider elsewhere was asked, see [Retrying]; 0 for one that is here
	Err     error
}

// Spent is what a call took: as its provider counted it, or, of an answer that was broken off, as estimated from what came.
func (r Record) Spent() Usage {
	if r.Answer.Stop.Reason != "" || len(r.Answer.Message.Content) == 0 {
		return r.Answer.Stop.Usage
	}
	return Usage{Input: Estimate(r.Request), Output: Estimate(Request{Messages: []Message{r.Answer.Message}})}
}

// Answer answers one request. It yields errors as a [Provider] does, and NotFound for a model that nobody answers for.
func (s *Service) Answer(ctx context.Context, r Request) iter.Seq2[Event, error] {
	return s.AnswerBy(ctx, r, func(ctx context.Context) iter.Seq2[Event, error] { return s.ask(ctx, r) })
}

// AnswerBy answers one request by what make makes, where the caller knows better than the table who answers. It is admitted and
// told of as any other.
func (s *Service) AnswerBy(ctx context.Context, r Request, make func(context.Context) iter.Seq2[Event, error]) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		record := Record{Request: r, Began: time.Now()}
		made := collector{message: Message{Role: Assistant}}
		events, settle := s.admitted(counting(ctx, &record.Tries), r, make)
		defer func() { settle(record) }() // whatever happens: what is held for the call is free again
		for e, err := range events {
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

// admitted has the answer made, or says why not.
func (s *Service) admitted(ctx context.Context, r Request, make func(context.Context) iter.Seq2[Event, error]) (_ iter.Seq2[Event, error], settle func(Record)) {
	nothing := func(Record) {}
	if s.Admit == nil {
		return make(ctx), nothing
	}
	settle, err := s.Admit(ctx, r)
	if err != nil {
		return func(yield func(Event, error) bool) { yield(Event{}, err) }, nothing
	}
	return make(ctx), settle
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
