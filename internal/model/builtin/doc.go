// Package builtin is a model that needs nothing: no weights, no key, no network. It is for demos and tests,
// and every answer names it "built-in demo model".
//
// It knows no world. It reads what a prompt asks for and does that by rules: with tools it follows the
// numbered workflow of the instructions; without, it does the one of its skills that the instructions
// begin with (naming entities, queries, an article, a review, lines of fields, an answer from search
// results, a summary). All that it says stands in what it was given. The same request gives the same
// answer, always.
//
//	turn      what was asked, and what the tools have said since
//	plan      which tool is next        -> input: what the tool is called with
//	skill     what is said in the end   -> form: the tag, list or JSON that the instructions ask for
//
// It does not translate, compute, see pictures or chat. It says so.
package builtin
