// Command collector is the OpenTelemetry Collector's OTLP receiver, in front of its file exporter: what the benchmark
// of telemetry is compared with. It writes what it takes as protobuf, packed with zstd, and syncs nothing. It is a
// module of its own since the Collector's modules pin each other's versions.
//
//	collector HOST:PORT FILE
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/open-telemetry/opentelemetry-collector-contrib/exporter/fileexporter"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configgrpc"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) != 3 {
		log.Fatal("usage: collector HOST:PORT FILE")
	}
	if err := run(ctx, os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, address, file string) error {
	files := fileexporter.NewFactory()
	to := files.CreateDefaultConfig().(*fileexporter.Config)
	to.Path, to.FormatType, to.Compression = file, "proto", "zstd"
	quiet := componenttest.NewNopTelemetrySettings()
	out, err := files.CreateTraces(ctx, exporter.Settings{ID: component.NewID(files.Type()), TelemetrySettings: quiet}, to)
	if err != nil {
		return err
	}
	receivers := otlpreceiver.NewFactory()
	from := receivers.CreateDefaultConfig().(*otlpreceiver.Config)
	from.GRPC = configoptional.None[configgrpc.ServerConfig]()
	from.HTTP.GetOrInsertDefault().ServerConfig.Endpoint = address
	in, err := receivers.CreateTraces(ctx, receiver.Settings{ID: component.NewID(receivers.Type()), TelemetrySettings: quiet}, from, out)
	if err != nil {
		return err
	}
	if err := out.Start(ctx, componenttest.NewNopHost()); err != nil {
		return err
	}
	if err := in.Start(ctx, componenttest.NewNopHost()); err != nil {
		return err
	}
	<-ctx.Done()
	ctx = context.WithoutCancel(ctx)
	if err := in.Shutdown(ctx); err != nil {
		return err
	}
	return out.Shutdown(ctx)
}
