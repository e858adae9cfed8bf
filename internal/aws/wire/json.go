package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"math"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
)

// RestJSON is AWS's restJson1. Source: Smithy specification, AWS restJson1 protocol.
var RestJSON Protocol = restJSON{}

type restJSON struct{}

// JSON11 is AWS's awsJson1_1: every call is a POST to / that names its operation in X-Amz-Target.
// Source: Smithy specification, AWS JSON 1.1 protocol.
var JSON11 Protocol = rpcJSON{"application/x-amz-json-1.1"}

// JSON10 is awsJson1_0, which differs in its content type.
var JSON10 Protocol = rpcJSON{"application/x-amz-json-1.0"}

type rpcJSON struct{ contentType string }

func (rpcJSON) operation(m *Model, r *http.Request) string {
	name, ours := strings.CutPrefix(r.Header.Get("X-Amz-Target"), m.TargetPrefix+".")
	if !ours || r.Method != http.MethodPost {
		return ""
	}
	return name
}

func (rpcJSON) parse(d *decoder, s *Shape, body []byte, contentType string) (any, error) {
	return restJSON{}.parse(d, s, body, contentType)
}

func (p rpcJSON) write(w http.ResponseWriter, c Call, s *Shape, out reflect.Value, status int) error {
	var buf bytes.Buffer
	encodeJSON(&buf, c.model(), s, out)
	return writeWhole(w, p.contentType, status, buf.Bytes())
}

func (p rpcJSON) writeFault(w http.ResponseWriter, _ Call, f *fault) {
	writeJSONFault(w, p.contentType, f)
}

func (restJSON) operation(*Model, *http.Request) string { return "" }

func (restJSON) parse(d *decoder, _ *Shape, body []byte, contentType string) (any, error) {
	d.text, d.times = false, Epoch
	if kind, _, _ := mime.ParseMediaType(contentType); contentType != "" && kind != "application/json" && !strings.HasPrefix(kind, "application/x-amz-json-") {
		return nil, &fault{
			name: "UnsupportedMediaTypeException", status: http.StatusUnsupportedMediaType,
			message: "the body must be application/json, not " + strconv.Quote(contentType),
		}
	}
	return parseJSON(body)
}

func parseJSON(body []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return nil, cannotParse("the body is not JSON: %v", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, cannotParse("the body goes on after its JSON value")
	}
	return tree, nil
}

func (restJSON) write(w http.ResponseWriter, c Call, s *Shape, out reflect.Value, status int) error {
	if status == http.StatusNoContent {
		w.WriteHeader(status)
		return nil
	}
	var buf bytes.Buffer
	encodeJSON(&buf, c.model(), s, out)
	return writeWhole(w, "application/json", status, buf.Bytes())
}

func (restJSON) writeFault(w http.ResponseWriter, _ Call, f *fault) {
	writeJSONFault(w, "application/json", f)
}

func writeJSONFault(w http.ResponseWriter, contentType string, f *fault) {
	w.Header().Set("X-Amzn-Errortype", f.name)
	w.Header().Del("Content-Type")                             // what an output had set
	writeWhole(w, contentType, f.status, faultJSON(f, f.name)) // the caller may be gone; then nobody minds
}

// faultJSON is the body of an exception. SDKs take the name from the header or from __type; other
// clients read one or the other, so both are there.
func faultJSON(f *fault, kind string) []byte {
	body := struct {
		Type    string          `json:"__type,omitempty"`
		Message string          `json:"message"`
		Reason  string          `json:"reason,omitempty"`
		Fields  []moorage.Field `json:"fieldList,omitempty"`
	}{kind, f.message, f.reason, f.fields}
	raw, _ := json.Marshal(body) // strings always have JSON
	return raw
}

// encodeJSON writes the JSON of a value of shape s. What an optional member leaves out is left out;
// a required list or map is there though it be nil.
func encodeJSON(buf *bytes.Buffer, m *Model, s *Shape, v reflect.Value) {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	switch s.Type {
	case Structure:
		encodeStructure(buf, m, s, v)
	case List:
		buf.WriteByte('[')
		for i := range v.Len() {
			comma(buf, i)
			encodeJSON(buf, m, m.shape(s.Elem), v.Index(i))
		}
		buf.WriteByte(']')
	case Map:
		encodeMap(buf, m, s, v)
	case String, Enum:
		encodeString(buf, v.String())
	case Integer, Long:
		buf.WriteString(strconv.FormatInt(v.Int(), 10))
	case Float:
		buf.WriteString(strconv.FormatFloat(v.Float(), 'g', -1, 64))
	case Boolean:
		buf.WriteString(strconv.FormatBool(v.Bool()))
	case Blob:
		encodeString(buf, base64.StdEncoding.EncodeToString(v.Bytes()))
	case Document:
		encodeDocument(buf, v.Bytes())
	case Timestamp:
		encodeTime(buf, s.Time, v.Interface().(time.Time))
	}
}

func comma(buf *bytes.Buffer, i int) {
	if i > 0 {
		buf.WriteByte(',')
	}
}

func encodeStructure(buf *bytes.Buffer, m *Model, s *Shape, v reflect.Value) {
	buf.WriteByte('{')
	n := 0
	for i := range s.Members {
		member := &s.Members[i]
		if (member.In != Body && member.In != StatusCode) || absent(member, v.Field(i)) {
			continue
		}
		comma(buf, n)
		n++
		encodeString(buf, member.key())
		buf.WriteByte(':')
		encodeJSON(buf, m, m.shape(member.Shape), v.Field(i))
	}
	buf.WriteByte('}')
}

// absent reports whether a member is left out of a message.
func absent(m *Member, v reflect.Value) bool {
	if m.Required {
		return false
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface, reflect.Func:
		return v.IsNil()
	}
	return v.IsZero() // an enumeration
}

func encodeMap(buf *bytes.Buffer, m *Model, s *Shape, v reflect.Value) {
	buf.WriteByte('{')
	for i, k := range sortedMapKeys(v) {
		comma(buf, i)
		encodeString(buf, k.String())
		buf.WriteByte(':')
		encodeJSON(buf, m, m.shape(s.Elem), v.MapIndex(k))
	}
	buf.WriteByte('}')
}

// sortedMapKeys returns the keys of a map in order, so that equal values have equal messages.
func sortedMapKeys(v reflect.Value) []reflect.Value {
	return slices.SortedFunc(slices.Values(v.MapKeys()), func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
}

func encodeString(buf *bytes.Buffer, s string) {
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	enc.Encode(s)               // a string always has JSON
	buf.Truncate(buf.Len() - 1) // Encode ends the line
}

func encodeDocument(buf *bytes.Buffer, raw []byte) {
	if json.Valid(raw) {
		buf.Write(raw)
		return
	}
	buf.WriteString("null")
}

func encodeTime(buf *bytes.Buffer, style TimeStyle, t time.Time) {
	switch style {
	case ISO8601:
		encodeString(buf, t.UTC().Format(time.RFC3339Nano))
	case HTTPDate:
		encodeString(buf, t.UTC().Format(http.TimeFormat))
	default:
		seconds := float64(t.UnixMilli()) / 1e3 // milliseconds are what all SDKs keep
		buf.WriteString(strconv.FormatFloat(math.Round(seconds*1e3)/1e3, 'f', -1, 64))
	}
}
