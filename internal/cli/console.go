package cli

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/moorage-dev/moorage/internal/identity"
)

func (a *app) consoleCmd() *cobra.Command {
	var open bool
	cmd := &cobra.Command{
		Use:   "console",
		Short: "Print a link that opens the web console, logged in",
		Long: `Console prints a link to the web console. It logs one browser in, once, within a
minute; the login lasts twelve hours. With --open a browser on this machine opens it.`,
		Example: `  moorage console
  moorage console --open`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.console(cmd.Context(), open) },
	}
	cmd.Flags().BoolVar(&open, "open", false, "open it in this machine's browser")
	return cmd
}

func (a *app) console(ctx context.Context, open bool) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	info, err := c.info(ctx) // a link to a server that does not run helps nobody
	if err != nil {
		return err
	}
	link := info.Endpoint + "/console/#ticket=" + identity.Ticket(c.AccessKeyID, c.SecretAccessKey, time.Now())
	if open {
		return browse(link)
	}
	if a.json {
		return a.ui.object(map[string]string{"url": link})
	}
	a.ui.printf("%s\n", link)
	a.ui.note("The link logs one browser in, within a minute.")
	return nil
}

// browse opens a link with the program that this system has for it.
func browse(link string) error {
	name := "xdg-open"
	if runtime.GOOS == "darwin" {
		name = "open"
	}
	cmd := exec.Command(name, link)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return advise(usagef("no browser was opened: %v", err), "run `moorage console` and open the link by hand")
	}
	return nil
}
