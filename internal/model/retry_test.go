package model_test

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/model"
)

// moody is a provider that fails some times before it answers.
type moody struct {
	errs  []error // one for each try; nil answers
	piece bool    // says something before it fails
	asked int
}

func (m *moody) Answer(context.Context, model.Request) iter.Seq2[model.Event, error] {
	return func(yield func(model.Event, error) bool) {
		err := m.errs[m.asked]
		m.asked++
		if (m.piece || err == nil) && !yield(model.Event{Text: "Good evening."}, nil) {
			return
		}
		if err != nil {
			yield(model.Event{}, err)
			return
		}
		yield(model.Event{Stop: &model.Stop{Reason: model.EndTurn}}, nil)
	}
}

func overloaded(after string) error {
	return model.Refused("m", http.StatusTooManyRequests, http.Header{"Retry-After": {after}}, "slow down")
}

func TestRetrying_asksAgainWhereThatMayHelp(t *testing.T) {
	down := model.Refused("m", http.StatusServiceUnavailable, nil, "down")
	gone := model.Again(moorage.Errorf(moorage.Unavailable, "the model's provider does not answer"))
	for name, c := range map[string]struct {
		provider    moody
		asked       int
		least, most time.Duration // that it waited in all
		told        string        // the error; empty for an answer
	}{
		"answers at once":           {moody{errs: []error{nil}}, 1, 0, 0, ""},
		"is down, then up":          {moody{errs: []error{down, nil}}, 2, 375 * time.Millisecond, 625 * time.Millisecond, ""},
		"cannot be reached at all":  {moody{errs: []error{gone, gone, gone, nil}}, 3, 1125 * time.Millisecond, 1875 * time.Millisecond, "does not answer (asked 3 times)"},
		"says for how long to wait": {moody{errs: []error{overloaded("7"), nil}}, 2, 7 * time.Second, 7 * time.Second, ""},
		"asks for much patience":    {moody{errs: []error{overloaded("90"), nil}}, 1, 0, 0, "slow down (it asks to wait 1m30s)"},
		"breaks off":                {moody{errs: []error{down, nil}, piece: true}, 1, 0, 0, "down"},
		"refuses the request":       {moody{errs: []error{model.Refused("m", http.StatusBadRequest, nil, "no"), nil}}, 1, 0, 0, "no"},
		"cannot read so much":       {moody{errs: []error{model.Refused("m", 500, nil, "exceeds the available context size"), nil}}, 1, 0, 0, "Input is too long"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var told model.Record
				s := model.Service{Table: &model.Table{}, Done: func(_ context.Context, r model.Record) { told = r }}
				s.Table.Set([]model.Route{{Pattern: "*", Provider: "p"}}, map[string]model.Provider{"p": model.Retrying{Provider: &c.provider}})
				_, err := model.Collect(s.Answer(t.Context(), model.Request{Model: "m"}))
				if took := time.Since(began); took < c.least || took > c.most {
					t.Errorf("it took %s", took)
				}
				if c.provider.asked != c.asked || told.Tries != c.asked {
					t.Errorf("asked %d times, and %d are on record", c.provider.asked, told.Tries)
				}
				if (err == nil) != (c.told == "") || err != nil && !strings.Contains(err.Error(), c.told) {
					t.Errorf("the error is %v", err)
				}
			})
		})
	}
}

func TestRetrying_endsWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		p := &moody{errs: []error{overloaded("10"), nil}}
		began := time.Now()
		if _, err := model.Collect(model.Retrying{Provider: p}.Answer(ctx, model.Request{})); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the error is %v", err)
		}
		if took := time.Since(began); took != time.Second || p.asked != 1 {
			t.Errorf("asked %d times in %s", p.asked, took)
		}
	})
}
