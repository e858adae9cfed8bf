package compat

import (
	"os"
	"os/exec"
	"testing"
)

func TestJavaScriptSDK(t *testing.T) { runJavaScript(t, "core.test.mjs") }

// runJavaScript runs the tests of a file under js/ on this machine's Node.
func runJavaScript(t *testing.T, file string, environment ...string) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	if _, err := os.Stat("js/node_modules/@aws-sdk"); err != nil {
		t.Skip("the SDKs for JavaScript are not installed: run make setup")
	}
	s := shared(t)
	cmd := exec.CommandContext(t.Context(), node, "--test", "js/"+file)
	cmd.Env = append(append(s.environment(), "COMPAT="+s.compatContext(t, nil)), environment...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
