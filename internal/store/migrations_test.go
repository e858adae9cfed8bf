package store

import (
	"fmt"
	"strings"
	"testing"
)

// Two files of one number would leave one of them out, and a gap would look like a newer directory.
func TestMigrations_areNumberedOnceWithoutGaps(t *testing.T) {
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range files {
		if want := fmt.Sprintf("%03d_", i+1); !strings.HasPrefix(f.Name(), want) {
			t.Errorf("%s should begin with %s", f.Name(), want)
		}
	}
}
