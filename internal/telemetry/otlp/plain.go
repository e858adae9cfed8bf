package otlp

import (
	"math"
	"unsafe"

	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/genai"
)

// plain is a span that is kept as it came: nothing of it has to be cut, removed or understood further than its
// attributes. Nearly all are, and to know that costs a fraction of taking a span apart and writing it again.
type plain struct {
	trace   telemetry.TraceID
	fact    telemetry.Fact
	scan    genai.Scan
	session string // that its attributes name

	named [4]bool // the session's keys that were there
	names [4]string
}

// readPlain reads a span message. It is false for one that is not plain, or not even a span. Its strings point
// into the message.
func readPlain(message []byte) (p plain, ok bool) {
	w := wire{rest: message}
	var had uint64
	attributes, events, links := 0, 0, 0
	for w.next() {
		if w.number > 16 {
			return p, false
		}
		const repeated = 1<<9 | 1<<11 | 1<<13
		bit := uint64(1) << w.number
		if had&bit&^repeated != 0 {
			return p, false
		}
		had |= bit
		fine := false
		switch w.number {
		case 1:
			fine = w.kind == lengthy && copy(p.trace[:], w.value) == 16 && len(w.value) == 16
		case 2:
			fine = w.kind == lengthy && copy(p.fact.ID[:], w.value) == 8 && len(w.value) == 8
		case 3: // trace state
			fine = w.kind == lengthy
		case 4:
			fine = w.kind == lengthy && (len(w.value) == 0 || len(w.value) == 8 && copy(p.fact.Parent[:], w.value) == 8)
		case 5:
			p.fact.Name, fine = text(w.value), w.kind == lengthy && len(w.value) <= maxName
		case 6, 10, 12, 14: // kind, and counts of what was dropped
			fine = w.kind == varint
		case 7:
			p.fact.Start, fine = int64(w.n), w.kind == fixed8
		case 8:
			p.fact.End, fine = int64(w.n), w.kind == fixed8
		case 9:
			attributes++
			fine = w.kind == lengthy && p.attribute(w.value)
		case 11:
			events++
			fine = w.kind == lengthy && plainEvent(w.value)
		case 13:
			links++
			fine = w.kind == lengthy && plainLink(w.value)
		case 15:
			fine = w.kind == lengthy && unfailed(w.value)
		case 16: // flags
			fine = w.kind == fixed4
		}
		if !fine {
			return p, false
		}
	}
	for i := range p.names {
		if p.names[i] != "" {
			p.session = p.names[i]
			break
		}
	}
	return p, !w.broken && attributes <= maxAttributes && events <= maxEvents && links <= maxLinks
}

// text is bytes as a string, without a copy: it is good as long as they are.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func (p *plain) attribute(message []byte) bool {
	key, value, ok := plainAttribute(message)
	if !ok {
		return false
	}
	name, v := text(key), valueOf(value)
	p.scan.Note(name, v)
	for i, wanted := range sessionKeys {
		if name == wanted && !p.named[i] {
			p.named[i] = true
			w := wire{rest: value}
			if w.next() && w.is(1, lengthy) {
				p.names[i] = text(w.value)
			}
		}
	}
	return true
}

// valueOf reads an AnyValue that is plain.
func valueOf(message []byte) genai.Value {
	w := wire{rest: message}
	if w.next() {
		switch w.number {
		case 1:
			return genai.TextValue(text(w.value))
		case 3:
			return genai.IntValue(int64(w.n))
		case 4:
			return genai.DoubleValue(math.Float64frombits(w.n))
		}
	}
	return genai.MessageValue(message)
}

// plainAttribute reads a KeyValue.
func plainAttribute(message []byte) (key, value []byte, ok bool) {
	w := wire{rest: message}
	for w.next() {
		switch {
		case w.is(1, lengthy) && key == nil:
			key = w.value
		case w.is(2, lengthy) && value == nil:
			value = w.value
		default:
			return nil, nil, false
		}
	}
	return key, value, !w.broken && !secret[string(key)] && plainValue(value)
}

// plainValue reports whether an AnyValue has nothing to cut. How deep it may be is known before.
func plainValue(message []byte) bool {
	if len(message) == 0 {
		return true
	}
	w := wire{rest: message}
	if !w.next() || len(w.rest) > 0 {
		return false
	}
	switch {
	case w.is(1, lengthy):
		return len(w.value) <= maxValue
	case w.is(2, varint), w.is(3, varint), w.is(7, lengthy):
		return true
	case w.is(4, fixed8):
		f := math.Float64frombits(w.n)
		return !math.IsNaN(f) && !math.IsInf(f, 0)
	case w.is(5, lengthy):
		return plainList(w.value)
	case w.is(6, lengthy):
		return plainMap(w.value)
	}
	return false
}

func plainList(message []byte) bool {
	w := wire{rest: message}
	for w.next() {
		if !w.is(1, lengthy) || !plainValue(w.value) {
			return false
		}
	}
	return !w.broken
}

func plainMap(message []byte) bool {
	w, n := wire{rest: message}, 0
	for ; w.next(); n++ {
		if !w.is(1, lengthy) {
			return false
		}
		if _, _, ok := plainAttribute(w.value); !ok {
			return false
		}
	}
	return !w.broken && n <= maxAttributes
}

func plainEvent(message []byte) bool {
	w, had, n := wire{rest: message}, uint64(0), 0
	for w.next() {
		switch {
		case w.is(3, lengthy):
			n++
			if _, _, ok := plainAttribute(w.value); !ok {
				return false
			}
		case (w.is(1, fixed8) || w.is(2, lengthy) || w.is(4, varint)) && had&(1<<w.number) == 0:
			had |= 1 << w.number
		default:
			return false
		}
	}
	return !w.broken && n <= maxAttributes
}

func plainLink(message []byte) bool {
	w, had := wire{rest: message}, uint64(0)
	for w.next() {
		switch {
		case w.is(4, lengthy):
			if _, _, ok := plainAttribute(w.value); !ok {
				return false
			}
			continue
		case w.is(1, lengthy) && len(w.value) == 16, w.is(2, lengthy) && len(w.value) == 8, w.is(3, lengthy), w.is(5, varint), w.is(6, fixed4):
		default:
			return false
		}
		if had&(1<<w.number) != 0 {
			return false
		}
		had |= 1 << w.number
	}
	return !w.broken
}

// unfailed reports whether a status is none of a failure: why a span failed takes more to find out.
func unfailed(message []byte) bool {
	w, had := wire{rest: message}, uint64(0)
	for w.next() {
		if !w.is(2, lengthy) && !(w.is(3, varint) && w.n < 2) || had&(1<<w.number) != 0 {
			return false
		}
		had |= 1 << w.number
	}
	return !w.broken
}
