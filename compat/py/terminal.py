"""moorage exec -it on a terminal: keys, size, Ctrl-C, exit code, a connection that breaks."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time

from harness import CONTEXT, data, invoke, main, session_id

ARN = CONTEXT["probe"]


class Terminal:
    """The command on a terminal of its own, which a test types on and looks at."""

    def __init__(self, *args, columns=90, rows=30):
        self.near, far = pty.openpty()
        self.resize(columns, rows)
        self.before = termios.tcgetattr(far)
        self.seen = ""
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            fcntl.ioctl(far, termios.TIOCSCTTY, 0)
            for fd in range(3):
                os.dup2(far, fd)
            os.execv(CONTEXT["moorage"][0], [*CONTEXT["moorage"], "exec", *args])
        self.far = far

    def resize(self, columns, rows):
        fcntl.ioctl(self.near, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def keys(self, text):
        os.write(self.near, text.encode())

    def shows(self, text):
        """Waits until a text is shown after what was looked for before."""
        deadline = time.monotonic() + 30
        while text not in self.seen:
            ready, _, _ = select.select([self.near], [], [], deadline - time.monotonic())
            assert ready, f"{text!r} was never shown: {self.seen!r}"
            self.seen += os.read(self.near, 65536).decode(errors="replace")
        self.before_last, _, self.seen = self.seen.partition(text)

    def learns(self, size):
        """Waits until the shell knows its size: it is told while it waits for keys."""
        for _ in range(50):
            self.keys("echo now $LINES $COLUMNS.\n")
            self.shows("now $LINES $COLUMNS.")
            self.shows("now ")
            self.shows(".")
            if self.before_last == size:
                return
            time.sleep(0.1)
        raise AssertionError(f"the shell never heard of {size}")

    def ends(self):
        """The exit code; the terminal must be as it was."""
        _, status = os.waitpid(self.pid, 0)
        assert termios.tcgetattr(self.far) == self.before, "the terminal was left raw"
        os.close(self.near)
        os.close(self.far)
        return os.waitstatus_to_exitcode(status)


def check_shell():
    session = session_id()
    invoke(ARN, {"op": "write", "path": "/tmp/note", "text": "from the agent"}, session)
    t = Terminal("-it", "--name", ARN, "--session", session)
    t.keys("cat /tmp/note\n")
    t.shows("from the agent")
    t.keys("echo size $LINES $COLUMNS\n")
    t.shows("size 30 90")
    t.resize(120, 40)
    t.learns("40 120")
    t.keys("PS1='ready''> '; sh -c 'echo run\"\"ning; exec sleep 1000'\n")
    t.shows("running")
    t.keys("\x03")
    t.shows("^C")
    t.shows("ready> ")
    t.keys("echo interrupted $? at $LINES $COLUMNS\n")
    t.shows("interrupted 130 at 40 120")
    t.keys("exit 5\n")
    assert t.ends() == 5


def check_command():
    t = Terminal("-it", "--name", ARN, "--session", session_id(), "--", "read -p 'name? ' name; echo hello $name; [ -t 0 ] && exit 3")
    t.shows("name? ")
    t.keys("Ada\n")
    t.shows("hello Ada")
    assert t.ends() == 3


def check_session_that_is_stopped():
    session = session_id()
    t = Terminal("-it", "--name", ARN, "--session", session)
    t.keys("echo re''ady\n")
    t.shows("ready")
    data.stop_runtime_session(agentRuntimeArn=ARN, runtimeSessionId=session)
    t.shows("stopped by its caller")
    assert t.ends() == 1


def check_without_a_terminal():
    p = subprocess.run([*CONTEXT["moorage"], "exec", "-it", "--name", ARN], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert p.returncode == 2 and "needs a terminal" in p.stderr, p


if __name__ == "__main__":
    main(dict(globals()))
