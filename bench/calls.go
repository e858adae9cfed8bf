package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"time"
)

func hash(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// line is a kept connection on which prepared requests are sent one after another.
type line struct {
	net.Conn
	in *bufio.Reader
}

func newLine(c net.Conn) *line { return &line{c, bufio.NewReader(c)} }

// prepared is a request as it goes over the wire.
func prepared(r *http.Request) ([]byte, error) {
	var out bytes.Buffer
	err := r.Write(&out)
	return out.Bytes(), err
}

// callLimit is when an answer that does not come is a failure, and not a measurement.
const callLimit = 40 * time.Second

// call sends a request and reads the whole answer.
func (l *line) call(request []byte) (took time.Duration, err error) {
	began := time.Now()
	if err := l.SetDeadline(began.Add(callLimit)); err != nil {
		return 0, err
	}
	if _, err := l.Write(request); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(l.in, nil)
	if err != nil {
		return 0, err
	}
	body, err := io.ReadAll(resp.Body)
	took = time.Since(began)
	resp.Body.Close()
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, body)
	}
	return took, err
}

// plainRequest is what an agent is sent when no platform is in between.
func plainRequest() []byte {
	return fmt.Appendf(nil, "POST /invocations HTTP/1.1\r\nHost: agent\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(payload), payload)
}

// percentile of sorted or unsorted times, in milliseconds.
func percentile(took []time.Duration, q int) float64 {
	sorted := slices.Sorted(slices.Values(took))
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[min(len(sorted)-1, len(sorted)*q/100)]) / 1e6
}

// bareStart runs an agent as a process of the host, from exec to its first whole answer.
func bareStart(ctx context.Context, k kind, work string) (took time.Duration, stop func(), pid int, err error) {
	cmd, err := k.bare(ctx, work)
	if err != nil {
		return 0, nil, 0, err
	}
	port, err := freePort()
	if err != nil {
		return 0, nil, 0, err
	}
	cmd.Env = append(os.Environ(), "PORT="+strconv.Itoa(port))
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, nil, 0, err
	}
	stop = func() { cmd.Process.Kill(); cmd.Wait() }
	for time.Since(began) < 20*time.Second {
		conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			time.Sleep(300 * time.Microsecond)
			continue
		}
		_, err = newLine(conn).call(plainRequest())
		took = time.Since(began)
		conn.Close()
		return took, stop, cmd.Process.Pid, err
	}
	stop()
	return 0, nil, 0, errors.New("the bare agent does not answer")
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// session opens a session of an agent and returns the prepared request for it.
func (b *bench) session(ctx context.Context, k kind) (arn, session string, request []byte, err error) {
	if arn, err = b.server.deploy(ctx, k); err != nil {
		return "", "", nil, err
	}
	session = newSession()
	r, err := b.server.invoke(ctx, arn, session)
	if err != nil {
		return "", "", nil, err
	}
	request, err = prepared(r)
	return arn, session, request, err
}

func (b *bench) stopSession(ctx context.Context, on *line, arn, session string) error {
	r, err := b.server.stop(ctx, arn, session)
	if err != nil {
		return err
	}
	request, err := prepared(r)
	if err != nil {
		return err
	}
	_, err = on.call(request)
	return err
}

func have(command string) error {
	if _, err := exec.LookPath(command); err != nil {
		return fmt.Errorf("%s is not installed", command)
	}
	return nil
}
