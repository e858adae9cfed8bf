package identity

import (
	"bufio"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/moorage-dev/moorage"
)

// chunkedBody decodes a body in the framing that S3 clients use over TLS (aws-chunked, without
// signatures): sizes in hexadecimal before each chunk, and a checksum of the whole after the last.
// A body that is cut short, or does not match its checksum or the length that was signed, ends in an
// error instead of io.EOF. Source: Amazon S3, "Signature calculations: trailing headers".
type chunkedBody struct {
	io.Closer
	in       *bufio.Reader
	left     int64 // bytes of this chunk
	missing  int64 // bytes of the body
	trailer  string
	checksum hash.Hash // nil where no trailer was announced
	err      error
}

// The checksums of S3's trailers.
var checksums = map[string]func() hash.Hash{
	"x-amz-checksum-crc32":     func() hash.Hash { return crc32.NewIEEE() },
	"x-amz-checksum-crc32c":    func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) },
	"x-amz-checksum-crc64nvme": func() hash.Hash { return crc64.New(crc64.MakeTable(0x9a6c9329ac4bc9b5)) },
	"x-amz-checksum-sha1":      sha1.New,
	"x-amz-checksum-sha256":    sha256.New,
}

// decodeChunks replaces r's body by its content.
func decodeChunks(r *http.Request, limit int64) error {
	size, err := strconv.ParseInt(r.Header.Get("X-Amz-Decoded-Content-Length"), 10, 64)
	if err != nil || size < 0 {
		return moorage.Errorf(moorage.Invalid, "X-Amz-Decoded-Content-Length has to be the size of the body")
	}
	if size > limit {
		return tooLarge(limit)
	}
	body := &chunkedBody{Closer: r.Body, in: bufio.NewReaderSize(r.Body, 32<<10), missing: size}
	if body.trailer = strings.ToLower(r.Header.Get("X-Amz-Trailer")); body.trailer != "" {
		newHash, ok := checksums[body.trailer]
		if !ok {
			return moorage.Errorf(moorage.Unsupported, "the checksum %q is not supported", body.trailer)
		}
		body.checksum = newHash()
	}
	r.Body, r.ContentLength, r.TransferEncoding = body, size, nil
	stripEncoding(r.Header)
	return nil
}

// stripEncoding removes aws-chunked from Content-Encoding: it is of the transfer, not of the object.
func stripEncoding(h http.Header) {
	var kept []string
	for encoding := range strings.SplitSeq(h.Get("Content-Encoding"), ",") {
		if e := strings.TrimSpace(encoding); e != "" && !strings.EqualFold(e, "aws-chunked") {
			kept = append(kept, e)
		}
	}
	h.Del("Content-Encoding")
	if len(kept) > 0 {
		h.Set("Content-Encoding", strings.Join(kept, ","))
	}
}

func (c *chunkedBody) Read(p []byte) (int, error) {
	if c.err == nil && c.left == 0 {
		c.err = c.nextChunk()
	}
	if c.err != nil || len(p) == 0 {
		return 0, c.err
	}
	n, err := c.in.Read(p[:min(int64(len(p)), c.left)])
	if c.checksum != nil {
		c.checksum.Write(p[:n])
	}
	if c.left -= int64(n); err != nil {
		c.err = readError(unexpected(err))
	} else if c.left == 0 {
		c.err = c.expectLine("")
	}
	return n, c.err
}

// nextChunk reads the size of the next chunk: after the last, io.EOF if all is as announced.
func (c *chunkedBody) nextChunk() error {
	line, err := c.line()
	if err != nil {
		return err
	}
	size, err := strconv.ParseInt(line, 16, 64)
	if err != nil || size < 0 || size > c.missing {
		return moorage.Errorf(moorage.Invalid, "the body is not framed as aws-chunked, or longer than X-Amz-Decoded-Content-Length")
	}
	if size == 0 {
		return c.finish()
	}
	c.left, c.missing = size, c.missing-size
	return nil
}

func (c *chunkedBody) finish() error {
	if c.missing > 0 {
		return moorage.Errorf(moorage.Invalid, "the body is %d bytes shorter than X-Amz-Decoded-Content-Length", c.missing)
	}
	if c.checksum != nil {
		want := c.trailer + ":" + base64.StdEncoding.EncodeToString(c.checksum.Sum(nil))
		if err := c.expectLine(want); err != nil {
			return err
		}
	}
	if err := c.expectLine(""); err != nil {
		return err
	}
	return io.EOF
}

func (c *chunkedBody) expectLine(want string) error {
	line, err := c.line()
	if err != nil {
		return err
	}
	if line != want {
		e := moorage.Errorf(moorage.Invalid, "the body does not match its checksum or its framing")
		e.Exception = "BadDigest"
		return e
	}
	return nil
}

// maxLine bounds a line between chunks, in bytes.
const maxLine = 256

// line reads a line without its end.
func (c *chunkedBody) line() (string, error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
		return "", readError(unexpected(err))
	}
	text, ok := strings.CutSuffix(string(line), "\r\n")
	if !ok || len(text) > maxLine {
		return "", moorage.Errorf(moorage.Invalid, "the body is not framed as aws-chunked")
	}
	return text, nil
}

// unexpected makes an end that comes too early an error that nobody takes for the end.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
