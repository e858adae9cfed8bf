package model

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/moorage-dev/moorage"
)

// What providers that ask a server elsewhere have in common.

// silence is how long such a server may say nothing, before its answer and within it.
const silence = 2 * time.Minute

// Impatient returns a context that ends, with an error of its own as cause, when heard was not called for too
// long. Call done when the answer is over.
func Impatient(ctx context.Context) (_ context.Context, heard, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	watch := time.AfterFunc(silence, func() {
		cancel(&moorage.Error{Code: moorage.Unavailable, Message: fmt.Sprintf("the model's provider said nothing for %s", silence), Exception: "ModelTimeoutException"})
	})
	return ctx, func() { watch.Reset(silence) }, func() { watch.Stop(); cancel(nil) }
}

// Cause prefers why we gave up to what that looked like on the connection.
func Cause(ctx context.Context, err error) error {
	if coded := (*moorage.Error)(nil); errors.As(context.Cause(ctx), &coded) {
		return coded
	}
	return err
}

// Merge adds the settings of one maker's models to a body. What the body says itself counts.
func Merge(body []byte, extra json.RawMessage) ([]byte, error) {
	if extra == nil {
		return body, nil
	}
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(extra, &all); err != nil {
		return nil, moorage.Errorf(moorage.Invalid, "additionalModelRequestFields is not a JSON object")
	}
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, err
	}
	return json.Marshal(all)
}
