package budget_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/model/budget"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func TestParse_readsTagsAndSaysWhatIsWrong(t *testing.T) {
	got, err := budget.Parse(map[string]string{
		budget.TagSessionTokens: "200000", budget.TagDailyDollars: "0.57", budget.TagSpent: "end", "mine": "x",
	})
	want := budget.Limits{Session: budget.Amount{Tokens: 200_000}, Day: budget.Amount{Cost: 570_000_000}, End: true}
	if err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for tag, text := range map[string]string{
		budget.TagSessionTokens: "0", budget.TagDailyTokens: "1e6", budget.TagSessionDollars: "NaN", budget.TagDailyDollars: "-1", budget.TagSpent: "stop",
	} {
		if _, err := budget.Parse(map[string]string{tag: text}); err == nil || !strings.Contains(err.Error(), tag) {
			t.Errorf("%s = %q: %v", tag, text, err)
		}
	}
}

// spend makes a call that took so much, and says whether it was let in.
func spend(m *budget.Meter, runtime, session string, l budget.Limits, took budget.Amount, now time.Time) error {
	settle, err := m.Admit(runtime, session, l, budget.Amount{}, now)
	if err == nil {
		settle(took, now)
	}
	return err
}

func TestMeter_refusesAtTheLimitAndOnlyThere(t *testing.T) {
	m := budget.New()
	limits := budget.Limits{Session: budget.Amount{Tokens: 100}, Day: budget.Amount{Cost: 1000}}
	for _, took := range []int64{99, 1} {
		if err := spend(m, "news", "one", limits, budget.Amount{Tokens: took}, noon); err != nil {
			t.Fatalf("before the limit: %v", err)
		}
	}
	if err := spend(m, "news", "one", limits, budget.Amount{}, noon); moorage.CodeOf(err) != moorage.Quota || !strings.Contains(err.Error(), "100 of 100 tokens") {
		t.Errorf("at the limit: %v", err)
	}
	if err := spend(m, "news", "two", limits, budget.Amount{Cost: 1000}, noon); err != nil {
		t.Errorf("another session: %v", err)
	}
	if err := spend(m, "news", "three", limits, budget.Amount{}, noon); moorage.CodeOf(err) != moorage.Quota {
		t.Errorf("the runtime's day is used up: %v", err)
	}
	if err := spend(m, "other", "four", limits, budget.Amount{}, noon); err != nil {
		t.Errorf("another runtime: %v", err)
	}
	if err := spend(m, "news", "three", limits, budget.Amount{}, noon.Add(12*time.Hour)); err != nil {
		t.Errorf("the next day: %v", err)
	}
}

// A hundred calls at once, each of which takes what was held for it, pass a limit by less than one of them.
func TestMeter_manyCallsAtOnceDoNotPassTheLimitByMoreThanOne(t *testing.T) {
	const each, limit = 30, 100
	m, l := budget.New(), budget.Limits{Session: budget.Amount{Tokens: limit}}
	var mu sync.Mutex
	var settles []func(budget.Amount, time.Time)
	var asking sync.WaitGroup
	for range 100 {
		asking.Go(func() {
			settle, err := m.Admit("news", "one", l, budget.Amount{Tokens: each}, noon)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				settles = append(settles, settle)
			case moorage.CodeOf(err) != moorage.Throttled:
				t.Errorf("while the rest is held: %v", err)
			}
		})
	}
	asking.Wait()
	if len(settles) != 4 { // 0, 30, 60 and 90 are less than 100
		t.Fatalf("%d calls are in progress", len(settles))
	}
	for _, settle := range settles[:3] {
		settle(budget.Amount{Tokens: each}, noon)
	}
	settles[3](budget.Amount{}, noon) // it failed
	if err := spend(m, "news", "one", l, budget.Amount{Tokens: 10}, noon); err != nil {
		t.Errorf("what was held for a call that failed is free again: %v", err)
	}
	if err := spend(m, "news", "one", l, budget.Amount{}, noon); moorage.CodeOf(err) != moorage.Quota {
		t.Errorf("at the limit: %v", err)
	}
}

func TestMeter_remembersOverRestarts(t *testing.T) {
	m := budget.New()
	none := budget.Limits{}
	spend(m, "news", "lives", none, budget.Amount{Tokens: 7}, noon)
	spend(m, "news", "ended", none, budget.Amount{Tokens: 5}, noon)
	lives := func(session string) bool { return session == "lives" }
	doc, err := m.Save(lives)
	again := budget.New()
	if err == nil {
		err = again.Load(doc)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := spend(again, "news", "lives", budget.Limits{Session: budget.Amount{Tokens: 7}}, budget.Amount{}, noon); err == nil {
		t.Error("what the session spent is forgotten")
	}
	if err := spend(again, "news", "", budget.Limits{Day: budget.Amount{Tokens: 12}}, budget.Amount{}, noon); err == nil {
		t.Error("what the runtime spent today is forgotten")
	}
	if session, today := again.Spent("news", "ended", noon); session.Tokens != 5 || today.Tokens != 12 {
		t.Errorf("a session that ended took %+v, its runtime today %+v", session, today)
	}
	if session, today := again.Spent("news", "ended", noon.Add(24*time.Hour)); session.Tokens != 5 || today.Tokens != 0 {
		t.Errorf("on the next day: %+v, %+v", session, today)
	}
	if doc, err := m.Save(lives); doc != nil || err != nil {
		t.Errorf("nothing changed: %s, %v", doc, err)
	}
	m.Unsaved()
	if doc, _ := m.Save(lives); doc == nil {
		t.Error("what was not written down is not saved again")
	}
}

func TestMeter_forgetsSessionsThatAreLongOver(t *testing.T) {
	m := budget.New()
	over := func(string) bool { return false }
	for i := range 300 {
		spend(m, "news", fmt.Sprint("session", i), budget.Limits{}, budget.Amount{Tokens: 1}, noon)
		if _, err := m.Save(over); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[string]int64{"session0": 0, "session43": 0, "session44": 1, "session299": 1} {
		if got, _ := m.Spent("news", id, noon); got.Tokens != want {
			t.Errorf("of %s %d tokens are remembered, want %d", id, got.Tokens, want)
		}
	}
}
