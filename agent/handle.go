package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"unicode/utf8"
)

// Handle makes an entrypoint of a function from one JSON payload to one JSON answer.
//
// A payload that is not JSON, or does not fit In, is a 400 and fn is not called. An error of fn is a
// 500 with its text, or the status of an [Error]; so is a panic. The context ends when the caller goes away.
func Handle[In, Out any](fn func(ctx context.Context, payload In) (Out, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		payload, err := decode[In](r)
		if err != nil {
			writeError(w, err)
			return
		}
		answer, err := fn(r.Context(), payload)
		if err != nil {
			logFailure(r.Context(), err)
			writeError(w, err)
			return
		}
		writeJSON(w, http.StatusOK, answer)
	})
}

// Stream makes an entrypoint of a function whose answer comes in parts: server-sent events, one for
// each part, "data: JSON" and an empty line. Each is sent on at once.
//
// An error before the first part is answered like one of [Handle]'s. A later one becomes a last event,
// {"error","error_type","message"}, and ends the stream. The iterator is told to stop, by yield, when
// the caller goes away.
func Stream[In, Out any](fn func(ctx context.Context, payload In) iter.Seq2[Out, error]) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		payload, err := decode[In](r)
		if err != nil {
			writeError(w, err)
			return
		}
		events := &eventWriter{w: w}
		if err := sendAll(events, fn(r.Context(), payload)); err != nil {
			logFailure(r.Context(), err)
			events.fail(err)
			return
		}
		events.begin()
	})
}

// sendAll sends every part. It returns the error that the parts ended with, a panic included, and nil
// when the caller went away.
func sendAll[Out any](events *eventWriter, parts iter.Seq2[Out, error]) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %w", panicError(cause))
		}
	}()
	for part, err := range parts {
		if err != nil {
			return err
		}
		event, err := marshal(part)
		if err != nil {
			return fmt.Errorf("part of the answer has no JSON form: %w", err)
		}
		if events.send(event) != nil {
			return nil
		}
	}
	return nil
}

// eventWriter writes server-sent events.
type eventWriter struct {
	w     http.ResponseWriter
	begun bool
}

func (e *eventWriter) begin() {
	if e.begun {
		return
	}
	e.begun = true
	e.w.Header().Set("Content-Type", "text/event-stream")
	e.w.Header().Set("Cache-Control", "no-cache")
	e.w.WriteHeader(http.StatusOK)
}

func (e *eventWriter) send(doc []byte) error {
	e.begin()
	if _, err := fmt.Fprintf(e.w, "data: %s\n\n", doc); err != nil {
		return err
	}
	return http.NewResponseController(e.w).Flush()
}

func (e *eventWriter) fail(err error) {
	if !e.begun {
		writeError(e.w, err)
		return
	}
	doc, _ := marshal(struct { // strings always have a JSON form
		Error   string `json:"error"`
		Type    string `json:"error_type"`
		Message string `json:"message"`
	}{err.Error(), strings.TrimPrefix(fmt.Sprintf("%T", err), "*"), "An error occurred during streaming"})
	e.send(doc)
}

// decode reads a payload.
func decode[In any](r *http.Request) (payload In, err error) {
	raw, err := io.ReadAll(r.Body)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return payload, &Error{http.StatusRequestEntityTooLarge, "Payload too large", fmt.Sprintf("the limit is %d bytes", large.Limit), err}
	case err != nil:
		return payload, &Error{http.StatusBadRequest, "Incomplete payload", err.Error(), err}
	case !utf8.Valid(raw):
		return payload, &Error{http.StatusBadRequest, "Invalid encoding", "the payload is not UTF-8", nil}
	}
	if err := json.Unmarshal(raw, &payload); err != nil {
		return payload, &Error{http.StatusBadRequest, "Invalid JSON", err.Error(), err}
	}
	return payload, nil
}

// logFailure tells the owner what the caller will not see: the platform hides an agent's own errors.
func logFailure(ctx context.Context, err error) {
	if s := serverOf(ctx); s != nil {
		s.log().ErrorContext(ctx, "call failed", "error", err, "request", RequestOf(ctx))
	}
}
