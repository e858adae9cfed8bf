package knowledge

import (
	"strings"
	"unicode/utf8"
)

// Chunking says how documents are cut. The zero value is 300 tokens with a fifth of overlap, what Bedrock
// does when it is told nothing.
type Chunking struct {
	Whole   bool `json:"whole,omitempty"`   // a document is one chunk
	Tokens  int  `json:"tokens,omitempty"`  // at most, in a chunk
	Overlap int  `json:"overlap,omitempty"` // percent of a chunk that the next repeats
}

// perToken is how many bytes a token has, about, in English text: the index has no model's tokenizer.
const perToken = 4

// maxWhole bounds a document that is not cut.
const maxWhole = 256 << 10 // bytes

func (c Chunking) sizes() (most, overlap int) {
	if c.Tokens == 0 {
		c.Tokens, c.Overlap = 300, 20
	}
	most = max(c.Tokens*perToken, 16)
	return most, most * c.Overlap / 100
}

// cut divides a text into passages that end where a paragraph, a sentence or a word does.
func (c Chunking) cut(text string) []string {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil
	}
	if c.Whole {
		return []string{text}
	}
	most, overlap := c.sizes()
	var out []string
	for len(text) > most {
		end := breakBefore(text, most)
		if passage := strings.TrimSpace(text[:end]); passage != "" {
			out = append(out, passage)
		}
		next := wordAfter(text, end-min(overlap, end/2), end) // half at most, or a large document becomes endless
		text = strings.TrimLeft(text[next:], " \n\t\r")
	}
	if text != "" {
		out = append(out, text)
	}
	return out
}

// breakBefore is the best place to end a passage of at most n bytes, in its second half.
func breakBefore(text string, n int) int {
	window := text[n/2 : n]
	for _, end := range []string{"\n\n", "\n", ". ", "? ", "! ", "; ", ", ", " "} {
		if i := strings.LastIndex(window, end); i >= 0 {
			return n/2 + i + len(end)
		}
	}
	for n > 1 && !utf8.RuneStart(text[n]) {
		n--
	}
	return n
}

// wordAfter is where the first line, or else the first word, begins between from and to; to if none does.
func wordAfter(text string, from, to int) int {
	window := text[from:to]
	if i := strings.IndexByte(window, '\n'); i >= 0 && i < len(window)-1 {
		return from + i + 1
	}
	if i := strings.IndexByte(window, ' '); i >= 0 {
		return from + i + 1
	}
	return to
}
