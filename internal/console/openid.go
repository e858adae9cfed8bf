package console

import (
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/identity/openid"
)

// loginCookie is what a browser keeps of a login by the provider until it is back. The way back begins at another site, so that it is Lax,
// where the login's own is Strict.
const loginCookie = "moorage_console_login"

func (h *Handler) kept(value string, seconds int) *http.Cookie {
	return &http.Cookie{Name: loginCookie, Value: value, Path: "/console/login/", MaxAge: seconds, HttpOnly: true, Secure: h.Browser.Secure, SameSite: http.SameSiteLaxMode}
}

// toProvider sends a browser to the provider.
func (h *Handler) toProvider(w http.ResponseWriter, r *http.Request) error {
	if h.OpenID == nil {
		return moorage.Errorf(moorage.NotFound, "no OpenID provider is set up: see moorage serve --help, --console-issuer")
	}
	leave(w)
	home, err := url.Parse(h.OpenID.Callback)
	if err == nil && r.Host != home.Host { // the browser comes back there, and has to have what it kept
		home.Path, home.RawQuery = r.URL.Path, r.URL.RawQuery
		http.Redirect(w, r, home.String(), http.StatusFound)
		return nil
	}
	address, kept, err := h.OpenID.Begin(r.Context(), within(r.URL.Query().Get("to")))
	if err != nil {
		_, err := h.Joined(r, openid.Person{}, err)
		refuse(w, r, err)
		return nil
	}
	http.SetCookie(w, h.kept(kept, int(openid.Life.Seconds())))
	http.Redirect(w, r, address, http.StatusFound)
	return nil
}

// within is where a browser goes once somebody is logged in: a page of ours, whatever was asked for.
func within(to string) string {
	if strings.HasPrefix(to, "/console/") && !strings.ContainsAny(to, "\\\r\n") && strings.HasPrefix(path.Clean(strings.Split(to, "?")[0])+"/", "/console/") {
		return to
	}
	return "/console/"
}

// fromProvider takes a browser that comes back.
func (h *Handler) fromProvider(w http.ResponseWriter, r *http.Request) error {
	if h.OpenID == nil {
		return moorage.Errorf(moorage.NotFound, "no OpenID provider is set up: see moorage serve --help, --console-issuer")
	}
	leave(w)
	kept := ""
	if cookie, err := r.Cookie(loginCookie); err == nil {
		kept = cookie.Value
	}
	http.SetCookie(w, h.kept("", -1))
	who, to, err := h.OpenID.Finish(r.Context(), kept, r.URL.Query())
	person, err := h.Joined(r, who, err)
	if err != nil {
		refuse(w, r, err)
		return nil
	}
	cookie, err := h.Browser.Admit(person)
	if err != nil {
		return err
	}
	http.SetCookie(w, cookie)
	http.Redirect(w, r, to, http.StatusFound)
	return nil
}

// leave keeps codes and states out of caches, and out of what other hosts are told.
func leave(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
}

// refuse sends a browser to the login page, which says why in words of its own: an address that anybody can write puts none there.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	why := map[moorage.Code]string{moorage.Unauthenticated: "expired", moorage.Denied: "refused", moorage.NotFound: "unknown"}[moorage.CodeOf(err)]
	if why == "" {
		why = "unavailable"
	}
	http.Redirect(w, r, "/console/#"+url.Values{"login": {why}, "request": {wire.RequestID(r.Context())}}.Encode(), http.StatusFound)
}
