package model

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/moorage-dev/moorage"
)

// Retrying asks a provider again that could not be reached, or asks for patience, as long as it has answered nothing: what began
// is never asked for twice. Errors have to be marked by [Again] for that.
//
// It asks three times at most, with half a second and then a second between, a quarter less or more, so that many callers do not come
// back at once; or as long as the provider asks to wait, if that is less than [Longest]. Callers have patience of their own.
type Retrying struct{ Provider Provider }

var _ Provider = Retrying{}

const (
	tries     = 3
	firstWait = 500 * time.Millisecond
)

// Longest is how long a provider may ask to wait, for one answer. Who asks for more is not asked again: callers of ours give up after a
// minute, and know better what to do until then.
const Longest = 20 * time.Second

// Answer implements [Provider].
func (p Retrying) Answer(ctx context.Context, r Request) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		err := Retry(ctx, func(try int) error {
			count(ctx, try)
			return p.try(ctx, r, yield)
		})
		if err != nil {
			yield(Event{}, err)
		}
	}
}

// Retry asks as [Retrying] does, for what else asks a server elsewhere. Its error is that of the last try, and says how many there were;
// or the cause of ctx, if that ended in between.
func Retry(ctx context.Context, ask func(try int) error) error {
	for try := 1; ; try++ {
		err := ask(try)
		if err == nil {
			return nil
		}
		wait, ok := patience(err, try)
		if !ok {
			return tired(err, try)
		}
		if sleep(ctx, wait) != nil {
			return context.Cause(ctx)
		}
	}
}

// try hands on an answer; an error in place of one is returned.
func (p Retrying) try(ctx context.Context, r Request, yield func(Event, error) bool) error {
	begun := false
	for e, err := range p.Provider.Answer(ctx, r) {
		if err != nil && !begun {
			return err
		}
		begun = true
		if !yield(e, err) || err != nil {
			return nil
		}
	}
	return nil
}

// patience is how long to wait before the next try, if there is to be one.
func patience(err error, try int) (time.Duration, bool) {
	var again *again
	if !errors.As(err, &again) || try == tries || again.after > Longest {
		return 0, false
	}
	if again.after > 0 {
		return again.after, true
	}
	wait := firstWait << (try - 1)
	return wait*3/4 + rand.N(wait/2), true
}

// tired says how often a provider was asked, and for how long it asks to be left alone.
func tired(err error, try int) error {
	var coded *moorage.Error
	if !errors.As(err, &coded) {
		return err
	}
	told := *coded
	if try > 1 {
		told.Message += fmt.Sprintf(" (asked %d times)", try)
	}
	var again *again
	if errors.As(err, &again) && again.after > Longest {
		told.Message += fmt.Sprintf(" (it asks to wait %s)", again.after.Round(time.Second))
	}
	return &told
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// again marks an error that asking again may help against.
type again struct {
	err   error
	after time.Duration // 0 where nobody says how long to wait
}

func (a *again) Error() string { return a.err.Error() }
func (a *again) Unwrap() error { return a.err }

// Again marks an error that asking again may help against: that a provider could not be reached, say.
func Again(err error) error { return &again{err: err} }

// Refused is [Refusal] for a provider's HTTP answer. It is marked by [Again] where the status says that this may help, with the
// time that the provider asks to wait.
func Refused(model string, status int, header http.Header, words string) error {
	err := Refusal(model, status, words)
	if code := moorage.CodeOf(err); code != moorage.Throttled && code != moorage.Unavailable || status == http.StatusNotImplemented {
		return err
	}
	return AgainAfter(err, header)
}

// AgainAfter is [Again] for an HTTP answer, whose header may ask to wait.
func AgainAfter(err error, header http.Header) error {
	return &again{err, retryAfter(header, time.Now())}
}

// retryAfter reads how long to wait. Source: RFC 9110, 10.2.3; retry-after-ms is OpenAI's own.
func retryAfter(header http.Header, now time.Time) time.Duration {
	if ms, err := strconv.ParseFloat(header.Get("Retry-After-Ms"), 64); err == nil && ms > 0 && ms < 1e9 {
		return time.Duration(ms * float64(time.Millisecond))
	}
	text := header.Get("Retry-After")
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds > 0 && seconds < 1e6 {
		return time.Duration(seconds * float64(time.Second))
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

type triesKey struct{}

// counting has tries within a context written down.
func counting(ctx context.Context, tries *int) context.Context {
	return context.WithValue(ctx, triesKey{}, tries)
}

func count(ctx context.Context, try int) {
	if n, ok := ctx.Value(triesKey{}).(*int); ok {
		*n = try
	}
}
