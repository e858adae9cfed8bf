package index

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/moorage-dev/moorage/internal/knowledge"
)

// Near implements [knowledge.Index].
func (x *Index) Near(ctx context.Context, vector []float32, k int, f *knowledge.Filter) ([]knowledge.Hit, error) {
	candidates := x.memory.nearest(x.signer.sign(vector), max(6*k, 200), f)
	found, err := x.compare(ctx, vector, candidates)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b scored) int { return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.chunk, b.chunk)) })
	return x.hits(ctx, found[:min(len(found), k)])
}

type scored struct {
	chunk int64
	score float64
}

// compare reads the vectors of chunks. A chunk that is gone meanwhile is left out.
func (x *Index) compare(ctx context.Context, vector []float32, chunks []int64) ([]scored, error) {
	var out []scored
	for part := range slices.Chunk(chunks, 500) {
		err := x.each(ctx, "SELECT chunk, vector FROM vectors WHERE chunk IN ("+marks(len(part))+")", func(scan func(...any) error) error {
			var s scored
			var packed []byte
			err := scan(&s.chunk, &packed)
			s.score = cosine(vector, packed)
			out = append(out, s)
			return err
		}, anys(part)...)
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?,", n), ",") }

func anys[T any](values []T) []any {
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = v
	}
	return out
}

// hits reads what was found, and keeps its order.
func (x *Index) hits(ctx context.Context, found []scored) ([]knowledge.Hit, error) {
	if len(found) == 0 {
		return nil, nil
	}
	ids := make([]int64, len(found))
	for i, s := range found {
		ids[i] = s.chunk
	}
	read := map[int64]knowledge.Hit{}
	err := x.each(ctx, "SELECT id, document, text FROM chunks WHERE id IN ("+marks(len(ids))+")", func(scan func(...any) error) error {
		var id, document int64
		var h knowledge.Hit
		if err := scan(&id, &document, &h.Text); err != nil {
			return err
		}
		h.ID, h.Document = name(id), x.document(document)
		read[id] = h
		return nil
	}, anys(ids)...)
	out := make([]knowledge.Hit, 0, len(found))
	for _, s := range found {
		if h, ok := read[s.chunk]; ok {
			h.Score = s.score
			out = append(out, h)
		}
	}
	return out, err
}

func (x *Index) document(id int64) knowledge.Document {
	x.memory.mu.RLock()
	defer x.memory.mu.RUnlock()
	return x.memory.known[id]
}

// How much one question may ask of the full-text index.
const (
	maxTerms = 64    // looked up
	postings = 3_000 // read through, about
)

// Words implements [knowledge.Index].
func (x *Index) Words(ctx context.Context, text string, k int, f *knowledge.Filter) ([]knowledge.Hit, error) {
	match, err := x.match(ctx, text)
	if err != nil || match == "" {
		return nil, err
	}
	query, limit, pass := "SELECT rowid, bm25(words), 0 FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?", k, x.passing(f)
	if pass != nil { // how many the filter takes is not known before
		query, limit = "SELECT w.rowid, bm25(words), c.document FROM words w CROSS JOIN chunks c ON c.id = w.rowid WHERE words MATCH ? ORDER BY bm25(words) LIMIT ?", 1<<30
	}
	var found []scored
	err = x.each(ctx, query, func(scan func(...any) error) error {
		var s scored
		var document int64
		if err := scan(&s.chunk, &s.score, &document); err != nil {
			return err
		}
		if s.score = -s.score; len(found) < k && (pass == nil || pass[document]) {
			found = append(found, s)
		}
		return nil
	}, match, limit)
	if err != nil {
		return nil, err
	}
	return x.hits(ctx, found)
}

func (x *Index) passing(f *knowledge.Filter) map[int64]bool {
	x.memory.mu.RLock()
	defer x.memory.mu.RUnlock()
	return x.memory.passing(f)
}

// match is the question as the full-text index takes it: its rarest words, any of them, and all as a
// phrase where they are few.
func (x *Index) match(ctx context.Context, text string) (string, error) {
	words := knowledge.Words(text)
	terms := unique(words)
	frequency, err := x.frequencies(ctx, terms)
	if err != nil {
		return "", err
	}
	terms = slices.DeleteFunc(terms, func(t string) bool { return frequency[t] == 0 })
	slices.SortStableFunc(terms, func(a, b string) int { return cmp.Compare(frequency[a], frequency[b]) })
	var asked []string
	budget := postings
	for i, t := range terms {
		if budget -= frequency[t]; budget < 0 && i > 0 {
			break
		}
		asked = append(asked, quote(t))
	}
	if n := len(words); n > 1 && n <= 6 && len(asked) > 0 {
		asked = append(asked, quote(strings.Join(words, " ")))
	}
	return strings.Join(asked, " OR "), nil
}

func quote(phrase string) string { return `"` + phrase + `"` }

// unique are the words that mean something, each once; all of them if none does.
func unique(words []string) []string {
	var out, common []string
	seen := map[string]bool{}
	for _, w := range words {
		switch {
		case seen[w]:
		case knowledge.IsCommon(w):
			common = append(common, w)
		default:
			out = append(out, w)
		}
		seen[w] = true
	}
	if len(out) == 0 {
		out = common
	}
	return out[:min(len(out), maxTerms)]
}

// frequencies counts the chunks that a term is in. Of a term beyond ASCII, which the index may spell
// otherwise, nothing is known: it counts as rare.
func (x *Index) frequencies(ctx context.Context, terms []string) (map[string]int, error) {
	out, unknown := x.counted.known(terms)
	if len(unknown) == 0 {
		return out, nil
	}
	state := x.counted.state()
	for _, t := range unknown {
		out[t] = 0
		if len(t) != utf8.RuneCountInString(t) {
			out[t] = 1
		}
	}
	err := x.each(ctx, "SELECT term, doc FROM vocabulary WHERE term IN ("+marks(len(unknown))+")", func(scan func(...any) error) error {
		var term string
		var n int
		err := scan(&term, &n)
		out[term] = n
		return err
	}, anys(unknown)...)
	if err == nil {
		x.counted.learn(state, unknown, out)
	}
	return out, err
}

// counts remembers how many chunks terms are in: to count those of a common word is to read through all of
// its list. A change of the index forgets them.
type counts struct {
	mu      sync.Mutex
	changes int
	of      map[string]int
}

// maxCounts is how many terms are remembered.
const maxCounts = 100_000

func (c *counts) known(terms []string) (have map[string]int, unknown []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	have = map[string]int{}
	for _, t := range terms {
		if n, ok := c.of[t]; ok {
			have[t] = n
		} else {
			unknown = append(unknown, t)
		}
	}
	return have, unknown
}

func (c *counts) state() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changes
}

// learn takes what was counted, unless the index has changed since.
func (c *counts) learn(state int, terms []string, found map[string]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state != c.changes {
		return
	}
	if c.of == nil || len(c.of) > maxCounts {
		c.of = map[string]int{}
	}
	for _, t := range terms {
		c.of[t] = found[t]
	}
}

func (c *counts) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	c.of = nil
}
