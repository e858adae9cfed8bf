// Package indextest is what every index of package knowledge has to do, as tests.
package indextest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/moorage-dev/moorage/internal/knowledge"
)

// Dimensions of the vectors that the suite uses.
const Dimensions = 256

// Run runs the suite. Open opens the index of a directory, as often as it is asked to.
func Run(t *testing.T, open func(t *testing.T, dir string) knowledge.Index) {
	for name, test := range map[string]func(*testing.T, *house){
		"finds words": findsWords, "finds what is near": findsNear, "replaces a document": replaces, "removes": removes,
		"filters": filters, "keeps what it was given": keeps, "puts all or nothing": allOrNothing, "serves several at once": several,
		"takes any question": anyQuestion,
	} {
		t.Run(name, func(t *testing.T) {
			h := &house{dir: t.TempDir(), open: open}
			h.reopen(t)
			t.Cleanup(func() { h.Close() })
			test(t, h)
		})
	}
}

type house struct {
	knowledge.Index
	dir  string
	open func(*testing.T, string) knowledge.Index
}

func (h *house) reopen(t *testing.T) {
	t.Helper()
	if h.Index != nil {
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	}
	h.Index = h.open(t, h.dir)
}

// entry makes a document with a chunk for each text.
func entry(t *testing.T, source, uri string, metadata map[string]any, texts ...string) knowledge.Entry {
	t.Helper()
	vectors, err := knowledge.Lexical{}.Embed(t.Context(), texts, Dimensions)
	if err != nil {
		t.Fatal(err)
	}
	e := knowledge.Entry{Document: knowledge.Document{Source: source, URI: uri, Fingerprint: "1", Metadata: metadata}}
	for i, text := range texts {
		e.Chunks = append(e.Chunks, knowledge.Chunk{Text: text, Vector: vectors[i]})
	}
	return e
}

func (h *house) put(t *testing.T, entries ...knowledge.Entry) {
	t.Helper()
	if err := h.Put(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
}

func (h *house) words(t *testing.T, text string, k int, f *knowledge.Filter) []string {
	t.Helper()
	hits, err := h.Words(t.Context(), text, k, f)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return uris(t, hits)
}

func (h *house) near(t *testing.T, text string, k int, f *knowledge.Filter) []string {
	t.Helper()
	vectors, err := knowledge.Lexical{}.Embed(t.Context(), []string{text}, Dimensions)
	if err != nil {
		t.Fatal(err)
	}
	hits, err := h.Near(t.Context(), vectors[0], k, f)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return uris(t, hits)
}

// uris checks that hits are whole and in order.
func uris(t *testing.T, hits []knowledge.Hit) (out []string) {
	t.Helper()
	last := math.Inf(1)
	for _, hit := range hits {
		if hit.ID == "" || hit.Text == "" || hit.Document.URI == "" || hit.Score > last {
			t.Errorf("a hit after one with score %v: %+v", last, hit)
		}
		last = hit.Score
		out = append(out, hit.Document.URI)
	}
	return out
}

func want(t *testing.T, what string, got []string, wanted ...string) {
	t.Helper()
	if !slices.Equal(got, wanted) {
		t.Errorf("%s: got %v, want %v", what, got, wanted)
	}
}

func (h *house) library(t *testing.T) {
	h.put(t,
		entry(t, "A", "s3://b/boats", map[string]any{"year": 2020.0, "team": "blue", "topics": []any{"sea", "wood"}}, "A sloop has one mast. The skipper of the Petrel is Ada Quill.", "Its keel is oak."),
		entry(t, "A", "s3://b/bread", map[string]any{"year": 2022.0, "team": "red"}, "Bread wants flour, water, salt and time."),
		entry(t, "B", "s3://b/bees", nil, "Bees dance to tell where flowers are."),
	)
}

func findsWords(t *testing.T, h *house) {
	h.library(t)
	want(t, "a rare word", h.words(t, "what is a sloop", 5, nil), "s3://b/boats")
	want(t, "in another case", h.words(t, "ADA QUILL", 5, nil), "s3://b/boats")
	want(t, "no such word", h.words(t, "zeppelin", 5, nil))
	if got := h.words(t, "flour flowers oak", 2, nil); len(got) != 2 {
		t.Errorf("two of three: %v", got)
	}
}

func findsNear(t *testing.T, h *house) {
	h.library(t)
	want(t, "forms of words", h.near(t, "a bee dances for a flower", 1, nil), "s3://b/bees")
	if got := h.near(t, "anything", 10, nil); len(got) != 4 {
		t.Errorf("everything is at some angle, and found are %v", got)
	}
}

func replaces(t *testing.T, h *house) {
	h.library(t)
	again := entry(t, "A", "s3://b/boats", nil, "A ketch has two masts.")
	again.Fingerprint = "2"
	h.put(t, again)
	want(t, "old words", h.words(t, "sloop", 5, nil))
	want(t, "new words", h.words(t, "ketch", 5, nil), "s3://b/boats")
	h.put(t, entry(t, "B", "s3://b/boats", nil, "Of another source, the sloop."))
	want(t, "the same name in another source", h.words(t, "ketch", 5, nil), "s3://b/boats")
	if d, c, err := h.Size(t.Context()); d != 4 || c != 4 || err != nil {
		t.Errorf("%d documents, %d chunks, %v", d, c, err)
	}
	prints, err := h.Fingerprints(t.Context(), "A")
	if err != nil || prints["s3://b/boats"] != "2" || len(prints) != 2 {
		t.Errorf("fingerprints %v, %v", prints, err)
	}
}

func removes(t *testing.T, h *house) {
	h.library(t)
	if err := h.Remove(t.Context(), "A", []string{"s3://b/boats", "s3://b/none", "s3://b/bees"}); err != nil {
		t.Fatal(err)
	}
	want(t, "words", h.words(t, "sloop oak", 5, nil))
	if got := h.near(t, "a sloop has one mast", 5, nil); slices.Contains(got, "s3://b/boats") || len(got) != 2 {
		t.Errorf("near: %v", got)
	}
	if d, c, err := h.Size(t.Context()); d != 2 || c != 2 || err != nil {
		t.Errorf("%d documents, %d chunks, %v", d, c, err)
	}
}

func filters(t *testing.T, h *house) {
	h.library(t)
	for name, c := range map[string]struct {
		filter knowledge.Filter
		want   []string
	}{
		"equals":       {knowledge.Filter{Op: "equals", Key: "team", Value: "blue"}, []string{"s3://b/boats"}},
		"not equals":   {knowledge.Filter{Op: "notEquals", Key: "team", Value: "blue"}, []string{"s3://b/bees", "s3://b/bread"}},
		"greater":      {knowledge.Filter{Op: "greaterThan", Key: "year", Value: 2020.0}, []string{"s3://b/bread"}},
		"list":         {knowledge.Filter{Op: "listContains", Key: "topics", Value: "wood"}, []string{"s3://b/boats"}},
		"in":           {knowledge.Filter{Op: "in", Key: "team", Value: []any{"red", "green"}}, []string{"s3://b/bread"}},
		"starts with":  {knowledge.Filter{Op: "startsWith", Key: "team", Value: "bl"}, []string{"s3://b/boats"}},
		"of this type": {knowledge.Filter{Op: "equals", Key: "year", Value: "2020"}, nil},
		"all": {knowledge.Filter{Op: "andAll", Of: []knowledge.Filter{
			{Op: "lessThanOrEquals", Key: "year", Value: 2022.0}, {Op: "notIn", Key: "team", Value: []any{"red"}}}}, []string{"s3://b/boats"}},
		"any": {knowledge.Filter{Op: "orAll", Of: []knowledge.Filter{
			{Op: "equals", Key: "team", Value: "red"}, {Op: "stringContains", Key: "topics", Value: "se"}}}, []string{"s3://b/boats", "s3://b/bread"}},
	} {
		for door, find := range map[string]func(*testing.T, string, int, *knowledge.Filter) []string{"words": h.words, "near": h.near} {
			got := find(t, "sloop flour bees", 10, &c.filter)
			slices.Sort(got)
			want(t, name+", by "+door, slices.Compact(got), c.want...)
		}
	}
}

func keeps(t *testing.T, h *house) {
	h.library(t)
	before, near := h.words(t, "sloop flour bees", 5, nil), h.near(t, "the skipper", 4, nil)
	h.reopen(t)
	want(t, "words after opening again", h.words(t, "sloop flour bees", 5, nil), before...)
	want(t, "near after opening again", h.near(t, "the skipper", 4, nil), near...)
	want(t, "a filter after opening again", h.words(t, "sloop", 5, &knowledge.Filter{Op: "equals", Key: "year", Value: 2020.0}), "s3://b/boats")
}

func allOrNothing(t *testing.T, h *house) {
	h.library(t)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Put(cancelled, []knowledge.Entry{entry(t, "A", "s3://b/late", nil, "A late sloop.")}); err == nil {
		t.Error("a put that was given up says nothing")
	}
	want(t, "words", h.words(t, "sloop late", 5, nil), "s3://b/boats")
	if d, _, _ := h.Size(t.Context()); d != 3 {
		t.Errorf("%d documents", d)
	}
}

func several(t *testing.T, h *house) {
	h.library(t)
	var all sync.WaitGroup
	for i := range 8 {
		e := entry(t, "A", fmt.Sprintf("s3://b/more%d", i), nil, fmt.Sprintf("More of the sloop, number %d.", i))
		all.Go(func() {
			if err := h.Put(t.Context(), []knowledge.Entry{e}); err != nil {
				t.Error(err)
			}
			if hits, err := h.Words(t.Context(), "sloop", 20, nil); err != nil || len(hits) == 0 {
				t.Errorf("%d hits, %v", len(hits), err)
			}
			if _, err := h.Near(t.Context(), e.Chunks[0].Vector, 20, nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := h.words(t, "sloop", 20, nil); len(got) != 9 {
		t.Errorf("in the end: %v", got)
	}
}

func anyQuestion(t *testing.T, h *house) {
	h.library(t)
	for _, question := range []string{"", " ", `"`, `sloop" OR "`, "sloop AND NOT", "(((", "text:sloop*", "NEAR(a b)", "the of and", "\x00", "日本語", "sloop'; DROP TABLE chunks"} {
		if _, err := h.Words(t.Context(), question, 5, nil); err != nil {
			t.Errorf("%q: %v", question, err)
		}
	}
	want(t, "with operators of the engine's", h.words(t, `sloop" OR "`, 5, nil), "s3://b/boats")
}
