package image

import (
	"context"
	"strings"
	"testing"
)

func TestFlights_aPanicIsAnErrorAndTheNextTryIsFree(t *testing.T) {
	var g flights
	_, err := g.do(t.Context(), "key", func(context.Context) (string, error) { panic("parser") })
	if err == nil || !strings.Contains(err.Error(), "panic: parser") {
		t.Fatalf("do = %v, want the panic as an error", err)
	}
	v, err := g.do(t.Context(), "key", func(context.Context) (string, error) { return "made", nil })
	if v != "made" || err != nil {
		t.Errorf("do = %q, %v", v, err)
	}
}
