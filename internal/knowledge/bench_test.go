package knowledge_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moorage-dev/moorage/internal/knowledge"
	"github.com/moorage-dev/moorage/internal/knowledge/index"
)

// vocabulary is words with the frequencies that words have: the nth is n times as rare as the first.
type vocabulary struct {
	random *rand.Rand
	words  *rand.Zipf
}

func newVocabulary() vocabulary {
	random := rand.New(rand.NewPCG(1, 2))
	return vocabulary{random, rand.NewZipf(random, 1.1, 4, 60_000)}
}

func (v vocabulary) text(n int) string {
	var b strings.Builder
	for range n {
		fmt.Fprintf(&b, "w%xo ", v.words.Uint64()*2654435761%1048573)
	}
	return b.String()
}

// BenchmarkRetrieve asks a base of 100,000 chunks: hybrid, five results, questions of three to twelve words.
func BenchmarkRetrieve(b *testing.B) {
	const chunks = 100_000
	v := newVocabulary()
	dir := b.TempDir()
	s, err := knowledge.Open(knowledge.Options{Dir: dir, OpenIndex: index.Open})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	base, err := s.Create(b.Context(), knowledge.Base{Name: "large", Config: []byte("{}")})
	if err != nil {
		b.Fatal(err)
	}
	fill(b, v, filepath.Join(dir, base.ID, "index.db"), chunks)
	ask := func() time.Duration {
		question := v.text(3 + v.random.IntN(10))
		began := time.Now()
		found, err := s.Retrieve(b.Context(), base.ID, knowledge.Query{Text: question})
		if err != nil || len(found) != 5 {
			b.Fatalf("%d passages, %v", len(found), err)
		}
		return time.Since(began)
	}
	ask() // the index opens
	var took []time.Duration
	for b.Loop() {
		took = append(took, ask())
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
}

func fill(b *testing.B, v vocabulary, path string, chunks int) {
	x, err := index.Open(b.Context(), path, knowledge.DefaultDimensions)
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	for n := 0; n < chunks; n += 1000 {
		texts := make([]string, 1000)
		for i := range texts {
			texts[i] = v.text(60 + v.random.IntN(60))
		}
		vectors, err := knowledge.Lexical{}.Embed(b.Context(), texts, knowledge.DefaultDimensions)
		if err != nil {
			b.Fatal(err)
		}
		e := knowledge.Entry{Document: knowledge.Document{Source: "s", URI: fmt.Sprint("s3://b/", n)}}
		for i, text := range texts {
			e.Chunks = append(e.Chunks, knowledge.Chunk{Text: text, Vector: vectors[i]})
		}
		if err := x.Put(b.Context(), []knowledge.Entry{e}); err != nil {
			b.Fatal(err)
		}
	}
}
