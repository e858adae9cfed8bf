package server

import (
	"compress/gzip"
	"net/http"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/applicationsignals"
	"github.com/moorage-dev/moorage/internal/aws/cloudwatch"
	"github.com/moorage-dev/moorage/internal/aws/logs"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/aws/xray"
	"github.com/moorage-dev/moorage/internal/telemetry/otlp"
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
		svc.Use(func(next http.Handler) http.Handler { return h.signed(unzipped(next), wire.WriteError) })
		out[svc.sign] = svc
	}
	h.inlet.Address, h.calls.Vend = h.logs.Address, h.logs.Vended
	return out
}

// maxPut bounds a request of an agent that puts events or metrics, in bytes: a batch of events has a
// megabyte, more when JSON escapes it.
const maxPut = 4 << 20

// watchingInside are what agents may put log events and metrics into, for whom their sandbox belongs to.
func (h *house) watchingInside() map[string]http.Handler {
	options := wire.Options{Logger: h.Log}
	lines, numbers := wire.NewService(logs.Model, options), wire.NewService(cloudwatch.Model, options)
	(&logs.Service{Archive: h.telemetry, Store: h.store, Region: h.Region, Account: h.account, Log: h.Log}).ServeWrites(lines)
	(&cloudwatch.Service{Archive: h.telemetry, Region: h.Region, Account: h.account}).ServeWrites(numbers)
	out := map[string]http.Handler{"logs": lines, "monitoring": numbers}
	for _, svc := range []*wire.Service{lines, numbers} {
		svc.Use(func(next http.Handler) http.Handler { return h.signed(unzipped(h.sourced(next)), wire.WriteError) })
	}
	return out
}

func (h *house) watchServices() []watchService {
	options := wire.Options{Logger: h.Log}
	lines := watchService{wire.NewService(logs.Model, options), logs.Model.Name, logsNote, "logs"}
	h.logs = &logs.Service{Archive: h.telemetry, Store: h.store, Region: h.Region, Account: h.account, Log: h.Log}
	h.logs.Serve(lines.Service)
	numbers := watchService{wire.NewService(cloudwatch.Model, options), cloudwatch.Model.Name, numbersNote, "monitoring"}
	(&cloudwatch.Service{Archive: h.telemetry, Region: h.Region, Account: h.account}).Serve(numbers.Service)
	spans := watchService{wire.NewService(xray.Model, options), xray.Model.Name, spansNote, "xray"}
	(&xray.Service{Archive: h.telemetry, Region: h.Region, Account: h.account}).Serve(spans.Service)
	signals := watchService{wire.NewService(applicationsignals.Model, options), applicationsignals.Model.Name, signalsNote, "application-signals"}
	applicationsignals.Serve(signals.Service)
	return []watchService{lines, numbers, spans, signals}
}

const numbersNote = "The thirteen metrics of runtimes in `AWS/Bedrock-AgentCore`, the minute that runs among them, and the nine of identity (`AWS/Usage` has none); agents' own under `bedrock-agentcore`; whatever PutMetricData and\n" +
	"embedded metrics bring. Metric math knows + - * / ^, SUM, AVG, MIN, MAX, FILL, RATE, ABS, CEIL, FLOOR, METRICS and SEARCH. Clients may speak CBOR, JSON or forms."

const logsNote = "Log groups of runtimes and `aws/spans` are there without anything to set up. Queries are those of Logs Insights: fields, display, filter,\n" +
	"parse, stats, sort, limit, dedup. StartLiveTail needs a client that puts nothing before the host's name (boto3: `inject_host_prefix=False`,\n" +
	"JavaScript: `disableHostPrefix: true`). Retention policies hide what is older at once, and have files go that hold nothing else. Deliveries of a\n" +
	"runtime's APPLICATION_LOGS to a log group have payloads written there, up to 100 KiB each; other deliveries and resource policies are remembered, and do\n" +
	"nothing. Log records that come as OTLP go where `x-aws-log-group` and `x-aws-log-stream` say."

const spansNote = "Traces as segments. Filter expressions: fault, error, ok, responsetime and duration, annotation.session_id, service(), with AND between them.\n" +
	"Destinations and indexing rules are answered as what they are here: on, for everything."

const signalsNote = "Toolkits call it before they look at traces, which are there without it."

// unzipped gives a handler the plain form of a body that a client compressed: botocore does so with long
// ones. The signature is over what was sent.
func unzipped(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Encoding") != "gzip" {
			next.ServeHTTP(w, r)
			return
		}
		plain, err := gzip.NewReader(r.Body)
		if err != nil {
			wire.WriteError(w, r, moorage.Errorf(moorage.Invalid, "the body is not gzip, as Content-Encoding says"))
			return
		}
		r.Body = http.MaxBytesReader(w, plain, otlp.MaxBody)
		r.ContentLength = -1
		next.ServeHTTP(w, r)
	})
}
