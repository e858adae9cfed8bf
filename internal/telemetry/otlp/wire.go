package otlp

import "encoding/binary"

// wire reads a protobuf message field by field. The zero value with a message in rest is ready.
type wire struct {
	rest   []byte
	number uint64
	kind   byte
	whole  []byte // the field with its tag
	value  []byte // of a field that has a length
	n      uint64 // of every other
	broken bool   // what is left is no field
}

// The kinds of fields. Groups went out of use before OTLP came.
const (
	varint  = 0
	fixed8  = 1 // of eight bytes
	lengthy = 2
	fixed4  = 5
)

// next reads a field; false at the end, and where the message is broken.
func (w *wire) next() bool {
	if len(w.rest) == 0 {
		return false
	}
	begin := w.rest
	tag, n := binary.Uvarint(begin)
	if n <= 0 {
		return w.breakOff()
	}
	w.number, w.kind = tag>>3, byte(tag&7)
	var size int
	switch w.kind {
	case varint:
		if w.n, size = binary.Uvarint(begin[n:]); size <= 0 {
			return w.breakOff()
		}
	case fixed8:
		if size = 8; len(begin)-n < size {
			return w.breakOff()
		}
		w.n = binary.LittleEndian.Uint64(begin[n:])
	case fixed4:
		if size = 4; len(begin)-n < size {
			return w.breakOff()
		}
		w.n = uint64(binary.LittleEndian.Uint32(begin[n:]))
	case lengthy:
		length, head := binary.Uvarint(begin[n:])
		if head <= 0 || length > uint64(len(begin)-n-head) {
			return w.breakOff()
		}
		size = head + int(length)
		w.value = begin[n+head : n+size]
	default:
		return w.breakOff()
	}
	w.whole, w.rest = begin[:n+size], begin[n+size:]
	return true
}

func (w *wire) breakOff() bool {
	w.broken = true
	return false
}

// is reports whether the field has a number and kind.
func (w *wire) is(number uint64, kind byte) bool { return w.number == number && w.kind == kind }

// lengthOf is how long a field of so many bytes is, one whose number is below 16.
func lengthOf(n int) int {
	size := 2
	for rest := n; rest >= 0x80; rest >>= 7 {
		size++
	}
	return size + n
}

// appendHead begins a field of so many bytes.
func appendHead(to []byte, number byte, n int) []byte {
	return binary.AppendUvarint(append(to, number<<3|lengthy), uint64(n))
}
