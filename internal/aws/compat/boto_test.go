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

// boto3 is pinned, so that a new release is a change that somebody makes.
const boto3 = "boto3==1.44.5"

func TestBoto3(t *testing.T) {
	python := withBoto3(t)
	f := newFace(t)
	planes := f.Config.Handler
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/release" {
			f.release <- struct{}{}
			return
		}
		planes.ServeHTTP(w, r)
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, python, "testdata/boto.py", f.URL).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// withBoto3 returns a Python that has boto3, in an environment that is kept between runs.
func withBoto3(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip("no cache directory for a Python environment:", err)
	}
	venv := filepath.Join(cache, "moorage-test", boto3)
	python := filepath.Join(venv, "bin", "python")
	if exec.Command(python, "-c", "import boto3").Run() == nil {
		return python
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for _, step := range [][]string{
		{"python3", "-m", "venv", "--clear", venv},
		{python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", boto3},
	} {
		if out, err := exec.CommandContext(ctx, step[0], step[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%s is missing and cannot be installed: %v: %s", boto3, err, out)
		}
	}
	return python
}
