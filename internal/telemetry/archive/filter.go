package archive

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"math/bits"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// filter knows which traces are not in a partition's packs: a Bloom filter, ten bits for each of so many traces.
// Nearly every trace that begins to come is in none of them, and to know that without looking is worth a good
// part of what taking it costs.
type filter struct{ words []uint64 }

// usualTraces is how many traces with spans a partition has room for in its filter, about: with more, it is asked more often
// in vain.
const usualTraces = 100_000

const bitsPerTrace, probes = 10, 5

func newFilter(traces int) *filter {
	return &filter{make([]uint64, max(traces, 64)*bitsPerTrace/64)}
}

// each calls do with the places of a trace's bits. Ids are mostly random already, but their senders may choose them.
func (f *filter) each(id telemetry.TraceID, do func(word, bit uint64) bool) bool {
	a, b := binary.LittleEndian.Uint64(id[:8]), binary.LittleEndian.Uint64(id[8:])
	high, low := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xbf58476d1ce4e5b9)
	at, step := high^low^a, (low^bits.RotateLeft64(b, 32))|1
	for range probes {
		word, _ := bits.Mul64(at*0x94d049bb133111eb, uint64(len(f.words)))
		if !do(word, 1<<(at>>58)) {
			return false
		}
		at += step
	}
	return true
}

func (f *filter) add(id telemetry.TraceID) {
	f.each(id, func(word, bit uint64) bool { f.words[word] |= bit; return true })
}

// mayHave is false for a trace that was not added.
func (f *filter) mayHave(id telemetry.TraceID) bool {
	return f.each(id, func(word, bit uint64) bool { return f.words[word]&bit != 0 })
}

func (f *filter) pack() []byte {
	doc := make([]byte, 0, 8*len(f.words))
	for _, w := range f.words {
		doc = binary.LittleEndian.AppendUint64(doc, w)
	}
	return doc
}

// loadFilter reads the filter that the partition was sealed with, or makes it of what is there.
func (p *partition) loadFilter(ctx context.Context) error {
	var doc []byte
	err := p.read.QueryRowContext(ctx, "SELECT doc FROM filters").Scan(&doc)
	if err == nil && len(doc) >= 8 {
		p.known = &filter{make([]uint64, len(doc)/8)}
		for i := range p.known.words {
			p.known.words[i] = binary.LittleEndian.Uint64(doc[8*i:])
		}
		return nil
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	p.torn = true
	return each(ctx, p, func(scan func(...any) error) error {
		var id []byte
		if err := scan(&id); err != nil {
			return err
		}
		var trace telemetry.TraceID
		copy(trace[:], id)
		p.known.add(trace)
		return nil
	}, "SELECT trace FROM traces WHERE pack IS NOT NULL UNION ALL SELECT trace FROM pack_traces")
}

// mayHave reports whether spans of a trace may be on disk. The writer alone may ask.
func (a *Archive) mayHave(id telemetry.TraceID) bool {
	for _, p := range a.all() {
		if p.known.mayHave(id) {
			return true
		}
	}
	return false
}
