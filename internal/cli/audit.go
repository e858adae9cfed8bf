package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/moorage-dev/moorage/internal/identity/audit"
	"github.com/moorage-dev/moorage/internal/store"
)

// auditRecord is one thing that happened, as the server keeps it.
type auditRecord struct {
	Seq       uint64            `json:"seq"`
	Time      time.Time         `json:"time"`
	Kind      string            `json:"kind"`
	Refused   bool              `json:"refused,omitempty"`
	Reason    string            `json:"reason,omitempty"`
	RequestID string            `json:"requestId,omitempty"`
	Caller    string            `json:"caller,omitempty"`
	Source    string            `json:"source,omitempty"`
	Key       string            `json:"key,omitempty"`
	From      string            `json:"from,omitempty"`
	Action    string            `json:"action,omitempty"`
	Resources []string          `json:"resources,omitempty"`
	Detail    map[string]string `json:"detail,omitempty"`
}

func (a *app) auditCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Who did what: the record of calls, refusals and changes",
		Long: `Every authentication, decision, token, released secret and change is on record, in
segments under DIR/audit that only grow. Each record carries a hash over itself and
the one before, so that a change or a gap shows.`,
		Example: `  moorage audit list --refused
  moorage audit list --kind change --since 24h --json
  moorage audit verify`,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.auditListCmd(), a.auditVerifyCmd())
	return cmd
}

func (a *app) auditListCmd() *cobra.Command {
	var kind, caller, action, request string
	var refused bool
	var since time.Duration
	var limit int
	cmd := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "Show records, the newest last", Args: arguments(cobra.NoArgs)}
	flags := cmd.Flags()
	flags.StringVar(&kind, "kind", "", "authentication, decision, token, release or change")
	flags.StringVar(&caller, "caller", "", "ARN of who did it; a * stands for any text")
	flags.StringVar(&action, "action", "", "such as bedrock-agentcore:InvokeAgentRuntime, or iam:*")
	flags.StringVar(&request, "request", "", "id of a request")
	flags.BoolVar(&refused, "refused", false, "refusals only")
	flags.DurationVar(&since, "since", 0, "not older than this")
	flags.IntVar(&limit, "limit", 100, "the newest so many")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.connect()
		if err != nil {
			return err
		}
		query := url.Values{"kind": {kind}, "caller": {caller}, "action": {action}, "request": {request}, "limit": {strconv.Itoa(limit)}}
		if refused {
			query.Set("refused", "true")
		}
		if since > 0 {
			query.Set("since", time.Now().Add(-since).UTC().Format(time.RFC3339))
		}
		var answer struct {
			Records []auditRecord `json:"records"`
		}
		if err := c.v1(cmd.Context(), "GET", "audit", query, &answer); err != nil {
			return err
		}
		if a.json {
			return a.ui.object(answer)
		}
		t := table{head: []string{"TIME", "KIND", "RESULT", "CALLER", "ACTION", "REASON"}}
		for _, r := range answer.Records {
			result := "ok"
			if r.Refused {
				result = "refused"
			}
			t.add(r.Time.Local().Format("01-02 15:04:05"), r.Kind, result, firstOf(r.Caller, "-"), strings.Join(append([]string{r.Action}, r.Resources...), " "), r.Reason)
		}
		a.ui.table(t)
		return nil
	}
	return cmd
}

func (a *app) auditVerifyCmd() *cobra.Command {
	var offline bool
	cmd := &cobra.Command{
		Use: "verify", Short: "Check that no record was changed or removed", Args: arguments(cobra.NoArgs),
		Long: `Verify reads the whole record and checks every hash. It exits with 1 and says which
records were altered, moved or removed, if any were.

Where no server runs it reads DIR/audit itself, by DIR/root.key: so does --offline, for
a copy of a directory, or for whoever does not want to take the server's word.`,
		Example: `  moorage audit verify
  moorage audit verify --dir /backup/moorage --offline --json`,
	}
	cmd.Flags().BoolVar(&offline, "offline", false, "read the files, and ask no server")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		report, err := a.verifiedAudit(cmd.Context(), offline)
		if err != nil {
			return err
		}
		if a.json {
			if err := a.ui.object(report); err != nil {
				return err
			}
		} else {
			a.ui.printf("%d records, %s to %s\n", report.Records, report.From.Local().Format(time.DateTime), report.Until.Local().Format(time.DateTime))
		}
		if len(report.Problems) > 0 {
			return fmt.Errorf("the record is not as it was written: %s", strings.Join(report.Problems, "; "))
		}
		if !a.json {
			a.ui.printf("nothing was changed or removed\n")
		}
		return nil
	}
	return cmd
}

// verifiedAudit has the server verify its record, or reads it where there is none.
func (a *app) verifiedAudit(ctx context.Context, offline bool) (report audit.Report, err error) {
	if offline {
		return a.auditOnDisk()
	}
	c, err := a.connect()
	if err == nil {
		err = c.v1(ctx, "POST", "audit/verify", nil, &report)
	}
	var gone unreachable
	if a.endpoint == "" && os.Getenv("MOORAGE_ENDPOINT") == "" && (c == nil && err != nil || errors.As(err, &gone)) {
		if read, e := a.auditOnDisk(); e == nil {
			return read, nil
		}
	}
	return report, err
}

// auditOnDisk verifies the record in the directory.
func (a *app) auditOnDisk() (audit.Report, error) {
	dir, err := a.dataDir()
	if err != nil {
		return audit.Report{}, err
	}
	key, err := store.KeyIn(dir, audit.KeyPurpose)
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, "audit"))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return audit.Report{}, advise(fmt.Errorf("%s holds no audit record: %w", short(dir), err), "name the directory of a server with --dir")
	}
	if err != nil {
		return audit.Report{}, err
	}
	return audit.Verify(filepath.Join(dir, "audit"), key)
}
