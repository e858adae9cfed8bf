package server

import (
	"net/http"

	"github.com/moorage-dev/moorage/internal/aws/logs"
	"github.com/moorage-dev/moorage/internal/aws/wire"
)

// watchService is a service by which AWS's clients look at what agents do.
type watchService struct {
	*wire.Service
	name string
	note string // for docs/COMPATIBILITY.md
	sign string // what its requests are signed for
}

// watching are these services behind the signature's check, by the names that requests are signed for.
func (h *house) watching() map[string]http.Handler {
	out := map[string]http.Handler{}
	for _, svc := range h.watchServices() {
		svc.Use(func(next http.Handler) http.Handler { return h.signed(next, wire.WriteError) })
		out[svc.sign] = svc
	}
	return out
}

func (h *house) watchServices() []watchService {
	options := wire.Options{Logger: h.Log}
	lines := watchService{wire.NewService(logs.Model, options), logs.Model.Name, logsNote, "logs"}
	h.logs = &logs.Service{Archive: h.telemetry, Store: h.store, Region: h.Region, Account: h.account, Log: h.Log}
	h.logs.Serve(lines.Service)
	return []watchService{lines}
}

const logsNote = "Log groups of runtimes and `aws/spans` are there without anything to set up. Queries are those of Logs Insights: fields, display, filter,\n" +
	"parse, stats, sort, limit, dedup. StartLiveTail needs a client that puts nothing before the host's name (boto3: `inject_host_prefix=False`,\n" +
	"JavaScript: `disableHostPrefix: true`). Filter patterns of columns (`[a, b]`) are refused. Deliveries and policies are remembered, and do nothing."
