package compat

import (
	"io"
	"net/http"
)

// goClient is what the AWS SDK for Go sends by. It works around smithy-go 1.28.9, which closes a request's body once the
// answer begins; the closed body's WriteTo says EOF, which net/http takes for a failure to send, and cuts the answer off.
var goClient = &http.Client{Transport: readOnly{}}

type readOnly struct{}

func (readOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r = r.Clone(r.Context())
		r.Body = struct{ io.ReadCloser }{r.Body} // has no WriteTo
	}
	return http.DefaultTransport.RoundTrip(r)
}
