package identity_test

import (
	"bytes"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/moorage-dev/moorage/internal/identity"
)

// sample is a request that AWS's signer signed, as it comes over the wire.
type sample struct {
	method, target, host string
	header               http.Header
	body                 []byte
	presigned            bool
}

// request makes the request anew: verifying uses one up.
func (s sample) request() *http.Request {
	r := httptest.NewRequest(s.method, s.target, bytes.NewReader(s.body))
	r.Host, r.Header, r.ContentLength = s.host, s.header.Clone(), int64(len(s.body))
	return r
}

// randomSample signs something by chance: method, path, query, headers, body, service, kind of key, and form.
func randomSample(t *testing.T, random *mathrand.Rand) sample {
	t.Helper()
	body := []byte(randomText(random, 200))
	toS3 := random.IntN(4) == 0
	segment := func(limit int) string {
		text := randomText(random, limit)
		if toS3 { // its clients escape all that AWS's rule has them escape, but no slash, and sign the path as it is
			return "/" + strings.ReplaceAll(awsEscape(text), "%2F", "/")
		}
		return "/" + escapeSome(random, text)
	}
	target := segment(30)
	for range random.IntN(4) {
		target += segment(12)
	}
	target += "?" + randomQuery(random)
	method := []string{"GET", "POST", "PUT", "DELETE", "PATCH"}[random.IntN(5)]
	r, err := http.NewRequest(method, "http://agents.example.com:9400"+target, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for range random.IntN(5) {
		r.Header.Add("X-Amzn-Bedrock-AgentCore-Runtime-Custom-"+string(rune('A'+random.IntN(3))), randomHeader(random))
	}
	h := how{sendHash: random.IntN(2) == 0, at: now.Add(time.Duration(random.IntN(1600)-800) * time.Second)}
	if random.IntN(3) == 0 {
		h.id, h.token = tempID, token
	}
	if toS3 {
		h.service, h.sendHash = identity.S3, true
	}
	if random.IntN(2) == 0 {
		signRequest(t, r, body, h)
		return sampleOf(r, body, false)
	}
	return presignedSample(t, random, r, body, h)
}

func sampleOf(r *http.Request, body []byte, presigned bool) sample {
	return sample{r.Method, r.URL.RequestURI(), r.URL.Host, r.Header, body, presigned}
}

// presignedSample has the signature in the query. What is signed of the body is said there, too: without a word it would be that there is none.
func presignedSample(t *testing.T, random *mathrand.Rand, r *http.Request, body []byte, h how) sample {
	t.Helper()
	h.at = now.Add(-time.Duration(random.IntN(600)) * time.Second)
	h = h.filled(body)
	query := r.URL.RawQuery
	if query != "" {
		query += "&"
	}
	r.URL.RawQuery = fmt.Sprintf("%sX-Amz-Expires=%d&X-Amz-Content-Sha256=%s", query, 600+random.IntN(86400), h.hash)
	single := func(o *v4.SignerOptions) { o.DisableURIPathEscaping = h.service == identity.S3 }
	key := aws.Credentials{AccessKeyID: h.id, SecretAccessKey: h.secret, SessionToken: h.token}
	at, header, err := v4.NewSigner().PresignHTTP(t.Context(), key, r, h.hash, h.service, h.region, h.at, single)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	r.URL, r.Header = u, header.Clone()
	r.Header.Del("Host")
	return sampleOf(r, body, true)
}

// AWS's own signer is the oracle: whatever it signs, in either form, passes with its body, and not with one byte changed.
func TestVerify_agreesWithAWSSignerInBothForms(t *testing.T) {
	v := newDoor(t).verifier
	v.Services = map[string]int64{identity.AgentCore: 4 << 20, identity.S3: 0}
	random := mathrand.New(mathrand.NewPCG(3, 4))
	forms := map[bool]int{}
	for i := range 2000 {
		s := randomSample(t, random)
		forms[s.presigned]++
		r := s.request()
		if _, err := v.Verify(r); err != nil {
			t.Fatalf("request %d, presigned %t: %s %s\nheaders %v\n%v", i, s.presigned, s.method, s.target, s.header, err)
		}
		if got, err := io.ReadAll(r.Body); err != nil || !bytes.Equal(got, s.body) {
			t.Fatalf("request %d: the body is %q (%v), want %q", i, got, err, s.body)
		}
		r.Body.Close()
		spoiled, what := s.spoiled(random)
		r = spoiled.request()
		if signed, err := v.Verify(r); err == nil {
			t.Fatalf("request %d, presigned %t, passes as %+v with another %s: %s %s, was %s\nheaders %v", i, s.presigned, signed, what, spoiled.method, spoiled.target, s.target, spoiled.header)
		}
	}
	if forms[true] < 500 || forms[false] < 500 {
		t.Errorf("of the forms there were %v", forms)
	}
}

// spoiled changes one thing that is signed.
func (s sample) spoiled(random *mathrand.Rand) (out sample, what string) {
	s.header, s.body = s.header.Clone(), slices.Clone(s.body)
	switch random.IntN(6) {
	case 0:
		s.body[random.IntN(len(s.body))] ^= 1 << random.IntN(8)
		return s, "body"
	case 1:
		s.method = map[string]string{"GET": "POST", "POST": "PUT", "PUT": "DELETE", "DELETE": "PATCH", "PATCH": "GET"}[s.method]
		return s, "method"
	case 2:
		path, query, _ := strings.Cut(s.target, "?")
		s.target = path + "x?" + query
		return s, "path"
	case 3:
		s.target += "&added=1"
		return s, "query"
	case 4:
		s.host = "other.example.com"
		return s, "host"
	}
	s.header.Add("X-Amzn-Bedrock-AgentCore-Runtime-Custom-A", "added")
	return s, "header"
}
