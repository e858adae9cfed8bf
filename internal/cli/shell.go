package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/term"
)

// Channels of a shell's frames. Source: AgentCore developer guide, InvokeAgentRuntimeCommandShell.
const (
	channelKeys   = 0x00
	channelScreen = 0x01
	channelErrors = 0x02
	channelStatus = 0x03
	channelSize   = 0x04
	channelClose  = 0xff
)

const (
	shellFrame     = 64 << 10         // bytes that a frame has at most
	keysAtOnce     = 32 << 10         // bytes of a paste in one frame
	shellHeartbeat = 30 * time.Second // between pings: proxies drop what is silent
	reconnectFor   = 15 * time.Second
)

// shell is this terminal at a shell in a session.
type shell struct {
	client  *client
	address string // of its WebSocket, which always finds the same shell
	session string
	in, out *os.File
	changed chan os.Signal // this terminal's size
	greeted bool           // it was there already; belongs to show

	mu   sync.Mutex
	conn *websocket.Conn // the newest one
}

// terminal runs a line on a terminal in a session, or an interactive shell where there is no line, and
// ends with its exit code.
func (a *app) terminal(ctx context.Context, c *client, arn, session, qualifier, line string) error {
	in, out, err := a.ui.terminal()
	if err != nil {
		return err
	}
	query := url.Values{"shellId": {newSessionID()}}
	if qualifier != "" {
		query.Set("qualifier", qualifier)
	}
	place := c.Endpoint + "/runtimes/" + url.PathEscape(arn) + "/ws/shells?"
	s := &shell{client: c, session: session, in: in, out: out, address: place + query.Encode(), changed: make(chan os.Signal, 1)}
	first := s.address
	if line != "" { // only now: a shell that is gone must not run it again
		query.Set("command", line)
		first = place + query.Encode()
	}
	signal.Notify(s.changed, syscall.SIGWINCH) // before the size is told first: a change after that is not missed
	defer signal.Stop(s.changed)
	if err := s.connect(ctx, first); err != nil {
		return err
	}
	before, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return err
	}
	defer term.Restore(int(in.Fd()), before)
	return s.run(ctx)
}

// terminal is where the program's keys come from and its output goes, if that is a terminal.
func (u *ui) terminal() (in, out *os.File, err error) {
	in, isIn := u.in.(*os.File)
	out, isOut := u.out.(*os.File)
	if !isIn || !isOut || !term.IsTerminal(int(in.Fd())) || !u.outTTY {
		return nil, nil, usagef("--tty needs a terminal; without it, exec runs a command and prints what that does")
	}
	return in, out, nil
}

// connect opens the WebSocket and tells the shell how large this terminal is.
func (s *shell) connect(ctx context.Context, address string) error {
	conn, answer, err := websocket.Dial(ctx, address, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: signing{s.client}},
		HTTPHeader: http.Header{"X-Amzn-Bedrock-AgentCore-Runtime-Session-Id": {s.session}},
	})
	if err != nil {
		if answer != nil && answer.StatusCode >= 300 {
			return errorAnswer(answer)
		}
		return err
	}
	conn.SetReadLimit(shellFrame)
	s.mu.Lock()
	s.conn = conn
	s.mu.Unlock()
	return s.resize(ctx)
}

// signing is a transport that signs what it sends.
type signing struct{ client *client }

func (t signing) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := t.client.sign(r.Context(), r, serviceName, emptySHA256); err != nil {
		return nil, err
	}
	return t.client.http.Transport.RoundTrip(r)
}

func (s *shell) current() *websocket.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn
}

func (s *shell) send(ctx context.Context, channel byte, payload []byte) error {
	return s.current().Write(ctx, websocket.MessageBinary, append([]byte{channel}, payload...))
}

func (s *shell) resize(ctx context.Context) error {
	width, height, err := term.GetSize(int(s.out.Fd()))
	if err != nil {
		return err
	}
	size, err := json.Marshal(map[string]int{"width": width, "height": height})
	if err != nil {
		return err
	}
	return s.send(ctx, channelSize, size)
}

// run passes keys, sizes and pings on until the shell has ended. A connection that breaks is made anew.
func (s *shell) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var others sync.WaitGroup
	defer others.Wait()
	defer cancel()
	others.Go(func() { s.watch(ctx) })
	go s.keys(ctx) // a Read of the terminal cannot be broken off; it ends with the program
	for {
		err := s.show(ctx)
		var lost errLost
		if !errors.As(err, &lost) {
			return err
		}
		if err := s.reconnect(ctx); err != nil {
			return advise(fmt.Errorf("the connection to the shell broke: %w", lost.error), "see: moorage sessions list --all")
		}
	}
}

// errLost is a connection that broke, while the shell may go on.
type errLost struct{ error }

// reconnect tries for a while to come back to the shell.
func (s *shell) reconnect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reconnectFor)
	defer cancel()
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := s.connect(ctx, s.address)
		if err == nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// watch passes on changes of this terminal's size, and pings.
func (s *shell) watch(ctx context.Context) {
	heartbeat := time.NewTicker(shellHeartbeat)
	defer heartbeat.Stop()
	for {
		select { // what fails here is seen by show
		case <-ctx.Done():
			return
		case <-s.changed:
			s.resize(ctx)
		case <-heartbeat.C:
			s.current().Ping(ctx)
		}
	}
}

// keys passes keys on.
func (s *shell) keys(ctx context.Context) {
	buf := make([]byte, keysAtOnce)
	for {
		n, err := s.in.Read(buf)
		if err != nil || ctx.Err() != nil {
			return
		}
		s.send(ctx, channelKeys, buf[:n]) // keys that are hit while there is no connection go nowhere
	}
}

// show takes frames until the shell has ended, which is an exit status or nil, or the connection has.
func (s *shell) show(ctx context.Context) error {
	conn := s.current()
	for {
		_, frame, err := conn.Read(ctx)
		var closed websocket.CloseError
		switch {
		case errors.As(err, &closed):
			return s.closed(closed)
		case err != nil:
			return errLost{err}
		case len(frame) == 0:
			continue
		}
		switch frame[0] {
		case channelScreen, channelErrors:
			if _, err := s.out.Write(frame[1:]); err != nil {
				return err
			}
		case channelStatus:
			if done, err := s.status(ctx, frame[1:]); done {
				conn.Close(websocket.StatusNormalClosure, "")
				return err
			}
		}
	}
}

// closed says what the end of a connection means.
func (s *shell) closed(e websocket.CloseError) error {
	if e.Code == websocket.StatusNormalClosure && e.Reason == "" {
		return io.ErrUnexpectedEOF // no status came before it
	}
	return advise(fmt.Errorf("the shell ended: %s", firstOf(e.Reason, e.Code.String())), "see: moorage sessions list --all")
}

// shellStatus is how a shell began, or ended. Source: Kubernetes, metav1.Status.
type shellStatus struct {
	Metadata struct {
		ShellID     string `json:"shellId"` // of one that began
		Reconnected bool   `json:"reconnected"`
	} `json:"metadata"`
	Status  string `json:"status"`
	Message string `json:"message"`
	Details struct {
		Causes []struct{ Reason, Message string } `json:"causes"`
	} `json:"details"`
}

// status reads a status and says whether the shell ended by it, and with which exit status.
func (s *shell) status(ctx context.Context, doc []byte) (done bool, err error) {
	var status shellStatus
	if err := json.Unmarshal(doc, &status); err != nil {
		return true, fmt.Errorf("read the shell's status: %w", err)
	}
	if status.Metadata.ShellID == "" {
		return true, status.exit()
	}
	if s.greeted && !status.Metadata.Reconnected {
		s.send(ctx, channelClose, nil) // it is a new one, which nobody asked for
		return true, advise(errors.New("the shell is gone: its session ended, or the server was started again"), "see: moorage sessions list --all")
	}
	s.greeted = true
	return false, nil
}

// exit is the exit status of a shell that ended; nil is 0.
func (s shellStatus) exit() error {
	if s.Status == "Success" {
		return nil
	}
	for _, cause := range s.Details.Causes {
		if code, err := strconv.Atoi(cause.Message); err == nil && cause.Reason == "ExitCode" {
			return exitStatus(code)
		}
	}
	return errors.New(s.Message)
}
