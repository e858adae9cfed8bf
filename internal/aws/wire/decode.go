package wire

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/moorage-dev/moorage"
)

// A tree is a message before it has a type: map[string]any, []any, string, json.Number, bool or nil.
// Each protocol reads its own syntax into a tree; one decoder gives all of them types and constraints.

// decoder fills structs from trees and collects what breaks a constraint.
type decoder struct {
	model *Model
	text  bool // numbers, booleans and times arrive as text: headers, queries, XML
	loose bool // constraints are not checked: our own output read back, in tests
	times TimeStyle

	at     path // the member beside the body that is decoded
	fields []moorage.Field
	more   int // violations beyond maxFields
}

// maxFields bounds an answer: a request can hold a hundred thousand violations.
const maxFields = 100

// path is where a value stands; built into text only when something is wrong there.
type path struct {
	above *path
	name  string
	index int // used when name is empty
}

const maxPathLen = 200

func (p *path) String() string {
	if p == nil {
		return ""
	}
	s := p.above.String()
	switch {
	case p.name == "":
		s += "[" + strconv.Itoa(p.index) + "]"
	case s == "":
		s = p.name
	default:
		s += "." + p.name
	}
	if len(s) > maxPathLen { // map keys are the caller's
		s = strings.ToValidUTF8(s[:maxPathLen], "") + "…"
	}
	return s
}

func (d *decoder) fail(at *path, format string, args ...any) {
	if len(d.fields) == maxFields {
		d.more++
		return
	}
	d.fields = append(d.fields, moorage.Field{
		Name:    at.String(),
		Message: fmt.Sprintf("Value at '%s' failed to satisfy constraint: %s", at, fmt.Sprintf(format, args...)),
	})
}

func (d *decoder) check(at *path, broken bool, format string, args ...any) {
	if broken && !d.loose {
		d.fail(at, format, args...)
	}
}

// err returns all violations as one error, worded as AWS does.
func (d *decoder) err() error {
	if len(d.fields) == 0 {
		return nil
	}
	messages := make([]string, len(d.fields))
	for i, f := range d.fields {
		messages[i] = f.Message
	}
	n, noun := len(d.fields)+d.more, "errors"
	if n == 1 {
		noun = "error"
	}
	return &moorage.Error{
		Code:    moorage.Invalid,
		Message: fmt.Sprintf("%d validation %s detected: %s", n, noun, strings.Join(messages, "; ")),
		Fields:  d.fields,
	}
}

// value decodes v, which is not nil, into one Go value of shape s.
func (d *decoder) value(at *path, s *Shape, v any, into reflect.Value) {
	if into.Kind() == reflect.Pointer {
		fresh := reflect.New(into.Type().Elem())
		d.value(at, s, v, fresh.Elem())
		into.Set(fresh)
		return
	}
	switch s.Type {
	case Structure:
		d.structure(at, s, v, into)
	case List:
		d.list(at, s, v, into)
	case Map:
		d.mapping(at, s, v, into)
	case Document:
		raw, _ := json.Marshal(v) // a tree always has JSON
		into.SetBytes(raw)
	case Timestamp:
		d.timestamp(at, s, v, into)
	case Blob:
		d.blob(at, s, v, into)
	default:
		d.scalar(at, s, v, into)
	}
}

func (d *decoder) structure(at *path, s *Shape, v any, into reflect.Value) {
	tree, ok := v.(map[string]any)
	if !ok {
		d.fail(at, "Member must be a structure")
		return
	}
	set := 0
	for i := range s.Members {
		m := &s.Members[i]
		if m.In != Body {
			continue
		}
		if d.member(at, m, tree[m.key()], into.Field(i)) {
			set++
		}
	}
	if s.Union {
		d.check(at, set != 1, "Member must have exactly one of its members set: [%s]", strings.Join(memberNames(s), ", "))
	}
}

// member decodes one member and reports whether it was there.
func (d *decoder) member(at *path, m *Member, v any, into reflect.Value) bool {
	if v == nil && !m.Required {
		return false
	}
	return d.memberAt(&path{above: at, name: m.Name}, m, v, into)
}

// beside is member for one that does not stand in the body. Every call has some.
func (d *decoder) beside(m *Member, v any, into reflect.Value) {
	d.at = path{name: m.Name}
	d.memberAt(&d.at, m, v, into)
}

func (d *decoder) memberAt(here *path, m *Member, v any, into reflect.Value) bool {
	if v == nil {
		d.check(here, m.Required, "Member must not be null")
		return false
	}
	d.value(here, d.model.shape(m.Shape), v, into)
	return true
}

func memberNames(s *Shape) []string {
	names := make([]string, len(s.Members))
	for i := range s.Members {
		names[i] = s.Members[i].Name
	}
	return names
}

func (d *decoder) list(at *path, s *Shape, v any, into reflect.Value) {
	tree, ok := v.([]any)
	if !ok {
		d.fail(at, "Member must be a list")
		return
	}
	d.length(at, s, len(tree))
	into.Set(reflect.MakeSlice(into.Type(), len(tree), len(tree)))
	elem := d.model.shape(s.Elem)
	for i, e := range tree {
		here := &path{above: at, index: i}
		if e == nil {
			d.fail(here, "Member must not be null")
			continue
		}
		d.value(here, elem, e, into.Index(i))
	}
}

func (d *decoder) mapping(at *path, s *Shape, v any, into reflect.Value) {
	tree, ok := v.(map[string]any)
	if !ok {
		d.fail(at, "Member must be a map")
		return
	}
	d.length(at, s, len(tree))
	into.Set(reflect.MakeMapWithSize(into.Type(), len(tree)))
	keys, elem := d.model.shape(s.Key), d.model.shape(s.Elem)
	for _, k := range sortedKeys(tree) {
		d.mapKey(at, keys, k)
		here := &path{above: at, name: k}
		if tree[k] == nil {
			d.fail(here, "Member must not be null")
			continue
		}
		value := reflect.New(into.Type().Elem()).Elem()
		d.value(here, elem, tree[k], value)
		into.SetMapIndex(reflect.ValueOf(k).Convert(into.Type().Key()), value)
	}
}

// mapKey checks a key on its own account; the violation is the map's, as AWS words it.
func (d *decoder) mapKey(at *path, s *Shape, key string) {
	for _, broken := range textViolations(s, key) {
		d.check(at, true, "Map keys must satisfy constraint: [%s]", broken)
	}
}

// length checks the size of a list, map or blob.
func (d *decoder) length(at *path, s *Shape, n int) {
	for _, broken := range lengthViolations(s.Limit, n) {
		d.check(at, true, "%s", broken)
	}
}

func lengthViolations(l Limit, n int) (broken []string) {
	if l.below(float64(n)) {
		broken = append(broken, fmt.Sprintf("Member must have length greater than or equal to %.0f", l.min))
	}
	if l.above(float64(n)) {
		broken = append(broken, fmt.Sprintf("Member must have length less than or equal to %.0f", l.max))
	}
	return broken
}

// textViolations returns the constraints of a string or enumeration that text breaks.
func textViolations(s *Shape, text string) []string {
	if s.Type == Enum {
		if slices.Contains(s.Values, text) {
			return nil
		}
		return []string{fmt.Sprintf("Member must satisfy enum value set: [%s]", strings.Join(s.Values, ", "))}
	}
	broken := lengthViolations(s.Limit, utf8.RuneCountInString(text))
	if s.Limit.above(float64(utf8.RuneCountInString(text))) {
		return broken // too long for its pattern too; not worth matching
	}
	if s.Pattern != nil && !s.Pattern.match().MatchString(text) {
		broken = append(broken, "Member must satisfy regular expression pattern: "+s.Pattern.Source)
	}
	return broken
}

func (d *decoder) scalar(at *path, s *Shape, v any, into reflect.Value) {
	switch s.Type {
	case String, Enum:
		text, ok := v.(string)
		if !ok {
			d.fail(at, "Member must be a string")
			return
		}
		for _, broken := range textViolations(s, text) {
			d.check(at, true, "%s", broken)
		}
		into.SetString(text)
	case Boolean:
		b, ok := d.boolean(v)
		if !ok {
			d.fail(at, "Member must be a boolean")
			return
		}
		into.SetBool(b)
	case Integer, Long:
		n, err := strconv.ParseInt(d.number(v), 10, into.Type().Bits())
		if err != nil {
			d.fail(at, "Member must be a whole number of %d bits", into.Type().Bits())
			return
		}
		d.bounds(at, s, float64(n))
		into.SetInt(n)
	case Float:
		n, err := strconv.ParseFloat(d.number(v), 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			d.fail(at, "Member must be a number")
			return
		}
		d.bounds(at, s, n)
		into.SetFloat(n)
	}
}

func (d *decoder) boolean(v any) (value, ok bool) {
	if b, isBool := v.(bool); isBool {
		return b, true
	}
	text, isText := v.(string)
	return text == "true", d.text && isText && (text == "true" || text == "false")
}

// number returns the digits of a number, or text that is none.
func (d *decoder) number(v any) string {
	if n, ok := v.(json.Number); ok {
		return n.String()
	}
	if text, ok := v.(string); ok && d.text {
		return text
	}
	return ""
}

func (d *decoder) bounds(at *path, s *Shape, n float64) {
	d.check(at, s.Limit.below(n), "Member must have value greater than or equal to %v", s.Limit.min)
	d.check(at, s.Limit.above(n), "Member must have value less than or equal to %s", strconv.FormatFloat(s.Limit.max, 'f', -1, 64))
}

func (d *decoder) blob(at *path, s *Shape, v any, into reflect.Value) {
	text, ok := v.(string)
	raw, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil {
		d.fail(at, "Member must be base64")
		return
	}
	d.length(at, s, len(raw))
	into.SetBytes(raw)
}

func (d *decoder) timestamp(at *path, s *Shape, v any, into reflect.Value) {
	style := s.Time
	if style == ByProtocol {
		style = d.times
	}
	t, ok := d.time(style, v)
	if !ok {
		d.fail(at, "Member must be a timestamp (%s)", [...]string{ISO8601: "ISO 8601", Epoch: "seconds since 1970", HTTPDate: "HTTP date"}[style])
		return
	}
	into.Set(reflect.ValueOf(t))
}

func (d *decoder) time(style TimeStyle, v any) (time.Time, bool) {
	if style == Epoch {
		seconds, err := strconv.ParseFloat(d.number(v), 64)
		ok := err == nil && math.Abs(seconds) < 1e12
		return time.UnixMilli(int64(math.Round(seconds * 1e3))).UTC(), ok
	}
	layout := time.RFC3339Nano
	if style == HTTPDate {
		layout = time.RFC1123
	}
	text, _ := v.(string)
	t, err := time.Parse(layout, text)
	return t.UTC(), err == nil
}
