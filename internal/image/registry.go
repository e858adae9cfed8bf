package image

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem" // registers the driver
	"github.com/sirupsen/logrus"
)

// registry serves /v2/ from a directory. Collecting its garbage keeps requests out: a blob that was
// just uploaded is garbage until its manifest names it.
type registry struct {
	app   *handlers.App
	dir   string
	stall time.Duration // of a push that sends nothing
	log   *slog.Logger

	mu       sync.RWMutex // held for reading by every request
	writeMu  sync.Mutex
	lastPush time.Time
}

// openRegistry leaves out the library's own cache, which would go on claiming blobs that were
// collected, and its own purging, which could not be stopped.
func openRegistry(dir string, stall time.Duration, log *slog.Logger) *registry {
	routeLogs(log)
	config := &configuration.Configuration{Storage: configuration.Storage{
		"filesystem":  configuration.Parameters{"rootdirectory": dir},
		"delete":      configuration.Parameters{"enabled": true},
		"maintenance": configuration.Parameters{"uploadpurging": map[any]any{"enabled": false}},
	}}
	config.HTTP.RelativeURLs = true // right behind any name and proxy
	// Layers that others distribute are named by address; who pulls them is guarded (see [Store.Image]).
	config.Validation.Manifests.URLs.Allow = []string{"^https?://"}
	return &registry{app: handlers.NewApp(context.Background(), config), dir: dir, stall: stall, log: log, lastPush: time.Now()}
}

// routeLogs sends the library's errors to log. It logs to logrus's global logger only, which
// nothing else in this program uses.
func routeLogs(log *slog.Logger) {
	logrus.SetOutput(io.Discard)
	logrus.SetLevel(logrus.ErrorLevel)
	logrus.StandardLogger().ReplaceHooks(logrus.LevelHooks{logrus.ErrorLevel: {logHook{log}}})
}

type logHook struct{ log *slog.Logger }

func (logHook) Levels() []logrus.Level { return []logrus.Level{logrus.ErrorLevel} }

func (h logHook) Fire(e *logrus.Entry) error {
	h.log.Warn("registry", "err", e.Message, "detail", e.Data["err.detail"]) // clients' mistakes land here too
	return nil
}

func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		r.pushed()
		defer r.pushed()
	}
	if req.Body != nil && req.Body != http.NoBody {
		req = req.WithContext(req.Context())
		req.Body = &punctual{req.Body, http.NewResponseController(w), r.stall}
	}
	if name, subject, ok := referrersOf(req); ok {
		r.serveReferrers(w, req, name, subject)
		return
	}
	r.app.ServeHTTP(acknowledgeSubject(w, req), req)
}

// punctual is the body of a push, which ends in an error when nothing arrives for too long: a push that
// stalls would keep garbage from ever being collected.
type punctual struct {
	io.ReadCloser
	connection *http.ResponseController
	stall      time.Duration
}

func (b *punctual) Read(p []byte) (int, error) {
	b.connection.SetReadDeadline(time.Now().Add(b.stall)) // fails in-process, where nothing stalls
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.connection.SetReadDeadline(time.Time{}) // net/http goes on reading, to see the client leave
	}
	return n, err
}

func (r *registry) pushed() {
	r.writeMu.Lock()
	defer r.writeMu.Unlock()
	r.lastPush = time.Now()
}

// quiet reports whether nobody has pushed for the given time.
func (r *registry) quiet(grace time.Duration) bool {
	r.writeMu.Lock()
	defer r.writeMu.Unlock()
	return time.Since(r.lastPush) >= grace
}
