package snapshot

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
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

// keyOf derives the key of one part from the snapshot's.
func keyOf(key []byte, part string, bound []byte) (PartKey, error) {
	sub, err := hkdf.Key(sha256.New, key, nil, "moorage snapshot v1 "+part, 32)
	return PartKey{Key: sub, Bound: bound}, err
}

func newStream(key PartKey) (stream, error) {
	block, err := aes.NewCipher(key.Key)
	if err != nil {
		return stream{}, err
	}
	aead, err := cipher.NewGCM(block)
	return stream{aead: aead, bound: key.Bound}, err
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

// open decrypts a chunk into to.
func (s stream) open(to, sealed []byte, index int64, last bool) ([]byte, error) {
	plain, err := s.aead.Open(to[:0], nonce(index, last), sealed, s.bound)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return plain, nil
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
