package compat

import (
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRegistry_conformance runs OCI's own suite for registries against /v2/. It leaves out SHA-512:
// the library that the registry is built on takes such digests, checks them, and files the content
// under SHA-256, which every registry must have, while no other is asked for.
func TestRegistry_conformance(t *testing.T) {
	s := shared(t)
	results := t.TempDir()
	suite := exec.CommandContext(t.Context(), "go", "tool", "conformance")
	suite.Env = append(os.Environ(), "OCI_VERSION=1.1", "OCI_REGISTRY="+s.listen, "OCI_TLS=disabled", "OCI_RESULTS_DIR="+results, "OCI_LOG=error",
		"OCI_USERNAME="+s.client.AccessKeyID, "OCI_PASSWORD="+s.client.SecretAccessKey, "OCI_DATA_SHA512=false")
	out, failed := suite.CombinedOutput()
	text, err := os.ReadFile(filepath.Join(results, "junit.xml"))
	if err != nil {
		t.Fatalf("%v: %v\n%s", err, failed, out)
	}
	var report struct {
		Suites []struct {
			Tests int `xml:"tests,attr"`
			Cases []struct {
				Name   string `xml:"name,attr"`
				Status string `xml:"status,attr"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(text, &report); err != nil || len(report.Suites) != 1 {
		t.Fatalf("the report has %d suites: %v", len(report.Suites), err)
	}
	suiteRun := report.Suites[0]
	for _, c := range suiteRun.Cases {
		if strings.EqualFold(c.Status, "fail") || strings.EqualFold(c.Status, "error") {
			t.Errorf("%s: %s", c.Name, c.Status)
		}
	}
	if failed != nil {
		t.Errorf("the suite ended with %v\n%s", failed, out)
	}
	t.Logf("%d checks", suiteRun.Tests)
	if suiteRun.Tests < 700 {
		t.Errorf("only %d checks ran", suiteRun.Tests)
	}
}
