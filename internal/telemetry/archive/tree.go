package archive

import (
	"cmp"
	"slices"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// branch is a span in its trace's tree.
type branch struct {
	fact     telemetry.Fact
	parent   *branch // nil for a root
	adopted  bool    // the parent that it names never came: it hangs where its times fit
	children []*branch
	depth    int
	noise    bool // it and all below it are plumbing
}

// grow makes a tree of spans, those of one id once, and returns them in reading order: parents before
// their children, siblings by start. A span whose parent is not there hangs under the root at whose time
// it ran; one that would be above itself is a root.
func grow(facts []telemetry.Fact) (order []*branch) {
	all := map[telemetry.SpanID]*branch{}
	for _, f := range facts {
		if all[f.ID] == nil {
			b := &branch{fact: f}
			all[f.ID] = b
			order = append(order, b)
		}
	}
	slices.SortStableFunc(order, earlier)
	var roots []*branch
	for _, b := range order {
		if b.parent = all[b.fact.Parent]; isRoot(b.fact) && (b.parent == nil || b.fact.Parent.IsZero()) {
			b.parent = nil
			roots = append(roots, b)
		}
	}
	cutLoops(order)
	for _, b := range order {
		if b.parent == nil && !isRoot(b.fact) {
			b.parent, b.adopted = home(b, roots), true
		}
		if b.parent != nil {
			b.parent.children = append(b.parent.children, b)
		}
	}
	return walk(order)
}

func earlier(a, b *branch) int {
	return cmp.Or(cmp.Compare(a.fact.Start, b.fact.Start), cmp.Compare(b.fact.End, a.fact.End))
}

// cutLoops makes sure that everything hangs from a root, whatever parents spans claim.
func cutLoops(order []*branch) {
	const unknown, onPath, fine = 0, 1, 2
	state := map[*branch]int{}
	for _, b := range order {
		var path []*branch
		for at := b; at != nil && state[at] == unknown; at = at.parent {
			state[at] = onPath
			path = append(path, at)
			if at.parent != nil && state[at.parent] == onPath {
				at.parent = nil
			}
		}
		for _, each := range path {
			state[each] = fine
		}
	}
}

// home is the root that was running when b began, the latest of them, or nil.
func home(b *branch, roots []*branch) (found *branch) {
	for _, r := range roots {
		if r.fact.Start <= b.fact.Start && b.fact.Start <= r.fact.End {
			found = r
		}
	}
	return found
}

// walk orders a tree for reading and fills in depth and noise, without recursion: traces may be as deep
// as they are long.
func walk(all []*branch) (order []*branch) {
	var stack []*branch
	for _, b := range slices.Backward(all) {
		if b.parent == nil {
			stack = append(stack, b)
		}
	}
	for len(stack) > 0 {
		b := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if b.noise = b.fact.Noise; b.parent != nil {
			b.depth = b.parent.depth + 1
		}
		order = append(order, b)
		for _, child := range slices.Backward(b.children) {
			stack = append(stack, child)
		}
	}
	for _, b := range slices.Backward(order) { // children first
		for _, child := range b.children {
			b.noise = b.noise && child.noise
		}
	}
	return order
}

// alone is how long a span ran without any of its children, in nanoseconds.
func (b *branch) alone() int64 {
	left, at := b.fact.End-b.fact.Start, b.fact.Start
	for _, c := range b.children { // by start
		from, to := max(c.fact.Start, at), min(c.fact.End, b.fact.End)
		if to > from {
			left -= to - from
			at = to
		}
	}
	return left
}
