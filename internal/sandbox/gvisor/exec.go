package gvisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/sentry/control"
	"gvisor.dev/gvisor/pkg/sentry/kernel/auth"
	"gvisor.dev/gvisor/runsc/boot"
	"gvisor.dev/gvisor/runsc/specutils"
)

// Exec implements [sandbox.Sandbox].
func (b *box) Exec(ctx context.Context, cmd sandbox.Command) (sandbox.Process, error) {
	return sandbox.ExecWithFiles(ctx, cmd, b.ExecFiles)
}

// ExecFiles starts a command on files that the caller opened, and closes none of them.
func (b *box) ExecFiles(ctx context.Context, cmd sandbox.Command, stdio [3]*os.File) (sandbox.Process, error) {
	if err := errors.Join(ctx.Err(), b.running(), cmd.Check()); err != nil {
		return nil, err
	}
	args, err := b.execArgs(cmd, stdio)
	if err != nil {
		return nil, err
	}
	conn, err := b.control()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	var pid int32
	if err := conn.Call(boot.ContMgrExecuteAsync, args, &pid); err != nil {
		return nil, &moorage.Error{Code: moorage.AgentFailed, Message: fmt.Sprintf("the command %q cannot be started", cmd.Args[0]), Err: err}
	}
	p := &process{box: b, pid: pid}
	if cmd.Terminal != nil {
		return seated{p}, nil
	}
	return p, nil
}

func (b *box) execArgs(cmd sandbox.Command, stdio [3]*os.File) (*control.ExecArgs, error) {
	files := map[int]*os.File{}
	for fd, f := range stdio {
		files[fd] = f
		// So that the command can open /dev/stdout again. A file whose owner cannot change works otherwise.
		f.Chown(b.engineUID, b.engineUID)
	}
	uid, gid, err := b.spec.Process.UserIDs()
	if err != nil {
		return nil, err
	}
	args := &control.ExecArgs{
		Filename:         "",
		Argv:             cmd.Args,
		Envv:             append(withDefaults(b.spec.Process.Env), cmd.Env...),
		WorkingDirectory: workingDir(b.spec.Process.Dir),
		KUID:             auth.KUID(uid),
		KGID:             auth.KGID(gid),
		NoNewPrivileges:  true,
		ContainerID:      b.info.ID,
		FilePayload:      control.NewFilePayload(files, nil),
		StdioIsPty:       cmd.Terminal != nil,
	}
	if cmd.Dir != "" {
		args.WorkingDirectory = cmd.Dir
	}
	caps := &specs.LinuxCapabilities{Bounding: capabilities}
	if uid == 0 {
		caps.Effective, caps.Permitted = capabilities, capabilities
	}
	args.Capabilities, err = specutils.Capabilities(false, caps)
	return args, err
}

// process is a command that Exec started.
type process struct {
	box *box
	pid int32 // in the sandbox
}

// Wait blocks until the command ended, or the sandbox did.
func (p *process) Wait() (sandbox.Exit, error) {
	var status unix.WaitStatus
	err := p.box.call(context.Background(), boot.ContMgrWaitPID, boot.WaitPIDArgs{PID: p.pid, CID: p.box.info.ID}, &status)
	if err == nil {
		return exitOf(status), nil
	}
	<-p.box.done
	exit := p.box.exit
	exit.Code = -1
	return exit, nil
}

// Kill kills the command; one that ended already is no error.
func (p *process) Kill() error {
	err := p.box.signal(context.Background(), p.pid, unix.SIGKILL)
	if err != nil && !p.box.ended() && !strings.Contains(err.Error(), "no such process") {
		return err
	}
	return nil
}

// seated is a command that sits at a terminal of the host, which knows nothing of process groups in here.
type seated struct{ *process }

var _ sandbox.ForegroundProcess = seated{}

// SignalForeground implements [sandbox.ForegroundProcess]. Where nobody is in the foreground any more
// nobody gets the signal, and that is no error.
func (p seated) SignalForeground(sig unix.Signal) error {
	err := p.box.call(context.Background(), boot.ContMgrSignal, boot.SignalArgs{
		CID: p.box.info.ID, Signo: int32(sig), PID: p.pid, Mode: boot.DeliverToForegroundProcessGroup,
	}, nil)
	if p.box.ended() {
		return nil
	}
	return err
}
