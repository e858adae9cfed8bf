package invoke_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/invoke"
)

// terminal is a caller at a shell.
type terminal struct {
	t      *testing.T
	conn   *websocket.Conn
	shown  string
	status []map[string]any
	closed websocket.CloseError
	bell   bool // the server said that it closes
}

// shells puts the door of shells behind HTTP.
func (d *door) shells(t *testing.T) *httptest.Server {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := d.Shell(w, r, invoke.Call{Address: address()}, r.URL.Query().Get("shellId"), r.URL.Query().Get("command")); err != nil {
			http.Error(w, err.Error(), http.StatusTeapot)
		}
	}))
	t.Cleanup(srv.Close)
	return srv
}

func sit(t *testing.T, srv *httptest.Server, id string) *terminal {
	t.Helper()
	conn, answer, err := websocket.Dial(t.Context(), srv.URL+"?shellId="+id, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseNow() })
	if got := answer.Header.Get(invoke.HeaderShell); !strings.HasPrefix(id, got) && id != "" || answer.Header.Get(invoke.HeaderSession) != sessionID {
		t.Errorf("headers %v", answer.Header)
	}
	conn.SetReadLimit(1 << 20)
	return &terminal{t: t, conn: conn}
}

func (c *terminal) send(channel byte, payload string) {
	c.t.Helper()
	if err := c.conn.Write(c.t.Context(), websocket.MessageBinary, append([]byte{channel}, payload...)); err != nil {
		c.t.Fatal(err)
	}
}

// until takes frames until something is so.
func (c *terminal) until(what string, so func() bool) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	for !so() {
		_, frame, err := c.conn.Read(ctx)
		if err != nil {
			c.t.Fatalf("never %s: %v; shown %q, status %v", what, err, c.shown, c.status)
		}
		switch frame[0] {
		case 0x01:
			c.shown += string(frame[1:])
		case 0x03:
			var s map[string]any
			if err := json.Unmarshal(frame[1:], &s); err != nil {
				c.t.Fatal(err)
			}
			c.status = append(c.status, s)
		case 0x05:
			c.shown += "<heartbeat>"
		case 0xff:
			c.bell = true
		}
	}
}

func (c *terminal) sees(text string) {
	c.t.Helper()
	c.until("shown "+text, func() bool { return strings.Contains(c.shown, text) })
}

// end takes frames until the connection is closed, and returns its code.
func (c *terminal) end() websocket.StatusCode {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	for {
		_, frame, err := c.conn.Read(ctx)
		if err != nil {
			return websocket.CloseStatus(err)
		}
		c.bell = c.bell || frame[0] == 0xff
	}
}

func TestShell_aTerminalInTheSession(t *testing.T) {
	d := newDoor(t)
	c := sit(t, d.shells(t), "one")
	c.until("greeted", func() bool { return len(c.status) == 1 })
	if at := c.status[0]["metadata"].(map[string]any); at["shellId"] != "one" || at["reconnected"] != false {
		t.Errorf("greeted with %v", c.status)
	}
	c.send(0x04, `{"width":91,"height":33}`)
	c.send(0x00, "echo $LINES-$COLUMNS-$TERM; [ -t 2 ] && echo at a ter''minal\r")
	c.sees("33-91-xterm-256color\r\n")
	c.sees("at a terminal\r\n")
	c.send(0x05, "")
	c.sees("<heartbeat>")
	c.send(0x00, "PS1='ready''> '; echo run''ning; while :; do :; done\r")
	c.sees("running\r\n")
	c.send(0x00, "\x03")
	c.sees("ready> ") // what is typed in the same moment may come before the interruption
	c.send(0x00, "echo still he''re; exit 3\r")
	c.sees("still here")
	c.until("told how it ended", func() bool { return len(c.status) == 2 })
	if got := fmt.Sprint(c.status[1]["status"], c.status[1]["reason"], c.status[1]["details"]); got != "FailureNonZeroExitCodemap[causes:[map[message:3 reason:ExitCode]]]" {
		t.Errorf("ended with %s", got)
	}
	if code := c.end(); code != websocket.StatusNormalClosure || c.bell {
		t.Errorf("closed with %d", code)
	}
	d.idle(t)
}

func TestShell_ofOneLine(t *testing.T) {
	c := sit(t, newDoor(t).shells(t), "line&command=echo+$((40%2B2))%3Bexit+9")
	c.until("told how it ended", func() bool { return len(c.status) == 2 })
	if c.shown != "42\r\n" || !strings.Contains(fmt.Sprint(c.status[1]), "exit code 9") {
		t.Errorf("%q, %v", c.shown, c.status)
	}
}

// lateSeat is a caller's connection that takes its time to become a WebSocket.
type lateSeat struct{ http.ResponseWriter }

func (w lateSeat) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	time.Sleep(time.Second)
	return w.ResponseWriter.(http.Hijacker).Hijack()
}

func TestShell_ofOneLineThatEndsBeforeAnybodySits(t *testing.T) {
	d := newDoor(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := d.Shell(lateSeat{w}, r, invoke.Call{Address: address()}, "line", "echo gone; exit 9"); err != nil {
			http.Error(w, err.Error(), http.StatusTeapot)
		}
	}))
	t.Cleanup(srv.Close)
	c := sit(t, srv, "line")
	c.until("told how it ended", func() bool { return len(c.status) == 2 })
	if c.shown != "gone\r\n" || !strings.Contains(fmt.Sprint(c.status[1]), "exit code 9") {
		t.Errorf("%q, %v", c.shown, c.status)
	}
	if code := c.end(); code != websocket.StatusNormalClosure {
		t.Errorf("closed with %d", code)
	}
	d.idle(t)
}

func TestShell_whoComesBackFindsItAsItWas(t *testing.T) {
	srv := newDoor(t).shells(t)
	c := sit(t, srv, "kept")
	c.send(0x00, "place=ho''me; echo at $place\r")
	c.sees("at home\r\n")
	c.conn.CloseNow()
	again := sit(t, srv, "kept")
	again.sees("at home\r\n")
	if at := again.status[0]["metadata"].(map[string]any); at["reconnected"] != true {
		t.Errorf("greeted with %v", again.status)
	}
	again.send(0x00, "echo again at $place\r")
	again.sees("again at home\r\n")
	third := sit(t, srv, "kept")
	if code := again.end(); code != 4000 {
		t.Errorf("whoever was there is closed with %d", code)
	}
	third.send(0x00, "exit\r")
	third.until("told how it ended", func() bool { return len(third.status) == 2 })
	if third.status[1]["status"] != "Success" {
		t.Errorf("ended with %v", third.status)
	}
	fresh := sit(t, srv, "kept")
	fresh.send(0x00, "echo now at [$place]\r")
	fresh.sees("now at []\r\n")
}

func TestShell_closeCodes(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*door, *terminal)
		want websocket.StatusCode
		bell bool
	}{
		{"the caller closes it", func(_ *door, c *terminal) { c.send(0xff, "") }, 1000, true},
		{"the session is stopped", func(d *door, _ *terminal) { d.Stop(context.Background(), address()) }, 1001, true},
		{"frames of text", func(_ *door, c *terminal) {
			for range 5 {
				c.conn.Write(c.t.Context(), websocket.MessageText, []byte("ls"))
			}
		}, 1003, false},
		{"a frame over 64 KB", func(_ *door, c *terminal) { c.send(0x00, strings.Repeat("x", 64<<10)) }, 1009, false},
		{"killed by a signal", func(_ *door, c *terminal) { c.send(0x00, "kill -9 $$\r") }, 1000, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDoor(t)
			at := sit(t, d.shells(t), "")
			c.do(d, at)
			if code := at.end(); code != c.want || at.bell != c.bell {
				t.Errorf("closed with %d, want %d; announced: %v", code, c.want, at.bell)
			}
		})
	}
}

func TestShell_atMostTen(t *testing.T) {
	srv := newDoor(t).shells(t)
	for i := range 10 {
		sit(t, srv, fmt.Sprint("shell-", i))
	}
	if _, answer, err := websocket.Dial(t.Context(), srv.URL+"?shellId=more", nil); err == nil || answer.StatusCode != http.StatusTeapot {
		t.Errorf("an eleventh shell: %v", err)
	}
	if _, answer, err := websocket.Dial(t.Context(), srv.URL+"?shellId=-bad", nil); err == nil || answer.StatusCode != http.StatusTeapot {
		t.Errorf("a malformed id: %v", err)
	}
}

func TestShell_silentOneIdles(t *testing.T) {
	d := newDoor(t)
	d.catalog.version.Config.Lifecycle = moorage.Lifecycle{Idle: 500 * time.Millisecond, Max: time.Hour}
	c := sit(t, d.shells(t), "")
	if code := c.end(); code != websocket.StatusGoingAway || !c.bell {
		t.Errorf("closed with %d", code)
	}
}
