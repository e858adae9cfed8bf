// Package genai reads what spans of AI agents mean.
//
// Frameworks write the same things under different names: OpenTelemetry's conventions for generative
// AI in their older form (messages as span events) and their newer one (messages as attributes, or on
// one event), the AWS distro's log records, botocore's, OpenInference's and OpenLLMetry's numbered
// attributes, and what Strands and CrewAI add. [Draw] takes from a span what sums need; [Read] takes
// everything. What is not understood stays in the span's attributes, which are shown as they came.
package genai
