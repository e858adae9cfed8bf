// Package index searches the chunks of a knowledge base: one SQLite file, its full-text index for words,
// and signatures of vectors in memory.
//
// Words: of a question the rarest terms are asked for, as many as have to be read through within a budget,
// so that a question of a thousand words costs no more than one of ten.
//
// Vectors: each is turned by a fixed rotation, whose signs are a signature of one bit for each dimension.
// How many bits two signatures differ in estimates the angle; the best few hundred of all are then compared
// by their vectors from the disk. A hundred thousand chunks of 1,024 dimensions are 13 MB of signatures.
package index
