package knowledge

import (
	"context"
	"hash/fnv"
	"math"
	"strings"
	"unicode"
)

// Embedder turns text into vectors of length 1.
type Embedder interface {
	// Name says which vectors it makes: those of another name cannot be compared with them.
	Name() string
	// Embed returns a vector for each text, in so many dimensions.
	Embed(ctx context.Context, texts []string, dimensions int) ([][]float32, error)
}

// Lexical is the embedder that needs no model: words, and pieces of words, are hashed into the dimensions,
// with a sign each, so that texts which share them, or forms of them, have vectors at a small angle. It
// knows no synonyms. The same text always has the same vector.
type Lexical struct{}

// Name implements [Embedder].
func (Lexical) Name() string { return "lexical-1" }

// Embed implements [Embedder].
func (Lexical) Embed(_ context.Context, texts []string, dimensions int) ([][]float32, error) {
	out := make([][]float32, len(texts))
	for i, text := range texts {
		out[i] = lexicalVector(text, dimensions)
	}
	return out, nil
}

// Weights of what a word adds: the word itself, and all its pieces of three to five letters together.
const (
	wordWeight  = 1.0
	pieceWeight = 0.6
)

func lexicalVector(text string, dimensions int) []float32 {
	counts := map[string]float64{}
	for _, word := range Words(text) {
		counts[word]++
	}
	sum := make([]float64, dimensions)
	for word, n := range counts {
		weight := 1 + math.Log(n)
		if IsCommon(word) {
			weight *= 0.05
		}
		add(sum, word, wordWeight*weight)
		all := pieces(word)
		for _, piece := range all {
			add(sum, piece, pieceWeight*weight/math.Sqrt(float64(len(all))))
		}
	}
	return unit(sum)
}

// pieces are the runs of three to five letters of a word, its ends marked.
func pieces(word string) (out []string) {
	letters := []rune("<" + word + ">")
	for n := 3; n <= 5; n++ {
		for i := 0; i+n <= len(letters); i++ {
			out = append(out, string(letters[i:i+n]))
		}
	}
	return out
}

func add(sum []float64, feature string, weight float64) {
	h := fnv.New64a()
	h.Write([]byte(feature))
	bits := h.Sum64()
	bits ^= bits >> 29 // FNV's low bits of short words are too alike
	bits *= 0xbf58476d1ce4e5b9
	bits ^= bits >> 32
	if bits>>63 == 1 {
		weight = -weight
	}
	sum[bits%uint64(len(sum))] += weight
}

// unit scales a vector to length 1. That of nothing is the first axis: it has to be some vector.
func unit(v []float64) []float32 {
	var square float64
	for _, x := range v {
		square += x * x
	}
	out := make([]float32, len(v))
	if square == 0 {
		out[0] = 1
		return out
	}
	for i, x := range v {
		out[i] = float32(x / math.Sqrt(square))
	}
	return out
}

// Words are the words of a text, in lower case, in order.
func Words(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) })
}

// IsCommon reports whether a word says nothing of what a text is about.
func IsCommon(word string) bool { return common[word] }

var common = func() map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(`a about after all also an and any are as at be been before being between both but by can could did do does for from
		had has have he her here him his how i if in into is it its just me more most my no not of on one only or other our out over said she should so some
		such than that the their them then there these they this those through to too under up very was we were what when where which while who whom whose why
		will with would you your please find list information tell know`) {
		set[w] = true
	}
	return set
}()
