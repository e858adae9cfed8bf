package server

import (
	"github.com/moorage-dev/moorage/internal/lazy"
	"github.com/moorage-dev/moorage/internal/telemetry/printed"
	"github.com/moorage-dev/moorage/internal/telemetry/usage"
)

// rounds are what the server does again and again while there is something to do, and rests from else.
type rounds struct {
	printed, usage, metering *lazy.Ticker // while a session is awake
	budgets                  *lazy.Ticker // after an agent spent something
}

func newRounds() rounds {
	return rounds{lazy.NewTicker(printed.Every), lazy.NewTicker(usage.Every), lazy.NewTicker(meterEvery), lazy.NewTicker(saveBudgets)}
}

// stir is called when a session came up or ended.
func (r rounds) stir() {
	r.printed.Wake()
	r.usage.Wake()
	r.metering.Wake()
}
