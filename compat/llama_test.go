package compat

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

// llamaServer starts llama.cpp's server on a tiny model of random numbers, and returns its address and how to end it.
func llamaServer(t *testing.T) (url string, end func()) {
	t.Helper()
	return pythonBeside(t, "llama", "testdata/llamaserver/requirements.txt", "testdata/llamaserver/serve.py")
}

// pythonBeside starts a server in Python whose packages take long to install, in an environment of that name, and returns the first
// line that it prints and how to end it.
func pythonBeside(t *testing.T, name, requirements string, command ...string) (said string, end func()) {
	t.Helper()
	if os.Getenv("MOORAGE_SLOW") == "" {
		t.Skip("MOORAGE_SLOW is not set: the packages take 100 MB and minutes to install")
	}
	venv, err := filepath.Abs("../.cache/" + name)
	if err != nil {
		t.Fatal(err)
	}
	interpreter := filepath.Join(venv, "bin", "python")
	for _, args := range [][]string{{python(t), "-m", "venv", venv}, {interpreter, "-m", "pip", "install", "-q", "--only-binary=:all:", "-r", requirements}} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%s cannot be installed: %v %s", name, err, out)
		}
	}
	cmd := exec.Command(interpreter, command...)
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	ended := false
	end = func() {
		if !ended {
			in.Close() // some end by that
			cmd.Process.Signal(syscall.SIGTERM)
			cmd.Wait()
			ended = true
		}
	}
	t.Cleanup(end)
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatalf("it does not start: %v", lines.Err())
	}
	return lines.Text(), end
}

// TestModels_llamaServer has llama.cpp's own server answer: real tokens in a real stream, a real limit, a real overflow.
func TestModels_llamaServer(t *testing.T) {
	url, end := llamaServer(t)
	s := shared(t)
	t.Setenv("MOORAGE_MODEL_KEY", "")
	for _, args := range [][]string{
		{"models", "add", "llama", "--kind", "openai", "--url", url + "/v1"}, {"models", "route", "tiny", "llama"},
	} {
		if out, err := s.cli(t.Context(), args...); err != nil {
			t.Fatal(err, out)
		}
	}
	defer s.cli(t.Context(), "models", "remove", "llama")
	defer s.cli(t.Context(), "models", "unroute", "tiny")

	cold, id := float32(0), aws.String("tiny")
	limit := &types.InferenceConfiguration{MaxTokens: aws.Int32(12), Temperature: &cold}
	whole, err := s.models().Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: id, Messages: says("Hello"), InferenceConfig: limit})
	if err != nil {
		t.Fatal(err)
	}
	if whole.StopReason != types.StopReasonMaxTokens || aws.ToInt32(whole.Usage.OutputTokens) != 12 || aws.ToInt32(whole.Usage.InputTokens) < 5 {
		t.Errorf("%v, %+v", whole.StopReason, *whole.Usage)
	}
	text := whole.Output.(*types.ConverseOutputMemberMessage).Value.Content[0].(*types.ContentBlockMemberText).Value
	pieces := s.converse(t, &bedrockruntime.ConverseStreamInput{ModelId: id, Messages: says("Hello"), InferenceConfig: limit})
	if text == "" || pieces.text != text || pieces.stop != whole.StopReason {
		t.Errorf("in pieces %+v, whole %q", pieces, text)
	}
	_, err = s.models().Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: id, Messages: says(strings.Repeat("a long story ", 100))})
	if refused := (*types.ValidationException)(nil); !errors.As(err, &refused) || !strings.Contains(refused.ErrorMessage(), "Input is too long for requested model") {
		t.Errorf("more than its context: %v", err)
	}
	end()
	_, err = s.models().Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: id, Messages: says("Hello")})
	if gone := (*types.ServiceUnavailableException)(nil); !errors.As(err, &gone) {
		t.Errorf("when it is gone: %v", err)
	}
}
