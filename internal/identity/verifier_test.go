package identity_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity"
)

const (
	keyID     = "AKIAMOORAGEEXAMPLE01"
	tempID    = "ASIAMOORAGEEXAMPLE02"
	secret    = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	token     = "IQoJb3JpZ2luX2VjEXAMPLE//token+with=signs"
	principal = "arn:aws:iam::123456789012:user/ada"
	role      = "arn:aws:sts::123456789012:assumed-role/deploy/pid-17"
	noBody    = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	arnPath   = "/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A123456789012%3Aruntime%2Fdemo-abcdefghij/invocations"
)

var now = time.Date(2026, 11, 22, 19, 30, 0, 0, time.UTC)

func keys(_ context.Context, id string) (identity.AccessKey, error) {
	switch id {
	case keyID:
		return identity.AccessKey{Secret: secret, Principal: principal}, nil
	case tempID:
		return identity.AccessKey{Secret: secret, Principal: role, Token: token, Expires: now.Add(time.Hour)}, nil
	}
	return identity.AccessKey{}, moorage.Errorf(moorage.NotFound, "no such key")
}

// door is a server that answers only what verifies.
type door struct {
	*httptest.Server
	verifier *identity.Verifier
	from     func(context.Context) context.Context // adds where requests come from; nil adds nothing
	patience time.Duration                         // with bodies; 0 for no end

	mu     sync.Mutex
	signed identity.Signed
	body   []byte // as the handler saw it
	err    error
}

func newDoor(t testing.TB) *door {
	d := &door{verifier: &identity.Verifier{
		Keys:     keys,
		Services: map[string]int64{identity.AgentCore: 4 << 20, identity.S3: 0},
		Regions:  []string{"us-east-1"},
		TempDir:  t.TempDir(),
		Now:      func() time.Time { return now },
	}}
	d.Server = httptest.NewServer(http.HandlerFunc(d.serve))
	t.Cleanup(d.Close)
	return d
}

func (d *door) serve(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.from != nil {
		r = r.WithContext(d.from(r.Context()))
	}
	if d.patience > 0 {
		http.NewResponseController(w).SetReadDeadline(time.Now().Add(d.patience))
	}
	d.signed, d.err = d.verifier.Verify(r)
	if d.err != nil {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	defer r.Body.Close()
	d.body, d.err = io.ReadAll(r.Body)
}

// try sends r and returns what the verifier said.
func (d *door) try(t testing.TB, r *http.Request) (identity.Signed, error) {
	t.Helper()
	reply, err := d.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, reply.Body)
	reply.Body.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.signed, d.err
}

func (d *door) request(t testing.TB, method, pathAndQuery string, body []byte) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, d.URL+pathAndQuery, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// how a request is signed; the zero value is a good one.
type how struct {
	id, secret, token, service, region string
	at                                 time.Time
	hash                               string
	sendHash                           bool
}

func signRequest(t testing.TB, r *http.Request, body []byte, h how) {
	t.Helper()
	h = h.filled(body)
	if h.sendHash {
		r.Header.Set("X-Amz-Content-Sha256", h.hash)
	}
	credentials := aws.Credentials{AccessKeyID: h.id, SecretAccessKey: h.secret, SessionToken: h.token}
	single := func(o *v4.SignerOptions) { o.DisableURIPathEscaping = h.service == identity.S3 }
	if err := v4.NewSigner().SignHTTP(t.Context(), credentials, r, h.hash, h.service, h.region, h.at, single); err != nil {
		t.Fatal(err)
	}
}

func (h how) filled(body []byte) how {
	for _, d := range []struct {
		field *string
		value string
	}{{&h.id, keyID}, {&h.secret, secret}, {&h.service, identity.AgentCore}, {&h.region, "us-east-1"}, {&h.hash, hashOf(body)}} {
		if *d.field == "" {
			*d.field = d.value
		}
	}
	if h.at.IsZero() {
		h.at = now
	}
	return h
}

func hashOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

func wantException(t *testing.T, err error, code moorage.Code, exception string) {
	t.Helper()
	var e *moorage.Error
	if !errors.As(err, &e) || e.Code != code || e.Exception != exception {
		t.Fatalf("got %#v, want %s with %q", err, code, exception)
	}
}

// The example of AWS's own documentation, with its published signature.
// Source: AWS General Reference, "Signature Version 4 signing process", ListUsers.
func TestVerify_documentedExample(t *testing.T) {
	v := &identity.Verifier{
		Keys:     keys,
		Services: map[string]int64{"iam": 0},
		Now:      func() time.Time { return time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC) },
	}
	v.Keys = func(context.Context, string) (identity.AccessKey, error) {
		return identity.AccessKey{Secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", Principal: principal}, nil
	}
	r := httptest.NewRequest("GET", "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08", nil)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	r.Header.Set("X-Amz-Date", "20150830T123600Z")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7")
	if _, err := v.Verify(r); err != nil {
		t.Fatal(err)
	}
}

func TestVerify_acceptsWhatClientsSend(t *testing.T) {
	body := []byte(`{"prompt":"héllo"}`)
	big := make([]byte, 3<<20)
	rand.Read(big)
	for name, c := range map[string]struct {
		method, target string
		body           []byte
		how            how
		want           moorage.Caller
	}{
		"ARN in the path":         {"POST", arnPath + "?qualifier=DEFAULT", body, how{}, moorage.Caller{}},
		"hash sent":               {"POST", arnPath, body, how{sendHash: true}, moorage.Caller{}},
		"body in a file":          {"POST", arnPath, big, how{}, moorage.Caller{}},
		"body in a file, hashed":  {"POST", arnPath, big, how{sendHash: true}, moorage.Caller{}},
		"just what memory holds":  {"POST", arnPath, big[:1<<20], how{}, moorage.Caller{}},
		"slash at the end":        {"PUT", "/runtimes/", body, how{}, moorage.Caller{}},
		"no body":                 {"GET", "/runtimes/demo-abcdefghij/", nil, how{}, moorage.Caller{}},
		"colons not escaped":      {"POST", strings.ReplaceAll(arnPath, "%3A", ":"), body, how{}, moorage.Caller{}},
		"query to sort":           {"GET", "/x?b=2&a=1&a=%2F&c&B=~%20%2B", nil, how{}, moorage.Caller{}},
		"S3 key":                  {"PUT", "/bucket/a%20b/%28c%29/d%2Be", body, how{service: identity.S3, sendHash: true}, moorage.Caller{}},
		"a role's session":        {"POST", arnPath, body, how{id: tempID, token: token}, moorage.Caller{}},
		"clock 14 minutes behind": {"POST", arnPath, body, how{at: now.Add(-14 * time.Minute)}, moorage.Caller{}},
		"clock 14 minutes ahead":  {"POST", arnPath, body, how{at: now.Add(14 * time.Minute)}, moorage.Caller{}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t)
			r := d.request(t, c.method, c.target, c.body)
			r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", "0123456789abcdef0123456789abcdef-session")
			signRequest(t, r, c.body, c.how)
			r.Header.Set("X-Amzn-Trace-Id", "Root=1-unsigned") // clients add it after signing
			signed, err := d.try(t, r)
			if err != nil {
				t.Fatal(err)
			}
			want := identity.Signed{Caller: moorage.Caller{Source: moorage.SigV4, ARN: principal, Account: "123456789012", AccessKeyID: keyID},
				Service: c.how.filled(nil).service, Region: "us-east-1"}
			if c.how.id == tempID {
				want.Caller.ARN, want.Caller.AccessKeyID = role, tempID
			}
			if signed != want {
				t.Errorf("got %+v, want %+v", signed, want)
			}
			if !bytes.Equal(d.body, c.body) {
				t.Errorf("the handler read %d bytes, want the %d that were sent", len(d.body), len(c.body))
			}
		})
	}
}

// AWS's own signer is the oracle: whatever it signs, we accept.
func TestVerify_agreesWithAWSSigner(t *testing.T) {
	d := newDoor(t)
	random := mathrand.New(mathrand.NewPCG(1, 2))
	for i := range 400 {
		body := []byte(randomText(random, 200))
		target := "/" + escapeSome(random, randomText(random, 30))
		for range random.IntN(4) {
			target += "/" + escapeSome(random, randomText(random, 12))
		}
		target += "?" + randomQuery(random)
		r := d.request(t, "POST", target, body)
		for range random.IntN(5) {
			r.Header.Add("X-Amzn-Bedrock-AgentCore-Runtime-Custom-"+string(rune('A'+random.IntN(3))), randomHeader(random))
		}
		signRequest(t, r, body, how{sendHash: random.IntN(2) == 0})
		if _, err := d.try(t, r); err != nil {
			t.Fatalf("request %d: %s\nheaders %v\n%v", i, target, r.Header, err)
		}
	}
}

func randomText(random *mathrand.Rand, limit int) string {
	alphabet := []rune("abcXYZ019-_.~ !\"#$&'()*+,/:;<=>?@[]^`{|}%éß☃")
	text := make([]rune, 1+random.IntN(limit))
	for i := range text {
		text[i] = alphabet[random.IntN(len(alphabet))]
	}
	return string(text)
}

// escapeSome escapes what has to be, and some of what need not.
func escapeSome(random *mathrand.Rand, s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		plain := c < 0x80 && strings.IndexByte("abcXYZ019-_.~!$&'()*+,:;=@", c) >= 0
		if plain && random.IntN(8) > 0 && c != '.' {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

func randomQuery(random *mathrand.Rand) string {
	var parts []string
	for range random.IntN(5) {
		name, value := strings.ReplaceAll(randomText(random, 6), "%", ""), randomText(random, 10)
		parts = append(parts, awsEscape(name)+"="+awsEscape(value))
	}
	return strings.Join(parts, "&")
}

func awsEscape(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c < 0x80 && strings.IndexByte("abcXYZ019-_.~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func randomHeader(random *mathrand.Rand) string {
	alphabet := "abc   XYZ;,=\"09"
	text := make([]byte, random.IntN(20))
	for i := range text {
		text[i] = alphabet[random.IntN(len(alphabet))]
	}
	return strings.TrimSpace(string(text))
}

func TestVerify_refusesWhatWasChangedOnTheWay(t *testing.T) {
	body := []byte(`{"prompt":"pay ada"}`)
	for name, change := range map[string]func(r *http.Request){
		"method":       func(r *http.Request) { r.Method = "PUT" },
		"path":         func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/runtimes/other/invocations", "" },
		"path escapes": func(r *http.Request) { r.URL.RawPath = strings.Replace(r.URL.RawPath, "%2F", "/", 1) },
		"query":        func(r *http.Request) { r.URL.RawQuery = "qualifier=PROD" },
		"more query":   func(r *http.Request) { r.URL.RawQuery += "&accountId=1" },
		"no query":     func(r *http.Request) { r.URL.RawQuery = "" },
		"host":         func(r *http.Request) { r.Host = "other.example" },
		"content type": func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
		"session":      func(r *http.Request) { r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", "other") },
		"added user":   func(r *http.Request) { r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-User-Id", "root") },
		"added x-amz":  func(r *http.Request) { r.Header.Set("X-Amz-Target", "Delete") },
		"second value": func(r *http.Request) { r.Header.Add("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", "other") },
		"date":         func(r *http.Request) { r.Header.Set("X-Amz-Date", now.Add(time.Minute).Format("20060102T150405Z")) },
		"body":         func(r *http.Request) { setBody(r, `{"prompt":"pay eve"}`) },
		"no body":      func(r *http.Request) { setBody(r, "") },
		"signature": func(r *http.Request) {
			authorization(r, func(s string) string { return s[:len(s)-1] + flip(s[len(s)-1:]) })
		},
		"region": func(r *http.Request) {
			authorization(r, func(s string) string { return strings.Replace(s, "us-east-1", "eu-west-1", 1) })
		},
		"service": func(r *http.Request) {
			authorization(r, func(s string) string { return strings.Replace(s, "/bedrock-agentcore/", "/sts/", 1) })
		},
		"fewer headers": func(r *http.Request) {
			authorization(r, func(s string) string { return strings.Replace(s, "content-type;", "", 1) })
		},
	} {
		for _, sendHash := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/hash sent %t", name, sendHash), func(t *testing.T) {
				d := newDoor(t)
				r := d.request(t, "POST", arnPath+"?qualifier=DEFAULT", body)
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", "0123456789abcdef0123456789abcdef-session")
				signRequest(t, r, body, how{sendHash: sendHash})
				change(r)
				_, err := d.try(t, r)
				wantException(t, err, moorage.Unauthenticated, "InvalidSignatureException")
			})
		}
	}
}

func setBody(r *http.Request, body string) {
	r.Body = io.NopCloser(strings.NewReader(body))
	r.ContentLength = int64(len(body))
}

func authorization(r *http.Request, change func(string) string) {
	r.Header.Set("Authorization", change(r.Header.Get("Authorization")))
}

func flip(hexDigit string) string {
	if hexDigit == "0" {
		return "1"
	}
	return "0"
}

func TestVerify_namesWhatIsWrong(t *testing.T) {
	const unauthenticated = moorage.Unauthenticated
	for name, c := range map[string]struct {
		how       how
		change    func(*http.Request)
		code      moorage.Code
		exception string
	}{
		"not signed":       {change: func(r *http.Request) { r.Header.Del("Authorization") }, code: unauthenticated, exception: "MissingAuthenticationTokenException"},
		"bearer token":     {change: func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, code: moorage.Denied},
		"signed twice":     {change: func(r *http.Request) { r.Header.Add("Authorization", r.Header.Get("Authorization")) }, code: moorage.Invalid, exception: "IncompleteSignatureException"},
		"header and query": {change: func(r *http.Request) { r.URL.RawQuery = "X-Amz-Signature=0" }, code: moorage.Invalid, exception: "IncompleteSignatureException"},
		"half a signature": {change: func(r *http.Request) { authorization(r, func(s string) string { return s[:len(s)-3] }) }, code: moorage.Invalid, exception: "IncompleteSignatureException"},
		"long header": {change: func(r *http.Request) {
			authorization(r, func(s string) string { return s + strings.Repeat(" ", 8<<10) + "x" })
		}, code: moorage.Invalid, exception: "IncompleteSignatureException"},
		"key unknown":        {how: how{id: "AKIANOBODY"}, code: unauthenticated, exception: "UnrecognizedClientException"},
		"key unknown to S3":  {how: how{id: "AKIANOBODY", service: identity.S3, sendHash: true}, code: unauthenticated, exception: "InvalidAccessKeyId"},
		"wrong secret":       {how: how{secret: "wrong"}, code: unauthenticated, exception: "InvalidSignatureException"},
		"wrong secret to S3": {how: how{secret: "wrong", service: identity.S3, sendHash: true}, code: unauthenticated, exception: "SignatureDoesNotMatch"},
		"token missing":      {how: how{id: tempID}, code: unauthenticated, exception: "UnrecognizedClientException"},
		"token wrong":        {how: how{id: tempID, token: "other"}, code: unauthenticated, exception: "UnrecognizedClientException"},
		"token left over":    {how: how{token: token}, code: unauthenticated, exception: "UnrecognizedClientException"},
		"too old":            {how: how{at: now.Add(-16 * time.Minute)}, code: unauthenticated, exception: "InvalidSignatureException"},
		"too old for S3":     {how: how{at: now.Add(-16 * time.Minute), service: identity.S3, sendHash: true}, code: unauthenticated, exception: "RequestTimeTooSkewed"},
		"from the future":    {how: how{at: now.Add(16 * time.Minute)}, code: unauthenticated, exception: "InvalidSignatureException"},
		"other service":      {how: how{service: "ec2"}, code: unauthenticated, exception: "InvalidSignatureException"},
		"other region":       {how: how{region: "eu-west-1"}, code: unauthenticated, exception: "InvalidSignatureException"},
		"unsigned body":      {how: how{hash: "UNSIGNED-PAYLOAD", sendHash: true}, code: unauthenticated, exception: "InvalidSignatureException"},
		"body in chunks":     {how: how{hash: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", sendHash: true}, code: unauthenticated, exception: "InvalidSignatureException"},
		"not a hash":         {how: how{hash: "abc", sendHash: true}, code: moorage.Invalid, exception: "IncompleteSignatureException"},
		"other body's hash":  {how: how{hash: noBody, sendHash: true}, code: unauthenticated, exception: "InvalidSignatureException"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t)
			body := []byte("{}")
			r := d.request(t, "POST", arnPath, body)
			signRequest(t, r, body, c.how)
			if c.change != nil {
				c.change(r)
			}
			_, err := d.try(t, r)
			wantException(t, err, c.code, c.exception)
		})
	}
}

func TestVerify_expiredCredentials(t *testing.T) {
	d := newDoor(t)
	later := now.Add(2 * time.Hour)
	d.verifier.Now = func() time.Time { return later }
	r := d.request(t, "GET", "/", nil)
	signRequest(t, r, nil, how{id: tempID, token: token, at: later})
	_, err := d.try(t, r)
	wantException(t, err, moorage.Unauthenticated, "ExpiredTokenException")
}

func TestVerify_unsignedBodyWhereAllowed(t *testing.T) {
	d := newDoor(t)
	d.verifier.UnsignedPayload = true
	d.verifier.Services[identity.S3] = 1000
	for size, wantErr := range map[int]moorage.Code{1000: "", 1001: moorage.Invalid} {
		r := d.request(t, "PUT", "/bucket/key", make([]byte, size))
		signRequest(t, r, nil, how{service: identity.S3, hash: "UNSIGNED-PAYLOAD", sendHash: true})
		if _, err := d.try(t, r); moorage.CodeOf(err) != wantErr {
			t.Errorf("%d bytes: got %v, want %q", size, err, wantErr)
		}
		r = d.request(t, "PUT", "/bucket/key", nil)
		signRequest(t, r, nil, how{service: identity.S3, hash: "UNSIGNED-PAYLOAD", sendHash: true})
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(make([]byte, size))), -1 // chunked
		if _, err := d.try(t, r); moorage.CodeOf(err) != wantErr {
			t.Errorf("%d bytes in chunks: got %v, want %q", size, err, wantErr)
		}
	}
}

func TestVerify_bodyOverTheLimitIsNamed(t *testing.T) {
	for _, sendHash := range []bool{false, true} {
		d := newDoor(t)
		body := make([]byte, 4<<20+1)
		r := d.request(t, "POST", arnPath, body)
		signRequest(t, r, body, how{sendHash: sendHash})
		_, err := d.try(t, r)
		if moorage.CodeOf(err) != moorage.Invalid || !strings.Contains(err.Error(), "4194304 bytes") {
			t.Errorf("hash sent %t: got %v, want Invalid that names the limit", sendHash, err)
		}
	}
}

func TestVerify_bodyThatDoesNotComeIsNamed(t *testing.T) {
	for service, exception := range map[string]string{identity.AgentCore: "RequestTimeoutException", identity.S3: "RequestTimeout"} {
		d := newDoor(t)
		d.patience = 10 * time.Millisecond
		body := []byte("a body that is cut")
		r := d.request(t, "POST", "/x", body)
		signRequest(t, r, body, how{service: service})
		rest, late := io.Pipe()
		r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:5]), rest))
		_, err := d.try(t, r)
		late.Close()
		wantException(t, err, moorage.Invalid, exception)
	}
}

func TestVerify_leavesNoFiles(t *testing.T) {
	d := newDoor(t)
	body := make([]byte, 3<<20)
	for _, h := range []how{{}, {sendHash: true}, {secret: "wrong"}, {hash: hashOf(nil), sendHash: true}} {
		r := d.request(t, "POST", arnPath, body)
		signRequest(t, r, body, h)
		d.try(t, r)
	}
	if left, err := os.ReadDir(d.verifier.TempDir); err != nil || len(left) > 0 {
		t.Errorf("left in the directory: %v, %v", left, err)
	}
}

func presign(t *testing.T, d *door, target string, expires time.Duration, service string) *http.Request {
	t.Helper()
	separator := "?"
	if strings.Contains(target, "?") {
		separator = "&"
	}
	r := d.request(t, "GET", fmt.Sprintf("%s%sX-Amz-Expires=%d", target, separator, int(expires.Seconds())), nil)
	hash := noBody
	if service == identity.S3 {
		hash = "UNSIGNED-PAYLOAD"
	}
	single := func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == identity.S3 }
	address, headers, err := v4.NewSigner().PresignHTTP(t.Context(), aws.Credentials{AccessKeyID: tempID, SecretAccessKey: secret, SessionToken: token},
		r, hash, service, "us-east-1", now, single)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := http.NewRequest("GET", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	headers.Del("Host")
	signed.Header = headers
	return signed
}

func TestVerify_presignedAddress(t *testing.T) {
	socket := strings.TrimSuffix(arnPath, "invocations") + "ws?X-Amzn-Bedrock-AgentCore-Runtime-Session-Id=0123456789abcdef0123456789abcdef-s"
	for name, c := range map[string]struct {
		target, service string
		expires, later  time.Duration
		change          func(*http.Request)
		exception       string
	}{
		"good for 5 minutes":     {target: socket, expires: 300 * time.Second, later: 299 * time.Second},
		"over":                   {target: socket, expires: 60 * time.Second, later: 61 * time.Second, exception: "InvalidSignatureException"},
		"too long for a socket":  {target: socket, expires: 301 * time.Second, exception: "IncompleteSignatureException"},
		"a day, not for sockets": {target: "/x", expires: 24 * time.Hour, later: 59 * time.Minute},
		"eight days":             {target: "/x", expires: 8 * 24 * time.Hour, exception: "IncompleteSignatureException"},
		"S3, body not covered":   {target: "/bucket/key%20k", service: identity.S3, expires: time.Hour},
		"session changed": {target: socket, expires: 300 * time.Second, exception: "InvalidSignatureException",
			change: func(r *http.Request) {
				r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "0123456789abcdef-s", "0123456789abcdef-t", 1)
			}},
		"longer life": {target: socket, expires: 60 * time.Second, exception: "InvalidSignatureException",
			change: func(r *http.Request) {
				r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "Expires=60", "Expires=61", 1)
			}},
		"header added": {target: socket, expires: 60 * time.Second, exception: "InvalidSignatureException",
			change: func(r *http.Request) { r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-User-Id", "root") }},
		"body added": {target: socket, expires: 60 * time.Second, exception: "InvalidSignatureException",
			change: func(r *http.Request) { setBody(r, "x") }},
		"parameter twice": {target: socket, expires: 60 * time.Second, exception: "IncompleteSignatureException",
			change: func(r *http.Request) { r.URL.RawQuery += "&X-Amz-Expires=9" }},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t)
			d.verifier.UnsignedPayload = true
			if c.service == "" {
				c.service = identity.AgentCore
			}
			r := presign(t, d, c.target, c.expires, c.service)
			d.verifier.Now = func() time.Time { return now.Add(c.later) }
			if c.change != nil {
				c.change(r)
			}
			_, err := d.try(t, r)
			var e *moorage.Error
			if errors.As(err, &e); c.exception == "" && err != nil || c.exception != "" && (e == nil || e.Exception != c.exception) {
				t.Fatalf("got %v, want %q", err, c.exception)
			}
		})
	}
}

func TestVerify_storeTroubleIsNotTheCallersFault(t *testing.T) {
	d := newDoor(t)
	d.verifier.Keys = func(context.Context, string) (identity.AccessKey, error) {
		return identity.AccessKey{}, moorage.Errorf(moorage.Unavailable, "the disk is full")
	}
	r := d.request(t, "GET", "/", nil)
	signRequest(t, r, nil, how{})
	if _, err := d.try(t, r); moorage.CodeOf(err) != moorage.Unavailable {
		t.Errorf("got %v, want Unavailable", err)
	}
}

func TestVerify_newSecretMeetsNoOldKey(t *testing.T) {
	d := newDoor(t)
	current := "first"
	d.verifier.Keys = func(context.Context, string) (identity.AccessKey, error) {
		return identity.AccessKey{Secret: current, Principal: principal}, nil
	}
	for _, c := range []struct {
		stored, used string
		ok           bool
	}{{"first", "first", true}, {"second", "first", false}, {"second", "second", true}} {
		current = c.stored
		r := d.request(t, "GET", "/", nil)
		signRequest(t, r, nil, how{secret: c.used})
		if _, err := d.try(t, r); (err == nil) != c.ok {
			t.Errorf("stored %s, used %s: %v", c.stored, c.used, err)
		}
	}
}
