package pattern_test

import (
	"strings"
	"testing"

	"github.com/moorage-dev/moorage/internal/aws/logs/pattern"
)

func TestMatch(t *testing.T) {
	const doc = `{"level":"ERROR","ms":12.5,"ok":true,"none":null,"user":{"name":"anna"},"list":["x",{"y":1}],"a.b":"c"}`
	const access = `127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534`
	for text, lines := range map[string]struct{ fit, not string }{
		``:                           {"anything", ""},
		`ERROR`:                      {"an ERROR is", "an error is"},
		`ERROR timeout`:              {"timeout: ERROR", "ERROR"},
		`?ERROR ?timeout`:            {"a timeout", "a success"},
		`ERROR -timeout`:             {"ERROR: x", "ERROR: timeout"},
		`"two words" x`:              {"x two words", "words two x"},
		`"a \"quote\""`:              {`a "quote"`, `a quote`},
		`%E[0-9]+%`:                  {"E42", "Ex"},
		`{ $.level = "ERROR" }`:      {doc, `{"level":"INFO"}`},
		`{ $.level = ERR* }`:         {doc, `{"level":"WARN"}`},
		`{ $.ms > 12 && $.ms<=12.5}`: {doc, `{"ms":12}`},
		`{ ($.level = "X" || $.user.name = "a*a") && $.ok IS TRUE }`: {doc, `{"user":{"name":"bob"},"ok":true}`},
		`{ $.none IS NULL }`:                                       {doc, `{"none":1}`},
		`{ $.nope NOT EXISTS }`:                                    {doc, `{"nope":1}`},
		`{ $.list[1].y = 1 }`:                                      {doc, `{"list":[]}`},
		`{ $["a.b"] = %^c$% }`:                                     {doc, `not JSON`},
		`{ $.level != "INFO" }`:                                    {doc, `{"level":"INFO"}`},
		`[ip, id, user, at, request, status, bytes]`:               {access, access + " more"},
		`[ip, id, user, at, request = *.html*, status = 4*, size]`: {access, strings.Replace(access, " 404 ", " 200 ", 1)},
		`[..., status = 404 || status = 410, bytes > 1000]`:        {access, strings.Replace(access, "1534", "15", 1)},
		`[ip=%127\.0\.[0-9]+\.1%, ...]`:                            {access, "10.0.0.1 x"},
		`[w1 != ERROR && w1 != WARN, ..., last = "a b"]`:           {`INFO "a b"`, `WARN x "a b"`},
		`[, , x = 1]`:                                              {"a b 1", "a b 2"},
		`[...]`:                                                    {"", ""},
	} {
		p, err := pattern.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if !p.Match(lines.fit) || lines.not != "" && p.Match(lines.not) {
			t.Errorf("%s: %v for %s, %v for %s", text, p.Match(lines.fit), lines.fit, p.Match(lines.not), lines.not)
		}
	}
}

func TestParse_saysWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		`"open`:                       "character 1",
		`a %(%`:                       "regular expression",
		`%(a{1,30}b){1,30}%`:          "too large",
		`[ip, user`:                   "expected a comma or ]",
		`[a, ..., b, ...]`:            "only one ...",
		`[a = 1 && b = 2]`:            "about that column, a",
		`[a] b`:                       "nothing may follow ]",
		`{ $.a }`:                     "expected =",
		`{ $.a = }`:                   "character 9",
		`{ level = 1 }`:               "expected a field",
		`{ $.a = 1`:                   "expected &&",
		`{ $.a > "b" }`:               "compares numbers",
		`{ $.a = 1 } b`:               "nothing may follow",
		`{` + strings.Repeat("(", 80): "deeper",
		strings.Repeat("a", 2000):     "at most 1024",
	} {
		if _, err := pattern.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{`a ?b -c "d e" %f%`, `{ $.a[0].b = "x*" && ($.c > 1 || $.d IS NULL) }`, `{ $["x"] NOT EXISTS }`} {
		f.Add(text, `{"a":[{"b":"xy"}],"c":2}`)
	}
	f.Fuzz(func(_ *testing.T, text, line string) {
		if p, err := pattern.Parse(text); err == nil {
			p.Match(line)
		}
	})
}
