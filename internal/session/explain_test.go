package session_test

import (
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/store"
)

func TestRecord_howASessionWentOutlivesTheServer(t *testing.T) {
	h := sleepyHouse(t, time.Hour)
	v := version(t, h, moorage.Lifecycle{})
	k := key("alice", "one")
	add(t, h, k, v)
	id := h.List()[0].ID
	sleep(t, h, id)
	add(t, h, k, v)
	was := h.List()[0]
	if len(was.Steps) == 0 || was.Sleeps != 1 || was.WokeTook <= 0 || was.Slept <= 0 || !was.SleptFrom.IsZero() || was.CPU <= 0 || was.PeakBytes <= 0 {
		t.Errorf("it is %+v", was)
	}
	h.Restart(t)
	now := h.List()[0]
	if len(now.Steps) != len(was.Steps) || now.StartTook != was.StartTook || now.Sleeps != 1 || now.WokeTook != was.WokeTook || now.Slept != was.Slept || now.CPU != was.CPU {
		t.Errorf("after the restart it is %+v, it was %+v", now, was)
	}
	sleep(t, h, id)
	h.Restart(t)
	if now := h.List()[0]; now.Sleeps != 2 || now.SleptFrom.IsZero() || now.CPU <= was.CPU {
		t.Errorf("asleep, after the restart, it is %+v", now)
	}
	if err := h.Stop(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	var row moorage.Session
	err := h.Store.View(t.Context(), func(tx *store.Tx) (err error) { row, err = tx.Session(id); return err })
	if err != nil || row.Sleeps != 2 || row.CPU <= was.CPU {
		t.Errorf("on record it is %+v, %v", row, err)
	}
}
