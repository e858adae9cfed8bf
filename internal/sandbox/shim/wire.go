package shim

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"golang.org/x/sys/unix"
)

// protocol is the version of what follows. A shim outlives the build that wrote it, so a change
// that an older shim would misread needs a new number, and a client that speaks both. A new request
// needs none: a shim answers one that it does not know with moorage.Unsupported.
const protocol = 1

const (
	maxMessage = 16 << 20 // bytes of JSON
	maxFiles   = 3        // per message
)

// The requests. One is sent per connection; exec and attach keep theirs.
const (
	opAttach   = "attach" // be counted as a client until the connection closes
	opCreate   = "create"
	opList     = "list"
	opLookup   = "lookup" // a sandbox by id, ended ones included
	opDial     = "dial"   // the reply carries the connection
	opExec     = "exec"   // carries stdin, stdout and stderr; two replies, started and ended
	opKill     = "kill"   // on the connection of an exec
	opSignal   = "signal" // on the connection of an exec, when the reply said that it has a terminal
	opStats    = "stats"
	opWait     = "wait"
	opStop     = "stop"
	opPause    = "pause"
	opResume   = "resume"
	opRelabel  = "relabel"    // carries the labels
	opSleep    = "checkpoint" // freeze into dir, and end
	opWake     = "restore"    // what sleeps in dir
	opReseed   = "reseed"     // and say whether every process did
	opClone    = "clone"      // start one more from what is frozen in dir
	opPrepare  = "prepare"    // start an engine for one
	opLoad     = "load"       // and make it one
	opShutdown = "shutdown"
)

type request struct {
	Protocol int           `json:"protocol"`
	Op       string        `json:"op"`
	ID       string        `json:"id,omitempty"`
	Spec     *sandbox.Spec `json:"spec,omitempty"`
	Port     uint16        `json:"port,omitempty"`
	Command  *command      `json:"command,omitempty"`
	Grace    time.Duration `json:"grace,omitempty"`

	Signal int                `json:"signal,omitempty"` // to the foreground of a command's terminal
	Labels map[string]string  `json:"labels,omitempty"`
	Dir    string             `json:"dir,omitempty"` // of a snapshot, absolute
	Clone  *sandbox.CloneSpec `json:"clone,omitempty"`
}

// command is a sandbox.Command without its readers and writers, which go as descriptors.
type command struct {
	Args []string `json:"args"`
	Env  []string `json:"env,omitempty"`
	Dir  string   `json:"dir,omitempty"`

	Terminal *sandbox.Size `json:"terminal,omitempty"` // the three descriptors are its far end
}

type reply struct {
	Error     *failure          `json:"error,omitempty"`
	Isolation sandbox.Isolation `json:"isolation,omitempty"` // of attach: the strongest on offer
	Infos     []sandbox.Info    `json:"infos,omitempty"`
	Stats     *sandbox.Stats    `json:"stats,omitempty"`
	Exit      *sandbox.Exit     `json:"exit,omitempty"`
	Terminal  bool              `json:"terminal,omitempty"` // of exec: the command has one. Earlier shims know none
}

// failure is an error on its way between processes.
type failure struct {
	Code    moorage.Code `json:"code"`
	Op      string       `json:"op,omitempty"`
	Message string       `json:"message"`
	Cause   string       `json:"cause,omitempty"`
}

func failureOf(err error) *failure {
	if err == nil {
		return nil
	}
	var coded *moorage.Error
	if !errors.As(err, &coded) {
		return &failure{Code: moorage.Internal, Message: "the sandbox engine failed", Cause: err.Error()}
	}
	f := &failure{Code: coded.Code, Op: coded.Op, Message: coded.Message}
	if coded.Err != nil {
		f.Cause = coded.Err.Error()
	}
	return f
}

func (f *failure) err() error {
	if f == nil {
		return nil
	}
	e := &moorage.Error{Code: f.Code, Op: f.Op, Message: f.Message}
	if f.Cause != "" {
		e.Err = errors.New(f.Cause)
	}
	return e
}

// send writes one message, a length and then JSON, with the files attached to its first byte.
// The files stay open here.
func send(c *net.UnixConn, v any, files ...*os.File) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(body) > maxMessage {
		return fmt.Errorf("a message of %d bytes is too long", len(body))
	}
	msg := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
	n, err := writeWithFiles(c, msg, files)
	if err != nil || n == len(msg) { // no empty write: it fails when the reply is there already
		return err
	}
	_, err = c.Write(msg[n:])
	return err
}

func writeWithFiles(c *net.UnixConn, msg []byte, files []*os.File) (int, error) {
	if len(files) == 0 {
		return 0, nil
	}
	var n int
	err := withDescriptors(files, nil, func(fds []int) (err error) {
		n, _, err = c.WriteMsgUnix(msg, unix.UnixRights(fds...), nil)
		return err
	})
	return n, err
}

// withDescriptors calls f with the numbers of the files. Unlike File.Fd it leaves them in the mode
// they are in.
func withDescriptors(files []*os.File, fds []int, f func([]int) error) error {
	if len(files) == 0 {
		return f(fds)
	}
	raw, err := files[0].SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = withDescriptors(files[1:], append(fds, int(fd)), f) }); err != nil {
		return err
	}
	return inner
}

// receive reads one message into v and returns the files that came with it, which the caller closes.
// io.EOF means that the other side went away between messages.
func receive(c *net.UnixConn, v any) (files []*os.File, err error) {
	var size [4]byte
	oob := make([]byte, unix.CmsgSpace(4*maxFiles))
	n, oobn, _, _, err := c.ReadMsgUnix(size[:], oob)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, io.EOF
	}
	if files, err = parseFiles(oob[:oobn]); err != nil {
		return nil, err
	}
	if err := receiveBody(c, size, n, v); err != nil {
		closeAll(files)
		return nil, err
	}
	return files, nil
}

func receiveBody(c *net.UnixConn, size [4]byte, have int, v any) error {
	if _, err := io.ReadFull(c, size[have:]); err != nil {
		return err
	}
	length := binary.BigEndian.Uint32(size[:])
	if length > maxMessage {
		return fmt.Errorf("a message of %d bytes is too long", length)
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(c, body); err != nil {
		return err
	}
	return json.Unmarshal(body, v)
}

func parseFiles(oob []byte) (files []*os.File, err error) {
	if len(oob) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue // credentials, say
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
