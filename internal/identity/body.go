package identity

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"

	"github.com/moorage-dev/moorage"
)

// maxMemory is how much of one body is kept in memory, in bytes; the rest goes to a file.
const maxMemory = 1 << 20

// body reads a request's body whole and hashes it, so that it can be compared with what was signed
// before anybody acts on it.
type body struct {
	scope scope
	limit int64  // bytes
	dir   string // for the file

	hash string // of what was read, in hexadecimal
	size int64
	head []byte   // the first maxMemory bytes
	file *os.File // the rest; nil when there is none. Unlinked: a crash leaves nothing behind

	io.Reader // of both, once read
}

// Buffered returns how many bytes a Read gives from memory; 0 for a body that is partly in a file.
func (b *body) Buffered() int {
	if head, ok := b.Reader.(*bytes.Buffer); ok {
		return head.Len()
	}
	return 0
}

// Close removes the file.
func (b *body) Close() error {
	if b.file == nil {
		return nil
	}
	return b.file.Close()
}

// replace puts the verified body in the place of r's. It reads it, if that has not happened yet, and
// compares it with the hash that was signed.
func (b *body) replace(r *http.Request, signed string) error {
	switch signed {
	case unsignedPayload:
		r.Body = &limitedBody{r.Body, b.limit, b.limit}
		return b.checkLength(r)
	case unsignedChunks:
		return decodeChunks(r, b.limit)
	}
	if b.Reader == nil {
		if err := b.read(r); err != nil {
			return err
		}
	}
	if subtle.ConstantTimeCompare([]byte(b.hash), []byte(signed)) != 1 {
		b.Close()
		return b.scope.refuse(wrongBody, "The provided 'x-amz-content-sha256' header does not match what was computed.")
	}
	r.Body, r.ContentLength, r.TransferEncoding = b, b.size, nil
	return nil
}

func (b *body) checkLength(r *http.Request) error {
	if r.ContentLength > b.limit {
		return tooLarge(b.limit)
	}
	return nil
}

// read takes the whole body. On failure nothing is left open.
func (b *body) read(r *http.Request) error {
	if err := b.checkLength(r); err != nil {
		return err
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	if 0 <= r.ContentLength && r.ContentLength < maxMemory {
		return b.readKnown(r.Body, r.ContentLength)
	}
	digest := sha256.New()
	from := io.TeeReader(&limitedBody{r.Body, b.limit, b.limit}, digest)
	if err := b.spool(from, min(max(r.ContentLength, 0), maxMemory)); err != nil {
		b.Close()
		return err
	}
	b.hash = sum(digest)
	return nil
}

// readKnown takes a body of so many bytes at once: an invocation's is small, and passing it through readers costs more than its hash.
func (b *body) readKnown(from io.Reader, size int64) error {
	b.head, b.size = make([]byte, size), size
	if _, err := io.ReadFull(from, b.head); err != nil {
		return b.broken(err)
	}
	hash := sha256.Sum256(b.head)
	var room [2 * sha256.Size]byte
	b.hash, b.Reader = string(hex.AppendEncode(room[:0], hash[:])), bytes.NewBuffer(b.head)
	return nil
}

func sum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// spool fills the memory, then the file.
func (b *body) spool(from io.Reader, expected int64) error {
	head := bytes.NewBuffer(make([]byte, 0, expected+bytes.MinRead))
	n, err := io.Copy(head, io.LimitReader(from, maxMemory))
	b.head, b.size, b.Reader = head.Bytes(), n, head
	if err != nil {
		return b.broken(err)
	}
	if n < maxMemory {
		return nil
	}
	return b.spoolFile(from)
}

func (b *body) spoolFile(from io.Reader) (err error) {
	if b.file, err = os.CreateTemp(b.dir, "moorage-body-*"); err != nil {
		return spoolError(err)
	}
	if err := os.Remove(b.file.Name()); err != nil {
		return spoolError(err)
	}
	n, err := io.Copy(diskWriter{b.file}, from)
	if err != nil {
		return b.broken(err)
	}
	if _, err := b.file.Seek(0, io.SeekStart); err != nil {
		return spoolError(err)
	}
	b.size += n
	b.Reader = io.MultiReader(bytes.NewReader(b.head), b.file)
	return nil
}

// diskWriter tells a full disk of ours from a connection of theirs that broke.
type diskWriter struct{ file *os.File }

func (d diskWriter) Write(p []byte) (int, error) {
	n, err := d.file.Write(p)
	if err != nil {
		err = spoolError(err)
	}
	return n, err
}

func spoolError(err error) error {
	return &moorage.Error{
		Code: moorage.Unavailable, Op: "spool request body",
		Message: "there is no room to take a large request body", Err: err,
	}
}

// broken is why a body could not be read. Whoever calls Verify may have set its connection a deadline.
func (b *body) broken(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		e := b.scope.refuse(tooLate, "The request body did not come in time.")
		e.Err = err
		return e
	}
	return readError(err)
}

func readError(err error) error {
	var coded *moorage.Error
	if errors.As(err, &coded) {
		return err
	}
	return &moorage.Error{
		Code: moorage.Invalid, Op: "read request body", Reason: "CannotParse",
		Message: "the request body ended early", Err: err,
	}
}

func tooLarge(limit int64) error {
	return moorage.Errorf(moorage.Invalid, "the request body is larger than the %d bytes that are allowed", limit)
}

// limitedBody ends in an error past its limit.
type limitedBody struct {
	io.ReadCloser
	left, limit int64 // bytes
}

func (l *limitedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.ReadCloser.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, fmt.Errorf("read request body: %w", tooLarge(l.limit))
	}
	return n, err
}
