// Command receiver is the OpenTelemetry Collector's own OTLP receiver, alone: it prints the name of each
// span and the body of each log record that it takes. It is a module of its own since the Collector's
// modules pin each other's versions.
//
//	receiver HOST:PORT
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"os/signal"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configgrpc"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
)

type line struct {
	Kind, Name, Trace, Runtime, Session string
}

var (
	mu  sync.Mutex
	out = json.NewEncoder(os.Stdout)
)

func show(l line) error {
	mu.Lock()
	defer mu.Unlock()
	return out.Encode(l)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, address string) error {
	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig().(*otlpreceiver.Config)
	config.GRPC = configoptional.None[configgrpc.ServerConfig]()
	config.HTTP.GetOrInsertDefault().ServerConfig.Endpoint = address
	settings := receiver.Settings{ID: component.NewID(factory.Type()), TelemetrySettings: componenttest.NewNopTelemetrySettings()}
	spans, err := consumer.NewTraces(takeSpans)
	if err != nil {
		return err
	}
	lines, err := consumer.NewLogs(takeLogs)
	if err != nil {
		return err
	}
	traces, err := factory.CreateTraces(ctx, settings, config, spans)
	if err != nil {
		return err
	}
	if _, err := factory.CreateLogs(ctx, settings, config, lines); err != nil { // shares the one receiver
		return err
	}
	if err := traces.Start(ctx, componenttest.NewNopHost()); err != nil {
		return err
	}
	<-ctx.Done()
	return traces.Shutdown(context.WithoutCancel(ctx))
}

func takeSpans(_ context.Context, t ptrace.Traces) error {
	for _, resource := range t.ResourceSpans().All() {
		runtime, _ := resource.Resource().Attributes().Get("moorage.runtime")
		for _, scope := range resource.ScopeSpans().All() {
			for _, span := range scope.Spans().All() {
				session, _ := span.Attributes().Get("session.id")
				if err := show(line{"span", span.Name(), span.TraceID().String(), runtime.AsString(), session.AsString()}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func takeLogs(_ context.Context, l plog.Logs) error {
	for _, resource := range l.ResourceLogs().All() {
		runtime, _ := resource.Resource().Attributes().Get("moorage.runtime")
		for _, scope := range resource.ScopeLogs().All() {
			for _, record := range scope.LogRecords().All() {
				if err := show(line{"log", record.Body().AsString(), record.TraceID().String(), runtime.AsString(), ""}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
