#!/usr/bin/env bash
# Builds the release: a static binary for amd64 and arm64, the licences of everything in it, checksums.
set -euo pipefail
cd "$(dirname "$0")/.."

go run ./internal/sandbox/gvisor/mend -out .cache/engine
export GOWORK="$PWD/.cache/engine/go.work"
version=${1:-$(git describe --tags --always)}
out=dist
rm -rf "$out"
mkdir -p "$out"
for arch in amd64 arm64; do
	folder="$out/moorage-$version-linux-$arch"
	mkdir -p "$folder/licenses"
	mkdir -p "$out/build"
	CGO_ENABLED=0 GOOS=linux GOARCH=$arch go build -trimpath \
		-ldflags "-s -w -X main.version=$version -X github.com/moorage-dev/moorage/internal/sandbox/gvisor.mended=yes" -o "$out/build/" ./cmd/moorage ./cmd/engine
	go run ./internal/sandbox/engine/pack "$folder/moorage" "$out/build/moorage" "$out/build/engine"
	rm -rf "$out/build"
	cp LICENSE NOTICE README.md "$folder/"
	go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}' ./cmd/moorage | sort -u | while read -r module dir; do
		for file in "$dir"/LICENSE* "$dir"/NOTICE* "$dir"/COPYING*; do
			[ -f "$file" ] && cp "$file" "$folder/licenses/$(echo "$module" | tr / _)-$(basename "$file")"
		done
	done
	chmod -R u+w "$folder/licenses"
	tar -C "$out" --sort=name --owner=0 --group=0 --mtime="$(git log -1 --format=%cI)" -czf "$folder.tar.gz" "$(basename "$folder")"
	rm -rf "$folder"
done
(cd "$out" && sha256sum ./*.tar.gz >SHA256SUMS && cat SHA256SUMS)
