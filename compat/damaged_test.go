package compat

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// url is where the agent is called over plain HTTP.
func (a *agent) url(query string) string {
	return a.server.client.Endpoint + "/runtimes/" + url.QueryEscape(a.arn) + "/invocations" + query
}

// answered sends a request and reads the whole answer.
func answered(t *testing.T, r *http.Request) (status int, header http.Header, body string) {
	t.Helper()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(said)
}

func hexSum(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// signing is how a request is signed; the zero value is a good one.
type signing struct {
	service, region string
	at              time.Time
	hash            string // of the body
	presign         bool
}

func (s *server) signs(t *testing.T, r *http.Request, body string, how signing) {
	t.Helper()
	if how.service == "" {
		how.service = "bedrock-agentcore"
	}
	if how.region == "" {
		how.region = s.client.Region
	}
	if how.at.IsZero() {
		how.at = time.Now()
	}
	if how.hash == "" {
		how.hash = hexSum(body)
	}
	credentials, _ := s.client.Retrieve(t.Context())
	if !how.presign {
		if err := v4.NewSigner().SignHTTP(t.Context(), credentials, r, how.hash, how.service, how.region, how.at); err != nil {
			t.Fatal(err)
		}
		return
	}
	at, header, err := v4.NewSigner().PresignHTTP(t.Context(), credentials, r, how.hash, how.service, how.region, how.at)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	r.URL = u
	for name, values := range header {
		if name != "Host" && name != "Content-Length" {
			r.Header[name] = values
		}
	}
}

const stateBody = `{"op":"state"}`

// damage is one way to spoil a signed request, and what its sender is told.
type damage struct {
	name      string
	status    int
	exception string
	how       signing
	query     string              // of the request, before it is signed
	before    func(*http.Request) // it is signed
	after     func(*http.Request)
}

// swap changes the Authorization header.
func swap(old, new string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, new, 1))
	}
}

// authorization replaces the part of that name.
func authorization(part, value string) func(*http.Request) {
	return func(r *http.Request) {
		scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		parts := strings.Split(rest, ", ")
		kept := parts[:0]
		for _, p := range parts {
			if strings.HasPrefix(p, part+"=") {
				if p = part + "=" + value; value == "-" {
					continue
				}
			}
			kept = append(kept, p)
		}
		r.Header.Set("Authorization", scheme+" "+strings.Join(kept, ", "))
	}
}

func headers(pairs ...string) func(*http.Request) {
	return func(r *http.Request) {
		for n := 0; n < len(pairs); n += 2 {
			r.Header.Add(pairs[n], pairs[n+1])
		}
	}
}

func replaced(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func body(text string) func(*http.Request) {
	return func(r *http.Request) {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
	}
}

// chunked sends the body without saying how long it is.
func chunked(text string) func(*http.Request) {
	return func(r *http.Request) {
		r.Body, r.ContentLength = io.NopCloser(io.MultiReader(bytes.NewReader([]byte(text)))), -1
	}
}

func inQuery(change func(url.Values)) func(*http.Request) {
	return func(r *http.Request) {
		q := r.URL.Query()
		change(q)
		r.URL.RawQuery = q.Encode()
	}
}

const (
	userHeader  = "X-Amzn-Bedrock-AgentCore-Runtime-User-Id"
	incomplete  = "IncompleteSignatureException"
	wrong       = "InvalidSignatureException"
	unknownKey  = "UnrecognizedClientException"
	noSignature = "MissingAuthenticationTokenException"
	denied      = "AccessDeniedException"
)

func (s *server) damages() []damage {
	const digits = "0123456789abcdef"
	someSignature := strings.Repeat(digits, 4)
	past, future := time.Now().Add(-16*time.Minute), time.Now().Add(16*time.Minute)
	forever := inQuery(func(q url.Values) { q.Set("X-Amz-Expires", "60") })
	return []damage{
		{name: "another body of the same length", status: 403, exception: wrong, after: body(`{"op":"STATE"}`)},
		{name: "no body", status: 403, exception: wrong, after: body("")},
		{name: "a longer body", status: 403, exception: wrong, after: body(stateBody + " ")},
		{name: "another body in chunks", status: 403, exception: wrong, after: chunked(`{"op":"STATE"}`)},
		{name: "a question more", status: 403, exception: wrong, after: inQuery(func(q url.Values) { q.Set("qualifier", "DEFAULT") })},
		{name: "a question less", status: 403, exception: wrong, query: "?qualifier=DEFAULT", after: inQuery(func(q url.Values) { q.Del("qualifier") })},
		{name: "a question twice", status: 403, exception: wrong, query: "?qualifier=DEFAULT", after: inQuery(func(q url.Values) { q.Add("qualifier", "prod") })},
		{name: "another question", status: 403, exception: wrong, query: "?qualifier=DEFAULT", after: inQuery(func(q url.Values) { q.Set("qualifier", "prod") })},
		{name: "a query that is badly encoded", status: 400, exception: incomplete, after: func(r *http.Request) { r.URL.RawQuery = "qualifier=%zz" }},
		{name: "another session", status: 403, exception: wrong, after: replaced("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", strings.Repeat("s", 40))},
		{name: "no session", status: 403, exception: wrong, after: func(r *http.Request) { r.Header.Del("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id") }},
		{name: "the session twice", status: 403, exception: wrong, after: headers("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", strings.Repeat("s", 40))},
		{name: "a user who is not signed", status: 403, exception: wrong, after: headers(userHeader, "bob")},
		{name: "another user", status: 403, exception: wrong, before: headers(userHeader, "ada"), after: replaced(userHeader, "bob")},
		{name: "a custom header that is not signed", status: 403, exception: wrong, after: headers("X-Amzn-Bedrock-AgentCore-Runtime-Custom-Tenant", "other")},
		{name: "a target that is not signed", status: 403, exception: wrong, after: headers("X-Amz-Target", "Logs_20140328.PutLogEvents")},
		{name: "a session token that is not signed", status: 403, exception: wrong, after: headers("X-Amz-Security-Token", "forged")},
		{name: "a session token of nobody", status: 403, exception: unknownKey, before: headers("X-Amz-Security-Token", "forged")},
		{name: "another content type", status: 403, exception: wrong, after: replaced("Content-Type", "text/plain")},
		{name: "another host", status: 403, exception: wrong, after: func(r *http.Request) { r.Host = "agents.example.com" }},
		{name: "another path encoding", status: 403, exception: wrong, after: func(r *http.Request) {
			r.URL.RawPath = strings.ReplaceAll(r.URL.EscapedPath(), "%3A", "%3a")
		}},
		{name: "a signature with another digit", status: 403, exception: wrong, after: authorization("Signature", someSignature)},
		{name: "a signature cut short", status: 400, exception: incomplete, after: authorization("Signature", someSignature[:62])},
		{name: "a signature that goes on", status: 400, exception: incomplete, after: authorization("Signature", someSignature+"00")},
		{name: "a signature that is no number", status: 400, exception: incomplete, after: authorization("Signature", strings.Repeat("x", 64))},
		{name: "an empty signature", status: 400, exception: incomplete, after: authorization("Signature", "")},
		{name: "no signature", status: 400, exception: incomplete, after: authorization("Signature", "-")},
		{name: "the signature twice", status: 400, exception: incomplete, after: func(r *http.Request) {
			r.Header.Set("Authorization", r.Header.Get("Authorization")+", Signature="+someSignature)
		}},
		{name: "no signed headers", status: 400, exception: incomplete, after: authorization("SignedHeaders", "-")},
		{name: "empty signed headers", status: 400, exception: incomplete, after: authorization("SignedHeaders", "")},
		{name: "signed headers in another order", status: 400, exception: incomplete, after: swap("content-type;host", "host;content-type")},
		{name: "a signed header twice", status: 400, exception: incomplete, after: swap(";host;", ";host;host;")},
		{name: "signed headers in capitals", status: 400, exception: incomplete, after: swap(";host;", ";Host;")},
		{name: "signed headers with an empty one", status: 400, exception: incomplete, after: swap(";host;", ";;host;")},
		{name: "65 signed headers", status: 400, exception: incomplete, after: swap("SignedHeaders=", "SignedHeaders="+strings.Repeat("a;", 65))},
		{name: "a host that is not signed", status: 403, exception: wrong, after: swap(";host;", ";")},
		{name: "a date that is not signed", status: 403, exception: wrong, after: swap("x-amz-date;", "")},
		{name: "a signed header that does not come", status: 403, exception: wrong, after: swap(";host;", ";host;made-up;")},
		{name: "a key that there is not", status: 403, exception: unknownKey, after: swap(s.client.AccessKeyID, "AKIAAAAAAAAAAAAAAAAA")},
		{name: "a temporary key that there is not", status: 403, exception: unknownKey, after: swap(s.client.AccessKeyID, "ASIAAAAAAAAAAAAAAAAA")},
		{name: "no key", status: 400, exception: incomplete, after: swap(s.client.AccessKeyID, "")},
		{name: "a scope with a part more", status: 400, exception: incomplete, after: swap("/aws4_request", "/x/aws4_request")},
		{name: "a scope with a part less", status: 400, exception: incomplete, after: swap("/"+s.client.Region+"/", "/")},
		{name: "a scope that ends otherwise", status: 400, exception: incomplete, after: swap("aws4_request", "aws5_request")},
		{name: "another region", status: 403, exception: wrong, how: signing{region: "eu-west-1"}},
		{name: "a service that is not here", status: 403, exception: wrong, how: signing{service: "lambda"}},
		{name: "another service than was signed", status: 404, exception: "UnknownOperationException", after: swap("/bedrock-agentcore/", "/bedrock/")},
		{name: "two headers", status: 400, exception: incomplete, after: func(r *http.Request) { r.Header.Add("Authorization", r.Header.Get("Authorization")) }},
		{name: "a header and the query", status: 400, exception: incomplete, after: inQuery(func(q url.Values) { q.Set("X-Amz-Signature", someSignature) })},
		{name: "a header of 9 KB", status: 400, exception: incomplete, after: swap("Credential=", strings.Repeat(" ", 9<<10)+"Credential=")},
		{name: "parts without names", status: 400, exception: incomplete, after: replaced("Authorization", "AWS4-HMAC-SHA256 x, y, z")},
		{name: "the scheme alone", status: 400, exception: incomplete, after: replaced("Authorization", "AWS4-HMAC-SHA256")},
		{name: "another scheme", status: 403, exception: noSignature, after: swap("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512")},
		{name: "asymmetric signatures", status: 403, exception: noSignature, after: swap("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256")},
		{name: "signatures of version 2", status: 403, exception: noSignature, after: replaced("Authorization", "AWS "+s.client.AccessKeyID+":c2lnbmF0dXJl")},
		{name: "a password", status: 403, exception: noSignature, after: replaced("Authorization", "Basic YTpi")},
		{name: "a token", status: 403, exception: denied, after: replaced("Authorization", "Bearer a.b.c")},
		{name: "nothing", status: 403, exception: noSignature, after: func(r *http.Request) { r.Header.Del("Authorization") }},
		{name: "16 minutes ago", status: 403, exception: wrong, how: signing{at: past}},
		{name: "in 16 minutes", status: 403, exception: wrong, how: signing{at: future}},
		{name: "a later date under an old signature", status: 403, exception: wrong, how: signing{at: past}, after: func(r *http.Request) { r.Header.Set("X-Amz-Date", time.Now().UTC().Format("20060102T150405Z")) }},
		{name: "another day's date", status: 403, exception: wrong, after: replaced("X-Amz-Date", "20200101T000000Z")},
		{name: "a date in words", status: 400, exception: incomplete, after: replaced("X-Amz-Date", "yesterday")},
		{name: "a date with dashes", status: 400, exception: incomplete, after: replaced("X-Amz-Date", time.Now().UTC().Format(time.RFC3339))},
		{name: "the date twice", status: 403, exception: wrong, after: headers("X-Amz-Date", "20200101T000000Z")},
		{name: "no date", status: 400, exception: incomplete, after: func(r *http.Request) { r.Header.Del("X-Amz-Date") }},
		{name: "the hash of another body", status: 403, exception: wrong, how: signing{hash: hexSum("x")}, before: replaced("X-Amz-Content-Sha256", hexSum("x"))},
		{name: "a hash in capitals", status: 400, exception: incomplete, how: signing{hash: strings.ToUpper(hexSum(stateBody))}, before: replaced("X-Amz-Content-Sha256", strings.ToUpper(hexSum(stateBody)))},
		{name: "a hash that is none", status: 400, exception: incomplete, how: signing{hash: "none"}, before: replaced("X-Amz-Content-Sha256", "none")},
		{name: "a hash that is not signed", status: 403, exception: wrong, after: headers("X-Amz-Content-Sha256", hexSum(stateBody))},
		{name: "signed chunks", status: 403, exception: wrong, how: signing{hash: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}, before: replaced("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")},
		{name: "signed chunks with a trailer", status: 403, exception: wrong, how: signing{hash: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"}, before: replaced("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER")},
		{name: "unsigned chunks", status: 403, exception: wrong, how: signing{hash: "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}, before: replaced("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")},
		{name: "presigned, over", status: 403, exception: wrong, how: signing{presign: true, at: time.Now().Add(-2 * time.Minute)}, before: forever},
		{name: "presigned for 8 days", status: 400, exception: incomplete, how: signing{presign: true}, before: inQuery(func(q url.Values) { q.Set("X-Amz-Expires", "691200") })},
		{name: "presigned for less than nothing", status: 400, exception: incomplete, how: signing{presign: true}, before: inQuery(func(q url.Values) { q.Set("X-Amz-Expires", "-1") })},
		{name: "presigned for some time", status: 400, exception: incomplete, how: signing{presign: true}, before: inQuery(func(q url.Values) { q.Set("X-Amz-Expires", "soon") })},
		{name: "presigned without an end", status: 400, exception: incomplete, how: signing{presign: true}},
		{name: "presigned, and made longer", status: 403, exception: wrong, how: signing{presign: true}, before: forever, after: inQuery(func(q url.Values) { q.Set("X-Amz-Expires", "600") })},
		{name: "presigned, and its signature is gone", status: 400, exception: incomplete, how: signing{presign: true}, before: forever, after: inQuery(func(q url.Values) { q.Del("X-Amz-Signature") })},
		{name: "presigned, the signature twice", status: 400, exception: incomplete, how: signing{presign: true}, before: forever, after: inQuery(func(q url.Values) { q.Add("X-Amz-Signature", someSignature) })},
		{name: "presigned, another algorithm", status: 400, exception: incomplete, how: signing{presign: true}, before: forever, after: inQuery(func(q url.Values) { q.Set("X-Amz-Algorithm", "AWS4-HMAC-MD5") })},
		{name: "presigned, another body", status: 403, exception: wrong, how: signing{presign: true}, before: forever, after: body(`{"op":"STATE"}`)},
		{name: "presigned, and a user is added", status: 403, exception: wrong, how: signing{presign: true}, before: forever, after: headers(userHeader, "bob")},
	}
}

func TestDamaged_signedRequestsAreRefusedAsTheContractSays(t *testing.T) {
	s := shared(t)
	a := s.deployed(t, probe)
	session := newSession(t)
	count := a.state(t, session).Count
	all := s.damages()
	if len(all) < 40 {
		t.Fatalf("only %d requests", len(all))
	}
	for _, c := range all {
		r, err := http.NewRequestWithContext(t.Context(), "POST", a.url(c.query), strings.NewReader(stateBody))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", session)
		if c.before != nil {
			c.before(r)
		}
		s.signs(t, r, stateBody, c.how)
		if c.after != nil {
			c.after(r)
		}
		status, header, said := answered(t, r)
		if kind := header.Get("X-Amzn-Errortype"); status != c.status || !strings.HasPrefix(kind, c.exception) {
			t.Errorf("%s: %d %s %s, want %d %s", c.name, status, kind, said, c.status, c.exception)
		}
		if header.Get("X-Amzn-Requestid") == "" || !strings.Contains(said, `"message":`) || header.Get("Date") == "" {
			t.Errorf("%s: no request id, message or date: %v %s", c.name, header, said)
		}
		if strings.Contains(said, s.dir) || strings.Contains(said, s.client.SecretAccessKey) {
			t.Errorf("%s: the answer tells too much: %s", c.name, said)
		}
	}
	if again := a.state(t, session).Count; again != count+1 {
		t.Errorf("%d damaged requests reached the agent", again-count-1)
	}
	t.Logf("%d requests", len(all))
}

// putsPolicy asks IAM, or the resource, to take a document.
func (s *server) putsPolicy(t *testing.T, a *agent, kind, document string) (status int, header http.Header, said string) {
	t.Helper()
	method, at, service, content := "POST", s.client.Endpoint+"/", "iam", "application/x-www-form-urlencoded"
	form := url.Values{"Version": {"2010-05-08"}}
	switch kind {
	case "identity":
		form["Action"], form["UserName"], form["PolicyName"], form["PolicyDocument"] = []string{"PutUserPolicy"}, []string{"dora"}, []string{"p"}, []string{document}
	case "trust":
		form["Action"], form["RoleName"], form["AssumeRolePolicyDocument"] = []string{"CreateRole"}, []string{"distrusted"}, []string{document}
	case "user":
		form["Action"], form["UserName"] = []string{"CreateUser"}, []string{"dora"}
	}
	text := form.Encode()
	if kind == "resource" {
		method, at, service, content = "PUT", s.client.Endpoint+"/resourcepolicy/"+url.QueryEscape(a.arn), "bedrock-agentcore", "application/json"
		text = string(mustJSON(t, map[string]string{"policy": document}))
	}
	r, err := http.NewRequestWithContext(t.Context(), method, at, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", content)
	s.signs(t, r, text, signing{service: service, region: aws.ToString(&s.client.Region)})
	return answered(t, r)
}

func TestDamaged_policyDocumentsAreRefusedAndExplained(t *testing.T) {
	s := shared(t)
	a := s.deployed(t, probe)
	if status, _, said := s.putsPolicy(t, nil, "user", ""); status != 200 && status != 409 {
		t.Fatal(status, said)
	}
	wrap := func(statement string) string { return `{"Version":"2012-10-17","Statement":` + statement + `}` }
	const good = `"Effect":"Allow","Action":"bedrock-agentcore:InvokeAgentRuntime"`
	here := `,"Resource":"` + a.arn + `"`
	cases := []struct{ kind, name, document, words string }{
		{"identity", "a space", ` `, `not a JSON object`},
		{"identity", "not JSON", `{"Version":`, `not`},
		{"identity", "a list", `[]`, `not a JSON object`},
		{"identity", "a string", `"Allow"`, `not a JSON object`},
		{"identity", "null", `null`, `not a JSON object`},
		{"identity", "something after it", wrap(`{`+good+`,"Resource":"*"}`) + `x`, `follows`},
		{"identity", "no statement", `{"Version":"2012-10-17"}`, `Statement must be`},
		{"identity", "no statements in the list", wrap(`[]`), `Statement must be`},
		{"identity", "a statement that is a string", wrap(`"Allow"`), `statement 1`},
		{"identity", "another version", `{"Version":"2020-01-01","Statement":{` + good + `,"Resource":"*"}}`, `Version must be`},
		{"identity", "a version that is a number", `{"Version":2012,"Statement":{` + good + `,"Resource":"*"}}`, `Version must be`},
		{"identity", "an element of its own", `{"Version":"2012-10-17","Statments":{` + good + `,"Resource":"*"}}`, `no element of a policy`},
		{"identity", "an element twice", wrap(`{"Effect":"Deny",` + good + `,"Resource":"*"}`), `there twice`},
		{"identity", "a statement's element of its own", wrap(`{` + good + `,"Resources":"*"}`), `no element of a statement`},
		{"identity", "an effect of its own", wrap(`{"Effect":"Maybe","Action":"*","Resource":"*"}`), `Effect must be`},
		{"identity", "an effect in small letters", wrap(`{"Effect":"allow","Action":"*","Resource":"*"}`), `Effect must be`},
		{"identity", "no effect", wrap(`{"Action":"*","Resource":"*"}`), `Effect is missing`},
		{"identity", "no action", wrap(`{"Effect":"Allow","Resource":"*"}`), `Action is missing`},
		{"identity", "an action that is none", wrap(`{"Effect":"Allow","Action":"InvokeAgentRuntime","Resource":"*"}`), `is no action`},
		{"identity", "an action that is a number", wrap(`{"Effect":"Allow","Action":5,"Resource":"*"}`), `must be a string`},
		{"identity", "no actions in the list", wrap(`{"Effect":"Allow","Action":[],"Resource":"*"}`), `must be a string`},
		{"identity", "action and its opposite", wrap(`{` + good + `,"NotAction":"*","Resource":"*"}`), `exclude each other`},
		{"identity", "no resource", wrap(`{` + good + `}`), `Resource is missing`},
		{"identity", "a resource that is no ARN", wrap(`{` + good + `,"Resource":"runtime/demo"}`), ``},
		{"identity", "a resource that is null", wrap(`{` + good + `,"Resource":[null]}`), `must be a string`},
		{"identity", "a principal where none may be", wrap(`{` + good + `,"Resource":"*","Principal":"*"}`), `Principal is for`},
		{"identity", "two statements with one name", wrap(`[{"Sid":"A",` + good + `,"Resource":"*"},{"Sid":"A",` + good + `,"Resource":"*"}]`), `there twice`},
		{"identity", "a name with strange letters", wrap(`{"Sid":"a/b",` + good + `,"Resource":"*"}`), `Sid must be`},
		{"identity", "an operator of its own", wrap(`{` + good + `,"Resource":"*","Condition":{"StringSimilar":{"aws:username":"a"}}}`), `no condition operator`},
		{"identity", "a condition that is a string", wrap(`{` + good + `,"Resource":"*","Condition":"always"}`), `Condition must be`},
		{"identity", "a condition without keys", wrap(`{` + good + `,"Resource":"*","Condition":{"StringEquals":{}}}`), `object of keys`},
		{"identity", "a date that is none", wrap(`{` + good + `,"Resource":"*","Condition":{"DateLessThan":{"aws:CurrentTime":"soon"}}}`), `DateLessThan`},
		{"identity", "a network that is none", wrap(`{` + good + `,"Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"300.1.2.3/8"}}}`), `IpAddress`},
		{"identity", "a number that is none", wrap(`{` + good + `,"Resource":"*","Condition":{"NumericLessThan":{"aws:MultiFactorAuthAge":"x"}}}`), `NumericLessThan`},
		{"identity", "Null with another value", wrap(`{` + good + `,"Resource":"*","Condition":{"Null":{"aws:username":"maybe"}}}`), `Null of`},
		{"identity", "deep", wrap(`{` + good + `,"Resource":"*","Condition":` + strings.Repeat(`{"a":`, 1500) + `1` + strings.Repeat(`}`, 1500) + `}`), ``},
		{"identity", "a list that is deep", wrap(`{` + good + `,"Resource":` + strings.Repeat(`[`, 4000) + strings.Repeat(`]`, 4000) + `}`), `must be a string`},
		{"trust", "no principal", wrap(`{"Effect":"Allow","Action":"sts:AssumeRole"}`), `Principal is missing`},
		{"trust", "a resource", wrap(`{"Effect":"Allow","Action":"sts:AssumeRole","Principal":"*","Resource":"*"}`), `no Resource`},
		{"trust", "a principal with a star", wrap(`{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"arn:aws:iam::123456789012:user/*"}}`), `is no principal`},
		{"trust", "a principal of another kind", wrap(`{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Federated":"x"}}`), `not supported`},
		{"resource", "any resource", wrap(`{` + good + `,"Principal":"*","Resource":"*"}`), `Resource must be exactly`},
		{"resource", "another's resource", wrap(`{` + good + `,"Principal":"*","Resource":"` + a.arn + `x"}`), `Resource must be exactly`},
		{"resource", "all but a resource", wrap(`{` + good + `,"Principal":"*","NotResource":"` + a.arn + `"}`), `Resource must be exactly`},
		{"resource", "no principal", wrap(`{` + good + here + `}`), `Principal is missing`},
		{"resource", "more than 20,480 bytes", wrap(`{` + good + `,"Principal":"*"` + here + `,"Sid":"` + strings.Repeat("x", 20480) + `"}`), ``},
		{"resource", "not JSON", `{`, `not`},
	}
	if len(cases) < 30 {
		t.Fatalf("only %d documents", len(cases))
	}
	for _, c := range cases {
		status, header, said := s.putsPolicy(t, a, c.kind, c.document)
		if status != 400 || !strings.Contains(said, c.words) {
			t.Errorf("%s, %s: %d %s, want 400 %s", c.kind, c.name, status, said, c.words)
		}
		if header.Get("X-Amzn-Requestid") == "" {
			t.Errorf("%s, %s: no request id: %v", c.kind, c.name, header)
		}
		if c.kind != "resource" && !strings.Contains(said, "<Code>MalformedPolicyDocument") {
			t.Errorf("%s, %s: no code: %s", c.kind, c.name, said)
		}
		if c.kind == "resource" && !strings.HasPrefix(header.Get("X-Amzn-Errortype"), "ValidationException") {
			t.Errorf("%s, %s: no code: %v %s", c.kind, c.name, header, said)
		}
	}
	t.Logf("%d documents", len(cases))
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	doc, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}
