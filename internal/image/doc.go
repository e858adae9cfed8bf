// Package image turns what people deploy into read-only root file systems.
//
// An image by reference, an OCI layout, a docker archive or a zip of code becomes an [Artifact]:
// one EROFS file that any number of sandboxes share, and how to start a process in it. The package
// also serves the registry that images are pushed to, and bakes the root of code artifacts from
// the Python or Node that this machine has.
//
// It promises that
//
//   - layers and zips are never unpacked on the host: names, links and owners live in a tree in
//     memory, and contents go straight into the image, so a hostile archive can reach nothing;
//   - every archive is bounded in bytes and entries, and what was read matches its digest;
//   - an artifact appears whole or not at all, survives a crash once returned, and two builds of
//     the same thing at the same time do the work once;
//   - foreign code (an installer, a setup.py) runs only through the [Runner] that it is given;
//   - a baked root holds an interpreter, its libraries, a shell and certificates, and nothing else
//     of the host.
//
// It knows no runtimes, callers or sandboxes.
package image
