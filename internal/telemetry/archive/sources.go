package archive

import (
	"context"
	"encoding/json"
	"hash/maphash"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// sourceIDs knows which sources have a row in the partition that is written, as many as were used lately. A
// source that it forgot gets another row: that costs a hundred bytes, and no index.
type sourceIDs struct {
	seeds [2]maphash.Seed
	ids   map[[2]uint64]int64 // by 128 bits that nobody can foresee
	last  int64
}

// maxSources bounds the ids in memory, of about 40 bytes each.
const maxSources = 50_000

func newSourceIDs() *sourceIDs {
	return &sourceIDs{[2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, map[[2]uint64]int64{}, 0}
}

// load goes on after the ids that are on disk, and forgets those that it knew.
func (s *sourceIDs) load(ctx context.Context, p *partition) error {
	clear(s.ids)
	return p.conn.QueryRowContext(ctx, "SELECT ifnull(max(id), 0) FROM sources").Scan(&s.last)
}

// source returns the id of a source in the partition.
func (t *transaction) source(ctx context.Context, s telemetry.Source) (int64, error) {
	known := t.writer.sources
	key := [2]uint64{maphash.Comparable(known.seeds[0], s), maphash.Comparable(known.seeds[1], s)}
	if id, ok := known.ids[key]; ok {
		return id, nil
	}
	doc, err := json.Marshal(s)
	if err != nil {
		return 0, err
	}
	if len(known.ids) >= maxSources {
		clear(known.ids)
	}
	known.last++
	known.ids[key] = known.last
	return known.last, t.sources.add(ctx, known.last, string(doc))
}
