package compat

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/compat/ecr"
	"github.com/moorage-dev/moorage/internal/aws/sts"
	"github.com/moorage-dev/moorage/internal/aws/wire"
)

// rpcFace serves one service of the query protocol and one of JSON 1.1.
func rpcFace() wire.Router {
	identity, images := wire.NewService(sts.Model, wire.Options{}), wire.NewService(ecr.Model, wire.Options{})
	wire.Handle(identity, sts.GetCallerIdentity, func(context.Context, *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
		account, user := "123456789012", "<&>"
		return &sts.GetCallerIdentityOutput{Account: &account, UserId: &user}, nil
	})
	wire.Handle(identity, sts.AssumeRole, func(_ context.Context, in *sts.AssumeRoleInput) (*sts.AssumeRoleOutput, error) {
		if in.RoleSessionName == "denied" || len(in.Tags) != 2 {
			return nil, &moorage.Error{Code: moorage.Denied, Message: "not yours", Exception: "AccessDenied"}
		}
		id := in.Tags[1].Key + "=" + in.Tags[1].Value
		return &sts.AssumeRoleOutput{
			Credentials:      &sts.Credentials{AccessKeyId: "ASIA", SecretAccessKey: "s", SessionToken: "t", Expiration: time.Unix(1_800_000_000, 0)},
			AssumedRoleUser:  &sts.AssumedRoleUser{AssumedRoleId: id, Arn: in.RoleArn},
			PackedPolicySize: in.DurationSeconds,
		}, nil
	})
	wire.Handle(images, ecr.DescribeRepositories, func(_ context.Context, in *ecr.DescribeRepositoriesInput) (*ecr.DescribeRepositoriesOutput, error) {
		if in.RepositoryNames[0] == "none" {
			return nil, &moorage.Error{Code: moorage.NotFound, Message: "no such repository", Exception: "RepositoryNotFoundException"}
		}
		made := time.Unix(1_800_000_000, 0)
		return &ecr.DescribeRepositoriesOutput{Repositories: []ecr.Repository{{RepositoryName: &in.RepositoryNames[0], CreatedAt: &made}}}, nil
	})
	return wire.Router{identity, images}
}

func TestRPC_boto3(t *testing.T) {
	python := withBoto3(t)
	server := httptest.NewServer(rpcFace())
	defer server.Close()
	runClient(t, ".", python, "testdata/rpc.py", server.URL)
}

func TestRPC_hostileForms(t *testing.T) {
	face := rpcFace()
	for form, want := range map[string]string{
		"":                                     "UnknownOperationException",
		"Action=Nope":                          "UnknownOperationException",
		"Action=GetCallerIdentity&a=%zz":       "GetCallerIdentityResponse", // has no members to parse
		"Action=AssumeRole&RoleArn=%zz":        "the request cannot be parsed",
		"Action=AssumeRole&DurationSeconds=x":  "Value at &#39;DurationSeconds&#39;",
		"Action=AssumeRole&Tags.member.1.Key=": "Value at &#39;Tags[0].Value&#39;",
		"Action=AssumeRole&Tags.member.1" + strings.Repeat(".a", 1<<20): "Value at &#39;RoleArn&#39;",
	} {
		r := httptest.NewRequest("POST", "/", strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		face.ServeHTTP(w, r)
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("%.60q: %d %.400s, want %s", form, w.Code, w.Body, want)
		}
	}
}
