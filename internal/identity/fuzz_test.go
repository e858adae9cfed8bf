package identity_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/moorage-dev/moorage/internal/identity"
)

// Whatever bytes come, Verify neither panics nor accepts what was not signed: the secret is one that
// no seed was signed with.
func FuzzVerify(f *testing.F) {
	f.Add([]byte("POST " + arnPath + "?qualifier=A HTTP/1.1\r\nHost: h\r\nX-Amz-Date: 20261122T193000Z\r\n" +
		"Authorization: AWS4-HMAC-SHA256 Credential=" + keyID + "/20261122/us-east-1/bedrock-agentcore/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + noBody + "\r\nContent-Length: 2\r\n\r\n{}"))
	f.Add([]byte("GET /b/k%20?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" + keyID + "%2F20261122%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20261122T193000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=" + noBody + " HTTP/1.1\r\nHost: h\r\n\r\n"))
	f.Add([]byte("GET http://proxy?%zz HTTP/1.1\r\nHost: h\r\nAuthorization: AWS4-HMAC-SHA256 =,=\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"))
	f.Add([]byte("GET / HTTP/1.1\r\nHost: h\r\nX-Amz-Date: 20261122T193000Z\r\nX-Amz-Security-Token: AAAA\r\n" +
		"Authorization: AWS4-HMAC-SHA256 Credential=" + tempID + "/20261122/us-east-1/bedrock-agentcore/aws4_request, SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=" + noBody + "\r\n\r\n"))
	temporary, err := identity.NewTemporary(make([]byte, 32))
	if err != nil {
		f.Fatal(err)
	}
	v := &identity.Verifier{
		Temporary: temporary,
		Keys: func(context.Context, string) (identity.AccessKey, error) {
			return identity.AccessKey{Secret: "never signed with"}, nil
		},
		Services: map[string]int64{identity.AgentCore: 1 << 10, identity.S3: 1 << 10},
		Now:      func() time.Time { return now },
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return
		}
		if signed, err := v.Verify(r); err == nil {
			io.Copy(io.Discard, r.Body)
			t.Fatalf("accepted as %+v", signed)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	body := bytes.Repeat([]byte("x"), 1<<10)
	r, err := http.NewRequest("POST", "http://localhost:9400"+arnPath+"?qualifier=DEFAULT", nil)
	if err != nil {
		b.Fatal(err)
	}
	signRequest(b, r, body, how{})
	v := &identity.Verifier{Keys: keys, Services: map[string]int64{identity.AgentCore: 0}, Now: func() time.Time { return now }}
	r.Host = r.URL.Host
	b.ReportAllocs()
	for b.Loop() {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		if _, err := v.Verify(r); err != nil {
			b.Fatal(err)
		}
	}
}
