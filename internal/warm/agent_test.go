package warm

import (
	"slices"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
)

func TestParseHealth_everyFormOfTime(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC)
	for _, c := range []struct {
		body string
		busy bool
		want time.Time
	}{
		{`{"status":"Healthy","time_of_last_update":1795343400}`, false, at},
		{`{"status":"Healthy","time_of_last_update":1795343400.25}`, false, at.Add(250 * time.Millisecond)},
		{`{"status":"Healthy","time_of_last_update":1.7953434e9}`, false, at},
		{`{"status":"Healthy","time_of_last_update":1795343400250}`, false, at.Add(250 * time.Millisecond)},
		{`{"status":"Healthy","time_of_last_update":"1795343400"}`, false, at},
		{`{"status":"Healthy","time_of_last_update":"2026-11-22T10:30:00.000Z"}`, false, at},
		{`{"status":"Healthy","time_of_last_update":"2026-11-22T12:30:00+02:00"}`, false, at},
		{`{"status":"Healthy","time_of_last_update":"2026-11-22T10:30:00.250000"}`, false, at.Add(250 * time.Millisecond)},
		{`{"status":"HealthyBusy","time_of_last_update":1795343400}`, true, at},
		{`{"status":"HealthyBusy"}`, true, time.Time{}},
		{`{"status":"Healthy","time_of_last_update":null}`, false, time.Time{}},
		{`{"status":"Healthy","time_of_last_update":"yesterday"}`, false, time.Time{}},
		{`{"status":"Healthy","time_of_last_update":-5}`, false, time.Time{}},
		{`{"status":"Healthy","time_of_last_update":0}`, false, time.Time{}},
		{`{"status":"Healthy","time_of_last_update":1e30}`, false, time.Time{}},
		{`{"status":"Healthy","time_of_last_update":"NaN"}`, false, time.Time{}},
		{`{"status":"Healthy","time_of_last_update":{"a":1}}`, false, time.Time{}},
		{`{"status":"Healthy","time_of_last_update":[1795343400]}`, false, time.Time{}},
		{`{"status":"Healthy","time_of_last_update":1795351000}`, false, time.Time{}}, // in the future
		{`{"status":"Unheard-of"}`, false, time.Time{}},
		{`{"status":7}`, false, time.Time{}},
		{`null`, false, time.Time{}},
		{`OK`, false, time.Time{}},
		{``, false, time.Time{}},
	} {
		got := parseHealth([]byte(c.body), at.Add(time.Hour))
		if got.Busy != c.busy || !got.Since.Equal(c.want) {
			t.Errorf("%s = %+v, want busy %v since %v", c.body, got, c.busy, c.want)
		}
	}
}

func TestEnvironment_theOwnersWordIsTheOnlyOne(t *testing.T) {
	s := &Starter{Region: "us-east-1"}
	got := s.environment(moorage.Version{
		Program: &moorage.Program{Env: []string{"PATH=/usr/bin", "MODE=image"}},
		Config:  moorage.Config{Environment: map[string]string{"AWS_REGION": "eu-west-1", "MODE": "mine"}},
	})
	want := []string{"AWS_DEFAULT_REGION=us-east-1", "AWS_REGION=eu-west-1", "DOCKER_CONTAINER=1", "MODE=mine", "PATH=/usr/bin"}
	if !slices.Equal(got, want) {
		t.Errorf("environment = %v, want %v", got, want)
	}
}
