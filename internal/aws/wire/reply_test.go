package wire_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/wire"
)

func newURL(s string) (*url.URL, error) { return url.ParseRequestURI(s) }

func reply(t *testing.T, out *feedOutput, err error) *httptest.ResponseRecorder {
	t.Helper()
	svc := wire.NewService(zoo, wire.Options{})
	wire.Handle(svc, feed, func(context.Context, *feedInput) (*feedOutput, error) { return out, err })
	w := httptest.NewRecorder()
	svc.ServeHTTP(w, httptest.NewRequest("PUT", "/animals/x/feed", strings.NewReader("{"+fine+"}")))
	return w
}

func TestReply(t *testing.T) {
	when := time.Date(2026, 11, 22, 19, 0, 0, 250_000_000, time.FixedZone("", 3600))
	etag, status := "e\r\nX-Evil: 1", int32(207)
	w := reply(t, &feedOutput{Etag: &etag, Status: &status, Names: []string{"<é>"}, Eaten: when, At: &when}, nil)
	want := `{"status":207,"names":["<é>"],"eaten":"2026-11-22T18:00:00.25Z","at":1795370400.25}`
	if w.Code != 207 || w.Body.String() != want || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if w := reply(t, nil, nil); w.Body.String() != `{"status":202,"names":[],"eaten":"0001-01-01T00:00:00Z"}` {
		t.Errorf("nil output: %s", w.Body) // what is required is there
	}
}

func TestReply_errors(t *testing.T) {
	for _, c := range []struct {
		err     error
		status  int
		name    string
		message string
	}{
		{moorage.Errorf(moorage.Conflict, "taken"), 409, "ConflictException", "taken"},
		{moorage.Errorf(moorage.Busy, "later"), 409, "ConflictException", "later"}, // the one that Feed declares
		{moorage.Errorf(moorage.Quota, "full"), 402, "ServiceQuotaExceededException", "full"},
		{fmt.Errorf("wrapped: %w", moorage.Errorf(moorage.NotFound, "no cat")), 404, "ResourceNotFoundException", "no cat"},
		{moorage.Errorf(moorage.Unavailable, "disk full"), 503, "ServiceUnavailableException", "disk full"},
		{moorage.Errorf(moorage.Denied, ""), 403, "AccessDeniedException", "denied"},
		{&moorage.Error{Code: moorage.Unauthenticated, Message: "no", Exception: "InvalidSignatureException"}, 403, "InvalidSignatureException", "no"},
		{errors.New("password is hunter2"), 500, "InternalServerException", "an internal error occurred; the cause is in the server's log under this request's id"},
		{moorage.Errorf("no such code", "x"), 500, "InternalServerException", "an internal error occurred; the cause is in the server's log under this request's id"},
	} {
		w := reply(t, nil, c.err)
		var e refusal
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		if w.Code != c.status || e.Type != c.name || w.Header().Get("x-amzn-ErrorType") != c.name || e.Message != c.message {
			t.Errorf("%v: %d %+v", c.err, w.Code, e)
		}
	}
}

func TestReply_ownFaultsAreLoggedUnderTheRequestID(t *testing.T) {
	var log bytes.Buffer
	svc := wire.NewService(zoo, wire.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	wire.Handle(svc, cage, func(context.Context, *cageInput) (*cageOutput, error) { return nil, errors.New("the cause") })
	w := httptest.NewRecorder()
	svc.ServeHTTP(w, httptest.NewRequest("POST", "/animals/x/feed/.well-known/cage", nil))
	id := w.Header().Get("x-amzn-RequestId")
	if !strings.Contains(log.String(), id) || !strings.Contains(log.String(), "the cause") || strings.Count(log.String(), "\n") != 1 {
		t.Errorf("log: %s", log.String())
	}
}

// speaker answers Speak with what the test writes to the pipe.
func speaker(t *testing.T) (*httptest.Server, *io.PipeWriter) {
	out, words := io.Pipe()
	svc := wire.NewService(zoo, wire.Options{})
	wire.Handle(svc, speak, func(context.Context, *speakInput) (*speakOutput, error) { return &speakOutput{Words: out}, nil })
	server := httptest.NewServer(svc)
	t.Cleanup(server.Close)
	return server, words
}

func TestStream_flushesEachChunk(t *testing.T) {
	server, words := speaker(t)
	resp, err := http.Post(server.URL+"/animals/x/speak", "", strings.NewReader("hi"))
	if err != nil {
		t.Fatal(err) // the headers came before the first chunk was written
	}
	defer resp.Body.Close()
	in := bufio.NewReader(resp.Body)
	for i := range 3 {
		fmt.Fprintf(words, "chunk %d\n", i)
		if line, err := in.ReadString('\n'); err != nil || line != fmt.Sprintf("chunk %d\n", i) {
			t.Fatalf("%q, %v", line, err)
		}
	}
	words.Close()
	if resp.ContentLength != -1 || resp.Header.Get("Content-Type") != "application/octet-stream" || resp.Header.Get("Date") == "" {
		t.Errorf("%v", resp.Header)
	}
}

// counted is a body that knows what it gives without waiting, and says with the last byte that it is.
type counted struct{ *strings.Reader }

func (c counted) Buffered() int { return c.Len() }
func (counted) Close() error    { return nil }

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if c.Len() == 0 {
		err = io.EOF
	}
	return n, err
}

func TestStream_answerThatIsAllThereLeavesInOnePiece(t *testing.T) {
	svc := wire.NewService(zoo, wire.Options{})
	wire.Handle(svc, speak, func(context.Context, *speakInput) (*speakOutput, error) {
		return &speakOutput{Words: counted{strings.NewReader("all of it")}}, nil
	})
	w := httptest.NewRecorder()
	svc.ServeHTTP(w, httptest.NewRequest("POST", "/animals/x/speak", nil))
	if w.Body.String() != "all of it" {
		t.Errorf("%q", w.Body)
	}
	server := httptest.NewServer(svc)
	defer server.Close()
	resp, err := http.Post(server.URL+"/animals/x/speak", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if raw, err := io.ReadAll(resp.Body); err != nil || string(raw) != "all of it" || resp.ContentLength != 9 {
		t.Errorf("%q of %d, %v", raw, resp.ContentLength, err)
	}
}

// mixed has its first piece at hand, and the next one when the test writes it.
type mixed struct {
	io.Reader
	left int
}

func (m *mixed) Buffered() int { return m.left }
func (m *mixed) Close() error  { return nil }

func (m *mixed) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	m.left = max(m.left-n, 0)
	return n, err
}

func TestStream_callerSeesWhatIsThereBeforeAWait(t *testing.T) {
	later, words := io.Pipe()
	svc := wire.NewService(zoo, wire.Options{})
	wire.Handle(svc, speak, func(context.Context, *speakInput) (*speakOutput, error) {
		return &speakOutput{Words: &mixed{io.MultiReader(strings.NewReader("now"), later), 3}}, nil
	})
	server := httptest.NewServer(svc)
	defer server.Close()
	resp, err := http.Post(server.URL+"/animals/x/speak", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, 3)
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "now" {
		t.Fatalf("%q, %v", first, err)
	}
	io.WriteString(words, ", later")
	words.Close()
	if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != ", later" {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestStream_failureIsNotAnEnd(t *testing.T) {
	server, words := speaker(t)
	resp, err := http.Post(server.URL+"/animals/x/speak", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	io.WriteString(words, "half")
	words.CloseWithError(errors.New("the agent died"))
	if raw, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("%q ended as if it were whole", raw)
	}
}

func TestStream_callerWhoLeavesEndsIt(t *testing.T) {
	server, words := speaker(t)
	ctx, cancel := context.WithCancel(t.Context())
	r, _ := http.NewRequestWithContext(ctx, "POST", server.URL+"/animals/x/speak", nil)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	cancel()
	for deadline := time.Now().Add(10 * time.Second); ; {
		if _, err := words.Write([]byte("x")); err == io.ErrClosedPipe {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the agent's side was never closed")
		}
	}
}

func TestStream_bothWaysAtOnce(t *testing.T) {
	svc := wire.NewService(zoo, wire.Options{})
	wire.Handle(svc, speak, func(_ context.Context, in *speakInput) (*speakOutput, error) {
		return &speakOutput{Words: in.Words}, nil
	})
	server := httptest.NewServer(svc)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(conn, "POST /animals/x/speak HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n")
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil) // before a byte of the body was sent
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, "echo")
	if raw, err := io.ReadAll(resp.Body); err != nil || string(raw) != "echo" {
		t.Errorf("%q, %v", raw, err)
	}
}

// A body that the handler leaves unread, or reads in part, must not break the connection's next request.
func TestStream_unreadBodyLeavesTheConnectionWhole(t *testing.T) {
	var log bytes.Buffer
	svc := wire.NewService(zoo, wire.Options{})
	wire.Handle(svc, speak, func(_ context.Context, in *speakInput) (*speakOutput, error) {
		if in.AnimalArn == "rude" {
			return nil, moorage.Errorf(moorage.Denied, "no")
		}
		in.Words.Read(make([]byte, 2))
		return &speakOutput{Words: io.NopCloser(strings.NewReader("done"))}, nil
	})
	server := httptest.NewUnstartedServer(svc)
	server.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(&log, nil), slog.LevelError)
	server.Start()
	for i := range 20 {
		animal := [...]string{"rude", "cat"}[i%2]
		resp, err := http.Post(server.URL+"/animals/"+animal+"/speak", "", io.MultiReader(strings.NewReader("0123"), strings.NewReader("4567")))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(resp.Body); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	server.Close()
	if log.Len() > 0 {
		t.Error(log.String())
	}
}

func TestStream_callerWhoHoldsItsBodyBackGetsTheWholeAnswer(t *testing.T) {
	svc := wire.NewService(zoo, wire.Options{})
	wire.Handle(svc, speak, func(context.Context, *speakInput) (*speakOutput, error) {
		return &speakOutput{Words: io.NopCloser(strings.NewReader("done"))}, nil
	})
	server := httptest.NewServer(svc)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(conn, "POST /animals/x/speak HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n12")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := io.ReadAll(resp.Body); err != nil || string(raw) != "done" {
		t.Errorf("%q, %v", raw, err)
	}
}

func TestEvents(t *testing.T) {
	cat := "cat"
	for _, c := range []struct {
		end  error
		want string
	}{
		{nil, `:message-type=event :event-type=seen :content-type=application/json {"animal":"cat"}|`},
		{moorage.Errorf(moorage.Quota, "full"), `:message-type=event :event-type=seen :content-type=application/json {"animal":"cat"}|` +
			`:message-type=exception :exception-type=tooMany :content-type=application/json {"message":"full"}|`},
		{moorage.Errorf(moorage.NotFound, "gone"), `:message-type=event :event-type=seen :content-type=application/json {"animal":"cat"}|` +
			`:message-type=error :error-code=ResourceNotFoundException :error-message=gone |`},
	} {
		svc := wire.NewService(zoo, wire.Options{})
		wire.Handle(svc, watch, func(context.Context, *watchInput) (*watchOutput, error) {
			return &watchOutput{Events: func(yield func(sighting, error) bool) {
				if yield(sighting{&seen{&cat}}, nil) && c.end != nil {
					yield(sighting{}, c.end)
				}
			}}, nil
		})
		w := httptest.NewRecorder()
		svc.ServeHTTP(w, httptest.NewRequest("GET", "/animals", nil))
		if got := decodeEvents(t, w.Body); got != c.want || w.Header().Get("Content-Type") != "application/vnd.amazon.eventstream" {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func decodeEvents(t *testing.T, in io.Reader) string {
	t.Helper()
	var text strings.Builder
	for d := eventstream.NewDecoder(); ; {
		m, err := d.Decode(in, nil)
		if errors.Is(err, io.EOF) {
			return text.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range m.Headers {
			fmt.Fprintf(&text, "%s=%s ", h.Name, h.Value)
		}
		fmt.Fprintf(&text, "%s|", m.Payload)
	}
}
