// Package guest is what the platform offers inside every sandbox, at 169.254.169.254.
//
//	  80         the metadata of a machine, version 2 only, with temporary credentials of the role;
//	             at 169.254.170.2 the same credentials as a container finds them
//	4318, 4317   telemetry: OTLP over HTTP and over gRPC
//	9400         AWS services, for those credentials
//
// Who asks is known by the sandbox that the connection comes from, see package door: no request can
// pose as another sandbox, and nothing of a session has to be in an environment. [Server.Serve] serves
// the connections; what a handler has to know of the sandbox it finds by [OccupantOf]. [Environment]
// points an agent's libraries here.
//
// Sandboxes without isolation have no such address: theirs would be the machine's own.
package guest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity"
	"github.com/moorage-dev/moorage/internal/quota"
	"github.com/moorage-dev/moorage/internal/sandbox/door"
)

// Occupant is what runs in a sandbox.
type Occupant struct {
	Sandbox     string // id
	RuntimeID   string
	RuntimeARN  string
	RuntimeName string
	Version     int
	Role        string // ARN of the version's execution role
	// Session is the internal id of the session that the sandbox belongs to, and Endpoint where it
	// began. Both are empty in a trial start, and in a sandbox that waits in a pool.
	Session  string
	Endpoint string
	// ClonedAt is when the sandbox began as a copy of another; zero for one that began by itself.
	ClonedAt time.Time
}

// Server answers sandboxes. Its fields are set before Serve.
type Server struct {
	// Occupant says what runs in a sandbox; moorage.NotFound for one that is not known. It is asked for
	// each request until the sandbox belongs to a session, and then no more on that connection.
	Occupant func(ctx context.Context, sandbox string) (Occupant, error)
	// Telemetry takes POST /v1/traces, /v1/logs and /v1/metrics, and gRPC's Export calls; nil refuses.
	Telemetry http.Handler
	// AWS serves what the role may call; identity.WorkloadOf tells it where a request comes from.
	AWS http.Handler
	// Broker makes calls to other hosts in a sandbox's stead, on a connection that was for the port; Brokered says to
	// which hosts. Both are nil where there is none.
	Broker      func(ctx context.Context, c net.Conn, who Occupant, port uint16)
	Brokered    func(host string) bool
	Credentials *identity.Temporary
	Issued      func(ctx context.Context, who Occupant) error // hears of credentials before who has them, and can stop them; may be nil
	TokenKey    []byte                                        // secret from which the metadata's tokens are made
	Region      string
	Account     string
	Log         *slog.Logger
}

// Limits on one sandbox's requests. Bodies are for the handlers to bound.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 5 * time.Minute // of a connection
	maxHeader     = 32 << 10        // bytes
)

// pace is how fast one sandbox may ask. Its requests are the server's work, which the sandbox's own limits
// do not bound.
var pace = quota.Rate{PerSecond: 200, Burst: 400}

// Serve answers the connections of l until ctx ends. It closes l.
func (s *Server) Serve(ctx context.Context, l *door.Listener) error {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // gRPC's
	srv := &http.Server{
		Handler:           s.handler(),
		Protocols:         protocols,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, visitKey{}, &visit{conn: c.(*door.Conn)})
		},
	}
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	in := &entrance{Listener: l, server: s, ctx: ctx}
	defer in.work.Wait()
	err := srv.Serve(in)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return errors.Join(fmt.Errorf("serve the sandboxes: %w", err), srv.Close())
}

// handler sends a request to what serves the port that it came to.
func (s *Server) handler() http.Handler {
	asked := &quota.Meter{Rate: pace}
	ports := map[uint16]http.Handler{
		door.OTLPHTTP: s.telemetry(),
		door.OTLPGRPC: s.telemetry(),
		door.Metadata: s.metadata(),
		door.AWS:      s.AWS,
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := r.Context().Value(visitKey{}).(*visit)
		h := ports[v.conn.Port]
		if h == nil {
			http.NotFound(w, r)
			return
		}
		if !asked.Allow(v.conn.Sandbox, 1) {
			w.Header().Set("Retry-After", "1")
			s.refuse(w, r, moorage.Errorf(moorage.Throttled, "a sandbox may ask %g times a second", pace.PerSecond))
			return
		}
		who, err := v.occupant(r.Context(), s.Occupant)
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		ctx := identity.WithWorkload(context.WithValue(r.Context(), occupantKey{}, who), who.workload())
		h.ServeHTTP(w, r.WithContext(ctx))
	})
}

type (
	visitKey    struct{}
	occupantKey struct{}
)

// OccupantOf returns who makes the request of ctx; the zero Occupant outside of one.
func OccupantOf(ctx context.Context) Occupant {
	o, _ := ctx.Value(occupantKey{}).(Occupant)
	return o
}

// visit is one connection from a sandbox.
type visit struct {
	conn *door.Conn

	mu  sync.Mutex
	who Occupant
}

// occupant asks find until the sandbox belongs to a session: from then on it belongs to no other.
func (v *visit) occupant(ctx context.Context, find func(context.Context, string) (Occupant, error)) (Occupant, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.who.Session != "" {
		return v.who, nil
	}
	who, err := find(ctx, v.conn.Sandbox)
	if err == nil {
		v.who = who
	}
	return who, err
}

// telemetry hands over what an agent says of itself.
func (s *Server) telemetry() http.Handler {
	if s.Telemetry != nil {
		return s.Telemetry
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, r, moorage.Errorf(moorage.Unsupported, "this server takes no telemetry"))
	})
}

// statuses of refusals, for clients that read no more.
var statuses = map[moorage.Code]int{
	moorage.Invalid: 400, moorage.Unauthenticated: 401, moorage.Denied: 403, moorage.NotFound: 404, moorage.Throttled: 429,
	moorage.Unsupported: 501, moorage.Unavailable: 503,
}

// refuse answers with an error in plain words. What is our own fault is logged and not shown.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var coded *moorage.Error
	status, message := http.StatusInternalServerError, "an internal error occurred"
	if errors.As(err, &coded) && statuses[coded.Code] != 0 {
		status, message = statuses[coded.Code], coded.Message
	} else if r.Context().Err() == nil {
		s.Log.Error("answer a sandbox", "path", r.URL.Path, "err", err)
	}
	http.Error(w, message, status)
}
