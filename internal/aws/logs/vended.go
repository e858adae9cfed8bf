package logs

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/store"
	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/calls"
)

// applicationLogs is the type of the logs that have calls' payloads.
const applicationLogs = "APPLICATION_LOGS"

// Vended says where the application logs of an endpoint go. It is asked for every call.
func (s *Service) Vended(of telemetry.Source) []calls.Vended {
	known := s.vended.Load()
	if known == nil {
		read, err := s.readVended(context.Background())
		if err != nil {
			s.Log.Error("find where application logs go", "err", err)
			return nil
		}
		known = &read
		s.vended.Store(known)
	}
	if len(*known) == 0 {
		return nil
	}
	runtime := moorage.RuntimeARN(s.Region, s.Account, of.Runtime).String()
	return append(slices.Clone((*known)[runtime]), (*known)[moorage.EndpointARN(s.Region, s.Account, of.Runtime, of.Endpoint).String()]...)
}

// readVended reads the deliveries of application logs to log groups, by the ARN whose they are.
func (s *Service) readVended(ctx context.Context) (map[string][]calls.Vended, error) {
	out := map[string][]calls.Vended{}
	return out, s.deliver(ctx, func(d *deliveries) (bool, error) {
		for id := range d.Deliveries {
			if of, to, ok := d.vended(id); ok {
				out[of] = append(out[of], to)
			}
		}
		return false, nil
	})
}

// vended is whose application logs a delivery is of, and where they go; false for other deliveries.
func (d *deliveries) vended(id string) (of string, to calls.Vended, ok bool) {
	one := d.Deliveries[id]
	from, ok := d.Sources[text(one.DeliverySourceName)]
	if !ok || text(from.LogType) != applicationLogs || len(from.ResourceArns) == 0 {
		return "", to, false
	}
	_, name, _ := strings.Cut(text(one.DeliveryDestinationArn), ":delivery-destination:")
	place := d.Destinations[name].DeliveryDestinationConfiguration
	if place == nil || !strings.Contains(place.DestinationResourceArn, ":log-group:") {
		return "", to, false
	}
	return from.ResourceArns[0], calls.Vended{Group: nameIn(place.DestinationResourceArn), Fields: one.RecordFields}, true
}

// makeVended makes the log group and stream of a delivery of application logs.
func (s *Service) makeVended(ctx context.Context, id string) (err error) {
	var to calls.Vended
	var ok bool
	err = s.deliver(ctx, func(d *deliveries) (bool, error) { _, to, ok = d.vended(id); return false, nil })
	if err != nil || !ok {
		return err
	}
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		made, err := tx.LogGroups()
		if err == nil && !slices.ContainsFunc(made, func(g store.LogGroup) bool { return g.Name == to.Group }) {
			err = tx.PutLogGroup(store.LogGroup{Name: to.Group, CreatedAt: time.Now()})
		}
		if err == nil {
			_, err = putStream(tx, to.Group, calls.ApplicationStream)
		}
		return err
	})
}
