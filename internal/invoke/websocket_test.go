package invoke_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/moorage-dev/moorage/internal/session/sessiontest"
)

// socket is a caller's WebSocket, spoken by hand so that it can break the rules.
type socket struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func dial(t *testing.T, d *door) *socket {
	t.Helper()
	conn, err := net.Dial("tcp", d.server(t).Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	fmt.Fprint(conn, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	s := &socket{t, conn, bufio.NewReader(conn)}
	resp, err := http.ReadResponse(s.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 101 || resp.Header.Get("Sec-Websocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("handshake: %s %v %s", resp.Status, resp.Header, body)
	}
	if resp.Header.Get("X-Secret") != "" || resp.Header.Get("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id") != sessionID {
		t.Errorf("handshake headers %v", resp.Header)
	}
	return s
}

// send writes one frame. Head is its first byte: 0x81 is a text, 0x82 is binary, 0x89 a ping.
func (s *socket) send(head byte, payload string) {
	out := []byte{head}
	switch n := len(payload); {
	case n < 126:
		out = append(out, 0x80|byte(n))
	case n < 1<<16:
		out = binary.BigEndian.AppendUint16(append(out, 0x80|126), uint16(n))
	default:
		out = binary.BigEndian.AppendUint64(append(out, 0x80|127), uint64(n))
	}
	key := [4]byte{1, 2, 3, 4}
	out = append(out, key[:]...)
	for i := range len(payload) {
		out = append(out, payload[i]^key[i%4])
	}
	s.conn.Write(out) // a relay that has had enough closes meanwhile
}

// receive reads one frame, which the server must not mask.
func (s *socket) receive() (head byte, payload string) {
	s.t.Helper()
	var h [2]byte
	if _, err := io.ReadFull(s.in, h[:]); err != nil {
		s.t.Fatal("read a frame:", err)
	}
	size := int(h[1])
	switch size {
	case 126:
		var n uint16
		binary.Read(s.in, binary.BigEndian, &n)
		size = int(n)
	case 127:
		var n uint64
		binary.Read(s.in, binary.BigEndian, &n)
		size = int(n)
	}
	buf := make([]byte, size)
	if _, err := io.ReadFull(s.in, buf); err != nil {
		s.t.Fatal("read a frame:", err)
	}
	return h[0], string(buf)
}

// closed skips frames up to the close frame and returns its code and reason.
func (s *socket) closed() (code uint16, reason string) {
	s.t.Helper()
	for {
		head, payload := s.receive()
		if head&0x0f != 8 {
			continue
		}
		if len(payload) < 2 {
			return 1005, ""
		}
		return binary.BigEndian.Uint16([]byte(payload)), payload[2:]
	}
}

func TestWebSocket_relaysEveryKindOfFrame(t *testing.T) {
	s := dial(t, newDoor(t))
	for _, c := range []struct {
		head    byte
		payload string
	}{
		{0x81, "hello"}, {0x82, "\x00\x01\xff"}, {0x81, ""}, {0x82, strings.Repeat("x", 200)}, {0x82, strings.Repeat("y", 64<<10)},
		{0x01, "a message "}, {0x00, "in "}, {0x80, "parts"}, // fragments
		{0x89, "are you there"}, {0x8a, "I am"}, // ping and pong
	} {
		s.send(c.head, c.payload)
		if head, payload := s.receive(); head != c.head || payload != c.payload {
			t.Errorf("sent %#x with %d bytes, got %#x with %d", c.head, len(c.payload), head, len(payload))
		}
	}
}

func TestWebSocket_closeCodes(t *testing.T) {
	d := newDoor(t)
	for _, c := range []struct {
		name string
		do   func(s *socket)
		want uint16
	}{
		{"the caller says goodbye", func(s *socket) { s.send(0x88, "\x03\xe8bye") }, 1000},
		{"the agent says goodbye", func(s *socket) { s.send(0x81, "close 1000") }, 1000},
		{"the agent's own code", func(s *socket) { s.send(0x81, "close 4321") }, 4321},
		{"the agent drops the connection", func(s *socket) { s.send(0x81, "drop") }, 1011},
		{"a frame over 64 KB", func(s *socket) { s.send(0x82, strings.Repeat("x", 64<<10+1)) }, 1009},
		{"251 frames in a second", func(s *socket) {
			for range 300 {
				s.send(0x81, "x")
			}
		}, 1008},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := dial(t, d)
			c.do(s)
			if code, reason := s.closed(); code != c.want {
				t.Errorf("closed with %d %q, want %d", code, reason, c.want)
			}
		})
	}
	d.idle(t)
}

func TestWebSocket_endOfTheSessionIsToldWith1001(t *testing.T) {
	d := newDoor(t)
	s := dial(t, d)
	if err := d.Stop(t.Context(), address()); err != nil {
		t.Fatal(err)
	}
	if code, reason := s.closed(); code != 1001 || !strings.Contains(reason, "stopped by its caller") {
		t.Errorf("closed with %d %q", code, reason)
	}
}

func TestWebSocket_silentOneIdles(t *testing.T) {
	d := newDoor(t)
	d.catalog.version.Config.Lifecycle.Idle = 500 * time.Millisecond
	s := dial(t, d)
	began := time.Now()
	for tick := time.NewTicker(100 * time.Millisecond); time.Since(began) < time.Second; <-tick.C {
		s.send(0x89, "") // a ping is a message
		s.receive()
	}
	if code, reason := s.closed(); code != 1001 || !strings.Contains(reason, "idle for 500ms") {
		t.Errorf("closed with %d %q", code, reason)
	}
}

func TestWebSocket_callerWhoVanishes(t *testing.T) {
	d := newDoor(t)
	s := dial(t, d)
	s.send(0x81, "hello")
	s.receive()
	s.conn.Close()
	sessiontest.Eventually(t, "the agent's connection ends", func() bool { return d.agent(t, "/left") == "1" })
	d.idle(t)
}

func TestWebSocket_plainRequestIsRefused(t *testing.T) {
	resp, err := http.Get(newDoor(t).server(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusTeapot || !strings.Contains(string(body), "Upgrade") {
		t.Errorf("%s: %s", resp.Status, body)
	}
}
