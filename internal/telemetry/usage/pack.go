package usage

import (
	"encoding/binary"
	"time"
)

// precision is of times in the archive.
const precision = time.Millisecond

// pack writes samples for the archive: of each, as varints, the milliseconds since the one before, or since 1970, its
// thousandths of a processor and its KiB.
func pack(samples []Sample) (doc []byte) {
	before := int64(0)
	for _, s := range samples {
		at := s.Time.UnixMilli()
		doc = binary.AppendVarint(doc, at-before)
		doc = binary.AppendVarint(doc, int64(s.CPU*1000+0.5))
		doc = binary.AppendVarint(doc, s.MemoryBytes>>10)
		before = at
	}
	return doc
}

// unpack reads what pack wrote, as far as it can be read.
func unpack(doc []byte) (out []Sample) {
	at := int64(0)
	for len(doc) > 0 {
		var numbers [3]int64
		for i := range numbers {
			v, n := binary.Varint(doc)
			if n <= 0 {
				return out
			}
			numbers[i], doc = v, doc[n:]
		}
		at += numbers[0]
		out = append(out, Sample{time.UnixMilli(at).UTC(), float64(numbers[1]) / 1000, numbers[2] << 10})
	}
	return out
}
