package wire_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/wire"
)

// feeder sends requests to Feed and keeps the input that the handler got: nil when it got none.
type feeder struct {
	*wire.Service
	got *feedInput
}

func newFeeder() *feeder {
	f := &feeder{Service: wire.NewService(zoo, wire.Options{MaxBody: 1 << 20})}
	wire.Handle(f.Service, feed, func(_ context.Context, in *feedInput) (*feedOutput, error) {
		f.got = in
		return &feedOutput{}, nil
	})
	return f
}

// refusal is the body of an error.
type refusal struct {
	Type      string `json:"__type"`
	Message   string
	Reason    string
	FieldList []moorage.Field
}

func (f *feeder) send(t *testing.T, query, body string, header ...string) (int, refusal) {
	t.Helper()
	f.got = nil
	r := httptest.NewRequest("PUT", "/animals/x/feed?"+query, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	var e refusal
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	return w.Code, e
}

const fine = `"name":"abc","kind":"CAT"`

func TestBind_everyPart(t *testing.T) {
	f := newFeeder()
	status, e := f.send(t, "portion=1&portion=2&since=2026-11-22T19:00:00.5Z", `{`+fine+`,"weight":1.5,"count":9007199254740993,
		"hungry":true,"secret":"s","meal":{"inside":[{"leaves":"é"}]},"photo":"AQI=","extra":{"big":12345678901234567890,"a":[null]},
		"tags":{"ab":"cd"},"unknown":{"x":1}}`,
		"X-Note", "a", "X-Note", "b", "X-Mark-Left", "1", "Content-Type", "application/json; charset=utf-8")
	if status != 202 {
		t.Fatalf("%d %+v", status, e)
	}
	raw, err := json.Marshal(f.got)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"AnimalArn":"x","Portions":[1,2],"Since":"2026-11-22T19:00:00.5Z","Note":"a,b","Marks":{"left":"1"},"Name":"abc","Kind":"CAT",` +
		`"Weight":1.5,"Count":9007199254740993,"Hungry":true,"Secret":"s","Meal":{"Leaves":null,"Inside":[{"Leaves":"é","Inside":null}]},` +
		`"Photo":"AQI=","Extra":{"a":[null],"big":12345678901234567890},"Tags":{"ab":"cd"}}`
	if string(raw) != want {
		t.Errorf("got  %s\nwant %s", raw, want)
	}
}

func TestBind_namesEveryViolation(t *testing.T) {
	f := newFeeder()
	for _, c := range []struct{ query, body, field, message string }{
		{"", `{"kind":"CAT"}`, "name", "Member must not be null"},
		{"", `{"name":null,"kind":"CAT"}`, "name", "Member must not be null"},
		{"", `{"name":"a","kind":"CAT"}`, "name", "Member must have length greater than or equal to 2"},
		{"", `{"name":"abcdef","kind":"CAT"}`, "name", "Member must have length less than or equal to 5"},
		{"", `{"name":"éé1","kind":"CAT"}`, "name", "Member must satisfy regular expression pattern: [a-z]*"},
		{"", `{"name":"ab\n","kind":"CAT"}`, "name", "Member must satisfy regular expression pattern: [a-z]*"},
		{"", `{"name":3,"kind":"CAT"}`, "name", "Member must be a string"},
		{"", `{"name":"abc","kind":"COW"}`, "kind", "Member must satisfy enum value set: [CAT, DOG]"},
		{"", `{"name":"abc","kind":["CAT"]}`, "kind", "Member must be a string"},
		{"", `{` + fine + `,"weight":0.25}`, "weight", "Member must have value greater than or equal to 0.5"},
		{"", `{` + fine + `,"weight":11}`, "weight", "Member must have value less than or equal to 10"},
		{"", `{` + fine + `,"weight":"1"}`, "weight", "Member must be a number"},
		{"", `{` + fine + `,"weight":1e999}`, "weight", "Member must be a number"},
		{"", `{` + fine + `,"count":-1}`, "count", "Member must have value greater than or equal to 0"},
		{"", `{` + fine + `,"count":1.5}`, "count", "Member must be a whole number of 64 bits"},
		{"", `{` + fine + `,"hungry":"true"}`, "hungry", "Member must be a boolean"},
		{"", `{` + fine + `,"meal":{}}`, "meal", "Member must have exactly one of its members set: [leaves, inside]"},
		{"", `{` + fine + `,"meal":{"newer":1}}`, "meal", "Member must have exactly one of its members set: [leaves, inside]"},
		{"", `{` + fine + `,"meal":{"leaves":"a","inside":[]}}`, "meal", "Member must have exactly one of its members set: [leaves, inside]"},
		{"", `{` + fine + `,"meal":[]}`, "meal", "Member must be a structure"},
		{"", `{` + fine + `,"meal":{"inside":[{"leaves":"a"},{"inside":[{"leaves":1}]}]}}`, "meal.inside[1].inside[0].leaves", "Member must be a string"},
		{"", `{` + fine + `,"meal":{"inside":[null]}}`, "meal.inside[0]", "Member must not be null"},
		{"", `{` + fine + `,"meal":{"inside":{}}}`, "meal.inside", "Member must be a list"},
		{"", `{` + fine + `,"photo":"!"}`, "photo", "Member must be base64"},
		{"", `{` + fine + `,"photo":"AAAAAA=="}`, "photo", "Member must have length less than or equal to 3"},
		{"", `{` + fine + `,"tags":{"ab":"1"}}`, "tags.ab", "Member must have length greater than or equal to 2"},
		{"", `{` + fine + `,"tags":{"1x":"ab"}}`, "tags", "Map keys must satisfy constraint: [Member must satisfy regular expression pattern: [a-z]*]"},
		{"", `{` + fine + `,"tags":{"aa":"aa","bb":"aa","cc":"aa"}}`, "tags", "Member must have length less than or equal to 2"},
		{"", `{` + fine + `,"tags":"x"}`, "tags", "Member must be a map"},
		{"portion=x", `{` + fine + `}`, "portions[0]", "Member must be a whole number of 32 bits"},
		{"portion=3000000000", `{` + fine + `}`, "portions[0]", "Member must be a whole number of 32 bits"},
		{"portion=1&portion=1&portion=1&portion=1", `{` + fine + `}`, "portions", "Member must have length less than or equal to 3"},
		{"since=yesterday", `{` + fine + `}`, "since", "Member must be a timestamp (ISO 8601)"},
	} {
		status, e := f.send(t, c.query, c.body)
		message := fmt.Sprintf("Value at '%s' failed to satisfy constraint: %s", c.field, c.message)
		if status != 400 || e.Type != "ValidationException" || e.Reason != "FieldValidationFailed" || f.got != nil {
			t.Errorf("%s: %d %+v", c.body, status, e)
		}
		found := false
		for _, field := range e.FieldList {
			found = found || field == moorage.Field{Name: c.field, Message: message}
		}
		if !found || !strings.Contains(e.Message, message) {
			t.Errorf("%s %s: %+v\nlacks %s", c.query, c.body, e, message)
		}
	}
}

func TestBind_namesAllViolationsAtOnce(t *testing.T) {
	f := newFeeder()
	_, e := f.send(t, "portion=x", `{"weight":0,"meal":{}}`)
	var names []string
	for _, field := range e.FieldList {
		names = append(names, field.Name)
	}
	if got := strings.Join(names, " "); got != "portions[0] name kind weight meal" || !strings.HasPrefix(e.Message, "5 validation errors detected: ") {
		t.Errorf("%s: %s", got, e.Message)
	}
}

func TestBind_aMillionViolationsHaveAShortAnswer(t *testing.T) {
	f := newFeeder()
	status, e := f.send(t, "", `{`+fine+`,"meal":{"inside":[`+strings.Repeat("1,", 200_000)+`1]},"tags":{"`+strings.Repeat("k", 100_000)+`":1}}`)
	if status != 400 || len(e.FieldList) != 100 || len(e.Message) > 20_000 || !strings.HasPrefix(e.Message, "2000") {
		t.Errorf("%d, %d fields, message of %d bytes: %.60s", status, len(e.FieldList), len(e.Message), e.Message)
	}
}

func TestBind_whatCannotBeParsed(t *testing.T) {
	f := newFeeder()
	for body, want := range map[string]string{
		`{"name":`:                     "ValidationException CannotParse",
		`{"name":"abc"} {}`:            "ValidationException CannotParse",
		`name=abc`:                     "ValidationException CannotParse",
		strings.Repeat("[", 1<<19):     "ValidationException CannotParse",
		strings.Repeat(" ", (1<<20)+1): "RequestEntityTooLargeException ",
		`[]`:                           "ValidationException FieldValidationFailed",
		``:                             "ValidationException FieldValidationFailed", // nothing is there
		`null`:                         "ValidationException FieldValidationFailed",
	} {
		_, e := f.send(t, "", body)
		if got := e.Type + " " + e.Reason; got != want {
			t.Errorf("%.20q: %s, want %s", body, got, want)
		}
	}
	if status, e := f.send(t, "", "a=b", "Content-Type", "application/x-www-form-urlencoded"); status != 415 {
		t.Errorf("form: %d %+v", status, e)
	}
	if _, e := f.send(t, "a=%zz", "{}"); e.Reason != "CannotParse" {
		t.Errorf("query: %+v", e)
	}
}

func TestBind_streamedPayload(t *testing.T) {
	svc := wire.NewService(zoo, wire.Options{})
	wire.Handle(svc, speak, func(_ context.Context, in *speakInput) (*speakOutput, error) {
		raw, err := io.ReadAll(in.Words)
		if err != nil {
			return nil, fmt.Errorf("forward: %w", err)
		}
		return &speakOutput{Words: io.NopCloser(bytes.NewReader(raw))}, nil
	})
	for _, c := range []struct {
		body   string
		length int64
		status int
	}{{"", 0, 200}, {"0123456789", 10, 200}, {"0123456789", -1, 200}, {"0123456789a", 11, 400}, {"0123456789a", -1, 400}} {
		r := httptest.NewRequest("POST", "/animals/x/speak", strings.NewReader(c.body))
		r.ContentLength = c.length
		w := httptest.NewRecorder()
		svc.ServeHTTP(w, r)
		if w.Code != c.status || c.status == 200 && w.Body.String() != c.body || c.status == 400 && !strings.Contains(w.Body.String(), "'words'") {
			t.Errorf("%d bytes (%d): %d %s", len(c.body), c.length, w.Code, w.Body)
		}
	}
}

func TestSensitiveMembersStayOutOfLogs(t *testing.T) {
	secret := "hunter2"
	in := feedInput{Name: "abc", Secret: &secret}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "in", in, "pointer", &in)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "in", in, "pointer", &in)
	fmt.Fprintf(&log, "%v %+v %#v %s %v %+v", in, in, in, in, &in, []feedInput{in})
	if strings.Contains(log.String(), secret) || strings.Count(log.String(), "abc") != 10 {
		t.Errorf("%s", log.String())
	}
}

func FuzzBind(f *testing.F) {
	f.Add("x/feed", "portion=1&since=2026-11-22T19:00:00Z", `{"name":"abc","kind":"CAT","meal":{"inside":[{"leaves":"a"}]},"tags":{"ab":"cd"}}`, "note")
	f.Add(arn+"/feed/", "portion=x", `{"weight":1e400,"count":1.5,"photo":"AA==","extra":[1,{"a":null}]}`, "")
	f.Add("%2F%zz/feed", "a=%zz", `[`, "\x00")
	svc := newFeeder()
	f.Fuzz(func(t *testing.T, path, query, body, note string) {
		r := &http.Request{Method: "PUT", Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{"X-Note": {note}}}
		u, err := newURL("/animals/" + path + "?" + query)
		if err != nil {
			return
		}
		r.URL = u
		svc.got = nil
		w := httptest.NewRecorder()
		svc.ServeHTTP(w, r)
		switch {
		case w.Code == 202 && svc.got != nil:
			if n := len(svc.got.Name); n < 2 || n > 5 || svc.got.Kind != "CAT" && svc.got.Kind != "DOG" {
				t.Fatalf("an input that breaks the model was let in: %+v", svc.got)
			}
		case w.Code >= 400 && w.Code < 500 && svc.got == nil:
			if !json.Valid(w.Body.Bytes()) {
				t.Fatalf("not JSON: %q", w.Body)
			}
		case w.Code == 400 && strings.Contains(w.Body.String(), "not supported"):
		default:
			t.Fatalf("%d %s, input %v", w.Code, w.Body, svc.got)
		}
	})
}
