package compat

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	control "github.com/moorage-dev/moorage/internal/aws/agentcorecontrol"
	"github.com/moorage-dev/moorage/internal/aws/wire"
)

// Whatever is sent, the handler sees a name that the model allows or is not called.
func FuzzCreateAgentRuntime(f *testing.F) {
	f.Add(`{"agentRuntimeName":"a","roleArn":"arn:aws:iam::123456789012:role/r","agentRuntimeArtifact":{"containerConfiguration":{"containerUri":"x"}}}`)
	f.Add(`{"agentRuntimeArtifact":{"codeConfiguration":{"code":{"s3":{"bucket":"b","prefix":"p"}},"runtime":"NODE_22","entryPoint":["a"]}},"tags":{"a":"b"},"allowedPorts":[{"port":1}]}`)
	name := regexp.MustCompile(`\A[a-zA-Z][a-zA-Z0-9_]{0,47}\z`)
	f.Fuzz(func(t *testing.T, body string) {
		svc := wire.NewService(control.Model, wire.Options{})
		wire.Handle(svc, control.CreateAgentRuntime, func(_ context.Context, in *control.CreateAgentRuntimeInput) (*control.CreateAgentRuntimeOutput, error) {
			one := in.AgentRuntimeArtifact.ContainerConfiguration != nil
			two := in.AgentRuntimeArtifact.CodeConfiguration != nil
			if !name.MatchString(in.AgentRuntimeName) || in.RoleArn == "" || one == two {
				t.Errorf("let in: %#v", in)
			}
			return nil, nil
		})
		w := httptest.NewRecorder()
		svc.ServeHTTP(w, httptest.NewRequest("PUT", "/runtimes/", strings.NewReader(body)))
		if !json.Valid(w.Body.Bytes()) || w.Code != 202 && (w.Code < 400 || w.Code >= 500) {
			t.Errorf("%d %q", w.Code, w.Body)
		}
	})
}

// Whatever form is sent, the answer is XML.
func FuzzQueryForm(f *testing.F) {
	f.Add("Action=AssumeRole&RoleArn=arn:aws:iam::123456789012:role/r&RoleSessionName=me&Tags.member.1.Key=a&Tags.member.1.Value=b")
	f.Add("Action=GetCallerIdentity&Version=2011-06-15")
	face := rpcFace()[:1]
	f.Fuzz(func(t *testing.T, form string) {
		w := httptest.NewRecorder()
		face.ServeHTTP(w, httptest.NewRequest("POST", "/", strings.NewReader(form)))
		for d := xml.NewDecoder(w.Body); ; {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatalf("%d: %v", w.Code, err)
			}
		}
	})
}
