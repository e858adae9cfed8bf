// Package archive keeps telemetry on disk and answers questions about it.
//
// It is a directory of partitions, each an SQLite file that holds what came in during some time. One
// partition is written, by one goroutine that commits whatever has queued up while it was busy with the
// commit before; [Archive.Append] returns when the disk has it. When the partition is old or large enough
// another is begun, so that forgetting is the removal of files, and so is room for more.
//
//	chunks    the spans of one trace that came together, packed
//	blocks    log records that came together, packed
//	traces    what a trace adds up to
//	sessions  what a session adds up to
//
// Sums are per partition and add up across partitions: a trace may span several. What a chunk adds to
// them depends on the spans that came before it, since a model call is counted once however many spans
// report it; so the outline of each trace that is being written is kept in memory, and drawn again from
// its chunks when it is not there.
package archive
