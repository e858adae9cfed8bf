package cli

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// cognito calls one operation of the user pools' face and decodes its answer into out, unless that is nil.
func (c *client) cognito(ctx context.Context, operation string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, "POST", c.Endpoint+"/", bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "AWSCognitoIdentityProviderService."+operation)
	sum := sha256.Sum256(body)
	resp, err := c.do(ctx, r, "cognito-idp", hex.EncodeToString(sum[:]))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("read the server's answer to %s: %w", operation, err)
	}
	return nil
}

// userPool is a pool as the commands show it.
type userPool struct {
	ID           string       `json:"id"`
	Name         string       `json:"name"`
	DiscoveryURL string       `json:"discoveryUrl"`
	Users        int          `json:"users"`
	Clients      []poolClient `json:"clients"`
}

// poolClient is an application of a pool.
type poolClient struct {
	ID   string `json:"clientId"`
	Name string `json:"name"`
}

func (c *client) discoveryURL(pool string) string {
	return "https://cognito-idp." + c.Region + ".amazonaws.com/" + pool + "/.well-known/openid-configuration"
}

// userPools are all pools, without what is in them.
func (c *client) userPools(ctx context.Context) (out []userPool, err error) {
	for next := ""; ; {
		in := map[string]any{"MaxResults": 60}
		if next != "" {
			in["NextToken"] = next
		}
		var page struct {
			UserPools []struct{ Id, Name string }
			NextToken string
		}
		if err := c.cognito(ctx, "ListUserPools", in, &page); err != nil {
			return nil, err
		}
		for _, p := range page.UserPools {
			out = append(out, userPool{ID: p.Id, Name: p.Name, DiscoveryURL: c.discoveryURL(p.Id)})
		}
		if next = page.NextToken; next == "" {
			return out, nil
		}
	}
}

// userPool finds a pool by its id or its name.
func (c *client) userPool(ctx context.Context, word string) (found userPool, err error) {
	all, err := c.userPools(ctx)
	if err != nil {
		return found, err
	}
	for _, p := range all {
		if p.ID != word && p.Name != word {
			continue
		}
		if found.ID != "" {
			return found, usagef("several user pools are called %s: say which by its id (moorage user-pool list)", word)
		}
		found = p
	}
	if found.ID == "" {
		return found, advise(errNoUserPool(word), "moorage user-pool list shows those that there are; moorage user-pool create %s makes it", shellWord(word))
	}
	return found, c.fill(ctx, &found)
}

type errNoUserPool string

func (e errNoUserPool) Error() string { return "there is no user pool " + string(e) }

// fill asks for what is in a pool.
func (c *client) fill(ctx context.Context, p *userPool) error {
	var described struct {
		UserPool struct{ EstimatedNumberOfUsers int }
	}
	if err := c.cognito(ctx, "DescribeUserPool", map[string]string{"UserPoolId": p.ID}, &described); err != nil {
		return err
	}
	var clients struct {
		UserPoolClients []struct{ ClientId, ClientName string }
	}
	if err := c.cognito(ctx, "ListUserPoolClients", map[string]any{"UserPoolId": p.ID, "MaxResults": 60}, &clients); err != nil {
		return err
	}
	p.Users, p.Clients = described.UserPool.EstimatedNumberOfUsers, []poolClient{}
	for _, one := range clients.UserPoolClients {
		p.Clients = append(p.Clients, poolClient{one.ClientId, one.ClientName})
	}
	return nil
}

func (a *app) userPoolCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "user-pool",
		Aliases: []string{"user-pools"},
		Short:   "Users who call agents with tokens, where you have no identity provider",
		Long: `A user pool has users with passwords, and gives them the tokens that they call agents
with. An agent behind a pool takes its tokens instead of signatures.

Pools speak Amazon Cognito's API, as far as agents' callers need it: aws cognito-idp
and boto3 manage them too, and a pool's addresses and tokens have the shape that
Cognito's have. Those who have an OpenID provider do not need one: see
moorage configure --discovery-url.`,
		Example: `  moorage deploy ./hello --user-pool staff        # makes the pool if it is not there
  moorage user-pool add-user staff alice          # shows alice's password, once
  TOKEN=$(moorage user-pool token staff alice)    # asks for it
  moorage invoke --bearer-token "$TOKEN" "Hello"`,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.userPoolCreateCmd(), a.userPoolListCmd(), a.userPoolDeleteCmd(), a.userPoolUsersCmd(),
		a.userPoolPasswordCmd("add-user", "Make a user, with a password that is shown once"),
		a.userPoolPasswordCmd("set-password", "Give a user another password; refresh tokens from before are no good any more"),
		a.userPoolRemoveUserCmd(), a.userPoolTokenCmd())
	return cmd
}

// poolSettings are what a new pool is to be like.
type poolSettings struct {
	client    string
	callbacks []string
	length    int
	life      time.Duration
}

func (a *app) userPoolCreateCmd() *cobra.Command {
	in := poolSettings{}
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a pool, and a client that its users sign in by",
		Long: `Create makes a user pool and one client in it: the application that users sign in by.
The client has no secret; users sign in with their password, and with --callback-url
on a login page, too (authorization code with PKCE).`,
		Example: `  moorage user-pool create staff
  moorage user-pool create staff --callback-url https://app.example/signed-in --token-life 15m`,
		Args: arguments(cobra.ExactArgs(1)),
	}
	flags := cmd.Flags()
	flags.StringVar(&in.client, "client", "", "name of the client (default the pool's)")
	flags.StringArrayVar(&in.callbacks, "callback-url", nil, "where the login page may send users back to (repeatable)")
	flags.IntVar(&in.length, "min-length", 8, "characters that a password has at least, 6 to 99")
	flags.DurationVar(&in.life, "token-life", time.Hour, "how long a token is good for, 5m to 24h")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.connect()
		if err != nil {
			return err
		}
		p, err := c.createUserPool(cmd.Context(), args[0], in)
		if err != nil {
			return err
		}
		if a.json {
			return a.ui.object(p)
		}
		a.ui.printf("user pool      %s\nclient id      %s\ndiscovery URL  %s\n", p.ID, p.Clients[0].ID, p.DiscoveryURL)
		a.ui.note("it has no users yet: moorage user-pool add-user %s alice", shellWord(p.Name))
		a.ui.note("to put an agent behind it: moorage deploy --user-pool %s", shellWord(p.Name))
		return nil
	}
	return cmd
}

func (c *client) createUserPool(ctx context.Context, name string, in poolSettings) (userPool, error) {
	var made struct {
		UserPool struct{ Id, Name string }
	}
	err := c.cognito(ctx, "CreateUserPool", map[string]any{
		"PoolName": name, "Policies": map[string]any{"PasswordPolicy": map[string]any{"MinimumLength": in.length}},
	}, &made)
	if err != nil {
		return userPool{}, err
	}
	client := map[string]any{
		"UserPoolId": made.UserPool.Id, "ClientName": firstOf(in.client, name), "PreventUserExistenceErrors": "ENABLED",
		"ExplicitAuthFlows":   []string{"ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"},
		"AccessTokenValidity": int(in.life / time.Second), "IdTokenValidity": int(in.life / time.Second),
		"TokenValidityUnits": map[string]string{"AccessToken": "seconds", "IdToken": "seconds"},
	}
	if len(in.callbacks) > 0 {
		client["CallbackURLs"], client["AllowedOAuthFlows"], client["AllowedOAuthFlowsUserPoolClient"] = in.callbacks, []string{"code"}, true
		client["AllowedOAuthScopes"] = []string{"openid", "email", "profile"}
	}
	var answer struct {
		UserPoolClient struct{ ClientId, ClientName string }
	}
	if err := c.cognito(ctx, "CreateUserPoolClient", client, &answer); err != nil {
		if undo := c.cognito(ctx, "DeleteUserPool", map[string]string{"UserPoolId": made.UserPool.Id}, nil); undo != nil {
			return userPool{}, advise(err, "the pool %s was made, without a client: moorage user-pool delete %s", made.UserPool.Id, made.UserPool.Id)
		}
		return userPool{}, err
	}
	return userPool{
		ID: made.UserPool.Id, Name: made.UserPool.Name, DiscoveryURL: c.discoveryURL(made.UserPool.Id),
		Clients: []poolClient{{answer.UserPoolClient.ClientId, answer.UserPoolClient.ClientName}},
	}, nil
}

// poolAuthorizer has callers send tokens of a pool, which is made if it is not there.
func (a *app) poolAuthorizer(ctx context.Context, name string) (*authorizer, error) {
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	p, err := c.userPool(ctx, name)
	if isNoUserPool(err) {
		if p, err = c.createUserPool(ctx, name, poolSettings{length: 8, life: time.Hour}); err == nil {
			a.ui.note("made the user pool %s, which has no users yet: moorage user-pool add-user %s alice", p.Name, shellWord(p.Name))
		}
	}
	if err != nil {
		return nil, err
	}
	if len(p.Clients) == 0 {
		return nil, usagef("the user pool %s has no client: aws cognito-idp create-user-pool-client makes one", p.Name)
	}
	out := &authorizer{DiscoveryURL: p.DiscoveryURL}
	for _, client := range p.Clients {
		out.AllowedClients = append(out.AllowedClients, client.ID)
	}
	return out, nil
}

func isNoUserPool(err error) bool {
	told, ok := err.(advised)
	if ok {
		_, ok = told.error.(errNoUserPool)
	}
	return ok
}

func (a *app) userPoolListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "Show the pools with their clients", Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			pools, err := c.userPools(cmd.Context())
			if err != nil {
				return err
			}
			for i := range pools {
				if err := c.fill(cmd.Context(), &pools[i]); err != nil {
					return err
				}
			}
			if a.json {
				return a.ui.object(map[string]any{"userPools": append([]userPool{}, pools...)})
			}
			t := table{head: []string{"POOL", "ID", "USERS", "CLIENT", "CLIENT ID"}}
			for _, p := range pools {
				one := poolClient{"-", "-"}
				for i, client := range append(p.Clients, one)[:max(1, len(p.Clients))] {
					if i == 0 {
						t.add(p.Name, p.ID, fmt.Sprint(p.Users), client.Name, client.ID)
						continue
					}
					t.add("", "", "", client.Name, client.ID)
				}
			}
			a.ui.table(t)
			return nil
		},
	}
}

func (a *app) userPoolDeleteCmd() *cobra.Command {
	return &cobra.Command{
		Use: "delete POOL", Short: "Remove a pool with its users; its tokens are refused from then on", Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, p, err := a.inUserPool(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if err := c.cognito(cmd.Context(), "DeleteUserPool", map[string]string{"UserPoolId": p.ID}, nil); err != nil {
				return err
			}
			if a.json {
				return a.ui.object(map[string]string{"id": p.ID, "name": p.Name})
			}
			a.ui.printf("deleted the user pool %s with %s\n", p.Name, count(p.Users, "user"))
			return nil
		},
	}
}

// inUserPool connects and finds a pool.
func (a *app) inUserPool(ctx context.Context, word string) (*client, userPool, error) {
	c, err := a.connect()
	if err != nil {
		return nil, userPool{}, err
	}
	p, err := c.userPool(ctx, word)
	return c, p, err
}

func (a *app) userPoolUsersCmd() *cobra.Command {
	return &cobra.Command{
		Use: "users POOL", Short: "Show the users of a pool", Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, p, err := a.inUserPool(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			users, err := c.poolUsers(cmd.Context(), p.ID)
			if err != nil {
				return err
			}
			if a.json {
				return a.ui.object(map[string]any{"users": users})
			}
			t := table{head: []string{"USER", "SUBJECT", "STATUS"}}
			for _, u := range users {
				t.add(u.Name, u.Subject, u.Status)
			}
			a.ui.table(t)
			return nil
		},
	}
}

// poolUser is a user as the commands show it.
type poolUser struct {
	Name    string `json:"userName"`
	Subject string `json:"subject"` // the claim sub of their tokens
	Status  string `json:"status"`
}

func (c *client) poolUsers(ctx context.Context, pool string) ([]poolUser, error) {
	out := []poolUser{}
	for next := ""; ; {
		in := map[string]string{"UserPoolId": pool}
		if next != "" {
			in["PaginationToken"] = next
		}
		var page struct {
			Users []struct {
				Username, UserStatus string
				Attributes           []struct{ Name, Value string }
			}
			PaginationToken string
		}
		if err := c.cognito(ctx, "ListUsers", in, &page); err != nil {
			return nil, err
		}
		for _, u := range page.Users {
			one := poolUser{Name: u.Username, Status: u.UserStatus}
			for _, attribute := range u.Attributes {
				if attribute.Name == "sub" {
					one.Subject = attribute.Value
				}
			}
			out = append(out, one)
		}
		if next = page.PaginationToken; next == "" {
			return out, nil
		}
	}
}

// userPoolPasswordCmd is add-user, or set-password for a user who is there.
func (a *app) userPoolPasswordCmd(verb, short string) *cobra.Command {
	var given bool
	cmd := &cobra.Command{
		Use: verb + " POOL USER", Short: short, Args: arguments(cobra.ExactArgs(2)),
		Long: short + `.

The password is made up here and printed, unless --password-stdin gives one. It is
never an argument: other users of the machine see those.`,
		Example: fmt.Sprintf("  moorage user-pool %s staff alice\n  moorage user-pool %s staff alice --password-stdin < password.txt", verb, verb),
	}
	cmd.Flags().BoolVar(&given, "password-stdin", false, "read the password from standard input")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, p, err := a.inUserPool(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		password := rand.Text() + "aA1!" // whatever the pool asks of passwords
		if given {
			if password, err = a.readSecret(cmd.InOrStdin(), "password of "+args[1]); err != nil {
				return err
			}
			if password == "" || strings.ContainsAny(password, " \t") {
				return usagef("give a password without spaces on standard input")
			}
		}
		user := map[string]any{"UserPoolId": p.ID, "Username": args[1]}
		if verb == "add-user" {
			if err := c.addPoolUser(cmd.Context(), p, args[1]); err != nil {
				return err
			}
		}
		user["Password"], user["Permanent"] = password, true
		if err := c.cognito(cmd.Context(), "AdminSetUserPassword", user, nil); err != nil {
			if verb == "add-user" { // or the user would be there, with a password that nobody knows
				delete(user, "Password")
				delete(user, "Permanent")
				if undo := c.cognito(cmd.Context(), "AdminDeleteUser", user, nil); undo != nil {
					return advise(err, "the user was made, without a password: moorage user-pool set-password %s %s", shellWord(p.Name), shellWord(args[1]))
				}
			}
			return err
		}
		return a.showPassword(p, args[1], password, given)
	}
	return cmd
}

func (c *client) addPoolUser(ctx context.Context, p userPool, name string) error {
	err := c.cognito(ctx, "AdminCreateUser", map[string]string{"UserPoolId": p.ID, "Username": name, "MessageAction": "SUPPRESS"}, nil)
	if err == nil {
		return nil
	}
	if _, kind, _ := explain(err); kind == "UsernameExistsException" {
		return advise(err, "to give them another password: moorage user-pool set-password %s %s", shellWord(p.Name), shellWord(name))
	}
	return err
}

func (a *app) showPassword(p userPool, name, password string, given bool) error {
	if a.json {
		out := map[string]string{"userPool": p.ID, "userName": name}
		if !given {
			out["password"] = password
		}
		return a.ui.object(out)
	}
	if given {
		a.ui.printf("%s has a password in %s\n", name, p.Name)
		return nil
	}
	a.ui.printf("%s\n", password)
	a.ui.note("this is %s's password, and the only time that it is shown; a token: moorage user-pool token %s %s", name, shellWord(p.Name), shellWord(name))
	return nil
}

func (a *app) userPoolRemoveUserCmd() *cobra.Command {
	return &cobra.Command{
		Use: "remove-user POOL USER", Short: "Remove a user; tokens that they have are good until they expire", Args: arguments(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, p, err := a.inUserPool(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if err := c.cognito(cmd.Context(), "AdminDeleteUser", map[string]string{"UserPoolId": p.ID, "Username": args[1]}, nil); err != nil {
				return err
			}
			if a.json {
				return a.ui.object(map[string]string{"userPool": p.ID, "userName": args[1]})
			}
			a.ui.printf("removed %s from %s\n", args[1], p.Name)
			return nil
		},
	}
}

// poolTokens are what a sign-in brings.
type poolTokens struct {
	AccessToken  string `json:"accessToken"`
	IdToken      string `json:"idToken"`
	RefreshToken string `json:"refreshToken"`
	ExpiresIn    int    `json:"expiresIn"` // seconds
}

const passwordVariable = "MOORAGE_USER_PASSWORD"

func (a *app) userPoolTokenCmd() *cobra.Command {
	var clientID string
	var identity bool
	cmd := &cobra.Command{
		Use: "token POOL USER", Short: "Sign a user in and print the token that they call agents with",
		Long: `Token signs a user in with their password and prints an access token. The password is
asked for, or read from standard input, or from $` + passwordVariable + `.`,
		Example: `  TOKEN=$(moorage user-pool token staff alice)
  moorage invoke --bearer-token "$TOKEN" "Hello"
  moorage user-pool token staff alice --json < password.txt`,
		Args: arguments(cobra.ExactArgs(2)),
	}
	cmd.Flags().StringVar(&clientID, "client", "", "id or name of the client to sign in by (default the only one)")
	cmd.Flags().BoolVar(&identity, "id-token", false, "print the identity token instead; agents do not take it where they ask for clients")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, p, err := a.inUserPool(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		client, err := p.client(clientID)
		if err != nil {
			return err
		}
		password := os.Getenv(passwordVariable)
		if password == "" {
			if password, err = a.readSecret(cmd.InOrStdin(), "password of "+args[1]); err != nil {
				return err
			}
		}
		t, err := c.signIn(cmd.Context(), p, client, args[1], password)
		if err != nil {
			return err
		}
		switch {
		case a.json:
			return a.ui.object(t)
		case identity:
			a.ui.printf("%s\n", t.IdToken)
		default:
			a.ui.printf("%s\n", t.AccessToken)
		}
		return nil
	}
	return cmd
}

// client finds a client of a pool by its id or its name.
func (p userPool) client(word string) (poolClient, error) {
	for _, one := range p.Clients {
		if word == one.ID || word == one.Name || word == "" && len(p.Clients) == 1 {
			return one, nil
		}
	}
	names := []string{}
	for _, one := range p.Clients {
		names = append(names, one.Name)
	}
	if word != "" {
		return poolClient{}, usagef("the user pool %s has no client %s; it has %s", p.Name, word, strings.Join(names, ", "))
	}
	return poolClient{}, usagef("say by which client with --client: the user pool %s has %s", p.Name, firstOf(strings.Join(names, ", "), "none"))
}

func (c *client) signIn(ctx context.Context, p userPool, client poolClient, name, password string) (poolTokens, error) {
	var described struct {
		UserPoolClient struct{ ClientSecret string }
	}
	if err := c.cognito(ctx, "DescribeUserPoolClient", map[string]string{"UserPoolId": p.ID, "ClientId": client.ID}, &described); err != nil {
		return poolTokens{}, err
	}
	parameters := map[string]string{"USERNAME": name, "PASSWORD": password}
	if secret := described.UserPoolClient.ClientSecret; secret != "" {
		mac := hmac.New(sha256.New, []byte(secret))
		io.WriteString(mac, name+client.ID)
		parameters["SECRET_HASH"] = base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	var answer struct {
		ChallengeName        string
		AuthenticationResult poolTokens
	}
	err := c.cognito(ctx, "InitiateAuth", map[string]any{"AuthFlow": "USER_PASSWORD_AUTH", "ClientId": client.ID, "AuthParameters": parameters}, &answer)
	if err == nil && answer.ChallengeName != "" {
		err = advise(fmt.Errorf("the password of %s is for the first time only", name), "give them one of their own: moorage user-pool set-password %s %s", shellWord(p.Name), shellWord(name))
	}
	return answer.AuthenticationResult, err
}
