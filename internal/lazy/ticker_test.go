package lazy

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

const every = time.Second

// rounds runs a ticker whose rounds say that the next one is so far away, and returns what counts them.
func rounds(t *testing.T, ticker *Ticker, next func() time.Duration) (count func() int) {
	n := 0
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ticker.Run(ctx, func() time.Duration { n++; return next() })
	}()
	t.Cleanup(func() { stop(); <-ended })
	return func() int { synctest.Wait(); return n }
}

func TestTicker_restsUntilItIsWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ticker := NewTicker(every)
		count := rounds(t, ticker, func() time.Duration { return 0 })
		time.Sleep(time.Hour)
		if n := count(); n != 1 {
			t.Fatalf("%d rounds in an hour without work, want the first alone", n)
		}
		for range 100 {
			ticker.Wake()
		}
		time.Sleep(every - 1)
		if n := count(); n != 1 {
			t.Fatalf("a round came too early: %d", n)
		}
		time.Sleep(1)
		if n := count(); n != 2 {
			t.Fatalf("%d rounds, want one more for a hundred wakes", n)
		}
		time.Sleep(time.Hour)
		if n := count(); n != 2 {
			t.Fatalf("%d rounds, want no more", n)
		}
	})
}

func TestTicker_comesSoonerThanItSaidWhenItIsWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ticker := NewTicker(every)
		count := rounds(t, ticker, func() time.Duration { return time.Minute })
		time.Sleep(every + 10*time.Second)
		ticker.Wake()
		time.Sleep(every)
		if n := count(); n != 2 {
			t.Fatalf("%d rounds, want one as soon as it was woken", n)
		}
		time.Sleep(2 * time.Minute)
		if n := count(); n != 4 {
			t.Fatalf("%d rounds, want one a minute", n)
		}
	})
}

func TestTicker_isHurriedEvenDuringARound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ticker := NewTicker(every)
		hurry := true
		count := rounds(t, ticker, func() time.Duration {
			if hurry {
				hurry = false
				ticker.Hurry()
			}
			return time.Minute
		})
		time.Sleep(every)
		if n := count(); n != 2 {
			t.Fatalf("%d rounds, want a second at once", n)
		}
		ticker.Wake()
		ticker.Hurry()
		if n := count(); n != 3 {
			t.Fatalf("%d rounds, want a third at once", n)
		}
		time.Sleep(every)
		if n := count(); n != 3 {
			t.Fatalf("%d rounds, want none for a wake that was hurried", n)
		}
	})
}

func TestTicker_missesNothingThatComesDuringARound(t *testing.T) {
	for _, next := range []time.Duration{0, time.Minute, time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			ticker, first := NewTicker(every), true
			count := rounds(t, ticker, func() time.Duration {
				if first {
					first = false
					ticker.Wake()
					return next
				}
				return 0
			})
			time.Sleep(every + max(every, next)/2 + every/2)
			if n := count(); n != 2 {
				t.Fatalf("%d rounds, want a second; the first said %s", n, next)
			}
		})
	}
}
