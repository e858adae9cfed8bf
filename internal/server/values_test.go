package server

import (
	"encoding/base64"
	"encoding/json"
	"net/http/httptest"
	"slices"
	"testing"
)

// Conditions see what a request says, wherever in its body that stands.
func TestValuesOf_membersOfTheBody(t *testing.T) {
	jwt := "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"https://id.example","sub":"ann"}`)) + ".e30"
	for _, c := range []struct {
		body, key string
		want      []string
	}{
		{`{"userId":"ann"}`, "bedrock-agentcore:userid", []string{"ann"}},
		{`{"userIdentifier":{"userId":"ann"}}`, "bedrock-agentcore:userid", []string{"ann"}},
		{`{"userIdentifier":"ann"}`, "bedrock-agentcore:userid", nil},
		{`{"userToken":"` + jwt + `"}`, "bedrock-agentcore:inboundjwtclaim/sub", []string{"ann"}},
		{`{"userIdentifier":{"userToken":"` + jwt + `"}}`, "bedrock-agentcore:inboundjwtclaim/sub", []string{"ann"}},
		{`{"networkConfiguration":{"networkModeConfig":{"subnets":["subnet-1","subnet-2"],"securityGroups":["sg-1"]}}}`, "bedrock-agentcore:subnets", []string{"subnet-1", "subnet-2"}},
		{`{"networkConfiguration":{"networkModeConfig":{"subnets":["subnet-1"],"securityGroups":["sg-1"]}}}`, "bedrock-agentcore:securitygroups", []string{"sg-1"}},
		{`{"networkConfiguration":{"networkMode":"PUBLIC"}}`, "bedrock-agentcore:subnets", nil},
		{`{"kmsConfiguration":{"kmsKeyArn":"arn"}}`, "bedrock-agentcore:kmskeyarn", []string{"arn"}},
	} {
		var body map[string]any
		if err := json.Unmarshal([]byte(c.body), &body); err != nil {
			t.Fatal(err)
		}
		if got := (&house{}).valuesOf(httptest.NewRequest("POST", "/", nil), body)(c.key); !slices.Equal(got, c.want) {
			t.Errorf("%s of %s: %v, want %v", c.key, c.body, got, c.want)
		}
	}
}
