// Package document packs OTLP documents for keeping, and unpacks them for reading.
//
// A packed document is an OTLP message, as bytes of its protobuf form, compressed: log records with zstd,
// spans with S2. Spans come by the tens of thousands a second and are packed many traces at a time, and then
// S2 makes them as small as zstd makes each trace alone, at a third of the price.
package document

import (
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// MaxUnpacked bounds what a document unpacks to, in bytes.
const MaxUnpacked = 64 << 20

// Codec packs and unpacks. It may be used concurrently.
type Codec struct {
	pack    *zstd.Encoder
	unpack  *zstd.Decoder
	buffers sync.Pool // of *[]byte: packs in the making
}

// NewCodec makes a codec.
func NewCodec() (*Codec, error) {
	pack, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20))
	if err != nil {
		return nil, err
	}
	unpack, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(MaxUnpacked), zstd.WithDecoderConcurrency(0))
	if err != nil {
		return nil, err
	}
	return &Codec{pack: pack, unpack: unpack}, nil
}

// PackTraces packs spans.
func (c *Codec) PackTraces(t ptrace.Traces) ([]byte, error) {
	raw, err := new(ptrace.ProtoMarshaler).MarshalTraces(t)
	if err != nil {
		return nil, err
	}
	return s2.Encode(nil, raw), nil
}

// Traces unpacks spans.
func (c *Codec) Traces(doc []byte) (ptrace.Traces, error) {
	raw, err := c.Spans(doc)
	if err != nil {
		return ptrace.Traces{}, err
	}
	return new(ptrace.ProtoUnmarshaler).UnmarshalTraces(raw)
}

var errTooLarge = errors.New("unpack spans: there are too many of them")

// Spans unpacks spans to bytes: the message of a pack's first chunk, that of the next, and so on.
func (c *Codec) Spans(doc []byte) ([]byte, error) {
	n, err := s2.DecodedLen(doc)
	if err == nil && n > MaxUnpacked {
		return nil, errTooLarge
	}
	raw, err := s2.Decode(nil, doc)
	if err != nil {
		return nil, fmt.Errorf("unpack spans: %w", err)
	}
	return raw, nil
}

// PackLogs packs log records.
func (c *Codec) PackLogs(l plog.Logs) ([]byte, error) {
	raw, err := new(plog.ProtoMarshaler).MarshalLogs(l)
	if err != nil {
		return nil, err
	}
	return c.pack.EncodeAll(raw, nil), nil
}

// Logs unpacks what PackLogs made.
func (c *Codec) Logs(doc []byte) (plog.Logs, error) {
	raw, err := c.unpack.DecodeAll(doc, nil)
	if err != nil {
		return plog.Logs{}, fmt.Errorf("unpack log records: %w", err)
	}
	return new(plog.ProtoUnmarshaler).UnmarshalLogs(raw)
}

// enough is how many bytes of spans make a pack: with less they pack worse, and who reads one trace unpacks all.
const enough = 128 << 10

// Packer puts chunks together to packs.
type Packer struct {
	codec *Codec
	raw   *[]byte
	pack  telemetry.Pack
	packs []telemetry.Pack
}

// Packer begins with none. Ask it for its Packs once, at the end.
func (c *Codec) Packer() *Packer {
	raw, ok := c.buffers.Get().(*[]byte)
	if !ok {
		raw = new([]byte)
	}
	return &Packer{codec: c, raw: raw}
}

// Add adds a chunk, whose message write appends to what it gets.
func (p *Packer) Add(chunk telemetry.Chunk, write func(to []byte) []byte) {
	before := len(*p.raw)
	*p.raw = write(*p.raw)
	chunk.Size = len(*p.raw) - before
	p.pack.Chunks = append(p.pack.Chunks, chunk)
	if len(*p.raw) >= enough {
		p.flush()
	}
}

// AddTraces adds a chunk of these spans.
func (p *Packer) AddTraces(chunk telemetry.Chunk, t ptrace.Traces) error {
	message, err := new(ptrace.ProtoMarshaler).MarshalTraces(t)
	if err == nil {
		chunk.Resources = t.ResourceSpans().Len()
		p.Add(chunk, func(to []byte) []byte { return append(to, message...) })
	}
	return err
}

func (p *Packer) flush() {
	if len(p.pack.Chunks) > 0 {
		p.pack.Doc = s2.Encode(nil, *p.raw)
		p.packs = append(p.packs, p.pack)
	}
	p.pack, *p.raw = telemetry.Pack{}, (*p.raw)[:0]
}

// Packs ends the packing.
func (p *Packer) Packs() []telemetry.Pack {
	p.flush()
	if cap(*p.raw) <= 4*enough { // no single large trace is held on to
		p.codec.buffers.Put(p.raw)
	}
	return p.packs
}
