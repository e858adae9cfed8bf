// Package document packs OTLP documents for keeping, and unpacks them for reading.
//
// A packed document is an OTLP message, as bytes of its protobuf form, compressed with zstd.
package document

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// MaxUnpacked bounds what a document unpacks to, in bytes.
const MaxUnpacked = 64 << 20

// Codec packs and unpacks. It may be used concurrently.
type Codec struct {
	pack   *zstd.Encoder
	unpack *zstd.Decoder
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
	return &Codec{pack, unpack}, nil
}

// PackTraces packs spans.
func (c *Codec) PackTraces(t ptrace.Traces) ([]byte, error) {
	raw, err := new(ptrace.ProtoMarshaler).MarshalTraces(t)
	if err != nil {
		return nil, err
	}
	return c.pack.EncodeAll(raw, nil), nil
}

// Traces unpacks what PackTraces made.
func (c *Codec) Traces(doc []byte) (ptrace.Traces, error) {
	raw, err := c.unpack.DecodeAll(doc, nil)
	if err != nil {
		return ptrace.Traces{}, fmt.Errorf("unpack spans: %w", err)
	}
	return new(ptrace.ProtoUnmarshaler).UnmarshalTraces(raw)
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
