package lane

import (
	"bufio"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/moorage-dev/moorage/internal/socket"
)

// reply writes an answer. A body whose length the handler did not say is sent in chunks.
type reply struct {
	lane    *Lane
	out     *bufio.Writer
	header  http.Header
	begun   bool
	chunked bool
	left    int64 // bytes of the body that are still to come, unless chunked
}

var errShort = errors.New("the answer is shorter than its Content-Length")

// Header implements [http.ResponseWriter].
func (w *reply) Header() http.Header { return w.header }

// WriteHeader implements [http.ResponseWriter].
func (w *reply) WriteHeader(status int) {
	if w.begun {
		return
	}
	w.begun = true
	w.frame(status)
	if w.header.Get("Date") == "" {
		w.header["Date"] = w.lane.date(time.Now())
	}
	w.out.WriteString("HTTP/1.1 ")
	w.out.Write(strconv.AppendInt(w.out.AvailableBuffer(), int64(status), 10))
	w.out.WriteString(" ")
	w.out.WriteString(http.StatusText(status))
	w.out.WriteString("\r\n")
	socket.WriteHeader(w.out, w.header, func(string) bool { return false }) // an error is the next write's, too
	w.out.WriteString("\r\n")
}

// frame decides how the client will know where the body ends.
func (w *reply) frame(status int) {
	w.header.Del("Transfer-Encoding")
	length, err := strconv.ParseUint(w.header.Get("Content-Length"), 10, 63)
	switch {
	case status == http.StatusNoContent || status == http.StatusNotModified:
		w.header.Del("Content-Length")
	case err == nil:
		w.left = int64(length)
	default:
		w.header.Del("Content-Length")
		w.header.Set("Transfer-Encoding", "chunked")
		w.chunked = true
	}
}

// Write implements [http.ResponseWriter].
func (w *reply) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.chunked {
		return w.writeChunk(p)
	}
	if int64(len(p)) > w.left {
		return 0, http.ErrContentLength
	}
	w.left -= int64(len(p))
	return w.out.Write(p)
}

func (w *reply) writeChunk(p []byte) (int, error) {
	if len(p) == 0 { // would be the end
		return 0, nil
	}
	w.out.WriteString(strconv.FormatInt(int64(len(p)), 16) + "\r\n")
	n, err := w.out.Write(p)
	if err == nil {
		_, err = w.out.WriteString("\r\n")
	}
	return n, err
}

// FlushError sends what was written, for [http.ResponseController].
func (w *reply) FlushError() error {
	w.WriteHeader(http.StatusOK)
	return w.out.Flush()
}

// SetReadDeadline does nothing, for [http.ResponseController]: the whole request is here.
func (w *reply) SetReadDeadline(time.Time) error { return nil }

// finish ends the answer.
func (w *reply) finish() error {
	if !w.begun {
		w.header.Set("Content-Length", "0")
	}
	w.WriteHeader(http.StatusOK)
	if w.left > 0 {
		return errShort
	}
	if w.chunked {
		w.out.WriteString("0\r\n\r\n")
	}
	return w.out.Flush()
}

// said is a second as answers say it.
type said struct {
	second int64
	date   []string
}

// date writes the time as an answer says it, once a second: that takes as long as the rest of the head. The result is shared.
func (n *Lane) date(now time.Time) []string {
	last := n.said.Load()
	if last == nil || last.second != now.Unix() {
		last = &said{now.Unix(), []string{now.UTC().Format(http.TimeFormat)}}
		n.said.Store(last)
	}
	return last.date
}
