package identity_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity"
)

func crc(content string) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(content))))
}

// tryChunks uploads framed and returns the content and the error that the handler saw.
func tryChunks(t testing.TB, framed, decodedLength, trailer string) (string, error) {
	d := newDoor(t)
	d.verifier.UnsignedPayload = true
	d.verifier.Services[identity.S3] = 1000
	r := d.request(t, "PUT", "/bucket/key", []byte(framed))
	r.Header.Set("X-Amz-Decoded-Content-Length", decodedLength)
	r.Header.Set("Content-Encoding", "aws-chunked")
	if trailer != "" {
		r.Header.Set("X-Amz-Trailer", trailer)
	}
	signRequest(t, r, nil, how{service: identity.S3, hash: "STREAMING-UNSIGNED-PAYLOAD-TRAILER", sendHash: true})
	_, err := d.try(t, r)
	return string(d.body), err
}

func TestVerify_chunksWithAChecksumBehindThem(t *testing.T) {
	const trailer = "x-amz-checksum-crc32"
	sum := trailer + ":" + crc("hello world")
	for name, c := range map[string]struct {
		framed, length, trailer string
		code                    moorage.Code
	}{
		"two chunks":       {"6\r\nhello \r\n5\r\nworld\r\n0\r\n" + sum + "\r\n\r\n", "11", trailer, ""},
		"no checksum":      {"b\r\nhello world\r\n0\r\n\r\n", "11", "", ""},
		"empty":            {"0\r\n" + trailer + ":" + crc("") + "\r\n\r\n", "0", trailer, ""},
		"changed":          {"b\r\nhello_world\r\n0\r\n" + sum + "\r\n\r\n", "11", trailer, moorage.Invalid},
		"checksum missing": {"b\r\nhello world\r\n0\r\n\r\n", "11", trailer, moorage.Invalid},
		"cut in a chunk":   {"b\r\nhello", "11", trailer, moorage.Invalid},
		"cut behind one":   {"6\r\nhello \r\n", "11", trailer, moorage.Invalid},
		"cut at the end":   {"b\r\nhello world\r\n0\r\n" + sum, "11", trailer, moorage.Invalid},
		"shorter":          {"5\r\nhello\r\n0\r\n\r\n", "11", "", moorage.Invalid},
		"longer":           {"b\r\nhello world\r\n0\r\n\r\n", "10", "", moorage.Invalid},
		"no size":          {"\r\nhello", "5", "", moorage.Invalid},
		"size below zero":  {"-5\r\nhello\r\n0\r\n\r\n", "5", "", moorage.Invalid},
		"endless line":     {strings.Repeat("0", 100_000), "5", "", moorage.Invalid},
		"no length":        {"0\r\n\r\n", "", "", moorage.Invalid},
		"over the limit":   {"0\r\n\r\n", "1001", "", moorage.Invalid},
		"other checksum":   {"0\r\n\r\n", "0", "x-amz-checksum-md17", moorage.Unsupported},
	} {
		t.Run(name, func(t *testing.T) {
			content, err := tryChunks(t, c.framed, c.length, c.trailer)
			if moorage.CodeOf(err) != c.code {
				t.Fatalf("got %v, want %q", err, c.code)
			}
			if err == nil && len(content) > 0 && content != "hello world" {
				t.Errorf("read %q", content)
			}
		})
	}
}

func FuzzChunks(f *testing.F) {
	f.Add([]byte("6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, framed []byte) {
		content, err := tryChunks(t, string(framed), "11", "")
		if err == nil && (len(content) != 11 || !bytes.Contains(framed, []byte("0\r\n\r\n"))) {
			t.Fatalf("%q was taken as %q", framed, content)
		}
	})
}
