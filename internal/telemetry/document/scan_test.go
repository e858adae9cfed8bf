package document_test

import (
	"strings"
	"testing"
	"unicode"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/moorage-dev/moorage/internal/telemetry/document"
)

// What a line has is never passed over, whatever the body is.
func FuzzLogsMayHave(f *testing.F) {
	f.Add("Über ERROR: Straße", "error", "7")
	for r := rune(0x80); r <= unicode.MaxRune; r++ { // as the Kelvin sign, which is a k in lower case
		if low := unicode.ToLower(r); low < 0x80 {
			f.Add(string(r), string(low), "")
		}
	}
	f.Add("the ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`{|}@ of it", "ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`{|}@", "")
	codec, err := document.NewCodec()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body, text, key string) {
		logs := plog.NewLogs()
		records := logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
		records.AppendEmpty().Body().SetStr("nothing of this")
		record := records.AppendEmpty()
		record.Attributes().PutStr("a", "b")
		if key == "" {
			record.Body().SetStr(body)
		} else {
			record.Body().SetEmptyMap().PutInt(key, int64(len(body)))
		}
		doc, err := codec.PackLogs(logs)
		if err != nil {
			t.Fatal(err)
		}
		may, err := codec.LogsMayHave(doc, text)
		if err != nil {
			t.Fatal(err)
		}
		if has := strings.Contains(strings.ToLower(record.Body().AsString()), strings.ToLower(text)); has && !may {
			t.Errorf("%q in %q is passed over", text, record.Body().AsString())
		}
	})
}

func TestLogsMayHave_passesOverWhatHasItNot(t *testing.T) {
	codec, err := document.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	logs := plog.NewLogs()
	record := logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	record.Body().SetStr("The Disk is full")
	record.Attributes().PutStr("elsewhere", "needle")
	doc, err := codec.PackLogs(logs)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"disk IS": true, "needle": false, "": true} {
		if may, err := codec.LogsMayHave(doc, text); may != want || err != nil {
			t.Errorf("%q: %v, %v", text, may, err)
		}
	}
}
