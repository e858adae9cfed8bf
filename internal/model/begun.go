package model

import "iter"

// Begun waits for the first event, so that a refusal is still told in place of an answer. The events that
// it returns have to be read, or their provider is never let go.
func Begun(events iter.Seq2[Event, error]) (iter.Seq2[Event, error], error) {
	next, stop := iter.Pull2(events)
	first, err, ok := next()
	if err != nil || !ok {
		stop()
		return func(func(Event, error) bool) {}, err
	}
	return func(yield func(Event, error) bool) {
		defer stop()
		for ok && yield(first, err) && err == nil {
			first, err, ok = next()
		}
	}, nil
}
