package model

import (
	"html"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/moorage-dev/moorage"
)

var markup = regexp.MustCompile(`(?s)<(script|style)\b.*?</(script|style)>|<[^>]*>`)

// Words is a document as text, for models that read no documents: what is text already, and the words of
// a page. Of others a provider has to read the bytes itself.
func (m Media) Words() (string, error) {
	words := string(m.Bytes)
	switch m.Format {
	case "txt", "md", "csv", "markdown":
	case "html":
		words = strings.TrimSpace(html.UnescapeString(markup.ReplaceAllString(words, " ")))
	default:
		return "", moorage.Errorf(moorage.Unsupported, "this model's provider reads no %s documents: send text, markdown, CSV or HTML", m.Format)
	}
	if !utf8.ValidString(words) {
		return "", moorage.Errorf(moorage.Invalid, "the document %q is not text in UTF-8", m.Name)
	}
	if m.Name != "" {
		words = "Document " + m.Name + ":\n" + words
	}
	return words, nil
}
