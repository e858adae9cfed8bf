// Package telemetry holds the nouns of what agents report: traces of spans, log lines, metrics, and
// the sessions that these add up to.
//
// What comes in is an OTLP document. It is kept as it came, beside a stamp ([Source]) that says which
// session sent it: the stamp is the platform's own knowledge and overrules whatever the document
// claims. From each span a [Fact] is drawn, enough for sums and lists; the whole of it is understood
// when somebody looks, so that a better reading of a framework's spans mends old traces too.
//
//	otlp     the inlets: OTLP over HTTP, checked and bounded, to a Batch
//	genai    what a span means: model call, tool call, agent, messages, tokens
//	archive  keeps batches on disk and answers questions about them
//
// The types of view.go are what readers get, and their JSON is the API's.
package telemetry
