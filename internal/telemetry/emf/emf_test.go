package emf_test

import (
	"testing"
	"time"

	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/emf"
)

var now = time.UnixMilli(1_760_000_000_000)

const good = `{"_aws":{"Timestamp":1759999999000,"CloudWatchMetrics":[{"Namespace":"shop","Dimensions":[["region"],[]],"Metrics":[{"Name":"ms","Unit":"Milliseconds"},{"Name":"gone"}]}]},"region":"eu","ms":[12,14],"other":1}`

func TestParse_readsEachMetricByEachSetOfDimensions(t *testing.T) {
	points := emf.Parse(telemetry.Source{Runtime: "r-1", Endpoint: "DEFAULT"}, good, now)
	if len(points) != 2 {
		t.Fatalf("%+v", points)
	}
	p := points[0]
	if p.Series.Name != "ms" || p.Series.Unit != "Milliseconds" || p.Series.Runtime != "r-1" || p.Value != 26 || p.Count != 2 || p.Min != 12 || p.Max != 14 ||
		p.Series.Labels != `{"aws.cloudwatch.namespace":"shop","region":"eu"}` || p.Time != 1759999999000*int64(time.Millisecond) {
		t.Errorf("%+v", p)
	}
}

func TestParse_passesOverWhatIsNone(t *testing.T) {
	for _, line := range []string{
		"", "plain", `{"a":1}`, `{"_aws":{"CloudWatchMetrics":[]}}`, `{"_aws":{"CloudWatchMetrics":[{"Namespace":"AWS/EC2","Metrics":[{"Name":"a"}]}]},"a":1}`,
		`{"_aws":{"CloudWatchMetrics":[{"Namespace":"n","Dimensions":[["d"]],"Metrics":[{"Name":"a"}]}]},"a":1}`,
		`{"_aws":{"CloudWatchMetrics":[{"Namespace":"n","Metrics":[{"Name":"a"}]}]},"a":"one"}`, `{"_aws":{"CloudWatchMetrics":`,
	} {
		if points := emf.Parse(telemetry.Source{}, line, now); len(points) != 0 {
			t.Errorf("%s: %+v", line, points)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(good)
	f.Fuzz(func(t *testing.T, line string) {
		for _, p := range emf.Parse(telemetry.Source{}, line, now) {
			if p.Count < 1 || p.Series.Name == "" || p.Min > p.Max {
				t.Fatalf("%q: %+v", line, p)
			}
		}
	})
}
