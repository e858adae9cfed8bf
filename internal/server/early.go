package server

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// How much of a body nobody wanted is taken, so that its sender gets to read the answer: a connection
// that is closed while bytes arrive takes the answer along.
const (
	unwantedBytes = 128 << 20
	unwantedTime  = 2 * time.Second
)

// answerEarly lets handlers answer before the body came. By itself net/http waits for up to 256 KiB of
// it before it sends an answer, however long that takes, and resets the connection of whoever sends more.
func answerEarly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		body := &incoming{ReadCloser: r.Body}
		connection := http.NewResponseController(w)
		connection.EnableFullDuplex() // an error means that the protocol always is
		read := r.WithContext(r.Context())
		read.Body = body // r keeps net/http's own, by which it knows what was expected
		next.ServeHTTP(w, read)
		if body.ended || !body.begun && expectsContinue(r) {
			return
		}
		connection.Flush()
		connection.SetReadDeadline(time.Now().Add(unwantedTime)) // net/http sets its own for the next request
		if n, err := io.CopyN(io.Discard, body, unwantedBytes); err != io.EOF || n == unwantedBytes {
			panic(http.ErrAbortHandler) // what would come next is no request
		}
	})
}

// expectsContinue reports whether the client waits for a word before it sends the body.
func expectsContinue(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Expect"), "100-continue")
}

// incoming is a body that knows how far it was read.
type incoming struct {
	io.ReadCloser
	begun, ended bool
}

func (b *incoming) Read(p []byte) (int, error) {
	b.begun = true
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || err == io.EOF
	return n, err
}

// Close leaves the rest to answerEarly: net/http's own would wait for it.
func (b *incoming) Close() error { return nil }
