package main

import (
	"context"
	"slices"
	"strings"
)

// measurement gives some rows of the table, and a note of how they were taken.
type measurement struct {
	name    string
	measure func(context.Context) error
	note    string
}

func (b *bench) measurements() []measurement {
	return []measurement{
		{"cold", b.coldStarts, coldNote},
		{"pool", b.pooledStarts, poolNote},
		{"restore", b.restores, restoreNote},
		{"sleep", b.sleeps, ""},
		{"warm", b.warmCalls, warmNote},
		{"throughput", b.throughput, throughputNote},
		{"memory", b.memory, memoryNote},
		{"cycles", b.cycles, ""},
		{"burst", b.burst, ""},
		{"density", b.density, ""},
		{"telemetry-spans", b.telemetry, telemetryNote},
		{"telemetry-logs", b.telemetryLogs, ""},
		{"telemetry-peer", b.telemetryPeer, telemetryNote},
		{"identity", b.identity, identityNote},
		{"models", b.models, modelsNote},
	}
}

// named reports whether the measurement's name holds one of those that are separated by commas.
func (m measurement) named(names string) bool {
	return slices.ContainsFunc(strings.Split(names, ","), func(part string) bool { return strings.Contains(m.name, part) })
}

const (
	coldNote = `Cold start: from the first byte of InvokeAgentRuntime with a new session to the last byte of the answer, over a
connection that is open already. The bare process: from exec to the last byte of the same answer, asking
every 0.3 ms. Both in turns.`
	poolNote = `From the pool: the same call on a version that has a paused sandbox ready, in turns with a cold start of the same
agent. The next turn begins when the pool is full again.`
	restoreNote = `From the golden snapshot: the same call on a version that has a snapshot and no ready sandbox, reseeding included; a server
of its own, which keeps none ready.`
	warmNote = `Warm overhead: the same request on kept connections, in turns through the data plane and on a connection
dialled into the same sandbox; the result is the difference, the absolute times stand beside.`
	throughputNote = `Requests per second: wrk, one thread, signed before the run. nginx proxies to the same sandbox over
connections of the same kind as Moorage's, dialled by the shim: a filter on nginx's socket() and connect() hands it
those, so no bridge stands between. nginx checks no signature and keeps no log.`
	memoryNote    = `Memory: proportional set size of all address spaces of a sandbox, and its share of the shim, less that of the bare process, after 15 s without a call.`
	telemetryNote = `Spans taken: a day of them in its order, 500 a request from four clients, SigV4 included, made on the same machine while they are sent; the processor
time is the server's alone. Queries: from the signed request to the last byte of the answer. The Collector is its OTLP
receiver and file exporter (protobuf, zstd): it acknowledges before anything is synced, and answers no questions.`
	identityNote = `Identity: what is measured in this process is its whole processor time, garbage collection included, by one caller; added to a call is
the difference of the same percentile of two ways, in turns.`
	modelsNote = `Model endpoint: streamed answers of one chunk and of 1,000 from a provider on this machine, read to their end through
the endpoint and from the provider itself, in turns. Per call is the difference of the medians of short answers, per
chunk that of long ones less the short ones, by chunk; policies, the audit record and the call's span included.`
)
