package store_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/store"
)

var created = time.Date(2026, 11, 22, 10, 0, 0, 123456789, time.UTC)

func open(t *testing.T, dir string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func put(t *testing.T, db *store.DB) (moorage.Runtime, moorage.Version) {
	t.Helper()
	rt := moorage.Runtime{ID: "demo-abcdefghij", Name: "demo", ARN: "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/demo-abcdefghij",
		Latest: 1, Status: moorage.Creating, Identity: "arn:…", CreatedAt: created, UpdatedAt: created}
	v := moorage.Version{RuntimeID: rt.ID, Number: 1, Status: moorage.Creating, CreatedAt: created, UpdatedAt: created,
		Config: moorage.Config{RoleARN: "arn:aws:iam::123456789012:role/x", Container: &moorage.ContainerImage{URI: "a/b:1"},
			Environment: map[string]string{"TOKEN": "correct-horse-battery"}},
		Program: &moorage.Program{Digest: "sha256:0", Args: []string{"/agent"}}}
	err := db.Update(t.Context(), func(tx *store.Tx) error {
		return errors.Join(tx.PutRuntime(rt), tx.PutVersion(v), tx.PutTags(rt.ARN, map[string]string{"team": "news"}),
			tx.PutSession(moorage.Session{ID: "s1", CallerID: "c", RuntimeID: rt.ID, Endpoint: "DEFAULT", State: moorage.Starting, CreatedAt: created}))
	})
	if err != nil {
		t.Fatal(err)
	}
	return rt, v
}

func TestUpdate_survivesReopening(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir)
	rt, v := put(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	err := open(t, dir).View(t.Context(), func(tx *store.Tx) error {
		gotRT, err := tx.Runtime(rt.ID)
		if err != nil || !reflect.DeepEqual(gotRT, rt) {
			t.Errorf("runtime = %+v, %v; want %+v", gotRT, err, rt)
		}
		gotV, err := tx.Version(rt.ID, 1)
		if err != nil || !reflect.DeepEqual(gotV, v) {
			t.Errorf("version = %+v, %v; want %+v", gotV, err, v)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestUpdate_undoneWhenItsFunctionFails(t *testing.T) {
	db := open(t, t.TempDir())
	rt, _ := put(t, db)
	stop := errors.New("stop")
	err := db.Update(t.Context(), func(tx *store.Tx) error {
		return errors.Join(tx.DeleteRuntime(rt), stop)
	})
	if !errors.Is(err, stop) {
		t.Fatalf("Update = %v, want its function's error", err)
	}
	db.View(t.Context(), func(tx *store.Tx) error {
		if _, err := tx.Runtime(rt.ID); err != nil {
			t.Errorf("runtime is gone after a failed Update: %v", err)
		}
		return nil
	})
}

func TestDeleteRuntime_leavesNothing(t *testing.T) {
	db := open(t, t.TempDir())
	rt, _ := put(t, db)
	if err := db.Update(t.Context(), func(tx *store.Tx) error { return tx.DeleteRuntime(rt) }); err != nil {
		t.Fatal(err)
	}
	db.View(t.Context(), func(tx *store.Tx) error {
		if _, err := tx.Version(rt.ID, 1); moorage.CodeOf(err) != moorage.NotFound {
			t.Errorf("version: %v, want NotFound", err)
		}
		if tags, _ := tx.Tags(rt.ARN); len(tags) > 0 {
			t.Errorf("tags left: %v", tags)
		}
		if live, _ := tx.LiveSessions(); len(live) > 0 {
			t.Errorf("sessions left: %v", live)
		}
		return nil
	})
}

func TestView_refusesWrites(t *testing.T) {
	db := open(t, t.TempDir())
	if err := db.View(t.Context(), func(tx *store.Tx) error { return tx.PutSetting("a", "b") }); err == nil {
		t.Fatal("a write inside View succeeded")
	}
}

func TestSecretsAreSealed(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir)
	put(t, db)
	key := store.AccessKey{ID: "AKIAEXAMPLE", Secret: "wJalrXUtnFEMI-secret", Principal: "arn:x", Active: true, CreatedAt: created}
	if err := db.Update(t.Context(), func(tx *store.Tx) error { return tx.PutAccessKey(key) }); err != nil {
		t.Fatal(err)
	}
	db.Close()
	files, _ := filepath.Glob(filepath.Join(dir, "moorage.db*"))
	if len(files) == 0 {
		t.Fatal("no database file")
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{key.Secret, "correct-horse-battery"} {
			if bytes.Contains(data, []byte(secret)) {
				t.Errorf("%s holds %q in the clear", filepath.Base(f), secret)
			}
		}
	}
	open(t, dir).View(t.Context(), func(tx *store.Tx) error {
		keys, err := tx.AccessKeys()
		if err != nil || !reflect.DeepEqual(keys, []store.AccessKey{key}) {
			t.Errorf("keys = %+v, %v", keys, err)
		}
		return nil
	})
}

func TestOpen_anotherRootKeyOpensNoSecret(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir)
	rt, _ := put(t, db)
	db.Close()
	if err := os.WriteFile(filepath.Join(dir, "root.key"), make([]byte, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, dir).View(t.Context(), func(tx *store.Tx) error {
		if v, err := tx.Version(rt.ID, 1); err == nil {
			t.Errorf("opened %v under another key", v.Config.Environment)
		}
		return nil
	})
}

func TestOpen_refusesACutRootKey(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "root.key"), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(context.Background(), dir); moorage.CodeOf(err) != moorage.Unavailable {
		t.Fatalf("Open = %v, want Unavailable", err)
	}
}

func TestSessions_oneAlivePerCallerID(t *testing.T) {
	db := open(t, t.TempDir())
	put(t, db)
	second := moorage.Session{ID: "s2", CallerID: "c", RuntimeID: "demo-abcdefghij", Endpoint: "DEFAULT", State: moorage.Starting, CreatedAt: created}
	if err := db.Update(t.Context(), func(tx *store.Tx) error { return tx.PutSession(second) }); err == nil {
		t.Fatal("two live sessions share one caller id")
	}
	second.Owner = "someone else"
	if err := db.Update(t.Context(), func(tx *store.Tx) error { return tx.PutSession(second) }); err != nil {
		t.Fatalf("another owner's session with the same id: %v", err)
	}
}

func TestSessions_comeBackAsTheyWerePut(t *testing.T) {
	db := open(t, t.TempDir())
	put(t, db)
	want := moorage.Session{
		ID: "s9", CallerID: "c9", RuntimeID: "demo-abcdefghij", Endpoint: "DEFAULT", Owner: "alice", Version: 1, State: moorage.Asleep, SandboxID: "b9",
		StartedBy: "cold", StartTook: 7, Steps: []moorage.Step{{Name: "create sandbox", Took: 4}, {Name: "agent answers", Took: 3}},
		CreatedAt: created, LastActiveAt: created.Add(1), EndedAt: created.Add(9), EndReason: "because", Sleeps: 2, WokeTook: 5, CPU: 11,
		PeakBytes: 12, Slept: 13, SleptFrom: created.Add(2), ParentID: "s1", ForkedAt: created.Add(3), Shares: "nothing",
	}
	if err := db.Update(t.Context(), func(tx *store.Tx) error { return tx.PutSession(want) }); err != nil {
		t.Fatal(err)
	}
	err := db.View(t.Context(), func(tx *store.Tx) error {
		got, err := tx.Session("s9")
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
