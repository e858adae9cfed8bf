package wire_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/wire"
)

const arn = "arn:aws:zoo:us-east-1:123456789012:animal/cat-1"

func TestRouting(t *testing.T) {
	const encoded = "arn%3Aaws%3Azoo%3Aus-east-1%3A123456789012%3Aanimal%2Fcat-1"
	for _, c := range []struct{ request, operation, label string }{
		{"PUT /animals/x/feed/", "Feed", "x"},
		{"PUT /animals/x/feed", "Feed", "x"},
		{"PUT /animals/" + encoded + "/feed/", "Feed", arn},
		{"PUT /animals/" + strings.ReplaceAll(encoded, "%3A", ":") + "/feed/", "Feed", arn},
		{"PUT /animals/" + arn + "/feed/", "Feed", arn},
		{"PUT /animals/" + arn + "/feed/feed/", "Feed", arn + "/feed"}, // the last suffix counts
		{"POST /animals/" + arn + "/feed/.well-known/cage", "Cage", arn},
		{"POST /animals/" + arn + "/ws/shells", "Shells", arn},
		{"PUT /animals/x/name", "Rename", ""},
		{"DELETE /", "Close", ""},
		{"GET /animals/", "Watch", ""},
		{"GET /animals?a=b", "Watch", ""},

		{"PUT /animals/a/b/feed/", "", ""},          // several segments that are no ARN
		{"PUT /animals//feed/", "", ""},             // nothing is cleaned
		{"PUT /animals/../animals/x/feed/", "", ""}, // nor resolved
		{"PUT /animals/%2e%2e/feed/", "Feed", ".."}, // a label is what it says
		{"PUT /animals/%252F/feed/", "Feed", "%2F"}, // and unescaped once
		{"PUT //animals/x/feed/", "", ""},
		{"PUT /animals/x/feed//", "", ""}, // one slash at the end is tolerated, not two
		{"PUT /Animals/x/feed/", "", ""},
		{"PUT /animals/x%2Ffeed", "", ""}, // an escaped slash does not cut
		{"PUT /animals/" + encoded + "/nope", "", ""},
	} {
		t.Run(c.request, func(t *testing.T) {
			svc := wire.NewService(zoo, wire.Options{})
			svc.Route("Shells", "POST", "/animals/{animalArn}/ws/shells", http.NotFoundHandler())
			var operation, label string
			svc.Use(func(http.Handler) http.Handler {
				return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					operation, label = wire.OperationName(r.Context()), wire.CallOf(r.Context()).Label("animalArn")
				})
			})
			method, target, _ := strings.Cut(c.request, " ")
			got := httptest.NewRecorder()
			svc.ServeHTTP(got, httptest.NewRequest(method, "http://h"+target, nil))
			if operation != c.operation || label != c.label {
				t.Errorf("%q %q, want %q %q", operation, label, c.operation, c.label)
			}
			if c.operation == "" && (got.Code != 404 || got.Header().Get("x-amzn-ErrorType") != "UnknownOperationException") {
				t.Errorf("%d %s", got.Code, got.Body)
			}
		})
	}
}

func TestRouter_closestPatternWins(t *testing.T) {
	other := &wire.Model{Name: "Aviary", SigningName: "zoo", Protocol: wire.RestJSON, Operations: []wire.OperationModel{
		{Name: "Free", Method: "PUT", URI: "/animals/cat/feed", Status: 200},
		{Name: "Sing", Method: "POST", URI: "/animals/{name}/sing", Status: 200},
	}}
	router := wire.Router{wire.NewService(zoo, wire.Options{}), wire.NewService(other, wire.Options{})}
	for request, want := range map[string]string{
		"PUT /animals/cat/feed":   "Free",
		"PUT /animals/dog/feed":   "Feed",
		"POST /animals/cat/sing":  "Sing",
		"POST /animals/cat/speak": "Speak",
	} {
		method, target, _ := strings.Cut(request, " ")
		got := httptest.NewRecorder()
		router.ServeHTTP(got, httptest.NewRequest(method, target, nil))
		if !strings.Contains(got.Body.String(), want+" is not supported") {
			t.Errorf("%s: %s", request, got.Body)
		}
	}
}

func TestUse_refusesBeforeTheBodyIsRead(t *testing.T) {
	svc := wire.NewService(zoo, wire.Options{})
	wire.Handle(svc, feed, func(context.Context, *feedInput) (*feedOutput, error) {
		t.Error("the handler was called")
		return nil, nil
	})
	var order []string
	svc.Use(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { order = append(order, "outer"); next.ServeHTTP(w, r) })
	})
	svc.Use(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			order = append(order, "inner")
			wire.CallOf(r.Context()).ResponseHeader().Set("WWW-Authenticate", "Bearer")
			wire.WriteError(w, r, moorage.Errorf(moorage.Unauthenticated, "no token"))
		})
	})
	got := httptest.NewRecorder()
	svc.ServeHTTP(got, httptest.NewRequest("PUT", "/animals/x/feed", strings.NewReader("not JSON")))
	if got.Code != 401 || got.Header().Get("WWW-Authenticate") != "Bearer" || got.Header().Get("x-amzn-ErrorType") != "UnauthorizedException" {
		t.Errorf("%d %v %s", got.Code, got.Header(), got.Body)
	}
	if strings.Join(order, " ") != "outer inner" {
		t.Errorf("layers ran as %v", order)
	}
}

func TestRequestID(t *testing.T) {
	svc := wire.NewService(zoo, wire.Options{})
	var seen string
	wire.Handle(svc, cage, func(ctx context.Context, in *cageInput) (*cageOutput, error) {
		seen = wire.RequestID(ctx)
		return &cageOutput{}, nil
	})
	const path = "/animals/x/feed/.well-known/cage"
	minted := httptest.NewRecorder()
	svc.ServeHTTP(minted, httptest.NewRequest("POST", path, nil))
	if id := minted.Header().Get("x-amzn-RequestId"); len(id) != 36 || id != seen || minted.Code != 204 {
		t.Errorf("%d: minted %q, handler saw %q", minted.Code, id, seen)
	}
	r := httptest.NewRequest("POST", path, nil)
	given := httptest.NewRecorder()
	svc.ServeHTTP(given, r.WithContext(wire.WithRequestID(r.Context(), "mine")))
	if given.Header().Get("x-amzn-RequestId") != "mine" || seen != "mine" {
		t.Errorf("given id became %v, handler saw %q", given.Header(), seen)
	}
}

func TestOperations(t *testing.T) {
	svc := wire.NewService(zoo, wire.Options{})
	wire.Handle(svc, cage, func(context.Context, *cageInput) (*cageOutput, error) { return nil, nil })
	offered := 0
	for _, op := range svc.Operations() {
		if op.Offered {
			offered++
		}
	}
	if len(svc.Operations()) != 6 || offered != 1 {
		t.Errorf("%v", svc.Operations())
	}
}

func TestRouting_anotherMethodIsNotAllowed(t *testing.T) {
	for request, allowed := range map[string]string{"GET /animals/x/feed/": "PUT", "OPTIONS /animals": "GET"} {
		method, target, _ := strings.Cut(request, " ")
		got := httptest.NewRecorder()
		wire.NewService(zoo, wire.Options{}).ServeHTTP(got, httptest.NewRequest(method, "http://h"+target, nil))
		if got.Code != 405 || got.Header().Get("Allow") != allowed || got.Header().Get("x-amzn-ErrorType") != "UnknownOperationException" {
			t.Errorf("%s: %d %v %s", request, got.Code, got.Header(), got.Body)
		}
	}
}

func FuzzEscapedPath_asNetURL(f *testing.F) {
	for _, target := range []string{
		"/", "*", "/ping", "/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A137292060087%3Aruntime%2Fa-b/invocations?qualifier=DEFAULT",
		"/a%2fb", "/a%20b/%2F", "/a\"b%2F", "/[a]%2F", "/%zz", "/\u00e4%2F", "/a;b,c%2F", "//a%2F", "/%41", "/a^%2F",
	} {
		f.Add(target)
	}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		if got, want := wire.EscapedPath(u), u.EscapedPath(); got != want {
			t.Errorf("%q: %q, net/url has %q", target, got, want)
		}
	})
}
