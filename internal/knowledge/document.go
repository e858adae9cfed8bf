package knowledge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"path"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"

	"github.com/moorage-dev/moorage"
)

// MaxDocument is the size of a document in bytes, as in Bedrock.
const MaxDocument = 50 << 20

const (
	metadataSuffix = ".metadata.json" // beside a document: its metadata
	maxMetadata    = 10 << 10
)

// errEmpty means that a document says nothing.
var errEmpty = moorage.Errorf(moorage.Invalid, "the document is empty")

// read turns a document's bytes into the text that is cut and searched.
func read(key string, doc []byte) (string, error) {
	if len(bytes.TrimSpace(doc)) == 0 {
		return "", errEmpty
	}
	if kind := binaryKind(doc); kind != "" {
		return "", moorage.Errorf(moorage.Invalid, "%s is not text; knowledge bases here read text, Markdown, HTML, CSV and JSON: convert it first", kind)
	}
	doc = bytes.TrimPrefix(doc, []byte("\xef\xbb\xbf"))
	switch strings.ToLower(path.Ext(key)) {
	case ".json", ".jsonl", ".ndjson":
		return flatten(doc)
	case ".html", ".htm":
		return plain(doc)
	}
	return string(doc), nil
}

// binaryKind names what is not text; "" for text.
func binaryKind(doc []byte) string {
	for magic, kind := range map[string]string{"%PDF-": "a PDF", "PK\x03\x04": "an archive or office file", "\x89PNG": "an image", "\xff\xd8\xff": "an image", "\x1f\x8b": "a compressed file"} {
		if bytes.HasPrefix(doc, []byte(magic)) {
			return kind
		}
	}
	if bytes.IndexByte(doc, 0) >= 0 || !utf8.Valid(doc) {
		return "a binary file, or one that is not UTF-8,"
	}
	return ""
}

// flatten writes JSON as lines of a path and a value, so that the names of fields are searched too:
//
//	executives[1].name: Dr. Eliza Chen
func flatten(doc []byte) (string, error) {
	var out strings.Builder
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	for {
		err := flattenNext(&out, d, "", 0)
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", moorage.Errorf(moorage.Invalid, "the document is not the JSON that its name says: %w", err)
		}
	}
	if out.Len() == 0 {
		return "", errEmpty
	}
	return out.String(), nil
}

// maxDepth of JSON.
const maxDepth = 64

// flattenNext writes the next value, in the order of the document.
func flattenNext(out *strings.Builder, d *json.Decoder, at string, depth int) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	if depth > maxDepth {
		return fmt.Errorf("it is nested deeper than %d levels", maxDepth)
	}
	switch t := t.(type) {
	case json.Delim:
		return flattenInside(out, d, at, depth, t == '[')
	case nil:
		return nil
	case string:
		if t = strings.Join(strings.Fields(t), " "); t == "" {
			return nil
		}
		line(out, at, t)
	default:
		line(out, at, fmt.Sprint(t))
	}
	return nil
}

func flattenInside(out *strings.Builder, d *json.Decoder, at string, depth int, list bool) error {
	for i := 0; d.More(); i++ {
		below := fmt.Sprintf("%s[%d]", at, i)
		if !list {
			name, err := d.Token()
			if err != nil {
				return cutOff(err)
			}
			below = strings.TrimPrefix(fmt.Sprintf("%s.%s", at, name), ".")
		}
		if err := flattenNext(out, d, below, depth+1); err != nil {
			return cutOff(err)
		}
	}
	_, err := d.Token()
	return cutOff(err)
}

// cutOff tells the end of a document from an end in its middle.
func cutOff(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func line(out *strings.Builder, at, value string) {
	if at != "" {
		out.WriteString(at + ": ")
	}
	out.WriteString(value + "\n")
}

// plain is the text of a page, without its scripts and styles.
func plain(doc []byte) (string, error) {
	var out strings.Builder
	z := html.NewTokenizer(bytes.NewReader(doc))
	hidden := ""
	for {
		switch z.Next() {
		case html.ErrorToken:
			if z.Err() != io.EOF {
				return "", moorage.Errorf(moorage.Invalid, "the page cannot be read: %w", z.Err())
			}
			if strings.TrimSpace(out.String()) == "" {
				return "", errEmpty
			}
			return out.String(), nil
		case html.StartTagToken:
			if name, _ := z.TagName(); hidden == "" && (string(name) == "script" || string(name) == "style") {
				hidden = string(name)
			}
		case html.EndTagToken:
			if name, _ := z.TagName(); string(name) == hidden {
				hidden = ""
			}
		case html.TextToken:
			if text := strings.Join(strings.Fields(string(z.Text())), " "); hidden == "" && text != "" {
				out.WriteString(text + "\n")
			}
		}
	}
}

// readMetadata reads the file beside a document: {"metadataAttributes": {"year": 2024, "team": {"value":
// {"type": "STRING", "stringValue": "blue"}}}}.
func readMetadata(doc []byte) (map[string]any, error) {
	var file struct {
		MetadataAttributes map[string]any
	}
	if err := json.Unmarshal(doc, &file); err != nil {
		return nil, moorage.Errorf(moorage.Invalid, "the metadata is not JSON: %w", err)
	}
	out := map[string]any{}
	for key, v := range file.MetadataAttributes {
		if v = attribute(v); v == nil {
			return nil, moorage.Errorf(moorage.Invalid, "the metadata %q is not a string, a number, a boolean or a list of strings", key)
		}
		out[key] = v
	}
	return out, nil
}

// attribute is a value in either of its two spellings; nil for any other.
func attribute(v any) any {
	if long, ok := v.(map[string]any); ok {
		inner, _ := long["value"].(map[string]any)
		v = nil
		for _, name := range []string{"stringValue", "numberValue", "booleanValue", "stringListValue"} {
			if inner[name] != nil {
				v = inner[name]
			}
		}
	}
	switch v := v.(type) {
	case string, bool:
		return v
	case float64:
		if !math.IsInf(v, 0) && !math.IsNaN(v) {
			return v
		}
	case []any:
		for _, one := range v {
			if _, ok := one.(string); !ok {
				return nil
			}
		}
		return v
	}
	return nil
}
