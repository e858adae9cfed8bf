// Package applicationsignals answers the one call of CloudWatch Application Signals that toolkits make before they
// look at traces. Types and constraints are generated; see api.gen.go.
package applicationsignals

import (
	"context"

	"github.com/moorage-dev/moorage/internal/aws/wire"
)

// Serve adds the operation to svc. What it turns on at AWS is on here from the start.
func Serve(svc *wire.Service) {
	wire.Handle(svc, StartDiscovery, func(context.Context, *StartDiscoveryInput) (*StartDiscoveryOutput, error) {
		return &StartDiscoveryOutput{}, nil
	})
}
