package warm

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
)

// plain turns the spec of an isolated sandbox into that of a plain process: its root is a directory of
// the host, below which the program, its working directory and its PATH are looked for. A program whose
// own libraries differ from the host's may not start so.
func (s *Starter) plain(ctx context.Context, p *moorage.Program, spec sandbox.Spec) (sandbox.Spec, error) {
	root, err := s.Unpack(ctx, *p)
	if err != nil {
		return spec, err
	}
	spec.Root = sandbox.Root{Host: root}
	spec.Process.Dir = filepath.Join(root, spec.Process.Dir)
	spec.Process.Args = slices.Clone(spec.Process.Args)
	if args := spec.Process.Args; len(args) > 0 && filepath.IsAbs(args[0]) {
		args[0] = filepath.Join(root, args[0])
	}
	for i, pair := range spec.Process.Env {
		if list, ok := strings.CutPrefix(pair, "PATH="); ok {
			spec.Process.Env[i] = "PATH=" + pathBelow(root, list)
		}
	}
	return spec, nil
}

// pathBelow looks for programs below root before it looks on the host.
func pathBelow(root, list string) string {
	dirs := filepath.SplitList(list)
	for i, dir := range dirs {
		dirs[i] = filepath.Join(root, dir)
	}
	return strings.Join(append(dirs, list), string(filepath.ListSeparator))
}
