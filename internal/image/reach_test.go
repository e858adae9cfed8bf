package image

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/moorage-dev/moorage"
)

func TestImage_reachesNoLoopback(t *testing.T) {
	asked := 0
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer inner.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(inner.URL, "http://"), ":")
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"} {
		_, err := openStore(t, Options{}).Image(t.Context(), host+":"+port+"/x/y:1", Credentials{}, nil)
		if err == nil || asked != 0 {
			t.Errorf("%s: %v, asked %d times", host, err, asked)
		}
	}
}

// TestImage_followsNobodyInside has a registry send a pull to places that only this machine reaches.
func TestImage_followsNobodyInside(t *testing.T) {
	asked := 0
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer inner.Close()
	inside := strings.Replace(inner.URL, "127.0.0.1", "localhost", 1)
	for name, answer := range map[string]http.HandlerFunc{
		"redirect to loopback": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, inside+"/admin", http.StatusTemporaryRedirect)
		},
		"redirect to metadata": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusTemporaryRedirect)
		},
		"redirect to a private network": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://10.255.255.1/", http.StatusTemporaryRedirect)
		},
		"token realm on loopback": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="x"`, inside))
			w.WriteHeader(http.StatusUnauthorized)
		},
	} {
		t.Run(name, func(t *testing.T) {
			registry := httptest.NewServer(answer)
			defer registry.Close()
			s := openStore(t, Options{Loopback: true}) // the registry itself may be asked
			_, err := s.Image(t.Context(), strings.TrimPrefix(registry.URL, "http://")+"/x/y:1", Credentials{}, nil)
			if moorage.CodeOf(err) != moorage.Denied || asked != 0 {
				t.Errorf("%s: %v; asked %d times", moorage.CodeOf(err), err, asked)
			}
		})
	}
}

// TestImage_embeddedRegistryIsNotForOthers: it is read in-process, without authentication.
func TestImage_embeddedRegistryIsNotForOthers(t *testing.T) {
	s, host := serveStore(t, Limits{})
	push(t, host+"/x/y:1", imageOf(t, nil, tarOf(t, file("agent", "x"))))
	s.opts.RegistryHost = "localhost:9400"
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://localhost:9400"+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer foreign.Close()
	if _, err := s.Image(t.Context(), strings.TrimPrefix(foreign.URL, "http://")+"/x/y:1", Credentials{}, nil); moorage.CodeOf(err) != moorage.Denied {
		t.Error(err)
	}
}

func TestReach_addresses(t *testing.T) {
	for _, c := range []struct {
		addr             string
		named, elsewhere bool
	}{
		{"93.184.216.34", true, true}, {"2606:2800:220:1::1", true, true},
		{"10.1.2.3", true, false}, {"192.168.0.9", true, false}, {"fd12::1", true, false}, {"100.64.0.1", true, false}, {"198.18.0.1", true, false},
		{"127.0.0.1", false, false}, {"127.8.8.8", false, false}, {"::1", false, false}, {"0.0.0.0", false, false}, {"::", false, false},
		{"169.254.169.254", false, false}, {"fe80::1", false, false}, {"fd00:ec2::254", false, false}, {"224.0.0.1", false, false}, {"64:ff9b::a00:1", true, false},
	} {
		a := netip.MustParseAddr(c.addr)
		if named, elsewhere := mayBeNamed(a, false) == nil, mayBeSentTo(a) == nil; named != c.named || elsewhere != c.elsewhere {
			t.Errorf("%s: named %v, elsewhere %v", c.addr, named, elsewhere)
		}
	}
}

func TestImage_errorsNameNoAddress(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	host := strings.Replace(strings.TrimPrefix(closed.URL, "http://"), "127.0.0.1", "localhost", 1)
	_, err := openStore(t, Options{Loopback: true}).Image(t.Context(), host+"/x/y:1", Credentials{}, nil)
	var coded *moorage.Error
	if moorage.CodeOf(err) != moorage.Unavailable || !errors.As(err, &coded) || strings.Contains(coded.Message, "127.0.0.1") || !strings.Contains(coded.Message, "refused") {
		t.Errorf("%v", err)
	}
}

func TestImage_nonsenseIsNotAnOutage(t *testing.T) {
	for name, c := range map[string]struct{ kind, body string }{
		"not JSON":       {"application/vnd.oci.image.manifest.v1+json", "<html>"},
		"unknown type":   {"text/html", "<html>"},
		"no such config": {"application/vnd.oci.image.manifest.v1+json", `{"schemaVersion":2,"layers":[]}`},
	} {
		t.Run(name, func(t *testing.T) {
			registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", c.kind)
				fmt.Fprint(w, c.body)
			}))
			defer registry.Close()
			_, err := openStore(t, Options{Loopback: true}).Image(t.Context(), strings.TrimPrefix(registry.URL, "http://")+"/x/y:1", Credentials{}, nil)
			if moorage.CodeOf(err) != moorage.Invalid || strings.Contains(err.Error(), "cannot be reached") {
				t.Errorf("%s: %v", moorage.CodeOf(err), err)
			}
		})
	}
	t.Run("another digest", func(t *testing.T) {
		s, host := serveStore(t, Limits{})
		push(t, host+"/x/y:1", imageOf(t, nil, tarOf(t, file("agent", "x"))))
		liar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if at := strings.Index(r.URL.Path, "/manifests/"); at >= 0 {
				r.URL.Path = r.URL.Path[:at] + "/manifests/1"
			}
			s.Registry().ServeHTTP(w, r)
		}))
		defer liar.Close()
		asked := strings.TrimPrefix(liar.URL, "http://") + "/x/y@sha256:" + strings.Repeat("0", 64)
		_, err := openStore(t, Options{Loopback: true}).Image(t.Context(), asked, Credentials{}, nil)
		if moorage.CodeOf(err) != moorage.Invalid || !strings.Contains(err.Error(), "digest") {
			t.Errorf("%s: %v", moorage.CodeOf(err), err)
		}
	})
}
