package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/moorage-dev/moorage/internal/cli/machine"
)

func (a *app) doctorCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine can and cannot do, and how to mend it",
		Long: `Doctor looks at this machine and says what works (ok), what works less well (limited) and
what has to be there and is not (missing), each with what to do about it. The exit
code is 1 when something is missing.`,
		Example: `  moorage doctor
  moorage doctor --json`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.doctor(cmd.Context()) },
	}
}

func (a *app) doctor(ctx context.Context) error {
	dir, err := a.dataDir()
	if err != nil {
		return err
	}
	findings := append(machine.Examine(ctx, dir), a.serverFinding(ctx))
	if a.json {
		err = a.ui.object(map[string]any{"checks": findings})
	} else {
		a.printFindings(findings)
	}
	missing := 0
	for _, f := range findings {
		if f.State == machine.Missing {
			missing++
		}
	}
	if err == nil && missing > 0 {
		return exitStatus(exitFailure)
	}
	return err
}

func (a *app) printFindings(findings []machine.Finding) {
	t := table{head: []string{"CHECK", "STATE", "FOUND"}, paint: map[int]func(string) string{1: a.ui.outStyle.state}}
	for _, f := range findings {
		t.add(f.Check, string(f.State), f.Found)
	}
	a.ui.table(t)
	for _, f := range findings {
		if f.Mend != "" {
			a.ui.printf("\n%s: %s\n", a.ui.outStyle.bold(f.Check), f.Mend)
		}
	}
}

// serverFinding asks the server of the directory, if one runs, what it works with.
func (a *app) serverFinding(ctx context.Context) machine.Finding {
	f := machine.Finding{Check: "server", State: machine.OK}
	info, err := a.serverInfo(ctx)
	var advice advised
	switch {
	case err == nil:
		f.Found = fmt.Sprintf("version %s at %s, sessions in %s (isolation: %s)", info.Version, info.Endpoint, info.Driver, info.Isolation)
		if info.Isolation == "none" {
			f.State, f.Mend = machine.Limited, "sessions are plain processes, not isolated; use --isolation gvisor for anything but development"
		}
	case errors.As(err, &advice):
		f.State, f.Mend = machine.Limited, advice.todo
		f.Found, _, _ = explain(err)
	default:
		f.State = machine.Limited
		f.Found, _, _ = explain(err)
	}
	return f
}

func (a *app) serverInfo(ctx context.Context) (serverInfo, error) {
	c, err := a.connect()
	if err != nil {
		return serverInfo{}, err
	}
	return c.info(ctx)
}
