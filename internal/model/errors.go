package model

import (
	"crypto/rand"
	"net/http"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/moorage-dev/moorage"
)

// TooLong is the error for a request that is more than a model can read. Clients that shorten their
// conversation and ask again go by these words. Source: strands-agents, bedrock model, overflow messages.
func TooLong(model string, err error) error {
	return &moorage.Error{Code: moorage.Invalid, Message: "Input is too long for requested model: " + model, Err: err}
}

// tooLong recognises how providers say that a request is more than their model can read.
var tooLong = regexp.MustCompile(`(?i)context[ _]length|context window|context size|prompt is too long|too many (total )?(text )?(tokens|bytes)|maximum context|exceeds? the (available )?context`)

// Refusal is the error for what a provider answered in place of an answer: an HTTP status, and its words,
// of which callers see the beginning.
func Refusal(model string, status int, words string) error {
	if words = strings.ToValidUTF8(words, "�"); len(words) > maxWords {
		words = words[:maxWords]
		for !utf8.ValidString(words) {
			words = words[:len(words)-1]
		}
	}
	if tooLong.MatchString(words) {
		return TooLong(model, nil)
	}
	switch {
	case status == http.StatusTooManyRequests:
		return moorage.Errorf(moorage.Throttled, "the model's provider is asked too often: %s", words)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return moorage.Errorf(moorage.Denied, "the model's provider does not take our key (%d): whoever runs Moorage sets it by moorage models add", status)
	case status == http.StatusNotFound:
		return moorage.Errorf(moorage.NotFound, "the model's provider does not know the model %q: %s", model, words)
	case status >= 500:
		return moorage.Errorf(moorage.Unavailable, "the model's provider failed (%d): %s", status, words)
	}
	return moorage.Errorf(moorage.Invalid, "the model's provider refused the request (%d): %s", status, words)
}

const maxWords = 500 // bytes

// toolIDs is what Converse allows.
var toolIDs = regexp.MustCompile(`^[a-zA-Z0-9_.:-]{1,64}$`)

// ToolID is a provider's id for the use of a tool, or a new one where clients could not send that back.
func ToolID(id string) string {
	if toolIDs.MatchString(id) {
		return id
	}
	return "tooluse_" + rand.Text()[:22]
}
