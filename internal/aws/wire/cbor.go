package wire

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"
)

// RPCv2 is for services that went from AWS's query protocol to Smithy RPC v2 CBOR: their newest clients
// send CBOR to /service/NAME/operation/OPERATION, those between awsJson1_0, and old ones forms. Each gets
// its answer in the protocol in which it asked, and the exceptions under the names that the query
// protocol has for them. Source: Smithy specification, RPC v2 CBOR and awsQueryCompatible.
var RPCv2 Protocol = rpcV2{}

type rpcV2 struct{}

const (
	cborType   = "application/cbor"
	rpcV2Name  = "rpc-v2-cbor"
	queryError = "X-Amzn-Query-Error"
)

func (rpcV2) operation(m *Model, r *http.Request) string {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(parts) == 4 && parts[0] == "service" && parts[1] == m.TargetPrefix && parts[2] == "operation" && r.Method == http.MethodPost {
		return parts[3]
	}
	if name := (rpcJSON{}).operation(m, r); name != "" {
		return name
	}
	return query{}.operation(m, r)
}

// spoken is the protocol of a request by its headers.
func spoken(h http.Header) Protocol {
	kind := h.Get("Content-Type")
	switch {
	case h.Get("Smithy-Protocol") == rpcV2Name || strings.HasPrefix(kind, cborType):
		return rpcV2{}
	case strings.HasPrefix(kind, "application/x-amz-json-"):
		return JSON10
	}
	return AWSQuery
}

func (p rpcV2) parse(d *decoder, s *Shape, body []byte, contentType string) (any, error) {
	if other := spoken(http.Header{"Content-Type": {contentType}}); other != Protocol(p) {
		return other.parse(d, s, body, contentType)
	}
	d.text, d.times = false, Epoch
	v, err := cbor.Decode(body)
	if err != nil {
		return nil, cannotParse("the body is not CBOR: %v", err)
	}
	return treeOf(v), nil
}

// treeOf makes a tree of what CBOR has: a tag stands before a time, as seconds since 1970.
func treeOf(v cbor.Value) any {
	switch v := v.(type) {
	case cbor.Uint:
		return json.Number(strconv.FormatUint(uint64(v), 10))
	case cbor.NegInt:
		return json.Number("-" + strconv.FormatUint(uint64(v), 10))
	case cbor.Float32:
		return numberOf(float64(v))
	case cbor.Float64:
		return numberOf(float64(v))
	case cbor.Bool:
		return bool(v)
	case cbor.String:
		return string(v)
	case cbor.Slice:
		return base64.StdEncoding.EncodeToString(v)
	case *cbor.Tag:
		return treeOf(v.Value)
	case cbor.List:
		out := make([]any, len(v))
		for i, each := range v {
			out[i] = treeOf(each)
		}
		return out
	case cbor.Map:
		out := make(map[string]any, len(v))
		for key, each := range v {
			out[key] = treeOf(each)
		}
		return out
	}
	return nil
}

// numberOf is a float as text; those that are no number stay text that is none.
func numberOf(f float64) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return json.Number(strconv.FormatFloat(f, 'g', -1, 64))
}

func (p rpcV2) write(w http.ResponseWriter, c Call, s *Shape, out reflect.Value, status int) error {
	if other := spoken(c.RequestHeader()); other != Protocol(p) {
		return other.write(w, c, s, out, status)
	}
	w.Header().Set("Smithy-Protocol", rpcV2Name)
	return writeWhole(w, cborType, status, cbor.Encode(cborOf(c.model(), s, out)))
}

// cborOf is the CBOR of a value of shape s.
func cborOf(m *Model, s *Shape, v reflect.Value) cbor.Value {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	switch s.Type {
	case Structure:
		out := cbor.Map{}
		for i := range s.Members {
			if member := &s.Members[i]; !absent(member, v.Field(i)) {
				out[member.Name] = cborOf(m, m.shape(member.Shape), v.Field(i))
			}
		}
		return out
	case List:
		out := make(cbor.List, v.Len())
		for i := range out {
			out[i] = cborOf(m, m.shape(s.Elem), v.Index(i))
		}
		return out
	case Map:
		out := cbor.Map{}
		for it := v.MapRange(); it.Next(); {
			out[it.Key().String()] = cborOf(m, m.shape(s.Elem), it.Value())
		}
		return out
	case Integer, Long:
		if n := v.Int(); n < 0 {
			return cbor.NegInt(uint64(-n))
		}
		return cbor.Uint(uint64(v.Int()))
	case Float:
		return cbor.Float64(v.Float())
	case Boolean:
		return cbor.Bool(v.Bool())
	case Blob:
		return cbor.Slice(v.Bytes())
	case Timestamp:
		return &cbor.Tag{ID: 1, Value: cbor.Float64(float64(v.Interface().(time.Time).UnixMilli()) / 1e3)}
	}
	return cbor.String(v.String())
}

// shapeNames are what exceptions are called in the newer protocols, by their names in the query
// protocol, where more than "Exception" is missing.
var shapeNames = map[string]string{
	"InternalServiceError": "InternalServiceFault", "MissingParameter": "MissingRequiredParameterException", "InvalidNextToken": "InvalidNextToken",
}

func (p rpcV2) writeFault(w http.ResponseWriter, c Call, f *fault) {
	other := spoken(c.RequestHeader())
	if other == AWSQuery {
		other.writeFault(w, c, f)
		return
	}
	blame := "Sender"
	if f.status >= 500 {
		blame = "Receiver"
	}
	w.Header().Set(queryError, f.name+";"+blame)
	name := f.name
	if newer := shapeNames[name]; newer != "" {
		name = newer
	} else if !strings.HasSuffix(name, "Exception") {
		name += "Exception"
	}
	if other != Protocol(p) {
		renamed := *f
		renamed.name = name
		other.writeFault(w, c, &renamed)
		return
	}
	w.Header().Set("Smithy-Protocol", rpcV2Name)
	w.Header().Del("Content-Type")
	body := cbor.Map{"__type": cbor.String(name), "message": cbor.String(f.message)}
	writeWhole(w, cborType, f.status, cbor.Encode(body)) // the caller may be gone; then nobody minds
}
