package logs

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"strings"

	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/store"
)

// What toolkits turn on at AWS before anything can be seen is on here from the start. The calls that do
// it are answered, and what they set is remembered, so that the toolkits find what they set up. Application logs
// of runtimes hold payloads: they are written where a delivery to a log group says so, and nowhere else.
type deliveries struct {
	Sources      map[string]DeliverySource      `json:"sources"`
	Destinations map[string]DeliveryDestination `json:"destinations"`
	Deliveries   map[string]Delivery            `json:"deliveries"`
	Policies     map[string]ResourcePolicy      `json:"policies"`
}

const deliverySetting = "log deliveries"

// deliver reads and, where change reports so, writes what is set.
func (s *Service) deliver(ctx context.Context, change func(d *deliveries) (changed bool, err error)) error {
	written := false
	defer func() {
		if written {
			s.vended.Store(nil) // it is read again
		}
	}()
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		d := deliveries{map[string]DeliverySource{}, map[string]DeliveryDestination{}, map[string]Delivery{}, map[string]ResourcePolicy{}}
		doc, err := tx.Setting(deliverySetting)
		if err == nil && doc != "" {
			err = json.Unmarshal([]byte(doc), &d)
		}
		if err != nil {
			return err
		}
		changed, err := change(&d)
		if err != nil || !changed {
			return err
		}
		written = true
		out, err := json.Marshal(d)
		if err != nil {
			return err
		}
		return tx.PutSetting(deliverySetting, string(out))
	})
}

func (s *Service) deliveryARN(kind, name string) *string {
	return new("arn:aws:logs:" + s.Region + ":" + s.Account + ":" + kind + ":" + name)
}

func (s *Service) serveDeliveries(svc *wire.Service) {
	wire.Handle(svc, PutDeliverySource, func(ctx context.Context, in *PutDeliverySourceInput) (*PutDeliverySourceOutput, error) {
		service := "bedrock-agentcore"
		one := DeliverySource{
			Name: &in.Name, Arn: s.deliveryARN("delivery-source", in.Name), ResourceArns: []string{in.ResourceArn}, Service: &service, LogType: &in.LogType,
			Tags: in.Tags, Status: DeliverySourceStatusActive,
		}
		return &PutDeliverySourceOutput{DeliverySource: &one}, s.deliver(ctx, func(d *deliveries) (bool, error) { d.Sources[in.Name] = one; return true, nil })
	})
	wire.Handle(svc, PutDeliveryDestination, func(ctx context.Context, in *PutDeliveryDestinationInput) (*PutDeliveryDestinationOutput, error) {
		one := DeliveryDestination{
			Name: &in.Name, Arn: s.deliveryARN("delivery-destination", in.Name), DeliveryDestinationType: in.DeliveryDestinationType, OutputFormat: in.OutputFormat,
			DeliveryDestinationConfiguration: in.DeliveryDestinationConfiguration, RoleArn: in.RoleArn, Tags: in.Tags,
		}
		if one.DeliveryDestinationType == "" {
			one.DeliveryDestinationType = DeliveryDestinationTypeCwl
		}
		return &PutDeliveryDestinationOutput{DeliveryDestination: &one}, s.deliver(ctx, func(d *deliveries) (bool, error) { d.Destinations[in.Name] = one; return true, nil })
	})
	wire.Handle(svc, CreateDelivery, func(ctx context.Context, in *CreateDeliveryInput) (*CreateDeliveryOutput, error) {
		sum := sha256.Sum256([]byte(in.DeliverySourceName + "\x00" + in.DeliveryDestinationArn))
		id := strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:16])
		one := Delivery{
			Id: &id, Arn: s.deliveryARN("delivery", id), DeliverySourceName: &in.DeliverySourceName, DeliveryDestinationArn: &in.DeliveryDestinationArn,
			RecordFields: in.RecordFields, Tags: in.Tags,
		}
		err := s.deliver(ctx, func(d *deliveries) (bool, error) {
			if _, ok := d.Sources[in.DeliverySourceName]; !ok {
				return false, orMissing(nil, "there is no delivery source of this name: PutDeliverySource makes it")
			}
			_, name, _ := strings.Cut(in.DeliveryDestinationArn, ":delivery-destination:")
			to, ok := d.Destinations[name]
			if !ok {
				return false, orMissing(nil, "there is no delivery destination of this ARN: PutDeliveryDestination makes it")
			}
			if _, ok := d.Deliveries[id]; ok {
				return false, exists("delivery", id)
			}
			one.DeliveryDestinationType = to.DeliveryDestinationType
			d.Deliveries[id] = one
			return true, nil
		})
		if err == nil {
			err = s.makeVended(ctx, id)
		}
		return &CreateDeliveryOutput{Delivery: &one}, err
	})
	wire.Handle(svc, GetDeliverySource, func(ctx context.Context, in *GetDeliverySourceInput) (*GetDeliverySourceOutput, error) {
		one, err := found(ctx, s, in.Name, func(d *deliveries) map[string]DeliverySource { return d.Sources })
		return &GetDeliverySourceOutput{DeliverySource: &one}, err
	})
	wire.Handle(svc, GetDeliveryDestination, func(ctx context.Context, in *GetDeliveryDestinationInput) (*GetDeliveryDestinationOutput, error) {
		one, err := found(ctx, s, in.Name, func(d *deliveries) map[string]DeliveryDestination { return d.Destinations })
		return &GetDeliveryDestinationOutput{DeliveryDestination: &one}, err
	})
	wire.Handle(svc, GetDelivery, func(ctx context.Context, in *GetDeliveryInput) (*GetDeliveryOutput, error) {
		one, err := found(ctx, s, in.Id, func(d *deliveries) map[string]Delivery { return d.Deliveries })
		return &GetDeliveryOutput{Delivery: &one}, err
	})
	wire.Handle(svc, DeleteDeliverySource, func(ctx context.Context, in *DeleteDeliverySourceInput) (*DeleteDeliverySourceOutput, error) {
		return nil, removed(ctx, s, in.Name, func(d *deliveries) map[string]DeliverySource { return d.Sources })
	})
	wire.Handle(svc, DeleteDeliveryDestination, func(ctx context.Context, in *DeleteDeliveryDestinationInput) (*DeleteDeliveryDestinationOutput, error) {
		return nil, removed(ctx, s, in.Name, func(d *deliveries) map[string]DeliveryDestination { return d.Destinations })
	})
	wire.Handle(svc, DeleteDelivery, func(ctx context.Context, in *DeleteDeliveryInput) (*DeleteDeliveryOutput, error) {
		return nil, removed(ctx, s, in.Id, func(d *deliveries) map[string]Delivery { return d.Deliveries })
	})
	wire.Handle(svc, DescribeDeliveries, func(ctx context.Context, _ *DescribeDeliveriesInput) (*DescribeDeliveriesOutput, error) {
		out := &DescribeDeliveriesOutput{Deliveries: []Delivery{}}
		return out, s.deliver(ctx, func(d *deliveries) (bool, error) {
			for _, one := range d.Deliveries {
				out.Deliveries = append(out.Deliveries, one)
			}
			return false, nil
		})
	})
	wire.Handle(svc, PutResourcePolicy, func(ctx context.Context, in *PutResourcePolicyInput) (*PutResourcePolicyOutput, error) {
		one := ResourcePolicy{PolicyName: in.PolicyName, PolicyDocument: in.PolicyDocument, ResourceArn: in.ResourceArn}
		return &PutResourcePolicyOutput{ResourcePolicy: &one}, s.deliver(ctx, func(d *deliveries) (bool, error) { d.Policies[text(in.PolicyName)] = one; return true, nil })
	})
	wire.Handle(svc, DescribeResourcePolicies, func(ctx context.Context, _ *DescribeResourcePoliciesInput) (*DescribeResourcePoliciesOutput, error) {
		out := &DescribeResourcePoliciesOutput{ResourcePolicies: []ResourcePolicy{}}
		return out, s.deliver(ctx, func(d *deliveries) (bool, error) {
			for _, one := range d.Policies {
				out.ResourcePolicies = append(out.ResourcePolicies, one)
			}
			return false, nil
		})
	})
}

func found[T any](ctx context.Context, s *Service, name string, in func(*deliveries) map[string]T) (one T, err error) {
	err = s.deliver(ctx, func(d *deliveries) (bool, error) {
		var ok bool
		if one, ok = in(d)[name]; !ok {
			return false, orMissing(nil, "there is none with this name or id")
		}
		return false, nil
	})
	return one, err
}

func removed[T any](ctx context.Context, s *Service, name string, in func(*deliveries) map[string]T) error {
	return s.deliver(ctx, func(d *deliveries) (bool, error) {
		if _, ok := in(d)[name]; !ok {
			return false, orMissing(nil, "there is none with this name or id")
		}
		delete(in(d), name)
		return true, nil
	})
}
