package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
)

// telemetryLogs sends a million log lines of 200 sessions, and looks for words in them.
func (b *bench) telemetryLogs(ctx context.Context) (err error) {
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
	requests := b.samples(2000)
	before := o.disk()
	took, err := flood(requests, func(i int) error { return o.do(ctx, "POST", "logs", logRequest(uint64(i)), nil) })
	if err != nil {
		return err
	}
	lines := float64(requests * linesPerRequest)
	b.add(row{What: "log lines taken", Agent: "alone", Root: "OTLP/HTTP, on disk when acknowledged", Value: lines / took.Seconds(), Unit: "lines/s", Samples: int(lines),
		Detail: fmt.Sprintf("%.0f B on disk per line", float64(o.disk()-before)/lines)})
	over := fmt.Sprintf("%.0f lines", lines)
	for _, text := range []string{"needle-in-1-", "no line has this", "knowledge base"} {
		path := "logs?text=" + text
		var found struct{ Logs []json.RawMessage }
		if err := o.get(ctx, path, &found); err != nil {
			return err
		}
		what := fmt.Sprintf("log search, %d lines found", len(found.Logs))
		if err := b.question(ctx, o, what, over, func() string { return path }, time.Second); err != nil {
			return err
		}
	}
	return nil
}

const linesPerRequest = 500

// logRequest is 500 lines of one session, of about 120 bytes each, over 24 hours.
func logRequest(seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 9))
	began := time.Now().Add(-time.Duration(r.Int64N(int64(24 * time.Hour))))
	var records []byte
	for i := range linesPerRequest {
		text := fmt.Sprintf("%s INFO agent %s", began.Format(time.RFC3339), prose(r, 60+r.IntN(90)))
		if i == 0 {
			text = fmt.Sprintf("ERROR needle-in-%d- %s", seed, text)
		}
		at := began.Add(time.Duration(i) * 20 * time.Millisecond)
		record := field(fixed64(nil, 1, uint64(at.UnixNano())), 5, field(nil, 1, []byte(text)))
		record = field(record, 6, field(field(nil, 1, []byte("session.id")), 2, field(nil, 1, fmt.Appendf(nil, "session-%08d-0123456789abcdef", seed%200))))
		record = field(record, 9, binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, seed|1), uint64(i/50)))
		records = field(records, 2, record)
	}
	resource := field(nil, 1, field(field(nil, 1, []byte("service.name")), 2, field(nil, 1, []byte("newsroom"))))
	return field(nil, 1, field(field(nil, 1, resource), 2, records))
}
