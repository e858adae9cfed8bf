// Package erofs writes read-only root file systems in the EROFS format, in one pass and without
// any other program.
//
// File contents go into the image as they arrive, so nothing is ever unpacked on the host: a
// hostile name in a layer or a zip has nothing to name. Names, owners and modes live in a tree of
// [Node] in memory, which [Writer.Close] lays out behind the contents.
//
// Every regular file is stored plain and starts on a block of its own, because gVisor maps files
// straight from the image and cannot map inlined ones. The same tree and contents give the same
// bytes. Compression, extended attributes and images of several devices are left out.
//
// Format: https://docs.kernel.org/filesystems/erofs.html
package erofs
