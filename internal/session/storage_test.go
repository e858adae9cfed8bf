package session

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
)

func TestStorage_sweepSparesWhatWasUsedLately(t *testing.T) {
	st := &Storage{Dir: filepath.Join(t.TempDir(), "storage [1]")} // a name that a pattern would not match
	v := moorage.Version{Number: 1, Config: moorage.Config{Storage: "/mnt/data"}}
	old, fresh := Key{"demo-1", "DEFAULT", "alice", "old"}, Key{"demo-1", "prod", "alice", "fresh"}
	for _, k := range []Key{old, fresh} {
		if _, err := st.mounts(k, v); err != nil {
			t.Fatal(err)
		}
	}
	longAgo := time.Now().Add(-storageAge - time.Hour)
	if err := os.Chtimes(st.path(old), longAgo, longAgo); err != nil {
		t.Fatal(err)
	}
	if err := st.sweep(time.Now().Add(-storageAge)); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[Key]bool{old: false, fresh: true} {
		if _, err := os.Stat(st.path(k)); (err == nil) != want {
			t.Errorf("storage of %s is there: %v, want %v", k.CallerID, err == nil, want)
		}
	}
	if _, err := st.mounts(old, v); err != nil { // who comes back begins anew
		t.Error(err)
	}
}

func TestStorage_sparseFilesCountForWhatTheyTake(t *testing.T) {
	st := &Storage{Dir: t.TempDir()}
	v := moorage.Version{Number: 1, Config: moorage.Config{Storage: "/mnt/data"}}
	k := Key{"demo-1", "DEFAULT", "alice", "one"}
	mounts, err := st.mounts(k, v)
	if err != nil {
		t.Fatal(err)
	}
	sparse := filepath.Join(mounts[0].Source, "sparse")
	if err := os.WriteFile(sparse, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(sparse, 2*storageBytes); err != nil {
		t.Fatal(err)
	}
	if excess := st.excess(k, v); excess != "" {
		t.Errorf("an empty file of 2 GiB: %s", excess)
	}
}

func TestStorageWatch_looksNoMoreOftenThanItsPause(t *testing.T) {
	st := &Storage{Dir: t.TempDir()}
	s := newLive(Key{"demo-1", "DEFAULT", "alice", "one"}, moorage.Version{Number: 1, Config: moorage.Config{Storage: "/mnt/data"}}, moorage.Session{})
	w := storageWatch{pause: time.Hour}
	w.excess(st, s)
	due := w.due
	if time.Until(due) < 25*time.Minute {
		t.Errorf("due again at once: %s", due)
	}
	if w.excess(st, s); w.due != due {
		t.Error("it looked before it was due")
	}
}
