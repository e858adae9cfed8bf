package warm

import (
	"bufio"
	"io"
	"net/http"
	"strconv"

	"github.com/moorage-dev/moorage/internal/socket"
)

// write sends the whole request. When the body cannot be read there will be no answer: the reader is told by the
// connection's end.
func (n *conn) write(r *http.Request) error {
	n.out.Reset(n)
	return n.sent(r.Write(n.out))
}

// writeInOnePiece is write for a request that is at hand.
func (n *conn) writeInOnePiece(r *http.Request) error {
	n.out.Reset(n)
	if isCall(r) {
		return n.sent(writeCall(n.out, r))
	}
	return n.sent(r.Write(inOnePiece{n.out}))
}

// sent flushes what was written, unless that failed.
func (n *conn) sent(err error) error {
	if err == nil {
		err = n.out.Flush()
	}
	if err != nil && n.broken == nil {
		n.Close()
	}
	return err
}

// inOnePiece keeps [http.Request.Write] from flushing the head before a body whose type it does not know:
// an agent would be woken twice.
type inOnePiece struct{ *bufio.Writer }

// isCall reports whether a request is what nearly all are: a POST to the agent with a body of known length, and nothing that
// says how to send it.
func isCall(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Host == callHost && r.Host == callHost && r.ContentLength > 0 && !r.Close && len(r.TransferEncoding) == 0 && len(r.Trailer) == 0
}

const callHost = "agent"

// frames reports whether a header is one that writeCall decides on itself.
func frames(name string) bool {
	return name == "Host" || name == "Content-Length" || name == "Transfer-Encoding" || name == "Trailer"
}

// writeCall writes what [http.Request.Write] does, which finds out for every request what is known of a call: 2 % of the processor
// time of one. A User-Agent is sent where the request has one.
func writeCall(out *bufio.Writer, r *http.Request) error {
	defer r.Body.Close()
	out.WriteString("POST ")
	out.WriteString(r.URL.RequestURI())
	out.WriteString(" HTTP/1.1\r\nHost: " + callHost + "\r\nContent-Length: ")
	out.Write(strconv.AppendInt(out.AvailableBuffer(), r.ContentLength, 10))
	out.WriteString("\r\n")
	if err := socket.WriteHeader(out, r.Header, frames); err != nil {
		return err
	}
	out.WriteString("\r\n")
	_, err := io.CopyN(out, r.Body, r.ContentLength)
	return err
}
