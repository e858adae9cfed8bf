package server

import (
	"context"
	"crypto/subtle"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/agentcore"
	"github.com/moorage-dev/moorage/internal/aws/agentcorecontrol"
	"github.com/moorage-dev/moorage/internal/aws/s3"
	"github.com/moorage-dev/moorage/internal/aws/sts"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/console"
	"github.com/moorage-dev/moorage/internal/control"
	"github.com/moorage-dev/moorage/internal/identity"
	"github.com/moorage-dev/moorage/internal/identity/iam"
	"github.com/moorage-dev/moorage/internal/identity/pool"
	"github.com/moorage-dev/moorage/internal/identity/vault"
	"github.com/moorage-dev/moorage/internal/identity/workload"
	"github.com/moorage-dev/moorage/internal/invoke"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
	"github.com/moorage-dev/moorage/internal/v1"
)

// handler dispatches one port to all faces: fixed paths first, then by the service that a request
// was signed for.
func (h *house) handler() http.Handler {
	registry := h.basicAuth(h.images.Registry())
	own := h.signed(h.v1().Routes(), wire.WriteError)
	objects := h.signed(&s3.Handler{Objects: h.objects, Region: h.Region, Log: h.Log}, s3.WriteError)
	core, who, bedrock, watch := cors(h.agentCore()), h.sts(h.assume), h.bedrock(), h.watching()
	consent, people, users, login, chat := h.consentPages(), h.iam(), h.cognito(), h.poolPages(), h.chat()
	numbers := &scrape{house: h, began: time.Now(), sealed: map[string][]archive.Total{}}
	pages := (&console.Handler{Browser: h.browser, Error: wire.WriteError, Issued: h.loggedIn, OpenID: h.login, Provider: h.providerName, Joined: h.joined}).Routes()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, service := wire.EscapedPath(r.URL), signedFor(r)
		switch {
		case path == "/healthz":
			w.Header().Set("Content-Type", "application/json")
			w.Write([]byte("{\"status\":\"ok\"}\n"))
		case path == "/metrics":
			numbers.ServeHTTP(w, withRequestID(w, r))
		case isCognito(r, service):
			users.ServeHTTP(w, r)
		case strings.HasPrefix(path, resourcePlace+"/runtimes/"):
			core.ServeHTTP(w, besideResource(r))
		case pool.Serves(path) && service == "": // the identity service has such a path, too, for signed calls
			login.ServeHTTP(w, withRequestID(w, r))
		case path == "/" && service == "":
			http.Redirect(w, r, "/console/", http.StatusFound)
		case path == "/console" || strings.HasPrefix(path, "/console/"):
			pages.ServeHTTP(w, withRequestID(w, r))
		case path == "/v2" || strings.HasPrefix(path, "/v2/"):
			registry.ServeHTTP(w, r)
		case r.Method == http.MethodGet && strings.HasPrefix(path, "/identities/oauth2/"):
			consent.ServeHTTP(w, r)
		case isChat(path):
			chat.ServeHTTP(w, withRequestID(w, r))
		case strings.HasPrefix(path, "/v1/"):
			own.ServeHTTP(w, withRequestID(w, r))
		case service == "s3":
			objects.ServeHTTP(w, withRequestID(w, r))
		case service == "sts":
			who.ServeHTTP(w, r)
		case service == identity.IAM:
			people.ServeHTTP(w, r)
		case service == bedrockName || bringsKey(r):
			bedrock.ServeHTTP(w, r)
		case watch[service] != nil:
			watch[service].ServeHTTP(w, r)
		default:
			core.ServeHTTP(w, r)
		}
	})
}

// agentCore serves both planes: they share the signing name and do not share paths.
func (h *house) agentCore() http.Handler {
	planes := services(h.control, h.invoke, h.workloads, h.vault, h.fetched, h.Log)
	plane, data := planes[0], planes[1]
	plane.Use(func(next http.Handler) http.Handler { return h.signed(next, wire.WriteError) })
	data.Use(h.admitted)
	data.Use(h.tracedFetches)
	data.Route(resourceMetadata, "GET", "/runtimes/{agentRuntimeArn}/invocations"+resourcePlace, http.HandlerFunc(h.resource))
	return wire.Router(planes)
}

// located has the spans of a connection's calls say which address they came from.
func located(ctx context.Context, c net.Conn) context.Context {
	host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
	return identity.WithAddress(ctx, host)
}

// sts serves STS; assume is nil where no role can be assumed.
func (h *house) sts(assume sts.Roles) http.Handler {
	svc := wire.NewService(sts.Model, wire.Options{Logger: h.Log})
	sts.Serve(svc, identity.CallerOf)
	if assume != nil {
		sts.ServeRoles(svc, assume)
	}
	svc.Use(func(next http.Handler) http.Handler { return h.signed(next, wire.WriteError) })
	return svc
}

// services are the AWS services of the generated models, with what we offer of each.
func services(c *control.Service, i *invoke.Service, w *workload.Service, v *vault.Vault, fetched agentcore.Fetched, log *slog.Logger) []*wire.Service {
	options := wire.Options{Logger: log}
	plane := wire.NewService(agentcorecontrol.Model, options)
	agentcorecontrol.Serve(plane, c)
	agentcorecontrol.ServeWorkloads(plane, w)
	agentcorecontrol.ServeVault(plane, v)
	data := wire.NewService(agentcore.Model, options)
	agentcore.Serve(data, i)
	agentcore.ServeWorkloads(data, w, fetched)
	agentcore.ServeVault(data, v, fetched)
	agentcore.ServeConsent(data, v)
	return []*wire.Service{plane, data}
}

func (h *house) v1() *v1.Handler {
	return &v1.Handler{
		Info: v1.Info{
			Version: h.Version, Account: h.account, Region: h.Region, Driver: h.driverName(), Isolation: h.isolation.String(),
			Warning: h.warning(), Endpoint: h.PublicURL, Dir: h.Dir,
		},
		Store: h.store, Sessions: h.sessions, Control: h.control, Driver: h.shim, LogDir: h.path("logs"), Log: h.Log, Error: wire.WriteError,
		Telemetry: h.telemetry, Inlet: h.inlet, Audit: h.audit, People: h.people, Release: h.release, Vault: h.vault, Workloads: h.workloads, Known: h.known(), Usage: h.usage, Models: h.models, Budgets: h.budgets,
	}
}

// isInvocation reports whether a target is InvokeAgentRuntime's: the calls that come often enough to
// keep net/http off their way.
func isInvocation(target string) bool {
	path, _, _ := strings.Cut(target, "?")
	return strings.HasPrefix(path, "/runtimes/") && strings.HasSuffix(path, "/invocations")
}

func withRequestID(w http.ResponseWriter, r *http.Request) *http.Request {
	id := uuid.NewString()
	w.Header().Set("x-amzn-RequestId", id)
	return r.WithContext(wire.WithRequestID(r.Context(), id))
}

// signedFor reads the service from a request's signature without verifying it; "" when unsigned.
func signedFor(r *http.Request) string {
	credential := ""
	if _, rest, ok := strings.Cut(r.Header.Get("Authorization"), "Credential="); ok {
		credential, _, _ = strings.Cut(rest, ",")
	} else if strings.Contains(r.URL.RawQuery, "X-Amz-Credential=") {
		credential = r.URL.Query().Get("X-Amz-Credential")
	}
	if strings.Count(credential, "/") != 4 { // key, date, region, service, aws4_request
		return ""
	}
	scope := credential[:strings.LastIndexByte(credential, '/')]
	return scope[strings.LastIndexByte(scope, '/')+1:]
}

// basicAuth guards the registry with the access keys: docker login -u KEY -p SECRET.
func (h *house) basicAuth(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		key, err := h.people.AccessKey(r.Context(), user)
		if subtle.ConstantTimeCompare([]byte(password), []byte(key.Secret)) == 1 && err == nil {
			h.people.Use(user, "registry")
			if err := h.mayUseRegistry(r, user, key.Principal); err != nil {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusForbidden)
				io.WriteString(w, registryDenied)
				return
			}
			next.ServeHTTP(w, r)
			return
		}
		if user != "" && h.authenticated(r, moorage.Caller{Source: moorage.SigV4, AccessKeyID: keyID(user)}, errRegistryLogin) == nil {
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="Moorage registry: log in with an access key and its secret"`)
		w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(unauthorized)))
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, unauthorized)
	})
}

// keyID is an access key's id as it may be on record.
func keyID(user string) string {
	if identity.IsAccessKeyID(user) {
		return user
	}
	return ""
}

var errRegistryLogin = moorage.Errorf(moorage.Unauthenticated, "no active access key has this id and secret")

const registryDenied = `{"errors":[{"code":"DENIED","message":"no policy of this access key's user allows it"}]}` + "\n"

// mayUseRegistry decides on moorage:PullImage and moorage:PushImage.
func (h *house) mayUseRegistry(r *http.Request, id, principal string) error {
	action := "moorage:PushImage"
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		action = "moorage:PullImage"
	}
	c := moorage.Caller{Source: moorage.SigV4, ARN: principal, Account: h.account, AccessKeyID: id}
	return h.decided(r, c, demand{action: action}, h.people.Authorize(iam.Request{Caller: c, Action: action}))
}

const unauthorized = `{"errors":[{"code":"UNAUTHORIZED","message":"log in with an access key as user and its secret as password"}]}` + "\n"

// registryHost is the name under which clients push images here.
func (h *house) registryHost() string {
	u, err := url.Parse(h.PublicURL)
	if err != nil {
		return ""
	}
	return u.Host
}

// exposed are the answer's headers that a browser's script may read.
const exposed = "x-amzn-RequestId, x-amzn-ErrorType, X-Amzn-Bedrock-AgentCore-Runtime-Session-Id, WWW-Authenticate, Mcp-Session-Id"

// cors lets pages of other origins call the data plane. Nothing is allowed by it: a call still
// needs credentials, and cookies are none.
func cors(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") == "" || !strings.HasPrefix(r.URL.Path, "/runtimes/") {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Expose-Headers", exposed)
		if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
		if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
			w.Header().Set("Access-Control-Allow-Headers", asked)
		}
		w.Header().Set("Access-Control-Max-Age", "7200")
		w.WriteHeader(http.StatusNoContent)
	})
}

// warning says what sessions lack.
func (h *house) warning() string {
	if h.isolation == sandbox.None {
		return "sessions are not isolated: they are plain processes of this machine"
	}
	return ""
}

// driverName is what sessions run on.
func (h *house) driverName() string {
	if h.isolation == sandbox.None {
		return "process"
	}
	return "gvisor"
}
