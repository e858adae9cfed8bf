package archive

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"slices"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// stored is a block as it is on disk.
type stored struct {
	id     string // unique among all partitions and for all time
	source telemetry.Source
	doc    []byte
}

// chunk is the spans of one trace that came together, unpacked.
type chunk struct {
	source  telemetry.Source
	message []byte // an OTLP TracesData
}

func (c chunk) traces() (ptrace.Traces, error) {
	return new(ptrace.ProtoUnmarshaler).UnmarshalTraces(c.message)
}

// chunks returns what is on disk of a trace, oldest first.
func (a *Archive) chunks(ctx context.Context, id telemetry.TraceID) (out []chunk, err error) {
	for _, p := range a.all() {
		packs, err := packsOf(ctx, p, func(e entryOf) bool { return e.trace == id },
			"WHERE id IN (SELECT pack FROM traces WHERE trace = ? UNION SELECT pack FROM pack_traces WHERE trace = ?)", id[:], id[:])
		if err == nil {
			err = a.eachChunk(ctx, p, packs, func(c chunk) (bool, error) {
				out = append(out, c)
				return true, nil
			})
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// entryOf says what a chunk of a pack is.
type entryOf struct {
	trace           telemetry.TraceID
	source          int64 // in the partition
	size, resources int
}

func (e entryOf) appendTo(to []byte) []byte {
	to = binary.AppendUvarint(append(to, e.trace[:]...), uint64(e.source))
	return binary.AppendUvarint(binary.AppendUvarint(to, uint64(e.size)), uint64(e.resources))
}

var errContents = errors.New("a pack of spans does not say right what is in it")

// readEntries reads what a pack says of its chunks.
func readEntries(doc []byte) (out []entryOf, err error) {
	for len(doc) > 0 {
		var e entryOf
		doc = doc[copy(e.trace[:], doc):]
		var numbers [3]uint64
		for i := range numbers {
			n := 0
			if numbers[i], n = binary.Uvarint(doc); n <= 0 || numbers[i] > math.MaxInt32 {
				return nil, errContents
			}
			doc = doc[n:]
		}
		e.source, e.size, e.resources = int64(numbers[0]), int(numbers[1]), int(numbers[2])
		out = append(out, e)
	}
	return out, nil
}

// packOf is a pack some of whose chunks are wanted.
type packOf struct {
	row     int64
	entries []entryOf
	wanted  func(entryOf) bool
}

// packsOf lists the packs of a partition that a condition picks and that have something that is wanted, oldest first.
func packsOf(ctx context.Context, p *partition, wanted func(entryOf) bool, where string, args ...any) (out []packOf, err error) {
	err = each(ctx, p, func(scan func(...any) error) error {
		found := packOf{wanted: wanted}
		var contents []byte
		err := scan(&found.row, &contents)
		if err == nil {
			found.entries, err = readEntries(contents)
		}
		if err == nil && slices.ContainsFunc(found.entries, wanted) {
			out = append(out, found)
		}
		return err
	}, "SELECT id, chunks FROM packs "+where+" ORDER BY id", args...)
	return out, err
}

// eachChunk unpacks one pack after the other and calls yield for every chunk that is wanted, until it has enough.
// No question is open meanwhile: yield may ask others.
func (a *Archive) eachChunk(ctx context.Context, p *partition, packs []packOf, yield func(chunk) (more bool, err error)) error {
	sources := sourcesOf(ctx, p)
	for _, pack := range packs {
		var doc []byte
		err := each(ctx, p, func(scan func(...any) error) error { return scan(&doc) }, "SELECT doc FROM packs WHERE id = ?", pack.row)
		if err != nil || doc == nil { // gone meanwhile
			return err
		}
		raw, err := a.codec.Spans(doc)
		if err != nil {
			return err
		}
		for _, e := range pack.entries {
			if e.size > len(raw) {
				return errContents
			}
			c := chunk{message: raw[:e.size:e.size]}
			raw = raw[e.size:]
			if !pack.wanted(e) {
				continue
			}
			if c.source, err = sources(e.source); err != nil {
				return err
			}
			if more, err := yield(c); err != nil || !more {
				return err
			}
		}
	}
	return nil
}

// sourcesOf reads the sources of a partition by their ids, each once.
func sourcesOf(ctx context.Context, p *partition) func(id int64) (telemetry.Source, error) {
	known := map[int64]telemetry.Source{}
	return func(id int64) (s telemetry.Source, err error) {
		if s, ok := known[id]; ok {
			return s, nil
		}
		err = each(ctx, p, func(scan func(...any) error) error {
			var doc string
			if err := scan(&doc); err != nil {
				return err
			}
			return json.Unmarshal([]byte(doc), &s)
		}, "SELECT doc FROM sources WHERE id = ?", id)
		known[id] = s
		return s, err
	}
}

// collect runs a query for an id, a source and a document on all partitions, oldest first.
func (a *Archive) collect(ctx context.Context, query string, args ...any) (out []stored, err error) {
	for _, p := range a.all() {
		err := a.eachStored(ctx, p, func(s stored) (bool, error) {
			out = append(out, s)
			return true, nil
		}, query, args...)
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// eachStored runs such a query on one partition and calls yield for every row, until it has enough.
func (a *Archive) eachStored(ctx context.Context, p *partition, yield func(stored) (more bool, err error), query string, args ...any) error {
	err := each(ctx, p, func(scan func(...any) error) error {
		var row int64
		var source string
		var found stored
		if err := scan(&row, &source, &found.doc); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(source), &found.source); err != nil {
			return err
		}
		found.id = p.rowName(row)
		more, err := yield(found)
		if err == nil && !more {
			err = errEnough
		}
		return err
	}, query, args...)
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

var errEnough = errors.New("enough rows")

// each runs a query on a partition and calls row for every row. A partition that is removed meanwhile
// has none.
func each(ctx context.Context, p *partition, row func(scan func(...any) error) error, query string, args ...any) error {
	rows, err := p.read.QueryContext(ctx, query, args...)
	if err != nil {
		if p.gone.Load() {
			return nil
		}
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
