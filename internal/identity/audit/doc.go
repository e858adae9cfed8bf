// Package audit keeps who did what: one record for each authentication, decision, token that was issued,
// secret that was released and change of administration.
//
// Records are lines of JSON in segments that only grow, DIR/audit/NUMBER.jsonl. Each carries a keyed hash over itself
// and the hash before it, so that a record that was changed, moved or removed shows ([Verify]); the key follows
// from root.key, so that nobody without it can write a chain of their own. A file beside them, head, holds where the chain ends,
// so that a cut end shows, too. Who holds root.key and the disk can still write anything: copy the
// segments elsewhere where that matters.
//
// Records are committed in groups. [Log.Record] returns at once for what was allowed to a caller, and that is
// on disk within [Interval]; it waits for the disk for refusals, releases and changes. What a
// crash takes are allowed calls of that last moment, never anything that Record waited for.
//
// A record holds no secret: [Log.Hash] gives a name to one, under a key, by which two uses can be seen to be of the same.
package audit

import "time"

// Kind is what a record is about.
type Kind string

const (
	Authentication Kind = "authentication" // who is it?
	Decision       Kind = "decision"       // may they?
	Token          Kind = "token"          // something was issued that proves who somebody is
	Release        Kind = "release"        // a secret was handed out
	Change         Kind = "change"         // something was set up, changed or removed
)

// Record is one thing that happened. Who records fills in what there is.
type Record struct {
	Seq       uint64            `json:"seq"` // from 1, without a gap
	Time      time.Time         `json:"time"`
	Kind      Kind              `json:"kind"`
	Refused   bool              `json:"refused,omitempty"`
	Reason    string            `json:"reason,omitempty"` // why it was refused or allowed: for administrators
	RequestID string            `json:"requestId,omitempty"`
	Caller    string            `json:"caller,omitempty"` // an ARN, or ISSUER#SUBJECT
	Source    string            `json:"source,omitempty"` // sigv4, jwt, apikey; openid for logins of the console
	Key       string            `json:"key,omitempty"`    // id of the key that was used
	From      string            `json:"from,omitempty"`   // network address
	Action    string            `json:"action,omitempty"` // service:Operation
	Resources []string          `json:"resources,omitempty"`
	Detail    map[string]string `json:"detail,omitempty"`
	Prev      string            `json:"prev"`
	Hash      string            `json:"hash"`
}

// awaited reports whether a record has to be on disk before its cause goes on.
func (r Record) awaited() bool { return r.Refused || r.Kind == Release || r.Kind == Change }

// KeyPurpose names the key of the record among those that follow from root.key.
const KeyPurpose = "audit record"

// Limits.
const (
	Interval = 200 * time.Millisecond // longest time that an allowed call's record is in memory only

	segmentBytes = 16 << 20
	// DefaultKeep is how many bytes of segments stay; the oldest go first.
	DefaultKeep = 2 << 30
	maxText     = 1024 // of a reason, or a value of detail, in bytes
	queueLength = 8192
)
