// Package insights reads and runs queries in the language of CloudWatch Logs Insights, as far as the
// AgentCore toolkits, their users and common dashboards write it.
//
//	fields a, b as c, d/1000 as e   display a, b        filter EXPR
//	parse FIELD "glob * of *" as x  parse FIELD /(?<x>re)/
//	stats AGGREGATE as n, … by k, bin(5m)
//	sort a desc, b asc              limit 20            dedup a, b
//	SOURCE … | filterIndex …        (accepted before the rest)
//
// Field names have letters, digits, dots, @ and underscores; anything else stands in backticks. A dotted
// name finds its way through objects whose own keys may have dots. Comments begin with #.
//
// A query is a pipeline: each command sees what the one before it lets through. What it shows are strings.
// What the language has beyond this is refused, as is what is wrong, with an [Error] that knows the line
// and the column. Source: Amazon CloudWatch Logs user guide, query syntax.
package insights

import "fmt"

// Error says what is wrong with a query, and where.
type Error struct {
	Line, Column int // from 1; the column counts characters
	Message      string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s (line %d, column %d)", e.Message, e.Line, e.Column)
}

// Record is what a query is about.
type Record interface {
	// Field returns a field by its dotted path; Missing where there is none.
	Field(path string) Value
}

// Bounds of a query, in characters, of its nesting, of its commands, and of what it returns.
const (
	MaxLength   = 10_000
	maxDepth    = 64
	maxCommands = 100
	MaxRows     = 10_000
	defaultRows = 1000
	maxGroups   = 100_000
)
