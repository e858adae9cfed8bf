package s3_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moorage-dev/moorage/internal/aws/s3"
	"github.com/moorage-dev/moorage/internal/object"
)

func newServer(t *testing.T) *httptest.Server {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	srv := httptest.NewServer(&s3.Handler{Objects: &object.Store{Dir: filepath.Join(t.TempDir(), "objects")}, Region: "us-east-1", Log: log})
	t.Cleanup(srv.Close)
	return srv
}

// TestBoto3 runs testdata/client.py: what AWS's own Python client does with buckets and objects.
func TestBoto3(t *testing.T) {
	python := os.Getenv("MOORAGE_PYTHON")
	if python == "" {
		t.Skip("no Python with boto3: set MOORAGE_PYTHON to one")
	}
	cmd := exec.CommandContext(t.Context(), python, "testdata/client.py", newServer(t).URL)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret", "AWS_EC2_METADATA_DISABLED=true")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// ask makes one request and returns its status and body.
func ask(t *testing.T, method, url, body string, header map[string]string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestRefusalsHaveS3sNames(t *testing.T) {
	srv := newServer(t)
	ask(t, "PUT", srv.URL+"/bucket", "", nil)
	ask(t, "PUT", srv.URL+"/bucket/key", "x", nil)
	for _, c := range []struct {
		method, path, body string
		header             map[string]string
		status             int
		code               string
	}{
		{"GET", "/none", "", nil, 404, "NoSuchBucket"},
		{"GET", "/bucket/none", "", nil, 404, "NoSuchKey"},
		{"PUT", "/Bad_Bucket", "", nil, 400, "InvalidArgument"},
		{"DELETE", "/bucket", "", nil, 409, "BucketNotEmpty"},
		{"DELETE", "/bucket/key?uploadId=0", "", nil, 404, "NoSuchUpload"},
		{"PUT", "/bucket/key?uploadId=0&partNumber=x", "", nil, 400, "InvalidArgument"},
		{"POST", "/bucket/key?uploadId=0", "<not xml", nil, 400, "InvalidArgument"},
		{"PUT", "/bucket/new", "x", map[string]string{"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}, 400, "BadDigest"},
		{"PUT", "/bucket/new", "x", map[string]string{"Content-MD5": "nonsense"}, 400, "InvalidDigest"},
		{"PUT", "/bucket/copy", "", map[string]string{"x-amz-copy-source": "/bucket/key"}, 501, "NotImplemented"},
		{"GET", "/bucket?acl", "", nil, 501, "NotImplemented"},
		{"PUT", "/bucket?versioning", "", nil, 501, "NotImplemented"},
		{"GET", "/bucket?continuation-token=%25", "", nil, 400, "InvalidArgument"},
		{"GET", "/", "", nil, 501, "NotImplemented"},
		{"PATCH", "/bucket/key", "", nil, 501, "NotImplemented"},
	} {
		status, body := ask(t, c.method, srv.URL+c.path, c.body, c.header)
		if status != c.status || !strings.Contains(body, "<Code>"+c.code+"</Code>") {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, status, body, c.status, c.code)
		}
	}
	if status, _ := ask(t, "GET", srv.URL+"/bucket/new", "", nil); status != 404 {
		t.Errorf("a body that failed its check was stored: %d", status)
	}
}
