package quota_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/quota"
)

func TestParseRate(t *testing.T) {
	for text, want := range map[string]quota.Rate{
		"": {}, "0": {}, "25": {PerSecond: 25}, "0.5": {PerSecond: 0.5}, "25:100": {PerSecond: 25, Burst: 100},
	} {
		got, err := quota.ParseRate(text)
		if err != nil || got != want {
			t.Errorf("%q is %+v, %v", text, got, err)
		}
		if again, err := quota.ParseRate(got.String()); err != nil || again != got {
			t.Errorf("%q is written %q", text, got)
		}
	}
	for _, text := range []string{"fast", "-1", "25:", "25:0", ":5", "NaN", "Inf", "1:2:3", "25/s"} {
		if _, err := quota.ParseRate(text); moorage.CodeOf(err) != moorage.Invalid {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// allowed is how many of n calls in one moment pass.
func allowed(m *quota.Meter, who string, n int) (passed int) {
	for range n {
		if m.Allow(who, 1) {
			passed++
		}
	}
	return passed
}

func TestMeter_eachHasTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := quota.Meter{Rate: quota.Rate{PerSecond: 2, Burst: 5}}
		if a, b := allowed(&m, "alice", 9), allowed(&m, "bob", 9); a != 5 || b != 5 {
			t.Errorf("%d and %d pass at once", a, b)
		}
		time.Sleep(time.Second) // of the bubble's own clock
		if n := allowed(&m, "alice", 9); n != 2 {
			t.Errorf("%d pass a second later", n)
		}
		if m.Allow("carol", 6) || !m.Allow("carol", 5) {
			t.Error("several at once do not count as several")
		}
	})
}

func TestMeter_withoutARateLetsEverythingPass(t *testing.T) {
	var m quota.Meter
	if n := allowed(&m, "alice", 1000); n != 1000 {
		t.Errorf("%d of 1000 pass", n)
	}
}

func TestMeter_forgetsNobodyWhoIsNotAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := quota.Meter{Rate: quota.Rate{PerSecond: 1, Burst: 2}}
		for i := range 5000 {
			m.Allow(fmt.Sprint("passer-by ", i), 1)
		}
		time.Sleep(time.Hour)
		allowed(&m, "alice", 2)
		for i := range 5000 {
			m.Allow(fmt.Sprint("another ", i), 1)
		}
		if m.Allow("alice", 1) {
			t.Error("whoever waits long enough for others to come is forgotten")
		}
	})
}
