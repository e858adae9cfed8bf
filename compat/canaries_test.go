package compat

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	datatypes "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore/types"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	controltypes "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
)

// canaries are secrets by what they are, and what was said to callers who did something wrong with them.
type canaries struct {
	s       *server
	secrets map[string]string
	said    []string
}

// sends makes a signed request that is to be refused, and keeps what is said.
func (c *canaries) sends(t *testing.T, method, path, content, body string, how signing) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, c.s.client.Endpoint+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", content)
	c.s.signs(t, r, body, how)
	c.hears(t, r)
}

func (c *canaries) hears(t *testing.T, r *http.Request) {
	t.Helper()
	status, header, said := answered(t, r)
	if status < 400 {
		t.Errorf("%s %s: it was to be refused: %d %s", r.Method, r.URL, status, said)
	}
	c.said = append(c.said, fmt.Sprint(r.Method, " ", r.URL, ": ", status, " ", header, " ", said))
}

// indiscreet is a service that tells all that it was sent: what others say of our secrets is not passed on.
func indiscreet(t *testing.T, token string) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/token" && !strings.Contains(string(body), "wrong") {
			fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":3600}`, token)
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
		told, _ := json.Marshal(fmt.Sprint("wrong key: ", r.Header, " ", string(body)))
		if r.URL.Path == "/token" {
			fmt.Fprintf(w, `{"error":"invalid_client","error_description":%s}`, told)
			return
		}
		fmt.Fprintf(w, `{"error":{"message":%s,"type":"invalid_request_error"}}`, told)
	}))
	t.Cleanup(s.Close)
	return s
}

func TestCanaries_secretsAreNowhereButWhereTheyBelong(t *testing.T) {
	s, i := own(t), newIssuer(t)
	c := &canaries{s: s, secrets: map[string]string{
		"a key in the vault": "sk-canary-of-the-vault-1", "a client's secret": "canary-of-a-client-2", "an access token of another service": "canary-access-token-3",
		"a model provider's key": "sk-canary-of-a-model-4", "an environment's value": "canary-of-the-environment-5", "the first user's secret": s.client.SecretAccessKey,
	}}
	other := indiscreet(t, c.secrets["an access token of another service"])
	d := probe
	d.env = map[string]string{"DATABASE_PASSWORD": c.secrets["an environment's value"]}
	d.name = "holds_canaries"
	signed := s.fresh(t, d)
	d.name, d.authorizer = "meets_canaries", i.authorizer()
	byToken := s.fresh(t, d)

	user := s.newKey(t, "canary", mayInvoke)
	c.secrets["a user's secret"] = user.SecretAccessKey
	c.secrets["an API key"] = s.newAPIKey(t, signed)
	c.secrets["a caller's token"] = jws(goodHead, i.claims("sub", "ann"), rs256(i.rsa))
	c.usesVault(t, other.URL)
	c.usesModel(t, other.URL)
	c.callsAgents(t, signed, byToken, user)
	c.makesMistakes(t, signed)
	c.logsIn(t)

	for what, secret := range c.secrets {
		for _, said := range c.said {
			if strings.Contains(said, secret) {
				t.Errorf("%s is in an answer: %s", what, said)
			}
		}
	}
	c.wantNothingIn(t, "what the server's API tells", c.told(t))
	c.wantNothingInside(t, signed)
	if err := s.stop(); err != nil { // so that all is on disk
		t.Fatal(err)
	}
	c.wantNothingOnDisk(t, true)
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	if err := s.down(); err != nil {
		t.Fatal(err)
	}
	c.wantNothingOnDisk(t, false)
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

// usesVault has credentials released, and not.
func (c *canaries) usesVault(t *testing.T, other string) {
	t.Helper()
	key := c.s.keepsKey(t, c.secrets["a key in the vault"])
	client, name := "client", "canary-client"
	secret := c.secrets["a client's secret"]
	_, err := c.s.control().CreateOauth2CredentialProvider(t.Context(), &control.CreateOauth2CredentialProviderInput{
		Name: &name, CredentialProviderVendor: controltypes.CredentialProviderVendorTypeCustomOauth2,
		Oauth2ProviderConfigInput: &controltypes.Oauth2ProviderConfigInputMemberCustomOauth2ProviderConfig{Value: controltypes.CustomOauth2ProviderConfigInput{
			ClientId: &client, ClientSecret: &secret, OauthDiscovery: &controltypes.Oauth2DiscoveryMemberAuthorizationServerMetadata{Value: controltypes.Oauth2AuthorizationServerMetadata{
				Issuer: &other, AuthorizationEndpoint: aws.String(other + "/authorize"), TokenEndpoint: aws.String(other + "/token"),
			}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	workload := "canary"
	if _, err := c.s.control().CreateWorkloadIdentity(t.Context(), &control.CreateWorkloadIdentityInput{Name: &workload}); err != nil {
		t.Fatal(err)
	}
	user := "ann"
	token, err := c.s.data().GetWorkloadAccessTokenForUserId(t.Context(), &data.GetWorkloadAccessTokenForUserIdInput{WorkloadName: &workload, UserId: &user})
	if err != nil {
		t.Fatal(err)
	}
	c.secrets["a workload's token"] = *token.WorkloadAccessToken
	got, err := c.s.data().GetResourceApiKey(t.Context(), &data.GetResourceApiKeyInput{WorkloadIdentityToken: token.WorkloadAccessToken, ResourceCredentialProviderName: &key})
	if err != nil || *got.ApiKey != c.secrets["a key in the vault"] {
		t.Fatal(got, err)
	}
	ask := func(scope string) (*data.GetResourceOauth2TokenOutput, error) {
		return c.s.data().GetResourceOauth2Token(t.Context(), &data.GetResourceOauth2TokenInput{
			WorkloadIdentityToken: token.WorkloadAccessToken, ResourceCredentialProviderName: &name, Scopes: []string{scope}, Oauth2Flow: datatypes.Oauth2FlowTypeM2m,
		})
	}
	if got, err := ask("right"); err != nil || *got.AccessToken != c.secrets["an access token of another service"] {
		t.Fatal(got, err)
	}
	_, err = ask("wrong")
	c.said = append(c.said, fmt.Sprint("a provider that refuses and tells: ", wantError(t, err, "ValidationException")))
	body := string(mustJSON(t, map[string]any{"workloadIdentityToken": *token.WorkloadAccessToken, "resourceCredentialProviderName": "none"}))
	c.sends(t, "POST", "/identities/api-key", "application/json", body, signing{})
}

// usesModel asks a model of a provider that refuses and tells.
func (c *canaries) usesModel(t *testing.T, other string) {
	t.Helper()
	put := func(path, body string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "PUT", c.s.client.Endpoint+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		c.s.signs(t, r, body, signing{})
		if status, _, said := answered(t, r); status != 200 {
			t.Fatal(status, said)
		} else {
			c.said = append(c.said, said)
		}
	}
	put("/v1/model-providers/canary", string(mustJSON(t, map[string]string{"kind": "openai", "url": other + "/v1", "key": c.secrets["a model provider's key"]})))
	put("/v1/model-routes", `{"pattern":"canary-*","provider":"canary"}`)
	c.sends(t, "POST", "/v1/chat/completions", "application/json", `{"model":"canary-1","messages":[{"role":"user","content":"hello"}]}`, signing{})
	c.sends(t, "POST", "/model/canary-1/converse", "application/json", `{"messages":[{"role":"user","content":[{"text":"hello"}]}]}`, signing{service: "bedrock"})
}

// callsAgents calls with every kind of credential, well and badly.
func (c *canaries) callsAgents(t *testing.T, signed, byToken *agent, user *clientFile) {
	t.Helper()
	key, token := c.secrets["an API key"], c.secrets["a caller's token"]
	for _, call := range []struct {
		a      *agent
		auth   string
		status int
	}{
		{signed, key, 200}, {byToken, token, 200}, {signed, token, 403}, {byToken, key, 403}, {signed, key + "x", 403}, {byToken, token + "x", 401}, {byToken, token + ".x", 403},
	} {
		status, header, said := call.a.callWith(t, "Bearer "+call.auth, newSession(t))
		if status != call.status {
			t.Errorf("%d %s, want %d", status, said, call.status)
		}
		c.said = append(c.said, fmt.Sprint(status, header, said))
	}
	if err := signed.callBy(t, *user); err != nil {
		t.Error(err)
	}
	err := signed.callBy(t, clientFile{AccessKeyID: user.AccessKeyID, SecretAccessKey: c.secrets["the first user's secret"]})
	c.said = append(c.said, err.Error())
}

// makesMistakes sends secrets in requests that are not right, or to where they do not belong.
func (c *canaries) makesMistakes(t *testing.T, a *agent) {
	t.Helper()
	const content = "application/json"
	key, secret, value := c.secrets["a key in the vault"], c.secrets["a client's secret"], c.secrets["an environment's value"]
	for _, bad := range []string{
		`{"name":"a name with spaces","apiKey":"` + key + `"}`, `{"name":"x","apiKey":{"is":"` + key + `"}}`, `{"name":"x","apiKey":"` + key + `"`, `{"name":"x","apiKey":["` + key + `"]}`,
	} {
		c.sends(t, "POST", "/identities/CreateApiKeyCredentialProvider", content, bad, signing{})
	}
	c.sends(t, "POST", "/identities/CreateOauth2CredentialProvider", content, `{"name":"x","credentialProviderVendor":"`+secret+`","oauth2ProviderConfigInput":{}}`+secret, signing{})
	c.sends(t, "POST", "/identities/CreateOauth2CredentialProvider", content, `{"name":"x","credentialProviderVendor":"CustomOauth2","oauth2ProviderConfigInput":{"customOauth2ProviderConfig":{"clientId":"c","clientSecret":"`+secret+`","oauthDiscovery":{}}}}`, signing{})
	c.sends(t, "PUT", "/runtimes/", content, `{"agentRuntimeName":"1","environmentVariables":{"A":"`+value+`"}}`, signing{})
	c.sends(t, "PUT", "/runtimes/", content, `{"agentRuntimeName":"x","environmentVariables":{"not a name":"`+value+`"},"environmentVariables":"`+value+`"}`, signing{})
	c.sends(t, "PUT", "/v1/model-providers/bad", content, `{"kind":"none","key":"`+c.secrets["a model provider's key"]+`"}`, signing{})
	c.sends(t, "POST", "/identities/GetWorkloadAccessTokenForJWT", content, `{"workloadName":"canary","userToken":"`+c.secrets["a caller's token"]+`"}`, signing{})
	c.sends(t, "POST", "/identities/api-key", content, `{"workloadIdentityToken":"x`+c.secrets["a workload's token"]+`","resourceCredentialProviderName":"x"}`, signing{})
	r, err := http.NewRequestWithContext(t.Context(), "GET", c.s.client.Endpoint+"/v2/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(c.secrets["a user's secret"], "x") // the secret where the id belongs
	c.hears(t, r)
}

// logsIn has a browser log in, well and badly.
func (c *canaries) logsIn(t *testing.T) {
	t.Helper()
	for n, body := range []string{
		`{"accessKeyId":"` + c.s.client.AccessKeyID + `","secretAccessKey":"` + c.secrets["the first user's secret"] + `"}`,
		`{"accessKeyId":"` + c.secrets["a user's secret"] + `","secretAccessKey":"` + c.s.client.AccessKeyID + `"}`, `{"ticket":"` + c.secrets["a caller's token"] + `"}`,
	} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", c.s.client.Endpoint+"/console/login", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			c.hears(t, r)
			continue
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil || len(answer.Cookies()) != 1 {
			t.Fatal(answer, err)
		}
		answer.Body.Close()
		c.secrets["a console's login"] = answer.Cookies()[0].Value
	}
}

// told is all that the server tells of what happened: spans whole, log lines, sessions, the audit record, metrics.
func (c *canaries) told(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	ask := func(path string) []byte {
		t.Helper()
		body, err := c.s.ask(t.Context(), "GET", path)
		if err != nil {
			t.Error(err)
		}
		all.Write(body)
		return body
	}
	var traces struct{ Traces []struct{ TraceID string } }
	eventually(t, 20*time.Second, "the three calls of agents are traces", func() bool {
		return json.Unmarshal(ask("/v1/traces?limit=200"), &traces) == nil && len(traces.Traces) >= 3
	})
	for _, tr := range traces.Traces {
		ask("/v1/traces/" + url.PathEscape(tr.TraceID) + "?format=otlp")
		ask("/v1/traces/" + url.PathEscape(tr.TraceID))
	}
	for _, path := range []string{"/v1/sessions?all=true", "/v1/audit?limit=10000", "/v1/model-providers", "/v1/info", "/v1/telemetry/sessions"} {
		ask(path)
	}
	return all.String()
}

func (c *canaries) wantNothingIn(t *testing.T, where, text string) {
	t.Helper()
	if len(text) == 0 {
		t.Errorf("%s is empty: the search finds nothing", where)
	}
	for what, secret := range c.secrets {
		if strings.Contains(text, secret) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(secret))) {
			t.Errorf("%s is in %s", what, where)
		}
	}
}

// wantNothingInside searches a sandbox. Its environment is where an environment's values belong.
func (c *canaries) wantNothingInside(t *testing.T, a *agent) {
	t.Helper()
	session := newSession(t)
	kinds := slices.Sorted(maps.Keys(c.secrets))
	var all [][]string
	for _, what := range kinds {
		secret := c.secrets[what]
		all = append(all, []string{secret[:9], secret[9:]})
	}
	var found struct{ Found []string }
	if err := a.call(t.Context(), session, map[string]any{"op": "search", "all": all}, &found); err != nil {
		t.Fatal(err)
	}
	own := 0
	for _, line := range found.Found {
		number, where, _ := strings.Cut(line, ": ")
		n, err := strconv.Atoi(number)
		if err != nil {
			t.Fatal(line)
		}
		if kinds[n] == "an environment's value" && strings.HasPrefix(where, "the environment of") {
			own++
			continue
		}
		t.Errorf("%s is inside a sandbox: %s", kinds[n], where)
	}
	if own == 0 {
		t.Error("an environment's value is not even in the environment: the search finds nothing")
	}
}

// wantNothingOnDisk searches all that the server wrote: rows, spans, journals, the audit record, what engines are given. client.json is for the first
// user's own commands, and holds that user's key. While sandboxes are up, what engines were given for them holds their environments, for nobody else to
// read.
func (c *canaries) wantNothingOnDisk(t *testing.T, up bool) {
	t.Helper()
	files, known := 0, false
	err := filepath.WalkDir(filepath.Dir(c.s.dir), func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || strings.Contains(name, "/images/") {
			return nil // sockets, what goes meanwhile, and bases that were there before
		}
		info, err := e.Info()
		if err != nil || info.Size() > 64<<20 {
			return nil // engines' programs
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return nil
		}
		files++
		known = known || strings.Contains(string(content), "canary-client")
		for what, secret := range c.secrets {
			if filepath.Base(name) == "client.json" && what == "the first user's secret" {
				continue
			}
			if up && what == "an environment's value" && strings.Contains(name, "/engines/") && info.Mode().Perm()&0o007 == 0 {
				continue
			}
			if strings.Contains(string(content), secret) || strings.Contains(string(content), base64.StdEncoding.EncodeToString([]byte(secret))) {
				t.Errorf("%s is in %s", what, name)
			}
		}
		return nil
	})
	if err != nil || files < 20 || !known {
		t.Errorf("looked into %d files, in which a provider's name was found: %v (%v)", files, known, err)
	}
}
