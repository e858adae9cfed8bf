package warm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
)

// adopt takes over what an earlier server left in its pools, and removes what it would start
// otherwise now.
func (p *Pools) adopt(ctx context.Context) {
	boxes, err := p.Starter.Driver.List(ctx)
	if err != nil {
		p.Log.Error("find the ready sandboxes of an earlier server", "err", err)
		return
	}
	for _, box := range boxes {
		if box.Info().Labels[labelPool] != "" {
			p.adoptOne(ctx, box)
		}
	}
}

func (p *Pools) adoptOne(ctx context.Context, box sandbox.Sandbox) {
	p.mu.Lock()
	var q *pool
	for key, candidate := range p.pools {
		if key.String() == box.Info().Labels[labelPool] {
			q = candidate
		}
	}
	p.mu.Unlock()
	if q == nil || !p.Starter.wouldStart(q.version, box.Info()) {
		p.clear(box)
		return
	}
	r := &ready{agent: p.Starter.Adopt(box, q.version)}
	if err := p.settle(ctx, r, maps.Clone(box.Info().Labels)); err != nil {
		p.clear(box)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if q.dropped {
		p.remove(q, r)
		return
	}
	p.add(q, r)
}

func (p *Pools) clear(box sandbox.Sandbox) {
	if err := p.Starter.discard(newAgent(box, moorage.Protocol{})); err != nil {
		p.Log.Error("remove a sandbox of an earlier server's pool", "sandbox", box.Info().ID, "err", err)
	}
}

// wouldStart reports whether a ready sandbox is what Start makes of v now: of the same engine, limits
// and environment.
func (s *Starter) wouldStart(v moorage.Version, info sandbox.Info) bool {
	if driver, ok := s.Driver.(interface{ Build() string }); ok && !strings.HasSuffix(info.Engine, " "+driver.Build()) {
		return false
	}
	return info.Labels[labelReady] != "" && info.Labels[labelRecipe] == s.recipe(v)
}

// recipe is a digest of all that a sandbox of v is started from.
func (s *Starter) recipe(v moorage.Version) string {
	spec := s.spec(v, "", nil, nil)
	slices.Sort(spec.Process.Env) // a map's order is not the same twice
	doc, err := json.Marshal(spec)
	if err != nil {
		return "" // strings and numbers do not fail
	}
	sum := sha256.Sum256(doc)
	return hex.EncodeToString(sum[:16])
}
