package main

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// botocore is the release whose service models are read.
const botocore = "1.44.5"

// fetch returns the wheel of botocore, through pip with whatever index it is configured for.
func fetch(ctx context.Context) ([]byte, error) {
	dir, err := os.MkdirTemp("", "botocore")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	pip := exec.CommandContext(ctx, "python3", "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
		"--disable-pip-version-check", "--dest", dir, "botocore=="+botocore)
	if message, err := pip.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("pip download botocore==%s: %w: %s", botocore, err, bytes.TrimSpace(message))
	}
	wheels, err := filepath.Glob(filepath.Join(dir, "*.whl"))
	if err != nil || len(wheels) != 1 {
		return nil, fmt.Errorf("pip left %d wheels of botocore", len(wheels))
	}
	return os.ReadFile(wheels[0])
}

// readModel parses one service model in the wheel, named as "ecr/2015-09-21".
func readModel(wheel []byte, name string) (*model, error) {
	files, err := zip.NewReader(bytes.NewReader(wheel), int64(len(wheel)))
	if err != nil {
		return nil, err
	}
	f, err := files.Open("botocore/data/" + name + "/service-2.json.gz")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	plain, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	m := new(model)
	return m, json.NewDecoder(plain).Decode(m)
}
