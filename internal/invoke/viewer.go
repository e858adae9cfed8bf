package invoke

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sys/unix"

	"github.com/moorage-dev/moorage/internal/sandbox"
)

// Channels of a shell's frames: the first byte of each says what the rest is.
// Source: AgentCore developer guide, InvokeAgentRuntimeCommandShell; Kubernetes, v5.channel.k8s.io.
const (
	channelKeys      = 0x00
	channelScreen    = 0x01
	channelStatus    = 0x03
	channelSize      = 0x04
	channelHeartbeat = 0x05
	channelClose     = 0xff
)

const (
	maxTexts      = 5                // text frames, where only binary ones belong
	writeLimit    = 10 * time.Second // for one frame; whoever takes longer is gone
	codeReplaced  = 4000             // somebody else came to the same shell
	screenAtOnce  = 32 << 10         // bytes in one frame
	codeNotBinary = websocket.StatusUnsupportedData
)

// viewer is a caller's connection to a shell.
type viewer struct {
	shell *shell
	conn  *websocket.Conn
}

// sit shakes hands. On failure the caller has been answered.
func sit(w http.ResponseWriter, r *http.Request, subprotocol string, sh *shell, sessionID string) (*viewer, error) {
	w.Header().Set(HeaderShell, sh.id)
	w.Header().Set(HeaderSession, sessionID)
	options := &websocket.AcceptOptions{
		InsecureSkipVerify: true, // any page may connect: what counts is the signature or token, and no cookie does
		OnPingReceived:     func(context.Context, []byte) bool { sh.lease.Touch(); return true },
	}
	if subprotocol != "" { // it was offered, but not by that name alone
		r = r.Clone(r.Context())
		r.Header.Set("Sec-Websocket-Protocol", subprotocol)
		options.Subprotocols = []string{subprotocol}
	}
	conn, err := websocket.Accept(w, r, options)
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(maxFrame)
	return &viewer{sh, conn}, nil
}

// stay returns when the connection has ended.
func (v *viewer) stay(reconnected bool) {
	var farewell sync.WaitGroup
	defer farewell.Wait()
	before, over := v.shell.seat(v, reconnected)
	if before != nil {
		farewell.Go(func() { before.conn.Close(codeReplaced, "somebody else came to this shell") })
	}
	if over != nil {
		farewell.Go(func() { v.leave(*over) })
	}
	err := v.listen()
	v.shell.unseat(v)
	var reason *closeError
	switch {
	case errors.As(err, &reason):
		v.conn.Close(websocket.StatusCode(reason.code), reason.text)
	case v.shell.ctx.Err() != nil: // leave says goodbye
	default:
		v.conn.CloseNow()
	}
}

// listen takes what the caller sends until that ends, and says why it must, if so.
func (v *viewer) listen() error {
	rate := frameRate{perSecond: framesInSecond}
	for texts := 0; ; {
		kind, frame, err := v.conn.Read(context.Background()) // ends with the connection
		if err != nil {
			return err
		}
		v.shell.lease.Touch()
		if err := rate.count(time.Now()); err != nil {
			return err
		}
		if kind != websocket.MessageBinary {
			if texts++; texts >= maxTexts {
				return &closeError{uint16(codeNotBinary), "frames must be binary"}
			}
			continue
		}
		if err := v.heed(frame); err != nil {
			return err
		}
	}
}

// heed does what one frame asks for. Channels that we do not know are a later protocol's.
func (v *viewer) heed(frame []byte) error {
	if len(frame) == 0 {
		return nil
	}
	switch payload := frame[1:]; frame[0] {
	case channelKeys:
		if _, err := v.shell.keyboard.Write(payload); err != nil {
			return nil // it has ended, as the caller is about to hear
		}
	case channelSize:
		var size struct{ Width, Height uint16 }
		if json.Unmarshal(payload, &size) == nil && size.Width > 0 && size.Height > 0 {
			v.shell.process.Resize(sandbox.Size{Columns: size.Width, Rows: size.Height}) // one that has ended has no size
		}
	case channelHeartbeat:
		return v.send(channelHeartbeat, nil)
	case channelClose:
		v.shell.end(errShellClosed)
	}
	return nil
}

// send writes one frame.
func (v *viewer) send(channel byte, payload []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), writeLimit)
	defer cancel()
	return v.conn.Write(ctx, websocket.MessageBinary, append([]byte{channel}, payload...))
}

// show sends output, in frames of a size that the other side takes.
func (v *viewer) show(output []byte) error {
	for len(output) > 0 {
		n := min(len(output), screenAtOnce)
		if err := v.send(channelScreen, output[:n]); err != nil {
			return err
		}
		output = output[n:]
	}
	return nil
}

// shellStatus is how a shell began, or ended. Source: Kubernetes, metav1.Status.
type shellStatus struct {
	Kind     string         `json:"kind"`
	Version  string         `json:"apiVersion"`
	Metadata statusMetadata `json:"metadata"`
	Status   string         `json:"status"`
	Reason   string         `json:"reason,omitempty"`
	Message  string         `json:"message,omitempty"`
	Details  *statusDetails `json:"details,omitempty"`
	Code     int            `json:"code,omitempty"`
}

type statusMetadata struct {
	ShellID     string `json:"shellId,omitempty"`
	Reconnected *bool  `json:"reconnected,omitempty"`
}

type statusDetails struct {
	Causes []statusCause `json:"causes"`
}

type statusCause struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

func (v *viewer) tell(s shellStatus) error {
	s.Kind, s.Version = "Status", "v1"
	body, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return v.send(channelStatus, body)
}

func (v *viewer) greet(reconnected bool) error {
	return v.tell(shellStatus{Metadata: statusMetadata{v.shell.id, &reconnected}, Status: "Success"})
}

// leave tells the caller how the shell ended. The connection may be gone; then nobody minds.
func (v *viewer) leave(end ending) {
	code, text := websocket.StatusNormalClosure, ""
	var closing *closeError
	switch {
	case errors.As(end.reason, &closing):
		code, text = websocket.StatusCode(closing.code), closing.text
		v.send(channelClose, nil)
	case end.reason != nil:
		code, text = websocket.StatusGoingAway, end.reason.Error()
		v.send(channelClose, nil)
	case end.failure != nil:
		code, text = websocket.StatusInternalError, "the shell was lost"
		v.tell(shellStatus{Status: "Failure", Reason: "InternalError", Message: end.failure.Error(), Code: http.StatusInternalServerError})
	default:
		v.tell(ended(end.exit))
	}
	v.conn.Close(code, text[:min(len(text), maxCloseText)])
}

// maxCloseText bounds the reason in a close frame, in bytes (RFC 6455 §5.5).
const maxCloseText = 123

// ended is the status of a shell that ended by itself.
func ended(exit sandbox.Exit) shellStatus {
	if exit.Code == 0 {
		return shellStatus{Status: "Success"}
	}
	code, causes := exit.Code, []statusCause(nil)
	if number := unix.SignalNum(exit.Signal); number != 0 {
		code = 128 + int(number)
		causes = []statusCause{{"Signal", strconv.Itoa(int(number))}}
	}
	return shellStatus{
		Status: "Failure", Reason: "NonZeroExitCode", Message: fmt.Sprintf("command terminated with exit code %d", code),
		Details: &statusDetails{append([]statusCause{{"ExitCode", strconv.Itoa(code)}}, causes...)},
	}
}
