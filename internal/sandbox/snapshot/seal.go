package snapshot

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// chunk is how much plaintext is sealed at a time.
const (
	chunk       = 1 << 20
	sealedChunk = chunk + 16 // with its tag
)

// errDamaged says that a part is not what was written: changed, cut short, or another's.
var errDamaged = errors.New("the sealed data was changed or cut short")

// stream numbers the chunks of one part. The nonce is a counter of 11 bytes and a byte that is 1 on
// the last chunk, so that chunks can be neither dropped, nor moved, nor added.
// Source: Hoang, Reyhanitabar, Rogaway, Vizár, "Online Authenticated-Encryption", STREAM.
type stream struct {
	aead  cipher.AEAD
	bound []byte // what the part belongs to, authenticated with every chunk
}

// newStream derives the key of one part from the snapshot's.
func newStream(key []byte, part string, bound []byte) (stream, error) {
	sub, err := hkdf.Key(sha256.New, key, nil, "moorage snapshot v1 "+part, 32)
	if err != nil {
		return stream{}, err
	}
	block, err := aes.NewCipher(sub)
	if err != nil {
		return stream{}, err
	}
	aead, err := cipher.NewGCM(block)
	return stream{aead: aead, bound: bound}, err
}

func nonce(index int64, last bool) []byte {
	n := make([]byte, 12)
	binary.BigEndian.PutUint64(n[3:11], uint64(index))
	if last {
		n[11] = 1
	}
	return n
}

func (s stream) seal(out []byte, index int64, last bool, plain []byte) []byte {
	return s.aead.Seal(out, nonce(index, last), plain, s.bound)
}

// open decrypts a chunk in its place.
func (s stream) open(sealed []byte, index int64, last bool) ([]byte, error) {
	plain, err := s.aead.Open(sealed[:0], nonce(index, last), sealed, s.bound)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return plain, nil
}

// openAll decrypts what a sealer wrote, several chunks at once. Nothing of a chunk is passed on before it verified.
func (s stream) openAll(to io.WriterAt, from io.ReaderAt, size int64) error {
	if size == 0 {
		return errDamaged // a part ends with a chunk that says so
	}
	return eachChunk(size, sealedChunk, func(buffers *[2][]byte, index, n int64, last bool) error {
		sealed := buffers[0][:n]
		if _, err := from.ReadAt(sealed, index*sealedChunk); err != nil && err != io.EOF {
			return err
		}
		plain, err := s.open(sealed, index, last)
		if err != nil {
			return err
		}
		_, err = to.WriteAt(plain, index*chunk)
		return err
	})
}

// eachChunk calls do for each chunk of size bytes, on as many goroutines as there are processors, until one fails. Each goroutine
// has two buffers; the first has room for the largest of them.
func eachChunk(size, length int64, do func(buffers *[2][]byte, index, n int64, last bool) error) error {
	chunks := (size + length - 1) / length
	var next atomic.Int64
	work, ctx := errgroup.WithContext(context.Background())
	for range min(chunks, int64(runtime.GOMAXPROCS(0))) {
		work.Go(func() error {
			buffers := [2][]byte{make([]byte, min(length, size))}
			for index := next.Add(1) - 1; index < chunks && ctx.Err() == nil; index = next.Add(1) - 1 {
				if err := do(&buffers, index, min(length, size-index*length), index == chunks-1); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return work.Wait()
}

// sealer encrypts what is written to it, of which nobody knows the length yet. Close writes the last chunk and must be called once.
type sealer struct {
	stream
	to    io.Writer
	plain []byte // waits for its chunk to be full
	out   []byte
	next  int64
}

func newSealer(s stream, to io.Writer) *sealer {
	return &sealer{stream: s, to: to, plain: make([]byte, 0, chunk), out: make([]byte, 0, sealedChunk)}
}

// ReadFrom implements [io.ReaderFrom]: chunks are read into place.
func (s *sealer) ReadFrom(r io.Reader) (n int64, err error) {
	for {
		if len(s.plain) == chunk {
			if err := s.flush(false); err != nil {
				return n, err
			}
		}
		k, err := r.Read(s.plain[len(s.plain):chunk])
		s.plain = s.plain[:len(s.plain)+k]
		n += int64(k)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

func (s *sealer) flush(last bool) error {
	s.out = s.seal(s.out[:0], s.next, last, s.plain)
	s.next++
	s.plain = s.plain[:0]
	_, err := s.to.Write(s.out)
	return err
}

func (s *sealer) Close() error { return s.flush(true) }
