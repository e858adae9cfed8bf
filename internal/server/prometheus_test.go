package server

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
)

// The dashboard asks for metrics that are there.
func TestPrometheus_theDashboardKnowsNothingElse(t *testing.T) {
	text, err := os.ReadFile("../../docs/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(text) {
		t.Fatal("docs/grafana.json is not JSON")
	}
	f := families{}
	for _, name := range []string{archive.CallsMetric, archive.FaultsMetric, archive.SpansMetric, archive.InputMetric, archive.CostMetric, telemetry.SessionsStarted, telemetry.ProcessorHours} {
		(&scrape{}).count(f, archive.Total{Series: telemetry.Series{Name: name}}, map[string]string{"model": "a\n\"b\""})
	}
	page := f.String() + "moorage_sessions{ moorage_call_duration_seconds{"
	for _, name := range regexp.MustCompile(`moorage_[a-z_]+`).FindAllString(string(text), -1) {
		if !strings.Contains(page, name+"{") {
			t.Errorf("the dashboard asks for %s", name)
		}
	}
	if !strings.Contains(page, `model="a\n\"b\""`) {
		t.Errorf("labels are written as %s", page)
	}
}
