package builtin_test

import (
	"strings"
	"testing"
)

// A team that has nothing to do with news.
const (
	commander = `You lead an incident response team.

Steps:
1. Ask triage what the alert means.
2. Use log_searcher to find log lines of the service.
3. Give everything to the incident-reporter and return its report unchanged in <incident_report> tags.

Call each tool once.`

	triagePrompt = `You triage alerts. Answer with these lines:

severity: low, medium or critical
service: the service that fails
symptom: what is seen`

	reporterPrompt = `You are the writer of incident reports. Write what happened from the alert, the triage and the log lines, at most 200 words. Answer inside <report> tags.`

	alert = `Alert at 14:02 UTC. Service: checkout-api
Since 13:55 requests fail with status 503 for all customers in the region Nordholm.
The on-call engineer Ada Winter restarted two of six pods, without effect.`

	logs = `13:54:58 checkout-api deployed version 2.31.0
13:55:03 checkout-api cannot connect to ledger-db: too many connections`
)

func incidentTeam(t *testing.T) agent {
	return agent{commander, []tool{
		{"triage", "Says what an alert means.", []string{"alert"}, func(in map[string]string) (string, error) {
			if in["alert"] != alert {
				t.Errorf("triage gets %q", in["alert"])
			}
			text, _ := only(triagePrompt).run(t, in["alert"])
			return text, nil
		}},
		{"log_searcher", "Searches log lines of one service.", []string{"service"}, func(in map[string]string) (string, error) {
			if in["service"] != "checkout-api" {
				t.Errorf("log_searcher looks for %q", in["service"])
			}
			return logs, nil
		}},
		{"incident-reporter", "Writes the report.", []string{"material"}, func(in map[string]string) (string, error) {
			text, _ := only(reporterPrompt).run(t, in["material"])
			return text, nil
		}},
	}}
}

func TestIncidentTeam(t *testing.T) {
	text, calls := incidentTeam(t).run(t, alert)
	if got := strings.Join(calls, " "); got != "triage log_searcher incident-reporter" {
		t.Errorf("calls %s", got)
	}
	for _, want := range []string{"<incident_report>", "status 503", "too many connections", "The severity is critical.", "Ada Winter"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
	if again, _ := incidentTeam(t).run(t, alert); again != text {
		t.Errorf("two runs differ:\n%s\n\n%s", text, again)
	}
	if testing.Verbose() {
		t.Log(text)
	}
}
