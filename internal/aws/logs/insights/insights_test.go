package insights_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/moorage-dev/moorage/internal/aws/logs/insights"
)

// record is a JSON object with flat keys.
type record map[string]any

func (r record) Field(path string) insights.Value {
	switch v := r[path].(type) {
	case string:
		return insights.Text(v)
	case float64:
		if path == "@timestamp" {
			return insights.Moment(int64(v))
		}
		return insights.Number(v)
	case bool:
		return insights.Truth(v)
	}
	return insights.Missing
}

const some = `
{"@timestamp": 60000, "@message": "first 1",  "@ptr": "a", "agent": "x", "ms": 10, "ok": true, "arn": "arn:aws:x:runtime/one-1/rest"}
{"@timestamp": 61000, "@message": "second 2", "@ptr": "b", "agent": "x", "ms": "30", "ok": false, "arn": "arn:aws:x:runtime/two-2/rest"}
{"@timestamp": 120000,"@message": "third 3",  "@ptr": "c", "agent": "y", "ms": 20, "n": "1760000000000000001"}
{"@timestamp": 180000,"@message": "fourth",   "@ptr": "d", "n": "1760000000000000002"}`

func records(t testing.TB) iter.Seq2[insights.Record, error] {
	return func(yield func(insights.Record, error) bool) {
		lines := json.NewDecoder(strings.NewReader(some))
		for lines.More() {
			var r record
			if err := lines.Decode(&r); err != nil {
				t.Fatal(err)
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

// answered runs a query and writes its rows, one a line, without @ptr.
func answered(t *testing.T, query string) string {
	t.Helper()
	q, err := insights.Parse(query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	a, err := q.Run(records(t))
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	var lines []string
	for _, r := range a.Rows {
		var cells []string
		for _, c := range r {
			if c.Field != "@ptr" {
				cells = append(cells, c.Field+"="+c.Value)
			}
		}
		lines = append(lines, strings.Join(cells, " "))
	}
	return strings.Join(lines, "\n")
}

func TestRun_answersAsInsightsDoes(t *testing.T) {
	for query, want := range map[string]string{
		`fields @message | limit 1`:                                                                                                 "@message=fourth",
		`fields @message | sort @timestamp asc | limit 2`:                                                                           "@message=first 1\n@message=second 2",
		`filter agent = 'x' and ms > 15 | fields @timestamp`:                                                                        "@timestamp=1970-01-01 00:01:01.000",
		`filter not ispresent(agent) | fields @message as m`:                                                                        "m=fourth",
		`filter agent in ['y', "z"] | fields ms/10 as c, ms`:                                                                        "c=2 ms=20",
		`filter @message like /^f.*\d$/ | display @message`:                                                                         "@message=first 1",
		`filter @message like "cond" | fields agent`:                                                                                "agent=x",
		`filter @message not like "o" and agent != "y" | fields @message`:                                                           "@message=first 1",
		`filter ok = true | fields agent`:                                                                                           "agent=x",
		`parse arn "runtime/*/" as id | filter id = 'two-2' | fields id`:                                                            "id=two-2",
		`parse @message /(?<what>\w+) (?<n>\d)/ | filter n = 3 | display what, n`:                                                   "what=third n=3",
		`stats count(*) as n, max(ms) as top, sum(ms) by agent | sort n desc, agent asc`:                                            "agent=x n=2 top=30 sum(ms)=40\nn=1 sum(ms)=0\nagent=y n=1 top=20 sum(ms)=20",
		`stats sum(ok = true or ms >= 30) as hits, count_distinct(agent) as agents, avg(ms) as mean, pct(ms, 50) as half`:           "hits=2 agents=2 mean=20 half=20",
		`stats count() as n by bin(1m) as minute | sort minute asc | limit 1`:                                                       "minute=1970-01-01 00:01:00.000 n=2",
		`stats sum(ms)/count(ms) as each, min(@timestamp) as firstSeen`:                                                             "each=20 firstSeen=60000",
		`stats earliest(@message) as e, latest(@message) as l`:                                                                      "e=first 1 l=fourth",
		`filter ispresent(n) | sort n desc | fields n`:                                                                              "n=1760000000000000002\nn=1760000000000000001",
		"fields `agent` as a | dedup a | sort @timestamp asc | limit 2":                                                             "a=x\na=y",
		`SOURCE logGroups(namePrefix: ['a']) START=-1h | filterIndex @data_format='x' | filter agent = 'y' | fields ms # and so on`: "ms=20",
		`fields toupper(agent) as A, concat(agent, '-', ms) as k, strlen(@message) as l | filter A = 'Y'`:                           "A=Y k=y-20 l=7",
		`filter ms >= 10 and (agent = 'y' or -ms < -25) | stats count(*)`:                                                           "count(*)=2",
	} {
		if got := answered(t, query); got != want {
			t.Errorf("%s\ngave %q\nwant %q", query, got, want)
		}
	}
}

func TestParse_saysWhereAQueryIsWrong(t *testing.T) {
	for query, want := range map[string]struct {
		line, column int
		about        string
	}{
		`filter a = `:                       {1, 12, "expected a field"},
		"fields a\n| filter b ==":           {2, 13, "expected"},
		`fields a | pattern @message`:       {1, 12, "not offered"},
		`fields a | frobnicate b`:           {1, 12, "no command"},
		`fields a | filter b = 'c`:          {1, 23, "does not end"},
		`stats foo(a)`:                      {1, 7, "no function"},
		`stats a by b`:                      {1, 7, "expected a sum"},
		`fields max(a)`:                     {1, 8, "after stats"},
		`limit 0`:                           {1, 7, "from 1 to 10000"},
		`parse a "x*y*" as b`:               {1, 9, "2 stars for 1 names"},
		`filter a like /(/`:                 {1, 15, "regular expression"},
		`filter substr(a)`:                  {1, 8, "2 to 3 arguments"},
		`stats count(*) by bin(5 parsecs)`:  {1, 25, "unit of time"},
		`fields ä, ö | filter ~ = 1`:        {1, 22, "unexpected character"},
		``:                                  {1, 1, "expected a command"},
		`filter ` + strings.Repeat("(", 99): {1, 72, "nests deeper"},
	} {
		_, err := insights.Parse(query)
		var wrong *insights.Error
		if !errors.As(err, &wrong) || wrong.Line != want.line || wrong.Column != want.column || !strings.Contains(wrong.Message, want.about) {
			t.Errorf("%s: %v, want %+v", query, err, want)
		}
	}
}

func TestParse_knowsWhichTracesAQueryIsAbout(t *testing.T) {
	for query, want := range map[string]string{
		`fields a | filter traceId = 'x' and b = 1`:         "[x]",
		`filter ispresent(b) | filter traceId in ['x','y']`: "[x y]",
		`filter traceId = 'x' or b = 1`:                     "[]",
		`stats count(*) by traceId | filter traceId = 'x'`:  "[]",
	} {
		q, err := insights.Parse(query)
		if err != nil || fmt.Sprint(q.Traces()) != want {
			t.Errorf("%s: %v, %v", query, q.Traces(), err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, query := range []string{
		`fields @timestamp, a.b/1000 as c | filter c like /x/ | sort c desc | limit 5`,
		"parse @message \"*: *\" as a, b | stats count(*), pct(b, 99) by bin(5m), `odd name`",
		`filter not (a = 1 or b in [1, 'x']) | dedup a`,
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		q, err := insights.Parse(query)
		var wrong *insights.Error
		if err != nil && (!errors.As(err, &wrong) || wrong.Line < 1 || wrong.Column < 1) {
			t.Fatalf("%q: %v", query, err)
		}
		if err != nil {
			return
		}
		if a, err := q.Run(records(t)); err == nil && len(a.Rows) > 4 {
			t.Fatalf("%q: four records became %d rows", query, len(a.Rows))
		}
	})
}
