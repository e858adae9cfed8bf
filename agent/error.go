package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Error is an error with an HTTP status of its own. Any other error that a handler returns is a 500.
// Callers of the platform see either as RuntimeClientError (424); the message is in the agent's log.
type Error struct {
	Status  int
	Message string
	Details string // for people; may be empty
	err     error
}

// Errorf makes an Error. A %w verb sets what it wraps.
func Errorf(status int, format string, args ...any) *Error {
	wrapped := fmt.Errorf(format, args...)
	return &Error{Status: status, Message: wrapped.Error(), err: errors.Unwrap(wrapped)}
}

func (e *Error) Error() string {
	if e.Details == "" {
		return e.Message
	}
	return e.Message + ": " + e.Details
}

func (e *Error) Unwrap() error { return e.err }

// panicError is the error that a panic with cause amounts to.
func panicError(cause any) error {
	if err, ok := cause.(error); ok {
		return err
	}
	return fmt.Errorf("%v", cause)
}

// writeError answers with err. The form is that of the SDK for Python.
func writeError(w http.ResponseWriter, err error) {
	coded := &Error{Status: http.StatusInternalServerError, Message: err.Error()}
	errors.As(err, &coded)
	writeJSON(w, coded.Status, struct {
		Error   string `json:"error"`
		Details string `json:"details,omitempty"`
	}{coded.Message, coded.Details})
}

// writeJSON answers with v; one that has no JSON form is a 500.
func writeJSON(w http.ResponseWriter, status int, v any) {
	doc, err := marshal(v)
	if err != nil {
		writeError(w, fmt.Errorf("the answer has no JSON form: %w", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(doc)
}

// marshal writes <, > and & as they are: what reads an answer is not a browser's parser.
func marshal(v any) ([]byte, error) {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return []byte(strings.TrimSuffix(b.String(), "\n")), nil
}
