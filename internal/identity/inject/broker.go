package inject

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity/vault"
	"github.com/moorage-dev/moorage/internal/identity/workload"
)

// Place is where a connection comes from.
type Place struct {
	Sandbox  string // id
	Workload string // name of the identity that what runs there acts under
	Session  string // internal id
	Port     uint16 // that was dialled
}

// Broker makes calls in sandboxes' stead. Its fields are set before Serve.
type Broker struct {
	Authority *Authority
	Vault     *vault.Vault
	Transport http.RoundTripper // to hosts, whose names tenants choose
	Log       *slog.Logger
}

// Limits of a connection.
const (
	helloTimeout  = 10 * time.Second
	headerTimeout = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10
)

// Serve answers one connection from a sandbox, and closes it. It returns when the connection ends.
func (b *Broker) Serve(ctx context.Context, c net.Conn, at Place) {
	secure := tls.Server(c, &tls.Config{
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if !b.Vault.Brokered(strings.ToLower(hello.ServerName)) {
				return nil, errors.New("no rule is for this host")
			}
			return b.Authority.Certificate(at.Sandbox, strings.ToLower(hello.ServerName))
		},
	})
	hello, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	if err := secure.HandshakeContext(hello); err != nil {
		c.Close()
		b.Log.Debug("a sandbox and the broker did not agree on TLS", "sandbox", at.Sandbox, "err", err)
		return
	}
	one := &single{conn: secure, done: make(chan struct{})}
	host := strings.ToLower(secure.ConnectionState().ServerName)
	srv := &http.Server{
		Handler: b.handler(host, at), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(b.Log.Handler(), slog.LevelDebug),
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateClosed || s == http.StateHijacked {
				one.once.Do(func() { close(one.done) })
			}
		},
	}
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	srv.Serve(one) // ends when the connection does
}

// single is a listener with one connection.
type single struct {
	conn net.Conn
	once sync.Once
	done chan struct{} // closed when the connection is
	gave bool
}

func (s *single) Accept() (net.Conn, error) {
	if !s.gave {
		s.gave = true
		return s.conn, nil
	}
	<-s.done
	return nil, net.ErrClosed
}

func (s *single) Close() error {
	s.once.Do(func() { close(s.done) })
	return nil
}

func (s *single) Addr() net.Addr { return s.conn.LocalAddr() }

// handler forwards the calls of one connection to host.
func (b *Broker) handler(host string, at Place) http.Handler {
	authority := net.JoinHostPort(host, strconv.Itoa(int(at.Port)))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, port, err := net.SplitHostPort(r.Host)
		if err != nil {
			name, port = r.Host, strconv.Itoa(int(at.Port))
		}
		if !strings.EqualFold(name, host) || port != strconv.Itoa(int(at.Port)) {
			http.Error(w, "this connection is for "+authority, http.StatusMisdirectedRequest)
			return
		}
		used := map[string]string{} // credential to placeholder
		find := func(provider string) (string, bool, error) {
			grant := workload.Grant{Workload: at.Workload, Session: at.Session}
			secret, ok, err := b.Vault.Injected(r.Context(), grant, provider, r.Method, host, at.Port, r.URL.EscapedPath())
			if ok {
				used[secret] = placeholderPrefix + provider
			}
			return secret, ok, err
		}
		if err := fill(r, find); err != nil {
			b.refuse(w, err)
			return
		}
		b.forward(authority, used).ServeHTTP(w, r)
	})
}

func (b *Broker) refuse(w http.ResponseWriter, err error) {
	var known *moorage.Error
	message, status := "the server could not make this call", http.StatusBadGateway
	if errors.As(err, &known) && known.Code != moorage.Internal {
		message = known.Message
	}
	if moorage.CodeOf(err) == moorage.Denied {
		status = http.StatusForbidden
	}
	http.Error(w, "moorage: "+message, status)
}

func (b *Broker) forward(authority string, used map[string]string) *httputil.ReverseProxy {
	var transport http.RoundTripper = b.Transport
	if len(used) > 0 {
		transport = withoutHints{transport}
	}
	return &httputil.ReverseProxy{
		Transport: transport, FlushInterval: -1, ErrorLog: slog.NewLogLogger(b.Log.Handler(), slog.LevelDebug),
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host, p.Out.Host = "https", authority, p.In.Host
			if len(used) > 0 {
				p.Out.Header.Del("Accept-Encoding") // what comes back has to be readable
			}
		},
		ModifyResponse: func(r *http.Response) error {
			if len(used) == 0 {
				return nil
			}
			if r.StatusCode == http.StatusSwitchingProtocols || r.Header.Get("Content-Encoding") != "" {
				return errors.New("the host answers in a form that cannot be looked through for the credential")
			}
			scrub(r.Header, used)
			r.Header.Del("Content-Length")
			r.ContentLength = -1
			r.Body = &scrubber{ReadCloser: r.Body, secrets: used, trailer: &r.Trailer}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			b.Log.WarnContext(r.Context(), "a call in a sandbox's stead failed", "host", authority, "err", err)
			http.Error(w, "moorage: "+authority+" cannot be called", http.StatusBadGateway)
		},
	}
}

// withoutHints leaves out answers before the answer (status 1xx): nobody looks through their headers.
type withoutHints struct{ next http.RoundTripper }

func (t withoutHints) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.next.RoundTrip(r.WithContext(untold{r.Context()}))
}

// untold ends with its parent, and holds nothing: a proxy asks to be told of hints by a value.
type untold struct{ context.Context }

func (untold) Value(any) any { return nil }
