package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/coder/websocket"
)

// Defaults of a Server. Source: AgentCore, HTTP protocol contract and quotas.
const (
	DefaultPort    = "8080"
	DefaultMaxBody = 100_000_000 // bytes
	DefaultGrace   = 5 * time.Second
)

// Server answers the platform. Set its fields before it serves; the zero value works, and answers
// every call with an error.
type Server struct {
	// Entrypoint answers POST /invocations: from Handle, Stream, or any http.Handler.
	Entrypoint http.Handler

	// WebSocket takes the connections to /ws; nil refuses them. The connection is closed when it
	// returns, with an error as an internal error. While the agent stops, conn says that it is going away.
	WebSocket func(ctx context.Context, conn *websocket.Conn) error

	// Ping says whether the session is in use, instead of counting what Go and Busy have started. It
	// has to be quick. "" or a panic falls back to the count.
	Ping func() Status

	// Clone is run in each clone of the program before it serves anybody, and makes new what must not be
	// the same in all: see [ConfirmClones]. NothingToRenew is for programs that have no such thing. With
	// nil the platform never clones the program; each session then waits for a start of its own.
	Clone func(ctx context.Context) error

	Addr    string        // to listen on; default 0.0.0.0:$PORT, and port 8080 without PORT
	MaxBody int64         // largest body and WebSocket message, in bytes; default DefaultMaxBody
	Grace   time.Duration // for calls and tasks to finish after SIGTERM; default DefaultGrace
	Log     *slog.Logger  // default slog.Default()

	once     sync.Once
	mux      *http.ServeMux
	health   health
	stopping context.Context // done when the server has been told to stop
	stop     context.CancelFunc
	running  sync.WaitGroup // tasks and WebSockets, which http.Server does not wait for
}

// Main serves entrypoint until SIGTERM or SIGINT, and ends the program with status 1 if it cannot.
func Main(entrypoint http.Handler) { (&Server{Entrypoint: entrypoint}).Main() }

// Main is Run for a program that does nothing else: it ends the program with status 1 if Run fails.
func (s *Server) Main() {
	if err := s.Run(context.Background()); err != nil {
		s.log().Error("agent ended", "error", err)
		os.Exit(1)
	}
}

// Run listens and serves until ctx ends or the process gets SIGTERM or SIGINT. Then it takes no more
// calls, tells tasks and WebSockets to end, and waits for them and the calls in progress. It returns
// nil if they all ended within Grace.
func (s *Server) Run(ctx context.Context) error {
	ctx, release := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer release()
	listener, err := net.Listen("tcp", s.addr())
	if err != nil {
		return err
	}
	return s.Serve(ctx, listener)
}

// Serve is Run on a listener that is open already, and without an ear for signals. It closes the
// listener. A Server serves once.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	s.once.Do(s.init)
	defer s.stop()
	if s.Clone != nil {
		s.running.Go(func() { ConfirmClones(s.stopping, s.Clone) })
	}
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:          slog.NewLogLogger(s.log().Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	return s.shutdown(server)
}

// shutdown lets what runs finish, as long as Grace lasts; then it cuts it.
func (s *Server) shutdown(server *http.Server) error {
	grace := s.Grace
	if grace == 0 {
		grace = DefaultGrace
	}
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	s.stop()
	if err := server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("calls did not end within %s: %w", grace, err), server.Close())
	}
	ended := make(chan struct{})
	go func() { s.running.Wait(); close(ended) }() // outlives a task that never ends, as does nothing after us
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("tasks did not end within %s", grace)
	}
}

func (s *Server) init() {
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.health.start()
	s.mux = http.NewServeMux()
	s.mux.HandleFunc("POST /invocations", s.invoke)
	s.mux.HandleFunc("GET /ping", s.ping)
	s.mux.HandleFunc("GET /ws", s.socket)
}

// ServeHTTP answers one request of the platform, for tests and for programs with a server of their own.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.once.Do(s.init)
	s.mux.ServeHTTP(w, r)
}

// invoke hands the call to the entrypoint. Its panics become answers.
func (s *Server) invoke(w http.ResponseWriter, r *http.Request) {
	if s.Entrypoint == nil {
		writeError(w, Errorf(http.StatusInternalServerError, "No entrypoint defined"))
		return
	}
	r = r.WithContext(s.context(r))
	r.Body = http.MaxBytesReader(w, r.Body, s.maxBody())
	answer := &answerWriter{ResponseWriter: w}
	defer s.recoverCall(answer, r)
	s.Entrypoint.ServeHTTP(answer, r)
}

// recoverCall answers 500 for a handler that panicked. Once the answer has begun there is no status
// left to say so, and the connection is cut, so that half an answer does not look like a whole one.
func (s *Server) recoverCall(answer *answerWriter, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	s.logPanic(r.Context(), cause)
	if cause == http.ErrAbortHandler || answer.begun {
		panic(http.ErrAbortHandler)
	}
	writeError(answer, panicError(cause))
}

func (s *Server) logPanic(ctx context.Context, cause any) {
	if cause != http.ErrAbortHandler {
		s.log().ErrorContext(ctx, "agent panicked", "panic", cause, "request", RequestOf(ctx), "stack", string(debug.Stack()))
	}
}

// answerWriter remembers whether the answer has begun.
type answerWriter struct {
	http.ResponseWriter
	begun bool
}

func (a *answerWriter) WriteHeader(status int) {
	a.begun = true
	a.ResponseWriter.WriteHeader(status)
}

func (a *answerWriter) Write(p []byte) (int, error) {
	a.begun = true
	return a.ResponseWriter.Write(p)
}

// Flush is here for handlers that ask for an http.Flusher.
func (a *answerWriter) Flush() {
	a.begun = true
	http.NewResponseController(a.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (a *answerWriter) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (s *Server) addr() string {
	if s.Addr != "" {
		return s.Addr
	}
	port := os.Getenv("PORT")
	if port == "" {
		port = DefaultPort
	}
	return "0.0.0.0:" + port
}

func (s *Server) maxBody() int64 {
	if s.MaxBody == 0 {
		return DefaultMaxBody
	}
	return s.MaxBody
}

func (s *Server) log() *slog.Logger {
	if s.Log == nil {
		return slog.Default()
	}
	return s.Log
}
