package compat

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
)

// tenant is one way to call an agent.
type tenant struct {
	name string
	key  *clientFile // signs; nil for a token
	user string
	auth func(a *agent) string // the Authorization header of whoever does not sign
}

// says sends an order to a session of the tenant's and returns the whole answer.
func (who tenant) says(t *testing.T, a *agent, session string, order map[string]any) (status int, answer string) {
	t.Helper()
	return who.asks(t, a, "/invocations", session, string(mustJSON(t, order)))
}

func (who tenant) asks(t *testing.T, a *agent, what, session, body string) (status int, answer string) {
	t.Helper()
	at := a.server.client.Endpoint + "/runtimes/" + url.QueryEscape(a.arn) + what
	r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), "POST", at, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", session)
	if who.user != "" {
		r.Header.Set(userHeader, who.user)
	}
	if who.key == nil {
		r.Header.Set("Authorization", who.auth(a))
	} else {
		s := *a.server
		s.client.AccessKeyID, s.client.SecretAccessKey = who.key.AccessKeyID, who.key.SecretAccessKey
		s.signs(t, r, body, signing{})
	}
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer reply.Body.Close()
	said, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Error(err)
	}
	return reply.StatusCode, string(said)
}

// newKey makes an access key for a user who may do what the statement says.
func (s *server) newKey(t *testing.T, user, statement string) *clientFile {
	t.Helper()
	made, err := s.cli(t.Context(), "keys", "create", "--user", user)
	if err != nil {
		t.Fatal(err, made)
	}
	value := func(name string) string { return regexp.MustCompile(name + `=(\S+)`).FindStringSubmatch(made)[1] }
	doc := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(doc, []byte(`{"Version":"2012-10-17","Statement":`+statement+`}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := s.cli(t.Context(), "policy", "put", "--user", user, "--name", "tests", doc); err != nil {
		t.Fatal(err, out)
	}
	key := &clientFile{AccessKeyID: value("AWS_ACCESS_KEY_ID"), SecretAccessKey: value("AWS_SECRET_ACCESS_KEY")}
	t.Cleanup(func() { s.cli(context.Background(), "keys", "delete", key.AccessKeyID) })
	return key
}

// newAPIKey makes a key for one runtime.
func (s *server) newAPIKey(t *testing.T, a *agent) string {
	t.Helper()
	out, err := s.cli(t.Context(), "keys", "create", "--name", a.arn)
	if err != nil {
		t.Fatal(out, err)
	}
	return strings.Fields(out)[0]
}

// fresh deploys an agent that no other test, and no other turn of this one, uses.
func (s *server) fresh(t *testing.T, d deployment) *agent {
	t.Helper()
	a, err := s.deploy(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

const mayInvoke = `{"Effect":"Allow","Action":["bedrock-agentcore:InvokeAgentRuntime","bedrock-agentcore:StopRuntimeSession"],"Resource":"*"}`

// cell is one tenant's session of one id at one runtime.
type cell struct {
	who     tenant
	a       *agent
	session string
	canary  string
}

// tenants are those who call a runtime.
func (s *server) tenants(t *testing.T, i *issuer, a *agent, stranger *clientFile, byToken bool) []tenant {
	if byToken {
		bearer := func(subject string) func(*agent) string {
			token := "Bearer " + jws(goodHead, i.claims("sub", subject), rs256(i.rsa))
			return func(*agent) string { return token }
		}
		return []tenant{{name: "ann by token", auth: bearer("ann")}, {name: "bob by token", auth: bearer("bob")}}
	}
	key := "Bearer " + s.newAPIKey(t, a)
	return []tenant{
		{name: "the first user", key: &s.client}, {name: "the first user for ann", key: &s.client, user: "ann"}, {name: "the first user for bob", key: &s.client, user: "bob"},
		{name: "a stranger", key: stranger}, {name: "an API key", auth: func(*agent) string { return key }},
	}
}

func TestTenants_canariesNeverCross(t *testing.T) {
	s, i := shared(t), newIssuer(t)
	stranger := s.newKey(t, "mallory", mayInvoke)
	d := probe
	d.name, d.authorizer = "of_many_tenants", i.authorizer()
	var cells []cell
	byToken := s.fresh(t, d)
	for _, a := range []*agent{s.deployed(t, probe), s.deployed(t, keeper), byToken} {
		for _, who := range s.tenants(t, i, a, stranger, a == byToken) {
			for n := range 2 {
				session := fmt.Sprintf("the-same-id-for-everybody-%d-%010d", n, os.Getpid())
				cells = append(cells, cell{who, a, session, fmt.Sprintf("canary-%s-%d-%s", who.name, n, a.id)})
			}
		}
	}
	each(cells, func(c cell) {
		if status, said := c.who.says(t, c.a, c.session, map[string]any{"op": "keep", "text": c.canary}); status != 200 || !strings.Contains(said, c.canary) {
			t.Errorf("%s in %s: %d %s", c.who.name, c.a.id, status, said)
		}
	})
	var mu sync.Mutex
	boots := map[string]string{}
	each(cells, func(c cell) {
		status, said := c.who.says(t, c.a, c.session, map[string]any{"op": "show"})
		var seen struct {
			Boot, Memory, Environment string
			Files                     map[string]string
		}
		if err := json.Unmarshal([]byte(said), &seen); status != 200 || err != nil {
			t.Errorf("%s in %s: %d %s", c.who.name, c.a.id, status, said)
			return
		}
		if seen.Memory != c.canary || seen.Environment != c.canary || len(seen.Files) == 0 || c.a == s.agents[keeper.name] && seen.Files["/mnt/data/kept"] != c.canary {
			t.Errorf("%s does not find what it kept: %s", c.canary, said)
		}
		if n := strings.Count(said, "canary-"); n != strings.Count(said, c.canary) {
			t.Errorf("%s sees what another kept: %s", c.canary, said)
		}
		mu.Lock()
		defer mu.Unlock()
		if other := boots[seen.Boot]; other != "" {
			t.Errorf("%s and %s share a sandbox", c.canary, other)
		}
		boots[seen.Boot] = c.canary
	})
	// One stops its own, and nobody else's.
	if status, said := cells[0].who.asks(t, cells[0].a, "/stopruntimesession", cells[0].session, "{}"); status != 200 {
		t.Errorf("%d %s", status, said)
	}
	for _, c := range cells[1:] {
		if status, said := c.who.says(t, c.a, c.session, map[string]any{"op": "show"}); status != 200 || !strings.Contains(said, c.canary) {
			t.Errorf("after another's stop %s finds %d %s", c.canary, status, said)
		}
		c.who.asks(t, c.a, "/stopruntimesession", c.session, "{}")
	}
	t.Logf("%d sessions", len(cells))
}

// each runs do for every cell, a few at a time.
func each(cells []cell, do func(cell)) {
	var work sync.WaitGroup
	for w := range 3 {
		work.Go(func() {
			for n := w; n < len(cells); n += 3 {
				do(cells[n])
			}
		})
	}
	work.Wait()
}

// apart is the chance that a sample of a is above one of b, ties counting half: 0.5 for two of one distribution
// (Mann and Whitney's U over its largest value). It knows ranks only, so that it does not matter how fast the machine is.
func apart(a, b []time.Duration) float64 {
	above := 0.0
	for _, x := range a {
		for _, y := range b {
			if x > y {
				above++
			} else if x == y {
				above += 0.5
			}
		}
	}
	return above / float64(len(a)*len(b))
}

// tolerance around 0.5: six standard deviations for two samples of 300 of one distribution, √(601/(12·300²)).
const tolerance = 0.15

// wantAlike asks two things by turns whose order is chance, and holds their answers to be the same, and as fast.
func wantAlike(t *testing.T, what string, one, other func() (status int, answer string)) {
	t.Helper()
	var took [2][]time.Duration
	ask := []func() (int, string){one, other}
	status, said := one()
	for range 300 {
		turns := []int{0, 1}
		rand.Shuffle(2, func(i, j int) { turns[i], turns[j] = turns[j], turns[i] })
		for _, n := range turns {
			began := time.Now()
			gotStatus, got := ask[n]()
			took[n] = append(took[n], time.Since(began))
			if gotStatus != status || got != said {
				t.Fatalf("%s: %d %s, and %d %s", what, status, said, gotStatus, got)
			}
		}
	}
	if status < 400 {
		t.Errorf("%s: it is not refused: %d %s", what, status, said)
	}
	p := apart(took[0], took[1])
	if p < 0.5-tolerance || p > 0.5+tolerance {
		slices.Sort(took[0])
		slices.Sort(took[1])
		t.Errorf("%s: one takes longer than the other in %.0f %% of pairs; medians %s and %s", what, 100*p, took[0][150], took[1][150])
	}
	t.Logf("%s: %d %s; one above the other in %.0f %% of pairs", what, status, said, 100*p)
}

// What exists for somebody else, and what does not exist, are told apart by nothing.
func TestTenants_refusalsDoNotTellWhatExists(t *testing.T) {
	s := shared(t)
	a := s.deployed(t, probe)
	mallory := tenant{name: "mallory", key: s.newKey(t, "mallory-stops", mayInvoke)}
	nobody := tenant{name: "nobody", key: s.newKey(t, "mallory-may-nothing", `{"Effect":"Allow","Action":"sts:GetCallerIdentity","Resource":"*"}`)}
	theirs := "a-session-of-somebody-else-0000000000"
	first := tenant{key: &s.client}
	if status, said := first.says(t, a, theirs, map[string]any{"op": "state"}); status != 200 {
		t.Fatal(status, said)
	}
	defer first.asks(t, a, "/stopruntimesession", theirs, "{}")
	none := strings.Replace(theirs, "somebody", "nobody12", 1)
	gone := *a
	gone.arn = a.arn[:len(a.arn)-10] + "0000000000"
	// known puts names that the two questions differ in out of the answers.
	known := func(ask func() (int, string)) func() (int, string) {
		return func() (int, string) {
			status, said := ask()
			return status, strings.NewReplacer(theirs, "SESSION", none, "SESSION", a.id, "RUNTIME", gone.arn[strings.LastIndex(gone.arn, "/")+1:], "RUNTIME").Replace(said)
		}
	}
	stop := func(session string) func() (int, string) {
		return known(func() (int, string) { return mallory.asks(t, a, "/stopruntimesession", session, "{}") })
	}
	call := func(at *agent) func() (int, string) {
		return known(func() (int, string) { return nobody.says(t, at, theirs, map[string]any{"op": "state"}) })
	}
	wantAlike(t, "stop of another's session, and of none", stop(theirs), stop(none))
	wantAlike(t, "call of a runtime that one may not call, and of none", call(a), call(&gone))
	wantAlike(t, "call of a session that exists for another, and of none, where one may call neither", call(a),
		known(func() (int, string) { return nobody.says(t, a, none, map[string]any{"op": "state"}) }))
	t.Run("the measure sees what differs", func(t *testing.T) {
		var slow, fast []time.Duration
		for range 100 {
			began := time.Now()
			first.says(t, a, theirs, map[string]any{"op": "state"})
			slow = append(slow, time.Since(began))
			began = time.Now()
			stop(none)()
			fast = append(fast, time.Since(began))
		}
		if p := apart(slow, fast); p < 0.5+tolerance {
			t.Errorf("a call that an agent answers takes longer than a refusal in %.0f %% of pairs only", 100*p)
		}
	})
}

func TestTenants_unboundSessionsAreReachedByWhoeverMayCall(t *testing.T) {
	s := shared(t)
	d := probe
	d.name, d.tags = "unbound", map[string]string{"moorage:session-binding": "off"}
	a := s.fresh(t, d)
	session := newSession(t)
	stranger := tenant{name: "a stranger", key: s.newKey(t, "unbound-stranger", mayInvoke)}
	key := "Bearer " + s.newAPIKey(t, a)
	all := []tenant{{name: "the first user", key: &s.client}, {name: "for ann", key: &s.client, user: "ann"}, stranger, {name: "an API key", auth: func(*agent) string { return key }}}
	for n, who := range all {
		if status, said := who.says(t, a, session, map[string]any{"op": "state"}); status != 200 || !strings.Contains(said, fmt.Sprintf(`"count": %d`, n+1)) {
			t.Errorf("%s: %d %s, want count %d", who.name, status, said, n+1)
		}
	}
	if found, err := s.sessions(t.Context(), session); err != nil || len(found) != 1 || found[0].Owner != "anybody" {
		t.Errorf("the server lists %+v (%v)", found, err)
	}
	if status, said := stranger.asks(t, a, "/stopruntimesession", session, "{}"); status != 200 {
		t.Errorf("a stranger stops it: %d %s", status, said)
	}
	_, err := s.control().TagResource(t.Context(), &control.TagResourceInput{ResourceArn: &a.arn, Tags: map[string]string{"moorage:session-binding": "perhaps"}})
	wantWords(t, wantError(t, err, "ValidationException"), "moorage:session-binding is on or off")
	if _, err := s.control().TagResource(t.Context(), &control.TagResourceInput{ResourceArn: &a.arn, Tags: map[string]string{"moorage:session-binding": "on"}}); err != nil {
		t.Fatal(err)
	}
	for _, who := range all {
		if status, said := who.says(t, a, session, map[string]any{"op": "state"}); status != 200 || !strings.Contains(said, `"count": 1`) {
			t.Errorf("bound again, %s: %d %s, want count 1", who.name, status, said)
		}
		who.asks(t, a, "/stopruntimesession", session, "{}")
	}
}
