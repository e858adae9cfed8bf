package compat

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// The SDKs of other languages are pinned, so that a new release is a change that somebody makes.
const (
	boto3     = "boto3==1.44.5"
	jsVersion = "3.1141.0"
)

func TestBoto3(t *testing.T) {
	python := withBoto3(t)
	runClient(t, ".", python, "testdata/boto.py", foreignFace(t))
}

func TestJavaScriptSDK(t *testing.T) {
	dir := withJavaScriptSDK(t)
	script, err := filepath.Abs("testdata/sdk.mjs")
	if err != nil {
		t.Fatal(err)
	}
	runClient(t, dir, "node", script, foreignFace(t))
}

// foreignFace serves both planes, and GET /release lets a held stream go on.
func foreignFace(t *testing.T) (url string) {
	f := newFace(t)
	planes := f.Config.Handler
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/release" {
			f.release <- struct{}{}
			return
		}
		planes.ServeHTTP(w, r)
	})
	return f.URL
}

func runClient(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := exec.CommandContext(ctx, name, args...)
	client.Dir = dir
	if out, err := client.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// kept returns a directory that outlives the test, so that an SDK is installed once.
func kept(t *testing.T, name string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip("no cache directory to install an SDK in:", err)
	}
	return filepath.Join(cache, "moorage-test", name)
}

func install(t *testing.T, what string, steps ...[]string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for _, step := range steps {
		if out, err := exec.CommandContext(ctx, step[0], step[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%s is missing and cannot be installed: %v: %s", what, err, out)
		}
	}
}

// withBoto3 returns a Python that has boto3.
func withBoto3(t *testing.T) string {
	t.Helper()
	venv := kept(t, boto3)
	python := filepath.Join(venv, "bin", "python")
	if exec.Command(python, "-c", "import boto3").Run() != nil {
		install(t, boto3,
			[]string{"python3", "-m", "venv", "--clear", venv},
			[]string{python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", boto3})
	}
	return python
}

// withJavaScriptSDK returns a directory whose node_modules hold the SDK's two clients.
func withJavaScriptSDK(t *testing.T) string {
	t.Helper()
	dir := kept(t, "aws-sdk-js-"+jsVersion)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Skip("no place to install the JavaScript SDK in:", err)
	}
	const data, control = "@aws-sdk/client-bedrock-agentcore", "@aws-sdk/client-bedrock-agentcore-control"
	probe := exec.Command("node", "-e", "require('"+data+"'); require('"+control+"')")
	probe.Dir = dir
	if probe.Run() != nil {
		install(t, "the JavaScript SDK "+jsVersion,
			[]string{"npm", "install", "--prefix", dir, "--silent", "--no-audit", "--no-fund", data + "@" + jsVersion, control + "@" + jsVersion})
	}
	return dir
}
