package gvisor

import (
	"fmt"
	"time"

	"github.com/moorage-dev/moorage/internal/sandbox"
	"golang.org/x/sys/unix"
)

// exitOf turns a status of the sandbox's kernel into words.
func exitOf(status unix.WaitStatus) sandbox.Exit {
	e := sandbox.Exit{At: time.Now().UTC()}
	if status.Signaled() {
		e.Code, e.Signal = -1, unix.SignalName(status.Signal())
		e.Cause = "was killed by " + e.Signal
		return e
	}
	e.Code = status.ExitStatus()
	e.Cause = fmt.Sprintf("exited with status %d", e.Code)
	return e
}

// explain says how the sandbox ended. status is the agent's, unless err says that the engine went first.
func (b *box) explain(status unix.WaitStatus, err error) sandbox.Exit {
	e := exitOf(status)
	if err != nil {
		e = sandbox.Exit{Code: -1, At: time.Now().UTC(), Cause: "was lost: the sandbox's kernel ended unexpectedly"}
	}
	switch {
	case b.asleep.Load():
		e.Code, e.Stopped, e.Cause = -1, true, "was put to sleep"
	case b.stopping.Load():
		e.Stopped = true
		if err != nil {
			e.Signal = "SIGKILL"
			e.Cause = "was stopped"
		} else {
			e.Cause = "was stopped, and " + e.Cause
		}
	case e.Code != 0 && b.group.OutOfMemory():
		e.OutOfMemory = true
		e.Code, e.Signal = -1, "SIGKILL"
		e.Cause = fmt.Sprintf("ran out of memory: the limit is %d MiB", b.spec.Limits.MemoryBytes>>20)
	}
	return e
}
