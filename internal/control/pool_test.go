package control

import (
	"testing"

	"github.com/moorage-dev/moorage"
)

func TestPoolFloor(t *testing.T) {
	for value, want := range map[string]int{"0": 0, "3": 3, "64": 64, "65": -1, "-1": -1, "": -1, "many": -1, "1.5": -1, "OFF": -1} {
		got, err := poolFloor(map[string]string{TagPool: value})
		if want < 0 && moorage.CodeOf(err) != moorage.Invalid || want >= 0 && (err != nil || got != want) {
			t.Errorf("%q is %d, %v; want %d", value, got, err, want)
		}
	}
	if got, err := poolFloor(map[string]string{TagPool: "off"}); got != poolOff || err != nil {
		t.Errorf("off is %d, %v", got, err)
	}
	if got, err := poolFloor(nil); got != 0 || err != nil {
		t.Errorf("no tag is %d, %v", got, err)
	}
}
