package guest

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moorage-dev/moorage/internal/identity"
	"github.com/moorage-dev/moorage/internal/sandbox/door"
)

const role = "arn:aws:iam::123456789012:role/execution"

// metadataServer knows the sandboxes "session", which belongs to one, and "pooled", which waits for one.
func metadataServer(t *testing.T) *Server {
	t.Helper()
	temporary, err := identity.NewTemporary(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	return &Server{
		Credentials: temporary, TokenKey: []byte("a key"), Region: "eu-central-1", Account: "123456789012",
		Occupant: func(_ context.Context, sandbox string) (Occupant, error) {
			o := Occupant{Sandbox: sandbox, RuntimeARN: "arn:aws:bedrock-agentcore:eu-central-1:123456789012:runtime/demo-0123456789", Role: role}
			if sandbox != "pooled" {
				o.Session = "the session of " + sandbox
			}
			return o, nil
		},
	}
}

const (
	machine   = "http://169.254.169.254"
	container = "http://169.254.170.2"
)

func TestMetadata_wantsATokenOfTheSandbox(t *testing.T) {
	client := serve(t, metadataServer(t))
	one, other := client("session", door.Metadata), client("other", door.Metadata)
	status, token := said(t, one, request(t, "PUT", machine+"/latest/api/token", ttlHeader, "60"))
	if status != 200 {
		t.Fatalf("%d %s", status, token)
	}
	with := []string{tokenHeader, token}
	for path, want := range map[string]string{
		"/latest/meta-data/":                          "iam/\ninstance-id\nplacement/",
		"/latest/meta-data/placement/region":          "eu-central-1",
		"/latest/meta-data/iam/security-credentials/": "execution_role",
		"/latest/meta-data/iam/security-credentials":  "execution_role",
	} {
		if status, body := said(t, one, request(t, "GET", machine+path, with...)); status != 200 || body != want {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
	for name, c := range map[string]struct {
		status        int
		method, where string
		headers       []string
	}{
		"without a token":           {401, "GET", machine + "/latest/meta-data/", nil},
		"with a token that is none": {401, "GET", machine + "/latest/meta-data/", []string{tokenHeader, "AAAAAAAAAAA"}},
		"an altered token":          {401, "GET", machine + "/latest/meta-data/", []string{tokenHeader, "B" + token[1:]}},
		"what is not there":         {404, "GET", machine + "/latest/meta-data/public-keys/", with},
		"another role":              {404, "GET", machine + "/latest/meta-data/iam/security-credentials/admin", with},
		"version 1":                 {404, "GET", machine + "/1.0/meta-data/", with},
		"a token by GET":            {401, "GET", machine + "/latest/api/token", []string{ttlHeader, "60"}},
		"a token without its life":  {400, "PUT", machine + "/latest/api/token", nil},
		"a token for ever":          {400, "PUT", machine + "/latest/api/token", []string{ttlHeader, "21601"}},
		"for somebody else":         {403, "GET", container + credentialsPath, []string{"X-Forwarded-For", "10.0.0.1"}},
		"by a name":                 {403, "GET", "http://rebind.example" + credentialsPath, nil},
		"a machine's at container":  {404, "GET", container + "/latest/meta-data/", with},
	} {
		if status, body := said(t, one, request(t, c.method, c.where, c.headers...)); status != c.status {
			t.Errorf("%s: %d %q", name, status, body)
		}
	}
	if status, _ := said(t, other, request(t, "GET", machine+"/latest/meta-data/", with...)); status != 401 {
		t.Errorf("another sandbox reads with this one's token: %d", status)
	}
}

func TestMetadata_tokensEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{TokenKey: []byte("a key")}
		token := s.tokenFor("one", time.Now().Add(time.Minute))
		if !s.knowsToken(token, "one", time.Now().Add(59*time.Second)) || s.knowsToken(token, "one", time.Now().Add(time.Minute)) {
			t.Error("a token of a minute is good for another time")
		}
	})
}

func TestCredentials_areTheSandboxsOwnAndShortBeforeItsSession(t *testing.T) {
	client := serve(t, metadataServer(t))
	for sandbox, life := range map[string]time.Duration{"session": credentialsLife, "pooled": earlyLife} {
		c := client(sandbox, door.Metadata)
		_, token := said(t, c, request(t, "PUT", machine+"/latest/api/token", ttlHeader, strconv.Itoa(maxTTL)))
		status, asMachine := said(t, c, request(t, "GET", machine+"/latest/meta-data/iam/security-credentials/"+RoleName, tokenHeader, token))
		if status != 200 {
			t.Fatalf("%d %s", status, asMachine)
		}
		_, asContainer := said(t, c, request(t, "GET", container+credentialsPath))
		if !strings.Contains(asContainer, role) || !strings.Contains(asMachine, `"Code":"Success"`) {
			t.Errorf("a container reads %s, a machine %s", asContainer, asMachine)
		}
		for _, doc := range []string{asMachine, asContainer} {
			var got struct {
				AccessKeyId, SecretAccessKey, Token string
				Expiration                          time.Time
			}
			if err := json.Unmarshal([]byte(doc), &got); err != nil {
				t.Fatal(err)
			}
			if left := time.Until(got.Expiration); left > life || left < life-30*time.Second {
				t.Errorf("%s: credentials for %v", sandbox, left)
			}
			if !strings.HasPrefix(got.AccessKeyId, "ASIA") || got.SecretAccessKey == "" || got.Token == "" {
				t.Errorf("%s: credentials %s", sandbox, doc)
			}
		}
	}
}
