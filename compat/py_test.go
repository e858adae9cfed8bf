package compat

import (
	"bufio"
	"bytes"
	"encoding/json"
	"maps"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestBoto3_control(t *testing.T) { runChecks(t, "control.py") }

func TestBoto3_data(t *testing.T) { runChecks(t, "data.py") }

func TestPythonSDK_agent(t *testing.T) {
	shared(t).deployed(t, sdkAgent)
	runChecks(t, "sdk_agent.py")
}

// python returns the interpreter that has boto3.
func python(t *testing.T) string {
	t.Helper()
	path := os.Getenv("MOORAGE_PYTHON")
	if path == "" {
		path = "../.cache/venv/bin/python"
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is missing: run make setup", path)
	}
	return path
}

// runChecks runs a script under py/, which prints a line for each of its checks.
func runChecks(t *testing.T, script string) { runChecksOn(t, shared(t), script, nil) }

// runChecksOn runs a script against a server, and tells it more than all scripts know.
func runChecksOn(t *testing.T, s *server, script string, more map[string]any) {
	interpreter := python(t)
	cmd := exec.CommandContext(t.Context(), interpreter, "-u", "py/"+script)
	cmd.Env = append(s.environment(), "COMPAT="+s.compatContext(t, more))
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	skipped := map[string]string{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var line struct {
			Check, Trace, Skip string
			OK                 bool
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Logf("%s", lines.Text())
			continue
		}
		if line.Skip != "" {
			skipped[line.Check] = line.Skip
			continue
		}
		ran++
		t.Run(line.Check, func(t *testing.T) {
			if why := skipped[line.Check]; why != "" {
				t.Skip(why)
			}
			if !line.OK {
				t.Error(line.Trace)
			}
		})
	}
	if err := cmd.Wait(); err != nil || ran == 0 {
		t.Errorf("%s ran %d checks and ended with %v\n%s", script, ran, err, errs.String())
	}
}

// environment is that of a program which finds the server through the AWS SDKs' own variables.
func (s *server) environment() (env []string) {
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "AWS_") {
			env = append(env, kv)
		}
	}
	return append(env,
		"AWS_ENDPOINT_URL="+s.client.Endpoint, "AWS_REGION="+s.client.Region, "AWS_DEFAULT_REGION="+s.client.Region,
		"AWS_ACCESS_KEY_ID="+s.client.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+s.client.SecretAccessKey,
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true",
	)
}

// compatContext is what the scripts must know beside the server's address.
func (s *server) compatContext(t *testing.T, more map[string]any) string {
	t.Helper()
	context := map[string]any{
		"account": s.client.Account, "probe": s.deployed(t, probe).arn, "moorage": []string{s.bin, "--dir", s.dir}, "hostAddress": hostAddress(),
		"code": map[string]string{"bucket": bucket, "prefix": probe.name + "/code.zip"},
	}
	arns := map[string]string{}
	for name, a := range s.agents {
		arns[name] = a.arn
	}
	context["agents"] = arns
	context["toolkits"], context["cliQueries"] = toolkits, cliQueries(t)
	maps.Copy(context, more)
	doc, err := json.Marshal(context)
	if err != nil {
		t.Fatal(err)
	}
	return string(doc)
}

// hostAddress is an address of this machine that is not its loopback, where it has one.
func hostAddress() string {
	addresses, _ := net.InterfaceAddrs()
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() && ip.IP.To4() != nil {
			return ip.IP.String()
		}
	}
	return "127.0.0.1"
}
