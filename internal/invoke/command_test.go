package invoke

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCut_keepsCharactersWhole(t *testing.T) {
	text := strings.Repeat("a", maxDelta-1) + "漢字"
	data := []byte(text)
	var parts []string
	for len(data) > 0 {
		n := cut(data)
		if n == 0 {
			t.Fatalf("no progress at %q", data)
		}
		parts, data = append(parts, string(data[:n])), data[n:]
	}
	for i, p := range parts {
		if !utf8.ValidString(p) || len(p) > maxDelta {
			t.Errorf("part %d has %d bytes and is valid UTF-8: %v", i, len(p), utf8.ValidString(p))
		}
	}
	if strings.Join(parts, "") != text || len(parts) != 2 {
		t.Errorf("%d parts do not make the text", len(parts))
	}
}

func TestCut_waitsForTheEndOfACharacter(t *testing.T) {
	if n := cut([]byte("漢")[:2]); n != 0 {
		t.Errorf("sent %d bytes of half a character", n)
	}
	if n := cut([]byte{0xff, 0xfe}); n == 0 {
		t.Error("bytes that are no text at all must not be held back for ever")
	}
}
