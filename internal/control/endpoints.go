package control

import (
	"context"
	"errors"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/store"
)

func (s *Service) newEndpoint(rt moorage.Runtime, name string, target int, now time.Time) moorage.Endpoint {
	return moorage.Endpoint{
		RuntimeID: rt.ID, Name: name, ID: name + "-" + moorage.NewSuffix(),
		ARN:    moorage.EndpointARN(s.Region, s.Account, rt.ID, name).String(),
		Target: target, Status: moorage.Creating, CreatedAt: now, UpdatedAt: now,
	}
}

// EndpointRequest asks for a new endpoint, or a change of one.
type EndpointRequest struct {
	RuntimeID   string
	Name        string
	Description *string // nil leaves it
	Version     int     // 0 is the latest on create, and no change on update
	Tags        map[string]string
	Token       string `json:"-"`
}

// CreateEndpoint makes an endpoint that points at one version. Errors: NotFound, Conflict, Quota.
func (s *Service) CreateEndpoint(ctx context.Context, req EndpointRequest) (out moorage.Endpoint, err error) {
	if err := checkTags(req.Tags); err != nil {
		return out, err
	}
	err = s.change(ctx, req.RuntimeID, func(tx *store.Tx) error {
		out, err = once(tx, "CreateAgentRuntimeEndpoint", req.Token, req, time.Now(), func() (moorage.Endpoint, error) { return s.createEndpoint(tx, req) })
		return err
	})
	return out, err
}

func (s *Service) createEndpoint(tx *store.Tx, req EndpointRequest) (none moorage.Endpoint, err error) {
	rt, err := s.standing(tx, req.RuntimeID)
	if err != nil {
		return none, err
	}
	have, err := tx.Endpoints(rt.ID, "", -1)
	if err != nil {
		return none, err
	}
	for _, e := range have {
		if e.Name == req.Name {
			return none, moorage.Errorf(moorage.Conflict, "An endpoint named '%s' already exists for agent %s", req.Name, rt.ID)
		}
	}
	if len(have) >= maxEndpoints {
		return none, moorage.Errorf(moorage.Quota, "agent runtime %s has %d endpoints, which is the limit", rt.ID, maxEndpoints)
	}
	if req.Version == 0 {
		req.Version = rt.Latest
	}
	e := s.newEndpoint(rt, req.Name, req.Version, time.Now().UTC())
	if req.Description != nil {
		e.Description = *req.Description
	}
	if err := s.point(tx, &e, req.Version); err != nil {
		return none, err
	}
	if err := tx.PutTags(e.ARN, req.Tags); err != nil {
		return none, err
	}
	return e, tx.PutEndpoint(e)
}

// standing returns a runtime that is not being deleted.
func (s *Service) standing(tx *store.Tx, id string) (moorage.Runtime, error) {
	rt, err := tx.Runtime(id)
	if err == nil && rt.Status == moorage.Deleting {
		err = moorage.Errorf(moorage.Conflict, "agent runtime %s is being deleted", id)
	}
	return rt, err
}

// point aims e at a version: at once when that is ready, else when the reconcile loop made it so.
func (s *Service) point(tx *store.Tx, e *moorage.Endpoint, number int) error {
	v, err := tx.Version(e.RuntimeID, number)
	if err != nil {
		return err
	}
	e.Target, e.FailureReason = number, ""
	switch v.Status {
	case moorage.Ready:
		e.Live, e.Status = number, moorage.Ready
	case moorage.CreateFailed, moorage.UpdateFailed:
		return moorage.Errorf(moorage.Conflict, "version %d of %s failed to build and cannot be used: %s", number, e.RuntimeID, v.FailureReason)
	default:
		e.Status = moorage.Updating
		if e.Live == 0 {
			e.Status = moorage.Creating
		}
	}
	return nil
}

// UpdateEndpoint moves an endpoint to a version. Sessions that live keep theirs. DEFAULT follows
// the latest version and cannot be moved.
func (s *Service) UpdateEndpoint(ctx context.Context, req EndpointRequest) (out moorage.Endpoint, err error) {
	err = s.change(ctx, req.RuntimeID, func(tx *store.Tx) error {
		out, err = once(tx, "UpdateAgentRuntimeEndpoint", req.Token, req, time.Now(), func() (moorage.Endpoint, error) { return s.updateEndpoint(tx, req) })
		return err
	})
	return out, err
}

func (s *Service) updateEndpoint(tx *store.Tx, req EndpointRequest) (none moorage.Endpoint, err error) {
	if _, err := s.standing(tx, req.RuntimeID); err != nil {
		return none, err
	}
	e, err := tx.Endpoint(req.RuntimeID, req.Name)
	if err != nil {
		return none, err
	}
	if e.Status.InProgress() {
		return none, moorage.Errorf(moorage.Conflict, "endpoint %s of %s is %s; wait until that is done", e.Name, e.RuntimeID, e.Status)
	}
	if req.Version != 0 && e.Name == moorage.DefaultEndpoint {
		return none, moorage.Errorf(moorage.Conflict, "the DEFAULT endpoint follows the latest version and cannot be moved; make an endpoint of your own")
	}
	if req.Description != nil {
		e.Description = *req.Description
	}
	if req.Version != 0 {
		if err := s.point(tx, &e, req.Version); err != nil {
			return none, err
		}
	}
	e.UpdatedAt = time.Now().UTC()
	return e, tx.PutEndpoint(e)
}

// Endpoint returns one endpoint of a runtime with the runtime.
func (s *Service) Endpoint(ctx context.Context, runtimeID, name string) (rt moorage.Runtime, e moorage.Endpoint, err error) {
	err = s.read(ctx, func(tx *store.Tx) error {
		if rt, err = tx.Runtime(runtimeID); err != nil {
			return err
		}
		e, err = tx.Endpoint(runtimeID, name)
		return err
	})
	return rt, e, err
}

// Endpoints returns up to limit endpoints of a runtime whose names follow after.
func (s *Service) Endpoints(ctx context.Context, runtimeID, after string, limit int) (rt moorage.Runtime, out []moorage.Endpoint, err error) {
	err = s.read(ctx, func(tx *store.Tx) error {
		if rt, err = tx.Runtime(runtimeID); err != nil {
			return err
		}
		out, err = tx.Endpoints(runtimeID, after, limit)
		return err
	})
	return rt, out, err
}

// DeleteEndpoint removes an endpoint, ends its sessions and wipes their storage. DEFAULT goes only with
// its runtime.
func (s *Service) DeleteEndpoint(ctx context.Context, runtimeID, name, token string) error {
	err := s.change(ctx, runtimeID, func(tx *store.Tx) error {
		_, err := once(tx, "DeleteAgentRuntimeEndpoint", token, [2]string{runtimeID, name}, time.Now(), func() (struct{}, error) {
			return struct{}{}, s.deleteEndpoint(tx, runtimeID, name)
		})
		return err
	})
	if err != nil {
		return err
	}
	err = s.endSessions(ctx, "stopped because its endpoint was deleted", func(x moorage.Session) bool {
		return x.RuntimeID == runtimeID && x.Endpoint == name
	})
	return errors.Join(err, s.Sessions.Storage.RemoveEndpoint(runtimeID, name))
}

func (s *Service) deleteEndpoint(tx *store.Tx, runtimeID, name string) error {
	if _, err := s.standing(tx, runtimeID); err != nil {
		return err
	}
	e, err := tx.Endpoint(runtimeID, name)
	if err != nil {
		return err
	}
	if name == moorage.DefaultEndpoint {
		return moorage.Errorf(moorage.Conflict, "the DEFAULT endpoint cannot be deleted; it goes with its agent runtime")
	}
	return tx.DeleteEndpoint(e)
}

// EndStray ends the sessions whose endpoint was deleted as an earlier server was killed. Call it once
// the sessions have been recovered.
func (s *Service) EndStray(ctx context.Context) error {
	return s.endSessions(ctx, "stopped because its endpoint was deleted", func(x moorage.Session) bool {
		s.mu.RLock()
		defer s.mu.RUnlock()
		m := s.view[x.RuntimeID]
		if m == nil {
			return true
		}
		_, there := m.endpoints[x.Endpoint]
		return !there
	})
}

func (s *Service) endSessions(ctx context.Context, reason string, match func(moorage.Session) bool) error {
	_, err := s.Sessions.StopWhere(ctx, reason, match)
	return err
}
