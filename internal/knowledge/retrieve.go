package knowledge

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/moorage-dev/moorage"
)

// Query is a question to a base.
type Query struct {
	Text     string  // up to MaxQuery characters
	Results  int     // passages at most; 0 is 5
	Semantic bool    // by vectors alone; else by words, too
	Filter   *Filter // on the documents' metadata
	// Each has a long question, or one that lists entities, asked in parts: each entity's own, and the
	// whole. The passages take turns.
	Each bool
}

// MaxQuery is how long a question may be, in characters.
const MaxQuery = 20_000

// Passage is what was found. Score is between 0 and 1: 1 is a passage that is first by every way of asking.
type Passage struct {
	Hit
	Entity string // whose sub-query found it; empty for the whole question's
}

const defaultResults = 5

// Retrieve finds passages, the best first.
func (s *Service) Retrieve(ctx context.Context, base string, q Query) ([]Passage, error) {
	began := s.Now()
	found, err := s.retrieve(ctx, base, q)
	if s.Found != nil {
		s.Found(context.WithoutCancel(ctx), Search{base, q, found, began, s.Now().Sub(began), err})
	}
	return found, err
}

func (s *Service) retrieve(ctx context.Context, base string, q Query) ([]Passage, error) {
	r, err := s.record(base)
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(q.Text) == "" {
		return nil, moorage.Errorf(moorage.Invalid, "the query is empty")
	}
	if n := len([]rune(q.Text)); n > MaxQuery {
		return nil, moorage.Errorf(moorage.Invalid, "the query has %d characters, and may have %d", n, MaxQuery)
	}
	if q.Results == 0 {
		q.Results = defaultResults
	}
	index, err := s.index(ctx, r.Base)
	if err != nil {
		return nil, err
	}
	embedder, err := s.embedder(r.Base)
	if err != nil {
		return nil, err
	}
	parts := []string{q.Text}
	if q.Each {
		parts = append(entitiesIn(q.Text), q.Text)
	}
	vectors, err := embedder.Embed(ctx, parts, r.Base.Dimensions)
	if err != nil {
		return nil, err
	}
	found := make([][]Passage, len(parts))
	for i, part := range parts {
		if found[i], err = search(ctx, index, part, vectors[i], q); err != nil {
			return nil, err
		}
		if i < len(parts)-1 {
			for j := range found[i] {
				found[i][j].Entity = part
			}
		}
	}
	return takeTurns(found, max(q.Results, min(2*(len(parts)-1), 100))), nil
}

// fuse is the constant of reciprocal rank fusion. Source: Cormack, Clarke and Büttcher, SIGIR 2009.
const fuse = 60

// search asks by words and by vector, and fuses the ranks.
func search(ctx context.Context, index Index, text string, vector []float32, q Query) ([]Passage, error) {
	depth := max(3*q.Results, 20)
	lists, errs := make([][]Hit, 1, 2), [2]error{}
	var both sync.WaitGroup
	if !q.Semantic {
		lists = lists[:2]
		both.Go(func() { lists[1], errs[1] = index.Words(ctx, text, depth, q.Filter) })
	}
	lists[0], errs[0] = index.Near(ctx, vector, depth, q.Filter)
	both.Wait()
	return rankTogether(lists, q.Results), errors.Join(errs[:]...)
}

func rankTogether(lists [][]Hit, n int) []Passage {
	best := 1 / float64(fuse+1) * float64(len(lists))
	byID := map[string]*Passage{}
	var out []*Passage
	for _, list := range lists {
		for rank, h := range list {
			p := byID[h.ID]
			if p == nil {
				p = &Passage{Hit: h}
				p.Score = 0
				byID[h.ID] = p
				out = append(out, p)
			}
			p.Score += 1 / float64(fuse+1+rank) / best
		}
	}
	slices.SortStableFunc(out, func(a, b *Passage) int { return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID)) })
	passages := make([]Passage, 0, min(n, len(out)))
	for _, p := range out[:min(n, len(out))] {
		passages = append(passages, *p)
	}
	return passages
}

// takeTurns takes the best of each list, then the second of each, until there are n passages, and sorts
// them by score.
func takeTurns(lists [][]Passage, n int) []Passage {
	var out []Passage
	seen := map[string]bool{}
	for rank := 0; ; rank++ {
		any := false
		for _, list := range lists {
			if rank >= len(list) {
				continue
			}
			any = true
			if p := list[rank]; !seen[p.ID] && len(out) < n {
				seen[p.ID] = true
				out = append(out, p)
			}
		}
		if !any || len(out) == n {
			break
		}
	}
	slices.SortStableFunc(out, func(a, b Passage) int { return cmp.Compare(b.Score, a.Score) })
	return out
}
