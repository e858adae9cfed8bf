package audit

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// FuzzRecord_appendTo holds what is written to what readers hash.
func FuzzRecord_appendTo(f *testing.F) {
	for _, text := range []string{"", "arn:aws:iam::123456789012:user/a", `a"b\c`, "<a&b>", "é\u2028\x00\x7f", "\xff\xfe"} {
		f.Add(text, "two "+text, uint64(7), int64(1_700_000_000_123_456_000), true)
	}
	f.Add("far", "", uint64(0), int64(-1<<63), false)
	f.Fuzz(func(t *testing.T, one, two string, seq uint64, at int64, refused bool) {
		r := Record{
			Seq: seq, Time: time.Unix(at>>24, at&(1<<24-1)).UTC(), Kind: Kind(one), Refused: refused, Reason: two, RequestID: one, Caller: two, Source: one,
			Key: two, From: one, Action: two, Resources: strings.Split(two, " "), Detail: map[string]string{one: two, two: one}, Prev: one, Hash: two,
		}
		for _, r := range []Record{r, {Seq: seq, Time: r.Time}} {
			want, fails := json.Marshal(r)
			got, err := r.appendTo([]byte("before"))
			if (err == nil) != (fails == nil) {
				t.Fatal(err, fails)
			}
			if err == nil && string(got) != "before"+string(want) {
				t.Errorf("got  %s\nwant before%s", got, want)
			}
		}
	})
}

func BenchmarkRecord_appendTo(b *testing.B) {
	r := Record{
		Seq: 12345, Time: time.Now().UTC(), Kind: Decision, RequestID: "7c2b4c3e-2f0e-4f6c-9f7e-2f5f0f5d8a11", Caller: "arn:aws:iam::123456789012:root", Source: "sigv4",
		Key: "AKIAIOSFODNN7EXAMPLE", From: "127.0.0.1", Action: "bedrock-agentcore:InvokeAgentRuntime", Reason: "the policy AdministratorAccess allows it",
		Resources: []string{"arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/bench_go-AbCdEf1234", "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/bench_go-AbCdEf1234/runtime-endpoint/DEFAULT"},
		Prev:      strings.Repeat("ab", 32),
	}
	b.Run("json", func(b *testing.B) {
		for b.Loop() {
			json.Marshal(r)
		}
	})
	b.Run("line", func(b *testing.B) {
		var line []byte
		for b.Loop() {
			line, _ = r.appendTo(line[:0])
		}
	})
}
