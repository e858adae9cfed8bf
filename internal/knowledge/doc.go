// Package knowledge keeps knowledge bases: documents in, passages out, and answers with their sources.
//
//	bucket ──ingestion job──▶ documents ─▶ chunks ─▶ words and vectors in an Index
//	question ─▶ sub-queries ─▶ words ┐
//	                         vectors ┴ fused by rank ─▶ passages ─▶ an answer that cites them
//
// A base is a directory: a JSON file that describes it, its data sources and its ingestion jobs, and the
// index. A job reads what the source's bucket holds now: new and changed documents are indexed, those that
// are gone are removed, and what cannot be read counts as failed, with the reason, and stops nothing. A job
// that a crash cut off begins again with the next server; what it had indexed it finds unchanged.
//
// [Index] is what a base is searched by. The one here is SQLite, see package index; others have to pass
// package indextest. An [Embedder] turns text into vectors; a base remembers which made its own, since
// vectors of two cannot be compared.
//
// A document is material, never an instruction: its text reaches a model between markers, in the user's turn.
package knowledge
