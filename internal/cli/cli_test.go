package cli_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/moorage-dev/moorage/internal/cli"
)

// moorage is the program without a server inside.
func moorage() {
	hooks := cli.Hooks{
		Serve: func(_ context.Context, o cli.ServeOptions) error {
			o.Ready("http://" + o.Listen)
			return errors.New("this program holds no server")
		},
		Down: func(_ context.Context, dir string) ([]string, error) { return []string{"server in " + dir}, nil },
	}
	os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, hooks))
}

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"moorage": moorage}) }

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "doctor": doctor},
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			return nil
		},
	})
}

// exits runs a program that must end with one exit code: exits CODE PROGRAM ARGS...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := run(ts, args[1:]); got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// doctor runs a program whose exit code depends on the machine: 0, or 1 where something is missing.
func doctor(ts *testscript.TestScript, _ bool, args []string) {
	if got := run(ts, args); got > 1 {
		ts.Fatalf("exit code %d", got)
	}
}

func run(ts *testscript.TestScript, args []string) int {
	err := ts.Exec(args[0], args[1:]...)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		ts.Fatalf("run %s: %v", args[0], err)
	}
	if exit != nil {
		return exit.ExitCode()
	}
	return 0
}
