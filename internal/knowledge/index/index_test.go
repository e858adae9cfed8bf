package index

import (
	"path/filepath"
	"testing"

	"github.com/moorage-dev/moorage/internal/knowledge"
	"github.com/moorage-dev/moorage/internal/knowledge/indextest"
)

func TestIndex(t *testing.T) {
	indextest.Run(t, func(t *testing.T, dir string) knowledge.Index {
		x, err := Open(t.Context(), filepath.Join(dir, "index.db"), indextest.Dimensions)
		if err != nil {
			t.Fatal(err)
		}
		return x
	})
}
