// Command gen writes the Go side of AWS APIs from AWS's own service models.
//
// The models are read from one pinned release of botocore, fetched from PyPI by pip and never kept
// in the repository. For each service in services.go it writes DIR/PACKAGE/api.gen.go: the types and
// shapes of the operations that Moorage serves, and the names of all others. The output depends on
// the pinned release and on this program only.
//
// It refuses to write what it does not understand: a trait, location or regular expression that the
// wire package could not honour ends the run with the shape's name.
//
//	gen -out DIR [-check]
//
// With -check it writes nothing, and exits 1 if a file would change.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
)

func main() {
	out := flag.String("out", "..", "`directory` of the generated packages")
	check := flag.Bool("check", false, "write nothing; exit 1 if a file would change")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	wheel, err := fetch(ctx)
	if err == nil {
		err = run(wheel, *out, *check)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(wheel []byte, out string, check bool) error {
	for _, s := range services {
		source, err := generate(wheel, s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Package, err)
		}
		if err := put(filepath.Join(out, s.Package, "api.gen.go"), source, check); err != nil {
			return err
		}
	}
	return nil
}

// generate returns the source of one package.
func generate(wheel []byte, s service) ([]byte, error) {
	m, err := readModel(wheel, s.Model)
	if err != nil {
		return nil, err
	}
	a, err := plan(m, s)
	if err != nil {
		return nil, err
	}
	return a.source()
}

func put(file string, source []byte, check bool) error {
	old, err := os.ReadFile(file)
	if err == nil && bytes.Equal(old, source) {
		return nil
	}
	if check {
		return fmt.Errorf("%s is not what the models give; run go generate ./internal/aws/...", file)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, source, 0o644)
}
