package control

import (
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
)

func TestLongSleep(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"12h": 12 * time.Hour, "30d": 30 * day, "365d": 365 * day,
		"": -1, "30": -1, "h": -1, "0d": -1, "-3d": -1, "366d": -1, "1.5d": -1, "9999999999999d": -1, "3d4h": -1, "long": -1,
	} {
		got, err := longSleep(map[string]string{TagLongSleep: value})
		if want < 0 && moorage.CodeOf(err) != moorage.Invalid || want >= 0 && (err != nil || got != want) {
			t.Errorf("%q is %v, %v; want %v", value, got, err, want)
		}
	}
	if got, err := longSleep(nil); got != 0 || err != nil {
		t.Errorf("no tag is %v, %v", got, err)
	}
}
