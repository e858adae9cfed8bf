package session

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// through sends owners to the gate one after the other, each for a second, and returns the order in which they came up.
func through(t *testing.T, g *gate, owners ...string) (order []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		up := make(chan string, len(owners))
		for i, owner := range owners {
			go func() {
				leave, _, err := g.enter(t.Context(), owner)
				if err != nil {
					t.Error(err)
					return
				}
				up <- fmt.Sprint(owner, i)
				time.Sleep(time.Second) // of the bubble's own clock
				leave()
			}()
			synctest.Wait()
		}
		for range owners {
			order = append(order, <-up)
		}
		time.Sleep(time.Second)
	})
	return order
}

func TestGate_inOrder(t *testing.T) {
	got := through(t, &gate{width: 1}, "a", "a", "a", "a")
	if want := []string{"a0", "a1", "a2", "a3"}; !slices.Equal(got, want) {
		t.Errorf("came up as %v, want %v", got, want)
	}
}

func TestGate_ownersTakeTurns(t *testing.T) {
	got := through(t, &gate{width: 1}, "a", "a", "a", "a", "b", "c", "b")
	if want := []string{"a0", "a1", "b4", "c5", "a2", "b6", "a3"}; !slices.Equal(got, want) {
		t.Errorf("came up as %v, want %v", got, want)
	}
}

func TestGate_whoeverGivesUpHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{width: 1}
		leave, _, err := g.enter(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := g.enter(impatient, "b"); err != context.DeadlineExceeded {
			t.Errorf("without a turn: %v", err)
		}
		leave()
		leave() // counts once
		for range 2 {
			leave, waited, err := g.enter(t.Context(), "c")
			if err != nil || waited != 0 {
				t.Errorf("waited %v: %v", waited, err)
			}
			leave()
		}
		if len(g.lines)+len(g.turns)+g.running != 0 {
			t.Errorf("left behind: %+v", g)
		}
	})
}
