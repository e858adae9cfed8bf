package compat

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	controltypes "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func TestImage_builtWithoutDockerIsPushedAndRuns(t *testing.T) {
	s := shared(t)
	ref, err := name.ParseReference(s.listen+"/agents/hello:1", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	image := agentImage(t)
	if err := remote.Write(ref, image, remote.WithAuth(s.registryAuth())); err != nil {
		t.Fatalf("push: %v", err)
	}
	back, err := remote.Head(ref, remote.WithAuth(s.registryAuth()))
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := image.Digest(); back.Digest != want {
		t.Errorf("the registry holds %s, pushed was %s", back.Digest, want)
	}
	s.runImage(t, "image_pushed", ref.String())
	s.runImage(t, "image_by_digest", ref.Context().Digest(back.Digest.String()).String())
}

func TestImage_pushedBySkopeoRuns(t *testing.T) {
	skopeo, err := exec.LookPath("skopeo")
	if err != nil {
		t.Skip("skopeo is not installed")
	}
	s := shared(t)
	dir := t.TempDir()
	index, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := index.AppendImage(agentImage(t)); err != nil {
		t.Fatal(err)
	}
	ref := s.listen + "/agents/skopeo:1"
	push := exec.CommandContext(t.Context(), skopeo, "--insecure-policy", "copy", "--dest-tls-verify=false",
		"--dest-creds", s.client.AccessKeyID+":"+s.client.SecretAccessKey, "oci:"+dir, "docker://"+ref)
	if out, err := push.CombinedOutput(); err != nil {
		t.Fatalf("skopeo: %v\n%s", err, out)
	}
	s.runImage(t, "image_skopeo", ref)
}

func TestImage_registryWantsAuthentication(t *testing.T) {
	s := shared(t)
	ref, err := name.ParseReference(s.listen+"/agents/stolen:1", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	for who, auth := range map[string]authn.Authenticator{
		"nobody":       authn.Anonymous,
		"wrong secret": &authn.Basic{Username: s.client.AccessKeyID, Password: "guessed"},
	} {
		err := remote.Write(ref, empty.Image, remote.WithAuth(auth))
		if refused, ok := err.(*transport.Error); !ok || refused.StatusCode != 401 {
			t.Errorf("%s pushed: %v", who, err)
		}
	}
}

func TestImage_thatDoesNotExistFailsByName(t *testing.T) {
	s := shared(t)
	_, err := s.deployImage(t, "image_absent", s.listen+"/agents/absent:1")
	if err == nil {
		t.Fatal("an image that was never pushed became READY")
	}
	wantWords(t, err.Error(), "CREATE_FAILED", "agents/absent")
}

func (s *server) registryAuth() authn.Authenticator {
	return &authn.Basic{Username: s.client.AccessKeyID, Password: s.client.SecretAccessKey}
}

// runImage deploys an image and calls it twice in one session.
func (s *server) runImage(t *testing.T, runtimeName, uri string) {
	t.Helper()
	a, err := s.deployImage(t, runtimeName, uri)
	if err != nil {
		t.Fatalf("deploy %s: %v", uri, err)
	}
	session := newSession(t) + runtimeName
	for turn := 1; turn <= 2; turn++ {
		var got struct {
			Count          int
			Echo, Greeting string
			UID            int
			Args           []string
		}
		if err := a.call(t.Context(), session, "hello", &got); err != nil {
			t.Fatal(err)
		}
		if got.Count != turn || got.Echo != `"hello"` || got.Greeting != "ahoy" || got.UID != 1000 || len(got.Args) != 1 || got.Args[0] != "serve" {
			t.Errorf("turn %d: %+v", turn, got)
		}
	}
}

func (s *server) deployImage(t *testing.T, runtimeName, uri string) (*agent, error) {
	made, err := s.control().CreateAgentRuntime(t.Context(), &control.CreateAgentRuntimeInput{
		AgentRuntimeName: uniqueName(runtimeName), RoleArn: aws.String(s.role()),
		AgentRuntimeArtifact: &controltypes.AgentRuntimeArtifactMemberContainerConfiguration{Value: controltypes.ContainerConfiguration{ContainerUri: &uri}},
		NetworkConfiguration: &controltypes.NetworkConfiguration{NetworkMode: controltypes.NetworkModePublic},
	})
	if err != nil {
		return nil, err
	}
	a := &agent{server: s, id: *made.AgentRuntimeId, arn: *made.AgentRuntimeArn}
	return a, a.awaitReady(t.Context())
}

// agentImage makes an image from scratch that holds one static program.
func agentImage(t *testing.T) v1.Image {
	t.Helper()
	program := filepath.Join(t.TempDir(), "agent")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./testdata/imageagent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the agent: %v\n%s", err, out)
	}
	code, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	w.WriteHeader(&tar.Header{Name: "agent", Mode: 0o755, Size: int64(len(code))})
	w.Write(code)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	made, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image, made)
	if err != nil {
		t.Fatal(err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Config = v1.Config{Entrypoint: []string{"/agent"}, Cmd: []string{"serve"}, Env: []string{"GREETING=ahoy"}, User: "1000"}
	if image, err = mutate.ConfigFile(image, file); err != nil {
		t.Fatal(err)
	}
	return image
}
