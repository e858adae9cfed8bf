package cli

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
)

const serviceName = "bedrock-agentcore"

// address is where a server is and who we are to it: the contents of client.json.
type address struct {
	Endpoint        string `json:"endpoint"` // such as http://127.0.0.1:9400
	Region          string `json:"region"`
	Account         string `json:"account"`
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
	SessionToken    string `json:"-"`
	PID             int    `json:"pid"`
}

// dataDir is the server directory that the command means, absolute.
func (a *app) dataDir() (string, error) {
	dir := a.dir
	if dir == "" {
		dir = os.Getenv("MOORAGE_DIR")
	}
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", usagef("no directory is known: %v; use --dir", err)
		}
		dir = filepath.Join(home, ".moorage")
	}
	return filepath.Abs(dir)
}

// address finds the server. An address given beats a directory, but --dir beats an address that
// only the environment names.
func (a *app) address() (address, error) {
	endpoint := a.endpoint
	if endpoint == "" && a.dir == "" {
		endpoint = os.Getenv("MOORAGE_ENDPOINT")
	}
	if endpoint != "" {
		return a.addressOf(endpoint)
	}
	dir, err := a.dataDir()
	if err != nil {
		return address{}, err
	}
	addr, err := readAddress(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return address{}, a.noServer(fmt.Errorf("no Moorage server has run in %s", short(dir)))
	}
	return addr, err
}

// addressOf is the server at an address, with the credentials of the environment, or else those of
// the directory if they are for that very address.
func (a *app) addressOf(endpoint string) (address, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return address{}, usagef("%q is not an address such as http://127.0.0.1:9400", endpoint)
	}
	addr := address{
		Endpoint: strings.TrimSuffix(endpoint, "/"), Region: firstOf(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), "us-east-1"),
		Account: os.Getenv("AWS_ACCOUNT_ID"), AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"),
		SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: os.Getenv("AWS_SESSION_TOKEN"),
	}
	if addr.AccessKeyID != "" && addr.SecretAccessKey != "" {
		return addr, nil
	}
	if dir, err := a.dataDir(); err == nil {
		if known, err := readAddress(dir); err == nil && known.Endpoint == addr.Endpoint {
			return known, nil
		}
	}
	return address{}, advise(usagef("no credentials for %s", endpoint),
		"set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (on the server's machine `moorage env` prints them)")
}

func readAddress(dir string) (addr address, err error) {
	doc, err := os.ReadFile(filepath.Join(dir, "client.json"))
	if err != nil {
		return addr, err
	}
	if err := json.Unmarshal(doc, &addr); err != nil {
		return addr, fmt.Errorf("read %s: %w", short(filepath.Join(dir, "client.json")), err)
	}
	return addr, nil
}

func (a *app) noServer(err error) error {
	todo := "start one: moorage serve"
	if a.dir != "" {
		todo += " --dir " + shellWord(a.dir)
	}
	return advise(err, "%s", todo)
}

// client speaks to one server.
type client struct {
	address
	control *bedrockagentcorecontrol.Client
	data    *bedrockagentcore.Client
	http    *http.Client
	signer  *v4.Signer
}

// connect makes a client of the server that the command means. It sends nothing yet.
func (a *app) connect() (*client, error) {
	addr, err := a.address()
	if err != nil {
		return nil, err
	}
	transport, err := a.transport(addr)
	if err != nil {
		return nil, err
	}
	c := &client{address: addr, http: &http.Client{Transport: transport}, signer: v4.NewSigner()}
	provider := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return c.credentials(), nil })
	// Nothing is retried: a person who waits wants the error, and an agent may have acted already.
	c.control = bedrockagentcorecontrol.New(bedrockagentcorecontrol.Options{
		BaseEndpoint: &c.Endpoint, Region: c.Region, Credentials: provider, HTTPClient: c.http, Retryer: aws.NopRetryer{},
	})
	c.data = bedrockagentcore.New(bedrockagentcore.Options{
		BaseEndpoint: &c.Endpoint, Region: c.Region, Credentials: provider, HTTPClient: c.http, Retryer: aws.NopRetryer{},
	})
	return c, nil
}

func (c *client) credentials() aws.Credentials {
	return aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}
}

// transport dials quickly or not at all, and turns a refused connection into advice.
func (a *app) transport(addr address) (http.RoundTripper, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: 5 * time.Second}).DialContext
	if bundle := os.Getenv("AWS_CA_BUNDLE"); bundle != "" {
		pem, err := os.ReadFile(bundle)
		if err != nil {
			return nil, fmt.Errorf("read AWS_CA_BUNDLE: %w", err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		t.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	return advisingTransport{t, a, addr}, nil
}

type advisingTransport struct {
	http.RoundTripper
	app  *app
	addr address
}

func (t advisingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(r)
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" && r.Context().Err() == nil {
		return nil, unreachable{t.app.noServer(fmt.Errorf("no Moorage server answers at %s", t.addr.Endpoint))}
	}
	return resp, err
}

// unreachable is a server that does not answer. The SDK wraps it; explain finds it again.
type unreachable struct{ error }

func (e unreachable) Unwrap() error { return e.error }

// emptySHA256 is the hash of no body.
var emptySHA256 = hex.EncodeToString(sha256.New().Sum(nil))

// sign signs a request as SigV4 has it.
func (c *client) sign(ctx context.Context, r *http.Request, service, bodySHA256 string) error {
	r.Header.Set("X-Amz-Content-Sha256", bodySHA256)
	err := c.signer.SignHTTP(ctx, c.credentials(), r, bodySHA256, service, c.Region, time.Now(), func(o *v4.SignerOptions) {
		o.DisableURIPathEscaping = service == "s3" // S3 alone does not encode the path again
	})
	if err != nil {
		return fmt.Errorf("sign the request: %w", err)
	}
	return nil
}

// do signs and sends a request. The caller closes the response's body. An error answer is an *apiError.
func (c *client) do(ctx context.Context, r *http.Request, service, bodySHA256 string) (*http.Response, error) {
	if err := c.sign(ctx, r, service, bodySHA256); err != nil {
		return nil, err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close()
		return nil, errorAnswer(resp)
	}
	return resp, nil
}

// errorAnswer reads AWS's error shapes: JSON with the name in a header, S3's XML, or that of IAM.
func errorAnswer(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // half an answer still says more than none
	name, _, _ := strings.Cut(resp.Header.Get("X-Amzn-Errortype"), ":")
	e := &apiError{status: resp.StatusCode, name: name, requestID: firstOf(resp.Header.Get("X-Amzn-Requestid"), resp.Header.Get("X-Amz-Request-Id"))}
	var doc struct {
		XMLName xml.Name `xml:"Error" json:"-"`
		Message string   `json:"message" xml:"Message"`
		Code    string   `json:"-" xml:"Code"`
	}
	if json.Unmarshal(body, &doc) != nil {
		var query struct {
			Code    string `xml:"Error>Code"`
			Message string `xml:"Error>Message"`
		}
		if xml.Unmarshal(body, &doc) != nil { // neither is an answer without a message
			_ = xml.Unmarshal(body, &query)
		}
		doc.Message, doc.Code = firstOf(doc.Message, query.Message), firstOf(doc.Code, query.Code)
	}
	e.message, e.name = doc.Message, firstOf(e.name, doc.Code)
	if e.name == "" && resp.StatusCode == http.StatusNotFound {
		e.name = "NotFound"
	}
	if e.message == "" {
		e.message = fmt.Sprintf("%s %s answered %s", resp.Request.Method, resp.Request.URL.Path, resp.Status)
	}
	return e
}

// v1 calls the extension API and decodes its answer into out, unless that is nil.
func (c *client) v1(ctx context.Context, method, path string, query url.Values, out any) error {
	resp, err := c.v1Stream(ctx, method, path, query)
	if err != nil {
		return err
	}
	defer resp.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp).Decode(out); err != nil {
		return fmt.Errorf("read the server's answer to %s /v1/%s: %w", method, path, err)
	}
	return nil
}

// v1Stream calls the extension API and returns the body, which the caller closes.
func (c *client) v1Stream(ctx context.Context, method, path string, query url.Values) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.Endpoint+"/v1/"+path, nil)
	if err != nil {
		return nil, err
	}
	r.URL.RawQuery = query.Encode()
	resp, err := c.do(ctx, r, serviceName, emptySHA256)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// s3 sends one request of the S3 face. Path is /bucket or /bucket/key; body may be nil.
func (c *client) s3(ctx context.Context, method, path string, body io.Reader, length int64, bodySHA256 string) error {
	r, err := http.NewRequestWithContext(ctx, method, c.Endpoint+path, body)
	if err != nil {
		return err
	}
	r.ContentLength = length
	if body == nil {
		bodySHA256 = emptySHA256
	}
	resp, err := c.do(ctx, r, "s3", bodySHA256)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// serverInfo is what a server says of itself.
type serverInfo struct {
	Version   string `json:"version"`
	Account   string `json:"account"`
	Region    string `json:"region"`
	Driver    string `json:"driver"`
	Isolation string `json:"isolation"`
	Warning   string `json:"warning"`
	Endpoint  string `json:"endpoint"`
	Dir       string `json:"dir"`
}

func (c *client) info(ctx context.Context) (info serverInfo, err error) {
	err = c.v1(ctx, "GET", "info", nil, &info)
	return info, err
}

// account is the account that the server keeps runtimes under.
func (c *client) account(ctx context.Context) (string, error) {
	if c.Account == "" {
		info, err := c.info(ctx)
		if err != nil {
			return "", err
		}
		c.Account = info.Account
	}
	return c.Account, nil
}

func firstOf(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}

// short writes a path below the home directory with ~.
func short(path string) string {
	home, err := os.UserHomeDir()
	if rest, ok := strings.CutPrefix(path, home+string(filepath.Separator)); err == nil && ok {
		return "~/" + rest
	}
	return path
}

// shellWord quotes s for a POSIX shell where it needs to be.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./:=@%+,", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
