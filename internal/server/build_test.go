package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun_saysWhyARoomDoesNotOpen(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "root.key"), []byte("too short"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := Run(t.Context(), Options{Dir: dir, Listen: "127.0.0.1:0"})
	if err == nil || !strings.Contains(err.Error(), "root.key holds 9 bytes instead of 32") {
		t.Errorf("the server says %v", err)
	}
}
