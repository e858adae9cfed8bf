package cli

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/spf13/cobra"
)

// vaultState is what the server says of the token vault's keys.
type vaultState struct {
	Key     string     `json:"key"`
	Changed *time.Time `json:"changedAt,omitempty"`
	Secrets int        `json:"secrets"`
	Left    int        `json:"left"`
	Problem string     `json:"problem,omitempty"`
	Keys    []vaultKey `json:"keys"`
}

type vaultKey struct {
	ID      string `json:"id"`
	Where   string `json:"where"`
	Wraps   bool   `json:"wraps"`
	Secrets int    `json:"secrets"`
}

// ownKey is what the server's own key is called on the command line.
const ownKey = "own"

func (a *app) credentialsVault() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "vault",
		Short: "Show the key that the credentials are sealed under, or choose another",
		Long: `Each secret has a data key of its own, and the vault's key wraps all of these. It is
the server's own, made of DIR/root.key, until you choose one that the server was given
with serve --vault-key: in AWS KMS, or a transit key of HashiCorp Vault or OpenBao.

Set returns once the key has proved good; from then on new secrets are under it. Those
that are there are rewrapped in the background and readable all the while, also if the
server is killed in between. Leave an earlier key in place until its SECRETS are 0.`,
		Example: `  moorage credentials vault
  moorage credentials vault set arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab
  moorage credentials vault set https://vault.example:8200/v1/transit/keys/moorage
  moorage credentials vault set own`,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			return a.showVault(cmd.Context(), c)
		},
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "set KEY",
		Short: "Bring all credentials under another key",
		Long: `KEY is an ARN or an address of those that moorage credentials vault lists, or “own” for
the server's own key. Choosing the key that is chosen changes nothing.`,
		Example: `  moorage credentials vault set arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab
  moorage credentials vault set own`,
		Args:              arguments(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeVaultKeys,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			return a.setVaultKey(cmd.Context(), c, args[0])
		},
	})
	return cmd
}

func (c *client) vault(ctx context.Context) (s vaultState, err error) {
	err = c.v1(ctx, "GET", "vault", nil, &s)
	return s, err
}

func (a *app) setVaultKey(ctx context.Context, c *client, key string) error {
	config := &types.KmsConfiguration{KeyType: types.KeyTypeServiceManagedKey}
	if key != ownKey {
		state, err := c.vault(ctx)
		if err != nil {
			return err
		}
		for _, k := range state.Keys { // a transit key may be named by its address
			if strings.HasSuffix(k.Where, " "+key) {
				key = k.ID
			}
		}
		if !strings.HasPrefix(key, "arn:") {
			return advise(usagef("%q is no key that the server was given", key), "moorage credentials vault lists them; serve --vault-key %s gives one", shellWord(key))
		}
		config = &types.KmsConfiguration{KeyType: types.KeyTypeCustomerManagedKey, KmsKeyArn: aws.String(key)}
	}
	if _, err := c.control.SetTokenVaultCMK(ctx, &control.SetTokenVaultCMKInput{KmsConfiguration: config}); err != nil {
		return err
	}
	return a.showVault(ctx, c)
}

func (a *app) showVault(ctx context.Context, c *client) error {
	state, err := c.vault(ctx)
	if err != nil {
		return err
	}
	if a.json {
		return a.ui.object(state)
	}
	t := table{head: []string{"KEY", "WHERE", "STATE", "SECRETS"}}
	for _, k := range state.Keys {
		t.add(k.ID, k.Where, k.state(), strconv.Itoa(k.Secrets))
	}
	a.ui.table(t)
	if state.Left > 0 {
		a.ui.printf("\n%d of %d secrets are under the current key, the others follow\n", state.Secrets-state.Left, state.Secrets)
	}
	if state.Problem != "" {
		a.ui.note("they wait, and are readable by the key that they are under: %s", state.Problem)
	}
	return nil
}

// state is what a key is to the vault: current, the one it is brought under; leaving, which still has secrets
// under it; or ready.
func (k vaultKey) state() string {
	switch {
	case k.Wraps:
		return "current"
	case k.Secrets > 0:
		return "leaving"
	}
	return "ready"
}

func (a *app) completeVaultKeys(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	out := []string{cobra.CompletionWithDesc(ownKey, "the server's own key")}
	c, err := a.connect()
	if len(args) > 0 || err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	state, err := c.vault(cmd.Context())
	if err != nil {
		return out, cobra.ShellCompDirectiveNoFileComp
	}
	for _, k := range state.Keys {
		if strings.HasPrefix(k.ID, "arn:") {
			out = append(out, cobra.CompletionWithDesc(k.ID, k.Where))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
