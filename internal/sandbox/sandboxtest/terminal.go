package sandboxtest

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
)

func (s suite) execTerminal(t *testing.T) {
	box := s.start(t, s.spec(t, "never-bind"))
	keys, keyboard := io.Pipe()
	screen := &screen{}
	cmd := sandbox.Command{Args: []string{s.fixture.Agent, "terminal"}, Stdin: keys, Stdout: screen, Terminal: &sandbox.Size{Columns: 81, Rows: 23}}
	started, err := box.Exec(t.Context(), cmd)
	if err != nil {
		t.Fatal(detail(err))
	}
	p := started.(sandbox.TerminalProcess)
	screen.shows(t, "begun 81x23\r\n")
	keyboard.Write([]byte("hello\r"))
	screen.shows(t, "hello\r\nline hello 81x23\r\n")
	if err := p.Resize(sandbox.Size{Columns: 132, Rows: 50}); err != nil {
		t.Fatal(err)
	}
	screen.shows(t, "window changed 132x50\r\n")
	keyboard.Write([]byte("half a line"))
	screen.shows(t, "half a line")
	keyboard.Write([]byte("\x03"))
	screen.shows(t, "^Cinterrupt 132x50\r\n")
	keyboard.Write([]byte("exit 7\r"))
	if exit, err := p.Wait(); err != nil || exit.Code != 7 {
		t.Errorf("exit %+v, %v", exit, err)
	}
	cmd.Stderr = screen
	_, err = box.Exec(t.Context(), cmd)
	wantCode(t, err, moorage.Invalid)
}

// screen collects what a terminal shows.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

// shows waits until a text is on the screen.
func (s *screen) shows(t *testing.T, text string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); ; <-tick.C {
		s.mu.Lock()
		now := s.text.String()
		s.mu.Unlock()
		if strings.Contains(now, text) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the screen shows %q, not %q", now, text)
		}
	}
}
