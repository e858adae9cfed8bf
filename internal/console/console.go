// Package console serves the web console under /console/.
//
// The pages are built from web/ into dist, compressed once, and embedded: the binary carries them and
// nothing is loaded from elsewhere. They read the same API as the commands; what is served here beside
// files is the login. Everything that a page shows may have been written by a hostile agent, so the
// policy sent with each page allows no script, frame or image but our own.
//
//	GET  /console/…       the pages; unknown paths are the application's own
//	GET  /console/me      who is logged in
//	POST /console/login   {"accessKeyId","secretAccessKey"} or {"ticket"}
//	POST /console/logout
//	GET  /console/login/openid?to=PATH   to the OpenID provider, where the operator named one
//	GET  /console/login/callback         and back from there
package console

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity"
	"github.com/moorage-dev/moorage/internal/identity/openid"
)

//go:embed all:dist
var dist embed.FS

// Handler serves /console. Browser and Error are required.
type Handler struct {
	Browser *identity.Browser
	// Error answers with a coded error in the form of AWS's JSON services.
	Error func(http.ResponseWriter, *http.Request, error)
	// Issued hears of each login before the browser has it, and can stop it: of which access key, and why it is refused. Nil hears of none.
	Issued func(r *http.Request, accessKeyID string, refused error) error
	// OpenID logs people in by a provider, and Provider says what people call that; nil where there is none.
	OpenID   *openid.Client
	Provider func() string
	// Joined hears of each login by it, and why it is refused if it is, and says which user or role that is here, or why not.
	Joined func(r *http.Request, who openid.Person, refused error) (identity.Person, error)
}

// policy of every page. Styles that scripts set on elements need no permission.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " +
	"worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// Routes readies the handler.
func (h *Handler) Routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, serve := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /console/me":             h.me,
		"POST /console/login":         h.login,
		"POST /console/logout":        h.logout,
		"GET /console/login/openid":   h.toProvider,
		"GET /console/login/callback": h.fromProvider,
		"GET /console/":               h.page,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := serve(w, r); err != nil {
				h.Error(w, r, err)
			}
		})
	}
	mux.Handle("GET /console", http.RedirectHandler("/console/", http.StatusMovedPermanently))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if at := r.URL.EscapedPath(); strings.TrimSuffix(at, "/") != path.Clean(at) { // ServeMux would redirect to what it takes it for
			h.Error(w, r, moorage.Errorf(moorage.NotFound, "the console has no such page"))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// me answers with who is logged in, and with what people may log in by instead. It answers with an empty ARN when nobody is: that is no failure of a page that asks.
func (h *Handler) me(w http.ResponseWriter, r *http.Request) error {
	caller, err := h.Browser.Caller(r)
	if err != nil && moorage.CodeOf(err) != moorage.Unauthenticated {
		return err
	}
	out := map[string]string{"arn": caller.ARN, "accessKeyId": caller.AccessKeyID}
	if h.OpenID != nil {
		out["provider"] = h.Provider()
	}
	return writeJSON(w, out)
}

const maxLogin = 4 << 10 // bytes of a login's body

func (h *Handler) login(w http.ResponseWriter, r *http.Request) error {
	var in struct{ AccessKeyID, SecretAccessKey, Ticket string }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxLogin)).Decode(&in); err != nil {
		return moorage.Errorf(moorage.Invalid, "the login is not a JSON object with accessKeyId and secretAccessKey, or with ticket")
	}
	var cookie *http.Cookie
	var err error
	if in.Ticket != "" {
		cookie, err = h.Browser.Redeem(r.Context(), in.Ticket)
	} else {
		cookie, err = h.Browser.Login(r.Context(), in.AccessKeyID, in.SecretAccessKey)
	}
	if h.Issued != nil {
		id, _, _ := strings.Cut(cmp.Or(in.AccessKeyID, in.Ticket), ".") // a ticket begins with the key's
		if e := h.Issued(r, id, err); e != nil {
			return e
		}
	}
	if err != nil {
		return err
	}
	http.SetCookie(w, cookie)
	return writeJSON(w, struct{}{})
}

func (h *Handler) logout(w http.ResponseWriter, r *http.Request) error {
	http.SetCookie(w, h.Browser.Logout(r))
	return writeJSON(w, struct{}{})
}

// page sends a file of dist, or the application for every path that is one of its views.
func (h *Handler) page(w http.ResponseWriter, r *http.Request) error {
	name := strings.TrimPrefix(path.Clean(r.URL.Path), "/console")
	name = strings.TrimPrefix(name, "/")
	hashed := strings.HasPrefix(name, "assets/") // their names change with what is in them
	if !hashed && !isFile(name) {
		name = "index.html"
	}
	data, err := fs.ReadFile(dist, "dist/"+name+".gz")
	if err != nil {
		return moorage.Errorf(moorage.NotFound, "the console has no file %s", name)
	}
	header := w.Header()
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Vary", "Accept-Encoding")
	header.Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	if hashed {
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
		return sendCompressed(w, r, data)
	}
	header.Set("Cache-Control", "no-cache")
	sum := sha256.Sum256(data)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	header.Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return sendCompressed(w, r, data)
}

func isFile(name string) bool {
	_, err := fs.Stat(dist, "dist/"+name+".gz")
	return err == nil
}

// sendCompressed sends gzip to whoever takes it, which every browser does, and the plain bytes to the rest.
func sendCompressed(w http.ResponseWriter, r *http.Request, data []byte) error {
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		_, err := w.Write(data)
		return err
	}
	plain, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return err
	}
	_, err = io.Copy(w, plain)
	return err
}

func writeJSON(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	return json.NewEncoder(w).Encode(v)
}
