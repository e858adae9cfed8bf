package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"
)

// iam calls one operation of the IAM face, by the query protocol, and decodes its answer.
func (c *client) iam(ctx context.Context, action string, members map[string]string, out any) error {
	form := url.Values{"Action": {action}, "Version": {"2010-05-08"}}
	for name, value := range members {
		if value != "" {
			form.Set(name, value)
		}
	}
	body := form.Encode()
	r, err := http.NewRequestWithContext(ctx, "POST", c.Endpoint+"/", strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	sum := sha256.Sum256([]byte(body))
	resp, err := c.do(ctx, r, "iam", hex.EncodeToString(sum[:]))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := xml.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("read the server's answer to %s: %w", action, err)
	}
	return nil
}

// accessKey is a user's key for signing, as IAM shows it.
type accessKey struct {
	ID       string `json:"accessKeyId" xml:"AccessKeyId"`
	Secret   string `json:"secretAccessKey,omitempty" xml:"SecretAccessKey"`
	User     string `json:"userName" xml:"UserName"`
	Status   string `json:"status" xml:"Status"`
	Created  string `json:"createdAt" xml:"CreateDate"`
	LastUsed string `json:"lastUsedAt,omitempty" xml:"-"`
	UsedFor  string `json:"lastUsedFor,omitempty" xml:"-"`
}

// apiKey is a runtime's key, as the server shows it.
type apiKey struct {
	ID        string     `json:"id"`
	Key       string     `json:"key,omitempty"`
	Name      string     `json:"name,omitempty"`
	Scopes    []string   `json:"scopes"`
	Endpoints []string   `json:"endpoints"`
	Active    bool       `json:"active"`
	CreatedBy string     `json:"createdBy"`
	CreatedAt time.Time  `json:"createdAt"`
	ExpiresAt *time.Time `json:"expiresAt,omitempty"`
	UsedAt    *time.Time `json:"lastUsedAt,omitempty"`
}

func (a *app) keysCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "keys",
		Aliases: []string{"key"},
		Short:   "API keys of runtimes, and access keys of users",
		Long: `An API key lets a program call one runtime: it sends the key as a bearer token. It is
shown once, when it is made; only its hash is kept.

An access key is a user's, and signs requests (SigV4) to everything that the user's
policies allow. A user has two at most, so that one can be replaced by the other.`,
		Example: `  moorage keys create --name hello --label ci --expires 720h
  moorage invoke --name hello --bearer-token moorage_… "Hello"
  moorage keys list --name hello
  moorage keys create --user alice
  moorage keys disable AKIA…`,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.keysCreateCmd(), a.keysListCmd(), a.keyChange("disable", "Refuse a key until it is enabled again"),
		a.keyChange("enable", "Accept a key again"), a.keyChange("delete", "Remove a key for good"))
	return cmd
}

func (a *app) keysCreateCmd() *cobra.Command {
	var user, label string
	var scope, endpoint []string
	var expires time.Duration
	cmd := &cobra.Command{Use: "create", Short: "Make a key and show it, once", Args: arguments(cobra.NoArgs)}
	name := a.nameFlag(cmd)
	flags := cmd.Flags()
	flags.StringVar(&user, "user", "", "make an access key for this user instead; the user is made if it is missing")
	flags.StringVar(&label, "label", "", "what the key is for")
	flags.StringSliceVar(&scope, "scope", nil, "what it may do: invoke, stop, command (default invoke and stop)")
	flags.StringSliceVar(&endpoint, "endpoint", nil, "endpoints that it may call (default all)")
	flags.DurationVar(&expires, "expires", 0, "how long it is good for, such as 720h (default for ever)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.connect()
		if err != nil {
			return err
		}
		if user != "" {
			return a.createAccessKey(cmd.Context(), c, user)
		}
		rt, err := c.runtime(cmd.Context(), *name)
		if err != nil {
			return err
		}
		query := url.Values{"name": {label}, "scope": {strings.Join(scope, ",")}, "endpoint": {strings.Join(endpoint, ",")}}
		if expires != 0 {
			query.Set("expires", expires.String())
		}
		var k apiKey
		if err := c.v1(cmd.Context(), "POST", "runtimes/"+aws.ToString(rt.AgentRuntimeId)+"/keys", query, &k); err != nil {
			return err
		}
		if a.json {
			return a.ui.object(k)
		}
		a.ui.printf("%s\n", k.Key)
		a.ui.note("this is the only time that the key is shown; it is for %s of %s", strings.Join(k.Scopes, " and "), aws.ToString(rt.AgentRuntimeName))
		return nil
	}
	return cmd
}

func (a *app) createAccessKey(ctx context.Context, c *client, user string) error {
	if err := c.iam(ctx, "GetUser", map[string]string{"UserName": user}, nil); err != nil {
		if _, name, _ := explain(err); name != "NoSuchEntity" {
			return err
		}
		if err := c.iam(ctx, "CreateUser", map[string]string{"UserName": user}, nil); err != nil {
			return err
		}
		a.ui.note("made the user %s, who may do nothing yet: see moorage policy put --help", user)
	}
	var answer struct {
		Key accessKey `xml:"CreateAccessKeyResult>AccessKey"`
	}
	if err := c.iam(ctx, "CreateAccessKey", map[string]string{"UserName": user}, &answer); err != nil {
		return err
	}
	if a.json {
		return a.ui.object(answer.Key)
	}
	a.ui.printf("AWS_ACCESS_KEY_ID=%s\nAWS_SECRET_ACCESS_KEY=%s\n", answer.Key.ID, answer.Key.Secret)
	a.ui.note("this is the only time that the secret is shown")
	return nil
}

func (a *app) keysListCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "Show the access keys of all users, or with --name a runtime's API keys", Args: arguments(cobra.NoArgs)}
	name := a.nameFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.connect()
		if err != nil {
			return err
		}
		if cmd.Flags().Changed("name") {
			return a.listAPIKeys(cmd.Context(), c, *name)
		}
		keys, err := c.accessKeys(cmd.Context())
		if err != nil {
			return err
		}
		if a.json {
			return a.ui.object(map[string]any{"accessKeys": keys})
		}
		t := table{head: []string{"ACCESS KEY", "USER", "STATUS", "CREATED", "LAST USED", "FOR"}}
		for _, k := range keys {
			t.add(k.ID, k.User, k.Status, k.Created, firstOf(k.LastUsed, "never"), firstOf(k.UsedFor, "-"))
		}
		a.ui.table(t)
		return nil
	}
	return cmd
}

func (a *app) listAPIKeys(ctx context.Context, c *client, name string) error {
	rt, err := c.runtime(ctx, name)
	if err != nil {
		return err
	}
	var answer struct {
		Keys []apiKey `json:"apiKeys"`
	}
	if err := c.v1(ctx, "GET", "runtimes/"+aws.ToString(rt.AgentRuntimeId)+"/keys", nil, &answer); err != nil {
		return err
	}
	if a.json {
		return a.ui.object(answer)
	}
	t := table{head: []string{"KEY", "LABEL", "STATUS", "SCOPES", "ENDPOINTS", "EXPIRES", "LAST USED"}}
	for _, k := range answer.Keys {
		status, expires, used := "Active", "never", "never"
		if !k.Active {
			status = "Inactive"
		}
		if k.ExpiresAt != nil {
			if expires = k.ExpiresAt.Local().Format(time.DateTime); time.Now().After(*k.ExpiresAt) {
				status = "Expired"
			}
		}
		if k.UsedAt != nil {
			used = ago(*k.UsedAt, time.Now())
		}
		t.add(k.ID, firstOf(k.Name, "-"), status, strings.Join(k.Scopes, ","), firstOf(strings.Join(k.Endpoints, ","), "all"), expires, used)
	}
	a.ui.table(t)
	return nil
}

// accessKeys are those of all users, with when each was last used.
func (c *client) accessKeys(ctx context.Context) ([]accessKey, error) {
	var users struct {
		Names []string `xml:"ListUsersResult>Users>member>UserName"`
	}
	if err := c.iam(ctx, "ListUsers", nil, &users); err != nil {
		return nil, err
	}
	out := []accessKey{}
	for _, user := range users.Names {
		var keys struct {
			Keys []accessKey `xml:"ListAccessKeysResult>AccessKeyMetadata>member"`
		}
		if err := c.iam(ctx, "ListAccessKeys", map[string]string{"UserName": user}, &keys); err != nil {
			return nil, err
		}
		for _, k := range keys.Keys {
			var used struct {
				At  string `xml:"GetAccessKeyLastUsedResult>AccessKeyLastUsed>LastUsedDate"`
				For string `xml:"GetAccessKeyLastUsedResult>AccessKeyLastUsed>ServiceName"`
			}
			if err := c.iam(ctx, "GetAccessKeyLastUsed", map[string]string{"AccessKeyId": k.ID}, &used); err != nil {
				return nil, err
			}
			if k.LastUsed = used.At; used.At != "" {
				k.UsedFor = used.For
			}
			out = append(out, k)
		}
	}
	return out, nil
}

// keyChange is disable, enable or delete, of either kind of key: an access key's id begins with AKIA.
func (a *app) keyChange(verb, short string) *cobra.Command {
	cmd := &cobra.Command{Use: verb + " KEY", Short: short, Args: arguments(cobra.ExactArgs(1))}
	name := a.nameFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.connect()
		if err != nil {
			return err
		}
		if strings.HasPrefix(args[0], "AKIA") {
			err = c.changeAccessKey(cmd.Context(), verb, args[0])
		} else {
			err = c.changeAPIKey(cmd.Context(), verb, *name, args[0])
		}
		if err == nil && !a.json {
			a.ui.printf("%sd %s\n", verb, args[0])
		}
		return err
	}
	return cmd
}

func (c *client) changeAccessKey(ctx context.Context, verb, id string) error {
	var owner struct {
		User string `xml:"GetAccessKeyLastUsedResult>UserName"`
	}
	if err := c.iam(ctx, "GetAccessKeyLastUsed", map[string]string{"AccessKeyId": id}, &owner); err != nil {
		return err
	}
	members := map[string]string{"UserName": owner.User, "AccessKeyId": id}
	switch verb {
	case "delete":
		return c.iam(ctx, "DeleteAccessKey", members, nil)
	case "disable":
		members["Status"] = "Inactive"
	default:
		members["Status"] = "Active"
	}
	return c.iam(ctx, "UpdateAccessKey", members, nil)
}

func (c *client) changeAPIKey(ctx context.Context, verb, name, id string) error {
	rt, err := c.runtime(ctx, name)
	if err != nil {
		return err
	}
	path := "runtimes/" + aws.ToString(rt.AgentRuntimeId) + "/keys/" + url.PathEscape(id)
	if verb == "delete" {
		return c.v1(ctx, "DELETE", path, nil, nil)
	}
	return c.v1(ctx, "POST", path+"/"+verb, nil, nil)
}

// v1Send calls the extension API with a body and decodes its answer.
func (c *client) v1Send(ctx context.Context, path string, body []byte, out any) error {
	r, err := http.NewRequestWithContext(ctx, "POST", c.Endpoint+"/v1/"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	sum := sha256.Sum256(body)
	resp, err := c.do(ctx, r, serviceName, hex.EncodeToString(sum[:]))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return decodeAnswer(resp.Body, path, out)
}
