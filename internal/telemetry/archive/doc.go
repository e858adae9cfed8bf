// Package archive keeps telemetry on disk and answers questions about it.
//
// It is a directory of partitions, each an SQLite file that holds what came in during some time. One
// partition is written, by one goroutine that commits whatever has queued up while it was busy with the
// commit before; [Archive.Append] returns when the disk has it. When the partition is old or large enough
// another is begun, so that forgetting is the removal of files, and so is room for more.
//
//	packs     spans that came together, by the chunk: those of one trace and source
//	calls     the service spans of many calls that ended together, packed
//	blocks    log records that came together, packed
//	traces    what a trace adds up to
//	sessions  what a session adds up to
//
// Sums are per partition and add up across partitions: a trace may span several. What a chunk adds to
// them depends on the spans that came before it, since a model call is counted once however many spans
// report it; so the outline of each trace that is being written is kept in memory, and drawn again from
// its chunks when it is not there.
//
// Most calls are of agents that report little, and come in numbers. So what a call costs that began its
// trace is one row among the traces, which says in which of the calls its span is: such a span is no part
// of an outline, since it is above everything and changes nothing of what is counted below it.
package archive
