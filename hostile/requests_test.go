package hostile

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// host is where the server listens.
func (s *server) host(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(s.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// send writes bytes as they are and reads one answer.
func (s *server) send(t *testing.T, request string) answer {
	t.Helper()
	conn, err := net.Dial("tcp", s.host(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	began := time.Now()
	go io.WriteString(conn, request) // a server that refuses early does not read all of it
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return answer{err: err, took: time.Since(began)}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{status: resp.StatusCode, kind: resp.Header.Get("X-Amzn-Errortype"), header: resp.Header, body: string(body), err: err, took: time.Since(began)}
}

// refusedPlainly checks that a request was refused as the caller's mistake, and told nothing of the host.
func refusedPlainly(t *testing.T, s *server, a answer) {
	t.Helper()
	if a.err != nil || a.status < 400 || a.status > 499 {
		t.Errorf("want a refusal, got %s", a)
	}
	for _, secret := range []string{s.dir, s.SecretAccessKey, "goroutine ", ".go:", "/tmp/"} {
		if strings.Contains(a.body, secret) {
			t.Errorf("the answer tells %q: %s", secret, a)
		}
	}
}

// asJSON checks that a fault has AWS's form.
func asJSON(t *testing.T, a answer) {
	t.Helper()
	var fault struct{ Message string }
	if json.Unmarshal([]byte(a.body), &fault) != nil || fault.Message == "" || a.kind == "" {
		t.Errorf("not a fault as AWS writes them: %s", a)
	}
}

func TestRequests_refused(t *testing.T) {
	s := startServer(t, "")
	n := s.newNeighbour(t)
	report := n.watch(t)
	defer report()
	wrongARN := func(old, new string) string { return invokePath(strings.Replace(n.arn, old, new, 1)) }
	for _, c := range []struct {
		name, method, path, session, body string
		status                            int
		exception                         string
	}{
		{"cut JSON", "PUT", "/runtimes/", "", `{"agentRuntimeName":`, 400, ""},
		{"JSON of another kind", "PUT", "/runtimes/", "", `["agentRuntimeName"]`, 400, ""},
		{"a number for a name", "PUT", "/runtimes/", "", `{"agentRuntimeName":5}`, 400, ""},
		{"deep JSON", "PUT", "/runtimes/", "", strings.Repeat(`{"a":`, 100_000), 400, ""},
		{"not UTF-8", "PUT", "/runtimes/", "", "{\"agentRuntimeName\":\"\xff\xfe\"}", 400, ""},
		{"no body", "PUT", "/runtimes/", "", "", 400, ""},
		{"unknown operation", "PATCH", "/runtimes/", "", "{}", 0, ""},
		{"unknown path", "POST", "/nothing/here", "", "{}", 0, ""},
		{"unknown runtime", "POST", wrongARN("neighbour", "stranger"), newSession(), "{}", 404, "ResourceNotFoundException"},
		{"unknown endpoint", "POST", invokePath(n.arn) + "?qualifier=nowhere", newSession(), "{}", 404, "ResourceNotFoundException"},
		{"endpoint that is a path", "POST", invokePath(n.arn) + "?qualifier=..%2f..", newSession(), "{}", 0, ""},
		{"another region", "POST", wrongARN(s.Region, "eu-west-1"), newSession(), "{}", 0, ""},
		{"another account", "POST", wrongARN(s.Account, "999999999999"), newSession(), "{}", 0, ""},
		{"ARN of another service", "POST", wrongARN("bedrock-agentcore", "lambda"), newSession(), "{}", 0, ""},
		{"no ARN", "POST", invokePath("arn:aws"), newSession(), "{}", 0, ""},
		{"session of 32 characters", "POST", invokePath(n.arn), strings.Repeat("s", 32), "{}", 400, "ValidationException"},
		{"session of 257 characters", "POST", invokePath(n.arn), strings.Repeat("s", 257), "{}", 400, "ValidationException"},
		{"stop of an unknown session", "POST", "/runtimes/" + url.QueryEscape(n.arn) + "/stopruntimesession", newSession(), "{}", 404, "ResourceNotFoundException"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := s.do(s.request(t.Context(), c.method, c.path, c.session, c.body))
			refusedPlainly(t, s, a)
			asJSON(t, a)
			if c.status != 0 && a.status != c.status {
				t.Errorf("want status %d: %s", c.status, a)
			}
			if c.exception != "" && !strings.HasPrefix(a.kind, c.exception) {
				t.Errorf("want %s: %s", c.exception, a)
			}
		})
	}
}

func TestRequests_pathTricks(t *testing.T) {
	s := startServer(t, "")
	n := s.newNeighbour(t)
	report := n.watch(t)
	defer report()
	for _, path := range []string{
		"//", "///runtimes///", "/runtimes/../../etc/passwd", "/runtimes/%2e%2e/%2e%2e/root.key", "/v2/../../root.key", "/v2/..%2f..%2froot.key",
		"/v2/%2e%2e/%2e%2e/moorage.db", "/bucket/../../root.key", "/bucket/%2e%2e%2f%2e%2e%2froot.key", "/runtimes/%00/invocations", "/%00", "/%",
		"/runtimes/%252e%252e/invocations", "/runtimes/a%2fb/../invocations", "/v1/sessions/../../root.key", "/v1/sessions/%2e%2e%2f%2e%2e%2froot.key",
		"/v1/logs/..%2f..%2froot.key", "/console/../../root.key", "/healthz/../root.key", "*", "http://169.254.169.254/latest/meta-data/",
		"/" + strings.Repeat("a/", 20_000), "/runtimes/" + strings.Repeat("%41", 10_000) + "/invocations", "/runtimes/\xc0\xae\xc0\xae/invocations",
		"/bucket/" + strings.Repeat("x", 5000),
	} {
		name := path[:min(len(path), 40)]
		t.Run(name, func(t *testing.T) {
			a := s.send(t, "GET "+path+" HTTP/1.1\r\nHost: "+s.host(t)+"\r\nConnection: close\r\n\r\n")
			refusedPlainly(t, s, a)
			// And with a signature, where a request can carry one.
			req, err := http.NewRequest("GET", s.Endpoint, nil)
			if err != nil {
				t.Fatal(err)
			}
			if req.URL.Opaque = path; !strings.HasPrefix(path, "/") {
				return
			}
			if u, err := url.ParseRequestURI(path); err == nil {
				req.URL.Opaque, req.URL.Path, req.URL.RawPath = "", u.Path, u.RawPath
			}
			if err := s.sign(req, hashOf(nil)); err == nil {
				refusedPlainly(t, s, s.do(req, nil))
			}
		})
	}
}

func TestRequests_framing(t *testing.T) {
	s := startServer(t, "")
	n := s.newNeighbour(t)
	report := n.watch(t)
	defer report()
	head := "POST " + invokePath(n.arn) + " HTTP/1.1\r\nHost: " + s.host(t) + "\r\n"
	for name, request := range map[string]string{
		"two lengths":              head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
		"length and chunks":        head + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
		"strange encoding":         head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"negative length":          head + "Content-Length: -1\r\n\r\n",
		"length beyond numbers":    head + "Content-Length: 99999999999999999999\r\n\r\n",
		"no host":                  "GET /runtimes/ HTTP/1.1\r\n\r\n",
		"two hosts":                head + "Host: other\r\n\r\n",
		"header without a name":    head + ": x\r\n\r\n",
		"space in a name":          head + "X Y: z\r\n\r\n",
		"zero byte":                head + "X: a\x00b\r\n\r\n",
		"bare carriage return":     head + "X: a\rInjected: b\r\n\r\n",
		"folded header":            head + "X: a\r\n b\r\n\r\n",
		"large header":             head + "X: " + strings.Repeat("x", 200_000) + "\r\n\r\n",
		"many headers":             head + strings.Repeat("X: y\r\n", 50_000) + "\r\n",
		"not HTTP":                 "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
		"HTTP of tomorrow":         "GET / HTTP/9.9\r\nHost: x\r\n\r\n",
		"HTTP/2 by prior contract": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"a method of its own":      "BREW /runtimes/ HTTP/1.1\r\nHost: " + s.host(t) + "\r\nContent-Length: 0\r\n\r\n",
		"unsigned":                 head + "Content-Length: 2\r\n\r\n{}",
		"empty signature":          head + "Authorization: AWS4-HMAC-SHA256\r\nContent-Length: 2\r\n\r\n{}",
		"a bearer token":           head + "Authorization: Bearer x\r\nContent-Length: 2\r\n\r\n{}",
		"signature that is long":   head + "Authorization: AWS4-HMAC-SHA256 Credential=" + strings.Repeat("a/", 10_000) + "\r\nContent-Length: 2\r\n\r\n{}",
	} {
		t.Run(name, func(t *testing.T) {
			a := s.send(t, request)
			if name == "HTTP of tomorrow" || name == "HTTP/2 by prior contract" || name == "strange encoding" {
				if a.err == nil && (a.status < 400 || a.status > 505) { // 501 and 505 are right here
					t.Error(a)
				}
				return
			}
			refusedPlainly(t, s, a)
		})
	}
}

func TestRequests_signatures(t *testing.T) {
	s := startServer(t, "")
	n := s.newNeighbour(t)
	for name, spoil := range map[string]func(*http.Request){
		"body":       func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{"op":"x"}`)); r.ContentLength = 10 },
		"path":       func(r *http.Request) { r.URL.RawQuery = "qualifier=DEFAULT" },
		"session":    func(r *http.Request) { r.Header.Set(sessionHeader, newSession()) },
		"signature":  func(r *http.Request) { change(r, "Signature=", "Signature=0") },
		"key":        func(r *http.Request) { change(r, "Credential=AKIA", "Credential=AKIB") },
		"date":       func(r *http.Request) { r.Header.Set("X-Amz-Date", "20200101T000000Z") },
		"no host":    func(r *http.Request) { change(r, "host;", "") },
		"service":    func(r *http.Request) { change(r, "/bedrock-agentcore/", "/s3/") },
		"region":     func(r *http.Request) { change(r, "/"+s.Region+"/", "/eu-west-1/") },
		"algorithm":  func(r *http.Request) { change(r, "AWS4-HMAC-SHA256", "AWS4-HMAC-MD5") },
		"no date":    func(r *http.Request) { r.Header.Del("X-Amz-Date") },
		"doubled":    func(r *http.Request) { r.Header.Add("Authorization", r.Header.Get("Authorization")) },
		"owner":      func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "forged") },
		"other body": func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", hashOf([]byte("other"))) },
	} {
		t.Run(name, func(t *testing.T) {
			req, err := s.request(t.Context(), "POST", invokePath(n.arn), n.session, "{}")
			if err != nil {
				t.Fatal(err)
			}
			spoil(req)
			a := s.do(req, nil)
			refusedPlainly(t, s, a)
			if a.status != 403 && a.status != 400 && a.status != 401 {
				t.Error(a)
			}
		})
	}
}

func change(r *http.Request, old, new string) {
	r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, new, 1))
}

// overLimit is a body of 101 MB.
const overLimit = 101_000_000

func TestRequests_largeBodies(t *testing.T) {
	s := startServer(t, "")
	n := s.newNeighbour(t)
	report := n.watch(t)
	defer report()
	zeros := io.LimitReader(zeroReader{}, overLimit)
	t.Run("announced", func(t *testing.T) {
		req, err := http.NewRequestWithContext(t.Context(), "POST", s.Endpoint+invokePath(n.arn), zeros)
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = overLimit
		req.Header.Set("Expect", "100-continue")
		if err := s.sign(req, hashOf([]byte("of a body that is never sent"))); err != nil {
			t.Fatal(err)
		}
		a := s.do(req, nil)
		t.Log(a)
		if a.status != 413 && a.status != 400 {
			t.Error("want 413 or 400:", a)
		}
		if a.took > 2*time.Second {
			t.Error("it was not refused early:", a.took)
		}
	})
	t.Run("not announced", func(t *testing.T) {
		req, err := http.NewRequestWithContext(t.Context(), "POST", s.Endpoint+invokePath(n.arn), io.LimitReader(zeroReader{}, overLimit))
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = -1
		req.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
		if err := s.sign(req, "UNSIGNED-PAYLOAD"); err != nil {
			t.Fatal(err)
		}
		a := s.do(req, nil)
		t.Log(a)
		if a.err == nil && a.status != 413 && a.status != 400 && a.status != 403 {
			t.Error("want a refusal:", a)
		}
	})
	t.Run("for the control plane", func(t *testing.T) {
		a := s.do(s.request(t.Context(), "PUT", "/runtimes/", "", `{"agentRuntimeName":"`+strings.Repeat("n", 30_000_000)+`"}`))
		refusedPlainly(t, s, a)
	})
	t.Run("that does not come", func(t *testing.T) {
		conn, err := net.Dial("tcp", s.host(t))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000\r\n\r\n{", invokePath(n.arn), s.host(t))
		conn.SetReadDeadline(time.Now().Add(5 * time.Second)) // unsigned: refused without the body
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal("an unsigned request holds the server until its body came:", err)
		}
		resp.Body.Close()
		if resp.StatusCode != 403 {
			t.Error(resp.Status)
		}
	})
}

// A client that does not say its body's hash has the body read before anybody knows who it is.
func TestRequests_signedBodyThatDoesNotCome(t *testing.T) {
	if !slowTests {
		t.Skip("waits for 20 s: MOORAGE_SLOW is not set")
	}
	s := startServer(t, "")
	n := s.newNeighbour(t)
	report := n.watch(t)
	defer report()
	req, err := s.request(t.Context(), "POST", invokePath(n.arn), newSession(), `{"op":"x"}`)
	if err != nil {
		t.Fatal(err)
	}
	var whole bytes.Buffer
	if err := req.Write(&whole); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", s.host(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	conn.Write(whole.Bytes()[:whole.Len()-1])
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal("the server waits for the body as long as its client likes:", err)
	}
	resp.Body.Close()
	if kind := resp.Header.Get("X-Amzn-Errortype"); resp.StatusCode != http.StatusRequestTimeout || !strings.HasPrefix(kind, "RequestTimeoutException") {
		t.Error(resp.Status, kind)
	}
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Clients that never finish their headers, or never read their answer, take nothing from others.
func TestRequests_slowClients(t *testing.T) {
	s := startServer(t, "")
	n := s.newNeighbour(t)
	wild, err := s.deployWild(t, "wild", "")
	if err != nil {
		t.Fatal(err)
	}
	report := n.watch(t)
	defer report()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	var clients sync.WaitGroup
	for i := range 300 {
		clients.Go(func() {
			conn, err := net.Dial("tcp", s.host(t))
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			if i%3 == 0 {
				neverRead(s, conn, wild)
			}
			for ctx.Err() == nil {
				io.WriteString(conn, "X")
				select {
				case <-ctx.Done():
				case <-time.After(100 * time.Millisecond):
				}
			}
		})
	}
	clients.Wait()
}

// neverRead asks for a large answer and leaves it where it is.
func neverRead(s *server, conn net.Conn, arn string) {
	req, err := s.request(context.Background(), "POST", invokePath(arn), "never-reads-"+newCanary(), `{"op":"large-answer","bytes":50000000}`)
	if err == nil && rand.IntN(10) == 0 { // each is a session: a few do
		req.Write(conn)
	}
}

func TestRequests_tenThousandOfGarbage(t *testing.T) {
	s := startServer(t, "")
	n := s.newNeighbour(t)
	report := n.watch(t)
	defer report()
	const callers = 8
	var work sync.WaitGroup
	for c := range callers {
		work.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(c)))
			for range 10_000 / callers {
				if err := garbage(s, n, random); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
	if a := s.tell(t.Context(), n.arn, n.session, map[string]any{}); a.status != 200 {
		t.Error(a)
	}
}

// garbage sends one request that is nearly right, or not at all.
func garbage(s *server, n *neighbour, random *rand.Rand) error {
	body := make([]byte, random.IntN(200))
	for i := range body {
		body[i] = byte(random.Uint32())
	}
	methods := []string{"GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "HEAD"}
	paths := []string{"/", "/runtimes/", "/runtimes/x/", "/v2/", "/v1/sessions", "/tags/x", invokePath(n.arn), "/bucket/key", "/" + url.PathEscape(string(body))}
	req, err := http.NewRequest(methods[random.IntN(len(methods))], s.Endpoint+paths[random.IntN(len(paths))], strings.NewReader(string(body)))
	if err != nil {
		return nil // url.Parse is content with less than we make up
	}
	switch random.IntN(4) {
	case 0:
		if err := s.sign(req, hashOf(body)); err != nil {
			return err
		}
	case 1:
		req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+s.AccessKeyID+"/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00")
	case 2:
		req.Header.Set("X-Amz-Target", string(url.QueryEscape(string(body))))
	}
	if a := s.do(req, nil); a.err != nil {
		return a.err
	} else if a.status >= 500 {
		return fmt.Errorf("%s %s: %s", req.Method, req.URL, a)
	}
	return nil
}
