package compat

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestBoto3_logs(t *testing.T) {
	shared(t).deployed(t, tracedAgent)
	runChecks(t, "logs.py")
}

func TestJavaScriptSDK_logs(t *testing.T) { runJavaScript(t, "logs.test.mjs") }

func TestBoto3_metrics(t *testing.T) {
	shared(t).deployed(t, tracedAgent)
	runChecks(t, "metrics.py")
}

func TestJavaScriptSDK_metrics(t *testing.T) { runJavaScript(t, "metrics.test.mjs") }

// toolkits is where the packages are whose queries are tests.
const toolkits = "../.cache/toolkits"

var (
	templates    = regexp.MustCompile("`[^`]{0,1000}`")
	insightsHead = regexp.MustCompile(`^(fields|filter|stats) [^|]+\|`)
)

// cliQueries reads the Insights queries in the program of @aws/agentcore, blanks and all.
func cliQueries(t *testing.T) (queries []string) {
	t.Helper()
	packages, _ := filepath.Glob(filepath.Join(toolkits, "aws-agentcore-*.tgz"))
	if len(packages) == 0 {
		return nil
	}
	for _, text := range templates.FindAllString(packed(t, packages[0], "package/dist/cli/index.mjs"), -1) {
		if text = strings.TrimSpace(strings.Trim(text, "`")); insightsHead.MatchString(text) {
			queries = append(queries, text)
		}
	}
	return queries
}

// packed reads one file of a gzipped tar.
func packed(t *testing.T, archive, name string) string {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	plain, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for files := tar.NewReader(plain); ; {
		h, err := files.Next()
		if err != nil {
			t.Fatalf("%s in %s: %v", name, archive, err)
		}
		if h.Name == name {
			text, err := io.ReadAll(files)
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
	}
}

// awsCLI is Debian's AWS CLI, version 2: PyPI's cannot tail.
func (s *server) awsCLI(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	const path = "/usr/bin/aws"
	if _, err := os.Stat(path); err != nil {
		t.Skip("Debian's awscli is not installed: run make setup")
	}
	cmd := exec.CommandContext(t.Context(), path, append([]string{"--endpoint-url", s.client.Endpoint}, args...)...)
	for _, kv := range s.environment() {
		if !strings.HasPrefix(kv, "AWS_ENDPOINT_URL") { // the option has to do it alone
			cmd.Env = append(cmd.Env, kv)
		}
	}
	return cmd
}

// An engineer's first command on AWS: the lines of an agent, as they come.
func TestAWSCLI_tailFollows(t *testing.T) {
	s := shared(t)
	a := s.deployed(t, tracedAgent)
	id := a.arn[strings.LastIndex(a.arn, "/")+1:]
	cmd := s.awsCLI(t, "logs", "tail", "/aws/bedrock-agentcore/runtimes/"+id+"-DEFAULT", "--follow", "--since", "1m", "--format", "short")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	for _, prompt := range []string{"the first tide", "the second tide"} {
		if err := a.call(t.Context(), newSession(t), map[string]string{"prompt": prompt}, nil); err != nil {
			t.Fatal(err)
		}
	}
	counts := map[string]int{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		for _, prompt := range []string{"the first tide", "the second tide"} {
			if strings.HasSuffix(lines.Text(), "searching for "+prompt) {
				counts[prompt]++
			}
		}
		if len(counts) == 2 {
			break
		}
	}
	if counts["the first tide"] != 1 || counts["the second tide"] != 1 {
		t.Errorf("the tail showed %v", counts)
	}
}
