package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"time"
)

// AWSQuery is AWS's awsQuery: a form goes in, with the operation in Action, and XML comes out.
// Source: Smithy specification, AWS query protocol.
var AWSQuery Protocol = query{}

type query struct{}

// maxForm bounds a form that is read to find its Action, in bytes.
const maxForm = defaultMaxBody

func (query) operation(_ *Model, r *http.Request) string {
	if name := r.URL.Query().Get("Action"); name != "" {
		return name
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxForm))
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(raw), r.Body), r.Body}
	if err != nil {
		return ""
	}
	form, _ := url.ParseQuery(string(raw)) // what is wrong in it is said when it is parsed
	return form.Get("Action")
}

func (query) parse(d *decoder, s *Shape, body []byte, _ string) (any, error) {
	d.text, d.times = true, ISO8601
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, cannotParse("the form: %v", err)
	}
	return newFormReader(d.model, form).structure(s, ""), nil
}

// formReader makes a tree of a flat form, guided by the shapes: "Tags.member.1.Key=x".
type formReader struct {
	model *Model
	form  url.Values
	has   map[string]bool // names, and what they begin with up to each dot
}

// maxFormDepth bounds the dots of a name that count; shapes nest less deep.
const maxFormDepth = 32

func newFormReader(m *Model, form url.Values) formReader {
	f := formReader{m, form, make(map[string]bool, len(form))}
	for name := range form {
		f.has[name] = true
		for i, depth := 0, 0; i < len(name) && depth < maxFormDepth; i++ {
			if name[i] == '.' {
				f.has[name[:i]] = true
				depth++
			}
		}
	}
	return f
}

func (f formReader) value(s *Shape, at string) any {
	switch {
	case !f.has[at]:
		return nil
	case s.Type == Structure:
		return f.structure(s, at+".")
	case s.Type == List:
		return f.list(s, at)
	case s.Type == Map:
		return f.mapping(s, at)
	}
	return f.form.Get(at)
}

func (f formReader) structure(s *Shape, prefix string) map[string]any {
	tree := map[string]any{}
	for i := range s.Members {
		m := &s.Members[i]
		if v := f.value(f.model.shape(m.Shape), prefix+m.key()); v != nil {
			tree[m.key()] = v
		}
	}
	return tree
}

func (f formReader) list(s *Shape, at string) []any {
	at += "." + orDefault(s.ElemName, "member")
	list := []any{}
	for i := 1; f.has[at+"."+strconv.Itoa(i)]; i++ {
		list = append(list, f.value(f.model.shape(s.Elem), at+"."+strconv.Itoa(i)))
	}
	return list
}

func (f formReader) mapping(s *Shape, at string) map[string]any {
	at += ".entry"
	tree := map[string]any{}
	for i := 1; f.has[at+"."+strconv.Itoa(i)]; i++ {
		entry := at + "." + strconv.Itoa(i) + "."
		tree[f.form.Get(entry+orDefault(s.KeyName, "key"))] = f.value(f.model.shape(s.Elem), entry+orDefault(s.ElemName, "value"))
	}
	return tree
}

func orDefault(name, otherwise string) string {
	if name != "" {
		return name
	}
	return otherwise
}

func (query) write(w http.ResponseWriter, c Call, s *Shape, out reflect.Value, status int) error {
	x := xmlWriter{model: c.model()}
	x.open(c.Operation+"Response", c.model().Namespace)
	x.value(c.Operation+"Result", s, out)
	x.open("ResponseMetadata", "")
	x.leaf("RequestId", c.RequestID)
	x.close("ResponseMetadata")
	x.close(c.Operation + "Response")
	return writeWhole(w, "text/xml", status, x.buf.Bytes())
}

// queryNames holds what query services call the exceptions that all services share.
// Source: AWS, "Common errors" of the STS and IAM API references.
var queryNames = map[string]string{
	"AccessDeniedException":               "AccessDenied",
	"ExpiredTokenException":               "ExpiredToken",
	"IncompleteSignatureException":        "IncompleteSignature",
	"InternalServerException":             "InternalFailure",
	"InvalidSignatureException":           "SignatureDoesNotMatch",
	"MissingAuthenticationTokenException": "MissingAuthenticationToken",
	"ServiceUnavailableException":         "ServiceUnavailable",
	"ThrottlingException":                 "Throttling",
	"UnrecognizedClientException":         "InvalidClientTokenId",
	"ValidationException":                 "ValidationError",
}

func (query) writeFault(w http.ResponseWriter, c Call, f *fault) {
	name, blame := f.name, "Sender"
	if _, own := c.model().Faults[name]; !own {
		name = orDefault(queryNames[name], name)
	}
	if f.status >= 500 {
		blame = "Receiver"
	}
	x := xmlWriter{}
	x.open("ErrorResponse", c.model().Namespace)
	x.open("Error", "")
	x.leaf("Type", blame)
	x.leaf("Code", name)
	x.leaf("Message", f.message)
	x.close("Error")
	x.leaf("RequestId", c.RequestID)
	x.close("ErrorResponse")
	w.Header().Del("Content-Type")
	writeWhole(w, "text/xml", f.status, x.buf.Bytes())
}

// xmlWriter writes values as AWS's XML protocols do.
type xmlWriter struct {
	buf   bytes.Buffer
	model *Model
}

func (x *xmlWriter) open(name, namespace string) {
	x.buf.WriteString("<" + name)
	if namespace != "" {
		x.buf.WriteString(` xmlns="`)
		xml.EscapeText(&x.buf, []byte(namespace))
		x.buf.WriteString(`"`)
	}
	x.buf.WriteString(">")
}

func (x *xmlWriter) close(name string) { x.buf.WriteString("</" + name + ">") }

func (x *xmlWriter) leaf(name, text string) {
	x.open(name, "")
	xml.EscapeText(&x.buf, []byte(text)) // a Buffer takes all
	x.close(name)
}

func (x *xmlWriter) value(name string, s *Shape, v reflect.Value) {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	switch s.Type {
	case Structure:
		x.open(name, "")
		x.members(s, v)
		x.close(name)
	case List, Map:
		x.collection(name, s, v)
	default:
		x.leaf(name, xmlText(s, v))
	}
}

func (x *xmlWriter) members(s *Shape, v reflect.Value) {
	for i := range s.Members {
		m := &s.Members[i]
		if m.In == Body && !absent(m, v.Field(i)) {
			x.value(m.key(), x.model.shape(m.Shape), v.Field(i))
		}
	}
}

func (x *xmlWriter) collection(name string, s *Shape, v reflect.Value) {
	x.open(name, "")
	defer x.close(name)
	if s.Type == List {
		for i := range v.Len() {
			x.value(orDefault(s.ElemName, "member"), x.model.shape(s.Elem), v.Index(i))
		}
		return
	}
	for _, k := range sortedMapKeys(v) {
		x.open("entry", "")
		x.leaf(orDefault(s.KeyName, "key"), k.String())
		x.value(orDefault(s.ElemName, "value"), x.model.shape(s.Elem), v.MapIndex(k))
		x.close("entry")
	}
}

func xmlText(s *Shape, v reflect.Value) string {
	switch s.Type {
	case Boolean:
		return strconv.FormatBool(v.Bool())
	case Integer, Long:
		return strconv.FormatInt(v.Int(), 10)
	case Float:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	case Blob:
		return base64.StdEncoding.EncodeToString(v.Bytes())
	case Timestamp:
		return v.Interface().(time.Time).UTC().Format(time.RFC3339Nano)
	}
	return v.String()
}
