// Package server wires the rooms together into one process: the whole product.
//
// It is the only place that knows every room. [Run] opens a directory, takes up where an earlier
// server left off, serves until its context ends, and leaves live sessions to their shim.
package server

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity/iam"
	"github.com/moorage-dev/moorage/internal/identity/vault/kek"
	"github.com/moorage-dev/moorage/internal/quota"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/server/lane"
	"github.com/moorage-dev/moorage/internal/store"
)

// Options of a server. Dir is required; everything else has a default.
type Options struct {
	Dir         string
	Listen      string // default 127.0.0.1:9400
	PublicURL   string // what clients are told to call; default from Listen
	TLSCert     string // with TLSKey: PEM files
	TLSKey      string
	BehindProxy bool   // plain HTTP outside loopback is meant: a proxy in front speaks TLS
	Isolation   string // auto (default), gvisor or process
	Region      string // default us-east-1
	MaxSessions int    // default 5,000
	Quotas      quota.Quotas
	Starts      int   // sandboxes that start at once; default two for each processor
	PoolMemory  int64 // bytes for sandboxes kept ready for new sessions; default a quarter of what is available
	// PauseAfter is how long a session is idle before it is paused: no processor, but its memory; with 0 none is.
	PauseAfter time.Duration
	// SleepAfter is how long a session is idle before it sleeps on disk; with 0 none does by itself.
	SleepAfter time.Duration
	// LocalRegistries allows pulls of images from registries on this machine's loopback.
	LocalRegistries bool
	// Embedder makes the vectors of new knowledge bases, see knowledge.ParseEmbedder; EmbedderKey is sent to it.
	Embedder, EmbedderKey string
	// Forward is the address of another OpenTelemetry backend; ForwardHeaders are name=value, with commas between.
	Forward, ForwardHeaders string
	KeepTelemetry           time.Duration // default 30 days
	TelemetryLimit          int64         // bytes on disk, default 20 GiB
	// ProviderNetworks are networks that identity providers are reached in although they are not public;
	// this machine's loopback is one of them while the server listens there.
	ProviderNetworks []netip.Prefix
	// PrivateEndpoints say where the private endpoints are that authorizers name, and PrivateCAs who signs for what is there:
	// see bearer.ParseEndpoints.
	PrivateEndpoints, PrivateCAs []string

	Console ConsoleLogin // how people log in to the console beside keys
	// VaultKeys are keys that the token vault may be brought under, see kek.Open; Transit is how those in HashiCorp
	// Vault or OpenBao are reached.
	VaultKeys  []string
	Transit    kek.Transit
	Limits     sandbox.Limits
	Executable string // this binary, for the shim; default os.Executable
	Version    string
	Log        *slog.Logger
	Ready      func(url string) // called once, when requests are answered
}

func (o *Options) defaults() error {
	if o.Dir == "" {
		return moorage.Errorf(moorage.Invalid, "no directory given")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return err
	}
	o.Dir = dir
	if o.Listen == "" {
		o.Listen = "127.0.0.1:9400"
	}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Executable == "" {
		o.Executable, err = os.Executable()
	}
	if o.Ready == nil {
		o.Ready = func(string) {}
	}
	return err
}

// checkListen refuses to send keys and payloads in the clear outside this machine.
func (o *Options) checkListen() error {
	if u, err := url.Parse(o.Forward); o.Forward != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return moorage.Errorf(moorage.Invalid, "--forward-otlp %q is not an address such as http://127.0.0.1:4318", o.Forward)
	}
	if (o.TLSCert == "") != (o.TLSKey == "") {
		return moorage.Errorf(moorage.Invalid, "--tls-cert and --tls-key go together")
	}
	if o.TLSCert != "" || o.BehindProxy {
		return nil
	}
	if _, _, err := net.SplitHostPort(o.Listen); err != nil {
		return moorage.Errorf(moorage.Invalid, "--listen %q is not HOST:PORT", o.Listen)
	}
	if o.local() {
		return nil
	}
	return moorage.Errorf(moorage.Invalid, "listening on %s without TLS would show keys and payloads to the network: give --tls-cert and --tls-key, or --behind-proxy if a proxy in front speaks TLS", o.Listen)
}

// local reports whether only this machine reaches the listener.
func (o *Options) local() bool {
	host, _, _ := net.SplitHostPort(o.Listen)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Run serves until ctx ends. It returns nil after a clean stop.
func Run(ctx context.Context, o Options) error {
	if err := o.defaults(); err != nil {
		return err
	}
	if err := o.checkListen(); err != nil {
		return err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return err
	}
	unlock, err := lock(filepath.Join(o.Dir, "server.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	listener, err := listen(o)
	if err != nil {
		return err
	}
	defer listener.Close()
	local := localURL(o, listener.Addr())
	if o.PublicURL == "" {
		o.PublicURL = local
	}
	h, err := build(ctx, o)
	if err != nil {
		return err
	}
	defer h.close()
	h.localURL = local
	return h.serve(ctx, listener)
}

// localURL is how commands on this machine reach the listener, whatever name the outside uses.
func localURL(o Options, addr net.Addr) string {
	scheme := "http"
	if o.TLSCert != "" {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return scheme + "://" + net.JoinHostPort("localhost", port)
	}
	return scheme + "://" + addr.String()
}

func listen(o Options) (net.Listener, error) {
	l, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, moorage.Errorf(moorage.Unavailable, "listen on %s: %w (is another server running there?)", o.Listen, err)
	}
	if o.TLSCert == "" {
		return l, nil
	}
	cert, err := tls.LoadX509KeyPair(o.TLSCert, o.TLSKey)
	if err != nil {
		l.Close()
		return nil, moorage.Errorf(moorage.Invalid, "TLS certificate: %w", err)
	}
	return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}}), nil
}

// shutdownGrace is how long calls in progress have to finish after SIGTERM.
const shutdownGrace = 10 * time.Second

// serve answers requests until ctx ends, then lets calls in progress finish.
func (h *house) serve(ctx context.Context, l net.Listener) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var work sync.WaitGroup
	defer work.Wait()
	defer stop()
	work.Go(func() { h.control.Run(background) })
	work.Go(func() { h.pools.Run(background) })
	work.Go(func() { h.forget(background) })
	work.Go(func() { h.serveGuests(background) })
	work.Go(func() {
		if err := h.people.Run(background); err != nil {
			h.Log.Error("when keys were last used is kept no more", "err", err)
		}
	})
	work.Go(func() { h.calls.Run(background) })
	work.Go(func() { h.asked.Run(background) })
	work.Go(func() { h.keepBudgets(background) })
	work.Go(func() { h.vault.Run(background) })
	work.Go(func() { h.knowledge.Run(background) })
	work.Go(func() { h.printed().Run(background) })
	work.Go(func() { h.usage.Run(background) })
	work.Go(func() { h.meter(background) })
	if h.Forward != "" {
		work.Go(func() { h.forwarder().Run(background) })
	}

	handler := h.handler()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // as the SDK for JavaScript speaks to Bedrock
	srv := &http.Server{
		Handler:           answerEarly(handler),
		Protocols:         protocols,
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    160 << 10, // a bearer token has up to 128 KiB
		ConnContext:       located,
		ErrorLog:          slog.NewLogLogger(h.Log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	calls := lane.New(l, handler, isInvocation, h.Log)
	calls.ConnContext = located
	work.Go(func() { failed <- srv.Serve(hostOnce{calls}) })
	if err := h.announce(ctx); err != nil {
		return errors.Join(err, srv.Close())
	}
	h.Ready(h.PublicURL)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(background, shutdownGrace)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		srv.Close() // streams that go on are cut
	}
	calls.Wait(grace)
	return nil
}

// retention is how long the records and journals of ended sessions are kept.
const retention = 7 * 24 * time.Hour

// forget clears away what is older than retention, now and every hour.
func (h *house) forget(ctx context.Context) {
	hourly := time.NewTicker(time.Hour)
	defer hourly.Stop()
	for {
		if err := h.sessions.Forget(ctx, time.Now().Add(-retention)); err != nil && ctx.Err() == nil {
			h.Log.Error("forget old sessions", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-hourly.C:
		}
	}
}

// Client is what the commands on this machine read to find and call the server: DIR/client.json.
type Client struct {
	Endpoint        string `json:"endpoint"`
	Region          string `json:"region"`
	Account         string `json:"account"`
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
	PID             int    `json:"pid"`
}

// announce writes client.json, readable by its owner only.
func (h *house) announce(ctx context.Context) error {
	key, err := h.firstKey(ctx)
	if err != nil {
		return err
	}
	doc, err := json.MarshalIndent(Client{h.localURL, h.Region, h.account, key.ID, key.Secret, os.Getpid()}, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(h.Dir, "client.json")
	tmp := path + ".new"
	if err := os.WriteFile(tmp, append(doc, '\n'), 0o600); err != nil {
		return fmt.Errorf("write client.json: %w", err)
	}
	return os.Rename(tmp, path)
}

func (h *house) firstKey(ctx context.Context) (key store.AccessKey, err error) {
	err = h.store.View(ctx, func(tx *store.Tx) error {
		keys, err := tx.AccessKeys()
		for _, k := range keys {
			if k.Active && strings.HasSuffix(k.Principal, ":user/"+iam.Admin) {
				key = k
				return nil
			}
		}
		if err == nil {
			err = moorage.Errorf(moorage.Internal, "no active access key")
		}
		return err
	})
	return key, err
}
