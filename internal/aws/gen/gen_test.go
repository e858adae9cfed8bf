package main

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestGeneratedFilesAreCurrent(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	wheel, err := fetch(ctx)
	if err != nil {
		t.Skipf("the service models of botocore %s cannot be fetched: %v", botocore, err)
	}
	if err := run(wheel, "..", true); err != nil {
		t.Fatal(err)
	}
}

const tiny = `{"metadata": {"protocol": "rest-json", "serviceFullName": "Tiny"},
	"operations": {"Do": {"http": {"method": "POST", "requestUri": "/"}, "input": {"shape": "DoRequest"}}},
	"shapes": {"DoRequest": {"type": "structure", "required": ["a"], "members": {"a": {"shape": "A"}, "b": {"shape": "DoRequest"}}}, "A": SHAPE}}`

func generateTiny(t *testing.T, shape string) (string, error) {
	t.Helper()
	m := new(model)
	if err := json.Unmarshal([]byte(strings.Replace(tiny, "SHAPE", shape, 1)), m); err != nil {
		t.Fatal(err)
	}
	a, err := plan(m, service{Package: "tiny", Serve: []string{"Do"}})
	if err != nil {
		return "", err
	}
	source, err := a.source()
	return string(source), err
}

func TestGenerate(t *testing.T) {
	for shape, want := range map[string]string{
		`{"type": "string", "pattern": "^[\\u0041-Z]+$"}`:              "wire.Match(`[\\x{0041}-Z]+`)",
		`{"type": "string", "enum": ["PYTHON_3_11", "a-b"]}`:           `APython311 A = "PYTHON_3_11"`,
		`{"type": "integer", "min": 0}`:                                `Limit: wire.AtLeast(0)`,
		`{"type": "timestamp", "timestampFormat": "iso8601"}`:          `Time: wire.ISO8601`,
		`{"type": "string", "sensitive": true}`:                        `func (v DoInput) LogValue() slog.Value`,
		`{"type": "list", "member": {"shape": "DoRequest"}, "max": 3}`: `Type: wire.List, Limit: wire.AtMost(3), Elem: shapeDoRequest`,
		`{"type": "structure", "members": {}, "document": true}`:       `A json.RawMessage`,
		`{"type": "double"}`:                                           `float64`,
		`{"type": "structure", "members": {"c": {"shape": "A"}}}`:      `C *A`,
	} {
		got, err := generateTiny(t, shape)
		if spaced := regexp.MustCompile(`[ \t]+`).ReplaceAllString(got, " "); err != nil || !strings.Contains(spaced, want) {
			t.Errorf("%s: %v, lacks %s in\n%s", shape, err, want, got)
		}
	}
}

func TestGenerate_refusesWhatWireCouldNotHonour(t *testing.T) {
	for shape, want := range map[string]string{
		`{"type": "string", "pattern": "(?!x)y"}`:                                        "translate it in relaxed",
		`{"type": "string", "pattern": "a{1,2000}"}`:                                     "translate it in relaxed",
		`{"type": "bigdecimal"}`:                                                         `unknown type "bigdecimal"`,
		`{"type": "timestamp", "timestampFormat": "stardate"}`:                           `unknown timestamp format`,
		`{"type": "structure", "members": {"c": {"shape": "A", "location": "trailer"}}}`: `unknown location "trailer"`,
		`{"type": "structure", "members": {"c": {"shape": "A", "eventheader": true}}}`:   "not supported",
	} {
		if _, err := generateTiny(t, shape); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", shape, err, want)
		}
	}
}
