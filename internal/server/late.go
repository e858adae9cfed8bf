package server

import (
	"io"
	"net/http"
	"time"
)

// How slowly a body may come before anybody knows who sends it: clients that sign without saying the body's
// hash have it read whole before their signature can be checked.
const (
	bodyPatience = 20 * time.Second // from the start
	slowestBody  = 128 << 10        // bytes a second, beyond that
)

// arrival is a body that has to come in time: a Read that would wait for longer fails with [os.ErrDeadlineExceeded].
type arrival struct {
	io.ReadCloser
	connection *http.ResponseController
	patience   time.Duration
	began      time.Time
	bytes      int64 // read so far
	over       bool
}

// inTime puts an arrival in the place of r's body. One that is here already, it leaves: the arrival is nil then.
func inTime(w http.ResponseWriter, r *http.Request, patience time.Duration) *arrival {
	here, ok := r.Body.(interface{ Buffered() int })
	if r.ContentLength == 0 || ok && int64(here.Buffered()) == r.ContentLength {
		return nil
	}
	a := &arrival{r.Body, http.NewResponseController(w), patience, time.Now(), 0, false}
	r.Body = a
	return a
}

// Read implements [io.Reader].
func (a *arrival) Read(p []byte) (int, error) {
	if !a.over {
		a.connection.SetReadDeadline(a.deadline()) // an error means that the body is here
	}
	n, err := a.ReadCloser.Read(p)
	a.bytes += int64(n)
	return n, err
}

func (a *arrival) deadline() time.Time {
	return a.began.Add(a.patience + time.Duration(a.bytes)*(time.Second/slowestBody))
}

// release lets what is left of the body take its time.
func (a *arrival) release() {
	if a != nil && !a.over {
		a.over = true
		a.connection.SetReadDeadline(time.Time{})
	}
}
