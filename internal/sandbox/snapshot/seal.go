package snapshot

import (
	"bufio"
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
const chunk = 1 << 20

// errDamaged says that a part is not what was written: changed, cut short, or another's.
var errDamaged = errors.New("the sealed data was changed or cut short")

// stream numbers the chunks of one part. The nonce is a counter of 11 bytes and a byte that is 1 on
// the last chunk, so that chunks can be neither dropped, nor moved, nor added.
// Source: Hoang, Reyhanitabar, Rogaway, Vizár, "Online Authenticated-Encryption", STREAM.
type stream struct {
	aead  cipher.AEAD
	bound []byte // what the part belongs to, authenticated with every chunk
	next  uint64
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

func (s *stream) nonce(last bool) []byte {
	n := make([]byte, 12)
	binary.BigEndian.PutUint64(n[3:11], s.next)
	s.next++
	if last {
		n[11] = 1
	}
	return n
}

// sealer encrypts what is written to it. Close writes the last chunk and must be called once.
type sealer struct {
	stream
	to    io.Writer
	plain []byte // waits for its chunk to be full
	out   []byte
}

func newSealer(s stream, to io.Writer) *sealer {
	return &sealer{stream: s, to: to, plain: make([]byte, 0, chunk), out: make([]byte, 0, chunk+s.aead.Overhead())}
}

func (s *sealer) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		if len(s.plain) == chunk {
			if err := s.flush(false); err != nil {
				return n, err
			}
		}
		k := copy(s.plain[len(s.plain):chunk], p)
		s.plain = s.plain[:len(s.plain)+k]
		n, p = n+k, p[k:]
	}
	return n, nil
}

// ReadFrom spares a copy: chunks are read into place.
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
	s.out = s.aead.Seal(s.out[:0], s.nonce(last), s.plain, s.bound)
	s.plain = s.plain[:0]
	_, err := s.to.Write(s.out)
	return err
}

func (s *sealer) Close() error { return s.flush(true) }

// opener decrypts a part. Nothing of a chunk is passed on before it verified, and io.EOF comes only
// after the last one did.
type opener struct {
	stream
	from  *bufio.Reader
	in    []byte
	plain []byte // verified and not yet read
	done  bool
}

func newOpener(s stream, from io.Reader) *opener {
	return &opener{stream: s, from: bufio.NewReaderSize(from, 64<<10), in: make([]byte, chunk+s.aead.Overhead())}
}

func (o *opener) Read(p []byte) (int, error) {
	for len(o.plain) == 0 {
		if o.done {
			return 0, io.EOF
		}
		if err := o.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, o.plain)
	o.plain = o.plain[n:]
	return n, nil
}

func (o *opener) fill() error {
	n, err := io.ReadFull(o.from, o.in)
	switch {
	case err == io.EOF:
		return errDamaged // a part ends with a chunk that says so
	case err != nil && err != io.ErrUnexpectedEOF:
		return err
	}
	_, peekErr := o.from.Peek(1)
	last := peekErr == io.EOF
	if o.plain, err = o.aead.Open(o.in[:0], o.nonce(last), o.in[:n], o.bound); err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	o.done = last
	return nil
}
