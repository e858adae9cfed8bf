// Package otlp is where telemetry comes in: OTLP over HTTP, as protobuf or JSON, and over gRPC,
// plain or gzipped.
//
// A request is bounded in every direction before anything is made of it: its bytes, how deep its values
// are nested, how long each value is, how many attributes and events a span has. What is too much of a
// span is cut and counted on the span, as OpenTelemetry's own limits do; what is no span is refused and
// counted in the answer. An answer of 200 is given when everything that was taken is on disk.
//
// Who sent it comes from the request's context ([telemetry.WithSource]) and never from its payload. Only
// a request from outside, whose sender showed credentials, is believed what it says of itself.
package otlp
