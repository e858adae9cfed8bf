package gvisor

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/control/client"
	"gvisor.dev/gvisor/pkg/urpc"
	"gvisor.dev/gvisor/runsc/boot"
)

// control opens a connection to the engine for a call that carries files and returns soon.
// gVisor's own client holds a thread while it waits.
func (b *box) control() (*urpc.Client, error) {
	return client.ConnectTo(b.controlPath)
}

// call makes a call of gVisor's control protocol over Go's own poller, so that an answer that takes
// as long as the sandbox lives costs no thread. The protocol is one JSON value each way.
func (b *box) call(ctx context.Context, method string, arg, result any) error {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", b.controlPath)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()

	request, err := json.Marshal(map[string]any{"method": method, "arg": arg})
	if err != nil {
		return err
	}
	if _, err := conn.Write(request); err != nil {
		return err
	}
	reply := struct {
		Success bool   `json:"success"`
		Err     string `json:"err"`
		Result  any    `json:"result"`
	}{Result: result}
	if err := json.NewDecoder(conn).Decode(&reply); err != nil {
		return errors.Join(ctx.Err(), fmt.Errorf("ask the engine %s: %w", method, err))
	}
	if !reply.Success {
		return errors.New(reply.Err)
	}
	return nil
}

// awaitAgent blocks until the agent's first process ended. An error means that the engine went before
// it was asked, or before it answered.
func (b *box) awaitAgent() (unix.WaitStatus, error) {
	var status unix.WaitStatus
	err := b.call(context.Background(), boot.ContMgrWait, b.info.ID, &status)
	return status, err
}

// reported reads how the agent ended from what the engine left when it ended. An error means that it
// left nothing: it was killed, or failed. Others may hold the pipe's other end open for a moment, so
// its end is not waited for.
func (b *box) reported() (unix.WaitStatus, error) {
	var status [4]byte
	raw, err := b.report.SyscallConn()
	if err != nil {
		return 0, err
	}
	n := 0
	if readErr := raw.Control(func(fd uintptr) { n, err = unix.Read(int(fd), status[:]) }); readErr != nil || err != nil {
		return 0, errors.Join(readErr, err)
	}
	if n != len(status) {
		return 0, errors.New("the engine left no status")
	}
	return unix.WaitStatus(binary.NativeEndian.Uint32(status[:])), nil
}

func (b *box) signal(ctx context.Context, pid int32, sig unix.Signal) error {
	return b.call(ctx, boot.ContMgrSignal, boot.SignalArgs{
		CID: b.info.ID, Signo: int32(sig), PID: pid, Mode: boot.DeliverToProcess,
	}, nil)
}
