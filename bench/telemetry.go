package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"golang.org/x/sys/unix"
)

// telemetry sends spans to the OTLP endpoint of a server of its own, alone and while somebody looks, and then
// asks it what a console asks.
func (b *bench) telemetry(ctx context.Context) (err error) {
	s, err := startServer(ctx, b.server.bin)
	if err != nil {
		return err
	}
	defer func() {
		if e := s.down(); err == nil {
			err = e
		}
	}()
	o := &observatory{server: s, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
	requests := b.samples(1000)
	o.day(2 * requests)
	for _, asked := range []bool{false, true} {
		if err := b.ingest(ctx, o, requests, asked); err != nil {
			return err
		}
	}
	if err := b.queries(ctx, o, 2*requests*spansPerRequest); err != nil {
		return err
	}
	b.rest(ctx, o)
	return nil
}

// rest measures what the server holds and does when nobody asks anything any more.
func (b *bench) rest(ctx context.Context, o *observatory) {
	// Within settle, garbage is given back and the archive closes what nobody asked for in half a minute: each is work
	// that is done once.
	const settle, watch = 40 * time.Second, 30 * time.Second
	wait(ctx, settle)
	used, switched := o.cpu(), o.switches()
	wait(ctx, watch)
	idle := 100 * (o.cpu() - used).Seconds() / watch.Seconds()
	switches := float64(o.switches()-switched) / watch.Seconds()
	resident := o.resident()
	r := row{What: "memory, at rest after all of it", Agent: "server", Root: "resident", Value: float64(resident) / (1 << 20), Unit: "MB", Samples: 1}
	r.Goal, r.Met = goal("< 200", r.Value < 200)
	b.add(r)
	r = row{What: "processor, at rest after all of it", Agent: "server", Root: "of one processor", Value: idle, Unit: "%", Samples: 1}
	r.Goal, r.Met = goal("< 0.05", idle < 0.05)
	r.Detail = fmt.Sprintf("its threads began to wait %.1f times a second", switches)
	b.add(r)
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// observatory is a server that is told and asked about spans.
type observatory struct {
	*server
	http  *http.Client
	began time.Time     // of the day that is told
	pace  time.Duration // of its requests
}

const (
	tracesPerRequest = 50
	spansPerTrace    = 10
	spansPerRequest  = tracesPerRequest * spansPerTrace
	senders          = 4
)

// ingest measures spans per second, each acknowledged when it is on disk.
func (b *bench) ingest(ctx context.Context, o *observatory, requests int, asked bool) error {
	before, used, own := o.disk(), o.cpu(), ownCPU()
	looking, stop := context.WithCancel(ctx)
	defer stop()
	var looks sync.WaitGroup
	first := uint64(0)
	if asked {
		first = uint64(requests) // else it sends the same traces again
		looks.Go(func() { o.look(looking) })
	}
	took, err := flood(requests, func(i int) error { return o.send(ctx, o.request(first+uint64(i))) })
	stop()
	looks.Wait()
	if err != nil {
		return err
	}
	spans := float64(requests * spansPerRequest)
	r := row{What: "spans taken", Agent: "alone", Root: "OTLP/HTTP, on disk when acknowledged", Value: spans / took.Seconds(), Unit: "spans/s", Samples: int(spans)}
	target := 40_000.0
	if asked {
		r.Agent, target = "with queries", 25_000
	}
	r.Goal, r.Met = goal(fmt.Sprintf("≥ %.0f", target), r.Value >= target)
	r.Detail = fmt.Sprintf("%.1f µs of the server's processor and %.0f B on disk per span; the sender's own: %.1f µs",
		(o.cpu()-used).Seconds()*1e6/spans, float64(o.disk()-before)/spans, (ownCPU()-own).Seconds()*1e6/spans)
	b.add(r)
	return nil
}

// flood makes so many requests, numbered from 1, by senders at once.
func flood(requests int, send func(i int) error) (time.Duration, error) {
	began := time.Now()
	var next atomic.Int64
	var failure atomic.Pointer[error]
	var sending sync.WaitGroup
	for range senders {
		sending.Go(func() {
			for i := next.Add(1); int(i) <= requests && failure.Load() == nil; i = next.Add(1) {
				if err := send(int(i)); err != nil {
					failure.Store(&err)
				}
			}
		})
	}
	sending.Wait()
	if f := failure.Load(); f != nil {
		return 0, *f
	}
	return time.Since(began), nil
}

// queries measures what a console asks, over all the spans.
func (b *bench) queries(ctx context.Context, o *observatory, spans int) error {
	var page struct{ Traces []struct{ TraceID string } }
	if err := o.get(ctx, "traces?limit=200", &page); err != nil {
		return err
	}
	n := 0
	for _, q := range []struct {
		what   string
		path   func() string
		target time.Duration
	}{
		{"50 sessions with p95, tokens and errors", func() string { return "telemetry/sessions" }, 100 * time.Millisecond},
		{"50 traces", func() string { return "traces" }, 100 * time.Millisecond},
		{"one trace, whole", func() string { n++; return "traces/" + page.Traces[n%len(page.Traces)].TraceID }, 5 * time.Millisecond},
		{"percentiles over 24 hours", func() string { return "metrics?name=moorage.spans&by=kind&since=24h&step=10m" }, 50 * time.Millisecond},
	} {
		if err := b.question(ctx, o, q.what, fmt.Sprintf("%d spans", spans), q.path, q.target); err != nil {
			return err
		}
	}
	return nil
}

// question asks something many times.
func (b *bench) question(ctx context.Context, o *observatory, what, over string, path func() string, target time.Duration) error {
	times, used := make([]time.Duration, b.samples(50)), o.cpu()
	for i := range times {
		began := time.Now()
		if err := o.get(ctx, path(), nil); err != nil {
			return err
		}
		times[i] = time.Since(began)
	}
	slices.Sort(times)
	middle := times[len(times)/2]
	r := row{What: "query", Agent: what, Root: over, Value: float64(middle.Microseconds()) / 1000, Unit: "ms", Samples: len(times)}
	r.Goal, r.Met = goal("< "+target.String(), middle < target)
	r.Detail = fmt.Sprintf("slowest %.1f ms; %.1f ms of the server's processor each",
		float64(times[len(times)-1].Microseconds())/1000, (o.cpu()-used).Seconds()*1000/float64(len(times)))
	b.add(r)
	return nil
}

// look asks what a console asks, ten times a second, until ctx ends.
func (o *observatory) look(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, path := range []string{"telemetry/sessions", "traces", "metrics?name=moorage.spans&by=kind"} {
			if o.get(ctx, path, nil) != nil {
				return
			}
		}
	}
}

// send delivers an export request.
func (o *observatory) send(ctx context.Context, body []byte) error {
	return o.do(ctx, "POST", "traces", body, nil)
}

// get asks the extension API; out may be nil.
func (o *observatory) get(ctx context.Context, path string, out any) error {
	return o.do(ctx, "GET", path, nil, out)
}

func (o *observatory) do(ctx context.Context, method, path string, body []byte, out any) error {
	return o.doAt(ctx, o.Endpoint, method, path, body, out)
}

// doAt signs for the server, whoever is asked: both sides of a comparison have the same sender.
func (o *observatory) doAt(ctx context.Context, endpoint, method, path string, body []byte, out any) error {
	path, query, _ := strings.Cut(path, "?")
	r, err := http.NewRequestWithContext(ctx, method, endpoint+"/v1/"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if asked, err := url.ParseQuery(query); err == nil {
		r.URL.RawQuery = asked.Encode()
	}
	r.Header.Set("Content-Type", "application/x-protobuf")
	key, sum := aws.Credentials{AccessKeyID: o.AccessKeyID, SecretAccessKey: o.SecretAccessKey}, sha256.Sum256(body)
	digest := hex.EncodeToString(sum[:])
	r.Header.Set("X-Amz-Content-Sha256", digest)
	if err := v4.NewSigner().SignHTTP(ctx, key, r, digest, "bedrock-agentcore", o.Region, time.Now()); err != nil {
		return err
	}
	answer, err := o.http.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	doc, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s answered %s: %s", method, path, answer.Status, doc)
	}
	if err == nil && out != nil {
		err = json.Unmarshal(doc, out)
	}
	return err
}

// disk is how many bytes of telemetry there are.
func (o *observatory) disk() (n int64) {
	_ = filepath.WalkDir(filepath.Join(o.dir, "telemetry"), func(_ string, d fs.DirEntry, err error) error {
		if err != nil { // a file that went meanwhile
			return nil
		}
		if info, err := d.Info(); err == nil && !d.IsDir() {
			n += info.Size()
		}
		return nil
	})
	return n
}

// ownCPU is how much processor time this process has used.
func ownCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resident is how many bytes of memory the server has.
func (o *observatory) resident() int64 {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", o.process.Process.Pid))
	if err != nil {
		return 0
	}
	pages, _ := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// The fields below are OTLP's, as opentelemetry/proto numbers them.

func field(to []byte, number int, content []byte) []byte {
	to = binary.AppendUvarint(to, uint64(number<<3|2))
	return append(binary.AppendUvarint(to, uint64(len(content))), content...)
}

func fixed64(to []byte, number int, v uint64) []byte {
	return binary.LittleEndian.AppendUint64(binary.AppendUvarint(to, uint64(number<<3|1)), v)
}

// attribute is a key with a text, or with a number where text is empty. It is written straight to where it goes.
func attribute(to []byte, key, text string, number int64) []byte {
	value := 1 + uvarint(uint64(number))
	if text != "" {
		value = 1 + uvarint(uint64(len(text))) + len(text)
	}
	to = binary.AppendUvarint(append(to, 9<<3|2), uint64(2+uvarint(uint64(len(key)))+len(key)+uvarint(uint64(value))+value))
	to = append(binary.AppendUvarint(append(to, 1<<3|2), uint64(len(key))), key...)
	to = binary.AppendUvarint(append(to, 2<<3|2), uint64(value))
	if text == "" {
		return binary.AppendUvarint(append(to, 3<<3), uint64(number))
	}
	return append(binary.AppendUvarint(append(to, 1<<3|2), uint64(len(text))), text...)
}

// uvarint is how many bytes a number takes.
func uvarint(n uint64) int { return (bits.Len64(n|1) + 6) / 7 }

// day has so many requests be a day's, in the order in which it went.
func (o *observatory) day(requests int) {
	o.began, o.pace = time.Now().Add(-24*time.Hour), 24*time.Hour/time.Duration(requests+1)
}

// request is a numbered export request.
func (o *observatory) request(n uint64) []byte {
	return exportRequest(n, o.began.Add(time.Duration(n)*o.pace), o.pace)
}

// exportRequest is 50 traces of ten spans, among them two model calls and two tool calls, with 1.2 kB of
// attributes a span on average; from 20,000 sessions, within a stretch of time.
func exportRequest(seed uint64, at time.Time, within time.Duration) []byte {
	r := rand.New(rand.NewPCG(seed, 7))
	spans := make([]byte, 0, 1<<20)
	for range tracesPerRequest {
		spans = agentTrace(spans, r, at.Add(time.Duration(r.Int64N(int64(within)))))
	}
	resource := field(nil, 1, field(nil, 1, field(field(nil, 1, []byte("service.name")), 2, field(nil, 1, []byte("newsroom")))))
	inScope := uint64(len(spans))
	inResource := uint64(len(resource)) + 1 + uint64(uvarint(inScope)) + inScope
	out := make([]byte, 0, len(spans)+len(resource)+16)
	out = binary.AppendUvarint(append(out, 1<<3|2), inResource)
	out = binary.AppendUvarint(append(append(out, resource...), 2<<3|2), inScope)
	return append(out, spans...)
}

var steps = []string{"POST /invocations", "invoke_agent supervisor", "execute_event_loop_cycle", "chat", "chat us.amazon.nova-pro-v1:0",
	"execute_tool research", "execute_event_loop_cycle", "chat", "chat us.amazon.nova-pro-v1:0", "execute_tool knowledge_base"}

func agentTrace(to []byte, r *rand.Rand, began time.Time) []byte {
	trace := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, r.Uint64()|1), r.Uint64())
	first, session := r.Uint64()>>8|1, fmt.Sprintf("session-%08d-0123456789abcdef", r.IntN(20_000))
	total := time.Duration(500+r.IntN(4000)) * time.Millisecond
	var id [8]byte
	span := make([]byte, 0, 4096)
	for i, name := range steps {
		binary.BigEndian.PutUint64(id[:], first+uint64(i))
		span = field(field(span[:0], 1, trace), 2, id[:])
		if i > 0 {
			binary.BigEndian.PutUint64(id[:], first+uint64((i-1)/2))
			span = field(span, 4, id[:])
		}
		start := began.Add(total * time.Duration(i) / 12)
		span = field(span, 5, []byte(name))
		span = fixed64(fixed64(span, 7, uint64(start.UnixNano())), 8, uint64(start.Add(total/time.Duration(i+1)).UnixNano()))
		span = stepAttributes(span, r, name, session)
		to = field(to, 2, span)
	}
	return to
}

func stepAttributes(span []byte, r *rand.Rand, name, session string) []byte {
	operation, _, _ := strings.Cut(name, " ")
	for _, a := range [...][2]string{
		{"session.id", session}, {"gen_ai.operation.name", operation}, {"aws.local.service", "newsroom.DEFAULT"}, {"telemetry.extended", "true"},
		{"aws.local.environment", "bedrock-agentcore:default"}, {"aws.request_id", requestID(r)},
		{"aws.span.kind", "CLIENT"}, {"aws.region", "us-east-1"}, {"PlatformType", "AWS::BedrockAgentCore"}, {"gen_ai.request.model", "us.amazon.nova-pro-v1:0"},
	} {
		span = attribute(span, a[0], a[1], 0)
	}
	switch operation {
	case "chat":
		span = attribute(attribute(span, "gen_ai.usage.input_tokens", "", r.Int64N(20_000)), "gen_ai.usage.output_tokens", "", r.Int64N(900))
		span = attribute(attribute(span, "gen_ai.input.messages", prose(r, 1500), 0), "gen_ai.output.messages", prose(r, 700), 0)
	case "execute_tool":
		span = attribute(attribute(span, "gen_ai.tool.call.arguments", prose(r, 200), 0), "gen_ai.tool.call.result", prose(r, 800), 0)
	}
	return span
}

// requestID is 16 and 8 random digits.
func requestID(r *rand.Rand) string {
	var raw [12]byte
	binary.BigEndian.PutUint64(raw[:], r.Uint64())
	binary.BigEndian.PutUint32(raw[8:], r.Uint32())
	text := hex.AppendEncode(hex.AppendEncode(make([]byte, 0, 25), raw[:8]), raw[8:])
	return string(slices.Insert(text, 16, '-'))
}

// vocabulary is what agents talk about.
var vocabulary = strings.Fields(`the research agent found that a clinic announced a diagnostic platform with ninety four percent accuracy in early
	disease detection across a trial of twelve thousand patients revealed records entity extraction knowledge base confidence score article
	review feedback generation supervisor tool call result model prompt token latency session user request context memory`)

// corpus is a megabyte of it, made once: whoever sends spans should cost little beside whoever takes them.
var corpus = sync.OnceValue(func() string {
	r := rand.New(rand.NewPCG(1, 7))
	var b strings.Builder
	for b.Len() < 1<<20 {
		b.WriteString(vocabulary[r.IntN(len(vocabulary))])
		b.WriteByte(' ')
	}
	return b.String()
})

func prose(r *rand.Rand, n int) string {
	text := corpus()
	at := r.IntN(len(text) - n)
	return text[at : at+n]
}
