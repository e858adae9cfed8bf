package moorage

import (
	"errors"
	"fmt"
	"strings"
)

// Code says what kind of thing went wrong, in terms a caller can act on.
// Each wire protocol has one table from Code to its own exception names and statuses.
type Code string

const (
	Invalid         Code = "invalid"         // the request breaks a rule; sending it again will not help
	Unauthenticated Code = "unauthenticated" // no credentials, or ones that do not verify
	Denied          Code = "denied"          // verified, but not allowed
	NotFound        Code = "not_found"       // nothing by that name, or nothing the caller may know of
	Conflict        Code = "conflict"        // the thing exists, or is in a state that forbids this
	Busy            Code = "busy"            // another operation on the session is in progress; retry soon
	Quota           Code = "quota_exceeded"  // a limit of the account or the machine is reached
	Throttled       Code = "throttled"       // too many requests; retry later
	AgentFailed     Code = "agent_failed"    // the agent's own code failed, exited or did not answer
	Unsupported     Code = "unsupported"     // a real operation that Moorage does not offer
	Unavailable     Code = "unavailable"     // the platform cannot do it right now (disk full, engine down)
	Internal        Code = "internal"        // our fault; the cause is in the log under the request id
)

// Error is the one error type that crosses rooms. Message is shown to callers: it says what
// happened and what to do. Err is for the log only.
type Error struct {
	Code    Code
	Op      string  // the operation or step, such as "CreateAgentRuntime" or "unpack layer"
	Message string  // for the caller; never holds secrets or paths of the host
	Fields  []Field // for Invalid: the members that broke a rule
	Reason  string  // for Invalid: the contract's machine-readable reason; empty means FieldValidationFailed
	Err     error

	// Exception is the name that AWS's clients branch on, where Code alone does not say it: that a
	// signature is wrong or a token expired, say. Each protocol writes it its own way.
	Exception string
}

// Field names one member of a request and the rule that it broke.
type Field struct {
	Name    string `json:"name"`
	Message string `json:"message"`
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Op != "" {
		b.WriteString(e.Op + ": ")
	}
	b.WriteString(e.Message)
	if e.Err != nil && !strings.Contains(e.Message, e.Err.Error()) { // Errorf's message holds its cause already
		if e.Message != "" {
			b.WriteString(": ")
		}
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error whose message is for the caller. A %w verb sets the cause as well.
func Errorf(code Code, format string, args ...any) *Error {
	wrapped := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: wrapped.Error(), Err: errors.Unwrap(wrapped)}
}

// CodeOf returns the code of the first Error in err's chain: Internal when there is none,
// and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}
