package invoke

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/session"
)

// Limits of shells. Source: AgentCore developer guide, InvokeAgentRuntimeCommandShell.
const (
	maxShells    = 10               // per session
	shellLife    = time.Hour        // from its start
	detachedLife = 15 * time.Minute // without anybody at it
	maxScreen    = 256 << 10        // bytes of output that are shown again to whoever comes back
)

// HeaderShell is the header that names a shell.
const HeaderShell = "X-Amzn-Bedrock-AgentCore-Shell-Id"

var shellIDs = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{0,127}$`)

// Shells are the interactive shells that are open. The zero value has none.
type Shells struct {
	mu   sync.Mutex
	open map[shellKey]*shell
}

type shellKey struct{ session, shell string }

// shell is a bash, or sh, on a terminal in a session. It goes on while nobody is at it, so that a caller
// whose connection broke finds it as it was.
type shell struct {
	id       string
	lease    *session.Lease // the shell's own; it leaves the session to its idle clock
	process  sandbox.TerminalProcess
	keyboard *io.PipeWriter
	ctx      context.Context // ends with the shell, for the reason that is its cause
	end      context.CancelCauseFunc
	expiry   *time.Timer
	detached *time.Timer // runs while nobody is at it
	ready    bool        // belongs to Shells.mu

	mu     sync.Mutex // of what the viewers are sent
	screen []byte     // the last of what was shown
	viewer *viewer    // nil while nobody is at it
	over   *ending    // once it has ended
}

// The ends of a shell that it did not bring about itself, with their close codes.
var (
	errShellTooLong = &closeError{uint16(websocket.StatusPolicyViolation), fmt.Sprintf("a shell lives for %s", shellLife)}
	errShellLeft    = &closeError{uint16(websocket.StatusNormalClosure), fmt.Sprintf("nobody was at the shell for %s", detachedLife)}
	errShellClosed  = &closeError{uint16(websocket.StatusNormalClosure), "the shell was closed"}
	errShellExited  = errors.New("the shell exited")
)

// Shell connects the caller to an interactive shell in the session: the one of that id, if it lives, else
// a new one, which runs a line, if there is one, and ends with it. An empty id has one minted. The error is for the caller as long as nothing was written to
// w; after that the connection is closed with a code, and Shell returns nil when it is.
func (s *Service) Shell(w http.ResponseWriter, r *http.Request, call Call, id, line string) error {
	if !upgrades(r) {
		return errNoUpgrade
	}
	if id = cmp.Or(id, newUUID()); !shellIDs.MatchString(id) {
		return invalid("shellId", "Value at 'shellId' failed to satisfy constraint: Member must match %s", shellIDs)
	}
	conn, err := s.open(r.Context(), "InvokeAgentRuntimeCommandShell", call)
	if err != nil {
		return err
	}
	sh, found, err := s.Shells.at(r.Context(), conn.lease, id, line)
	defer func() { conn.span.End(err) }()
	if found || err != nil { // else the lease is the shell's now
		defer conn.lease.Release()
	}
	if err != nil {
		return err
	}
	if found {
		conn.lease.Passive()
	}
	v, err := sit(w, r, call.Subprotocol, sh, conn.sessionID)
	if err != nil {
		return nil // it has answered
	}
	v.stay(found)
	return nil
}

// at returns the shell of that id in a lease's session, and whether it was there; a new one keeps the lease.
func (all *Shells) at(ctx context.Context, lease *session.Lease, id, line string) (sh *shell, found bool, err error) {
	key := shellKey{lease.Session.ID, id}
	sh, found, err = all.reserve(key)
	if found || err != nil {
		return sh, found, err
	}
	sh.lease = lease
	err = sh.start(ctx, line)
	all.mu.Lock()
	defer all.mu.Unlock()
	if err != nil {
		delete(all.open, key)
		return nil, false, err
	}
	sh.ready = true
	lease.Passive()
	go func() { // ends with the session at the latest; the server waits for the lease
		defer lease.Release()
		end := sh.live()
		all.mu.Lock()
		delete(all.open, key) // first, so that whoever hears of the end may open it anew
		all.mu.Unlock()
		sh.farewell(end)
	}()
	return sh, false, nil
}

// reserve finds the shell, or the place for a new one.
func (all *Shells) reserve(key shellKey) (sh *shell, found bool, err error) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if sh := all.open[key]; sh != nil {
		if !sh.ready || sh.ctx.Err() != nil {
			return nil, false, moorage.Errorf(moorage.Conflict, "the shell %s is being opened or closed", key.shell)
		}
		return sh, true, nil
	}
	n := 0
	for k := range all.open {
		if k.session == key.session {
			n++
		}
	}
	if n >= maxShells {
		return nil, false, moorage.Errorf(moorage.Throttled, "a session has at most %d shells; close one", maxShells)
	}
	if all.open == nil {
		all.open = map[shellKey]*shell{}
	}
	sh = &shell{id: key.shell}
	all.open[key] = sh
	return sh, false, nil
}

// firstSize is that of a terminal until its viewer says another.
var firstSize = sandbox.Size{Columns: 80, Rows: 24}

// start starts bash, or sh where the image has no bash.
func (sh *shell) start(ctx context.Context, line string) error {
	keys, keyboard := io.Pipe()
	var args []string
	if line != "" {
		args = []string{"-c", line}
	}
	for _, program := range []string{"/bin/bash", "/bin/sh"} {
		p, err := sh.lease.Agent.Sandbox.Exec(ctx, sandbox.Command{
			Args: append([]string{program}, args...), Env: []string{"TERM=xterm-256color"}, Stdin: keys, Stdout: sh, Terminal: &firstSize,
		})
		if moorage.CodeOf(err) == moorage.AgentFailed && program != "/bin/sh" {
			continue
		}
		if err != nil {
			return err
		}
		sh.process, sh.keyboard = p.(sandbox.TerminalProcess), keyboard
		break
	}
	sh.ctx, sh.end = context.WithCancelCause(sh.lease.Ended)
	sh.expiry = time.AfterFunc(shellLife, func() { sh.end(errShellTooLong) })
	sh.detached = time.AfterFunc(detachedLife, func() { sh.end(errShellLeft) })
	return nil
}

// ending is how a shell ended: for a reason from outside, else as exit or failure says.
type ending struct {
	reason  error
	exit    sandbox.Exit
	failure error
}

// live returns when the shell has ended.
func (sh *shell) live() (end ending) {
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		end.exit, end.failure = sh.process.Wait()
	}()
	select {
	case <-exited:
	case <-sh.ctx.Done():
		sh.process.Kill()
		<-exited
	}
	if sh.ctx.Err() == nil && end.exit.Code == -1 && end.exit.Signal == "" { // its sandbox went first
		end.failure = errors.Join(sh.lease.Failure(sh.ctx), end.failure)
	}
	end.reason = context.Cause(sh.ctx)
	sh.end(errShellExited)
	sh.expiry.Stop()
	sh.detached.Stop()
	sh.keyboard.Close()
	return end
}

// farewell tells whoever is at the shell how it ended.
func (sh *shell) farewell(end ending) {
	sh.mu.Lock()
	v := sh.viewer
	sh.viewer, sh.over = nil, &end
	sh.mu.Unlock()
	if v != nil {
		v.leave(end)
	}
}

// Write takes what the shell shows.
func (sh *shell) Write(p []byte) (int, error) {
	sh.lease.Touch()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.screen = append(sh.screen, p...)
	sh.screen = sh.screen[max(0, len(sh.screen)-maxScreen):]
	if v := sh.viewer; v != nil && v.show(p) != nil {
		sh.viewer = nil
		v.conn.CloseNow()
	}
	return len(p), nil
}

// seat makes v the one who is at the shell, shows what it missed, and returns who was there. A shell that runs one line
// may have ended before anybody sat down: over says how.
func (sh *shell) seat(v *viewer, reconnected bool) (before *viewer, over *ending) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if before = sh.viewer; sh.over == nil {
		sh.viewer = v
		sh.detached.Stop()
	}
	if v.greet(reconnected) != nil || v.show(sh.screen) != nil {
		v.conn.CloseNow() // its own reading will end too
	}
	return before, sh.over
}

// unseat has v leave, if nobody took its place.
func (sh *shell) unseat(v *viewer) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.viewer == v {
		sh.viewer = nil
		sh.detached.Reset(detachedLife)
	}
}
