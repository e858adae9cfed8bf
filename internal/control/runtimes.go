package control

import (
	"context"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity/policy"
	"github.com/moorage-dev/moorage/internal/identity/vault"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/store"
)

// CreateRequest asks for a new runtime.
type CreateRequest struct {
	Name        string
	Config      moorage.Config
	Environment map[string]string // Config's environment, here so that the token covers it
	Tags        map[string]string
	Token       string `json:"-"`
}

// Created is a runtime with the version that a request made.
type Created struct {
	Runtime moorage.Runtime
	Version moorage.Version
}

// Create makes a runtime with version 1 and its DEFAULT endpoint, all CREATING, and returns before
// they are built. Errors: Conflict when the name is taken, Quota, Invalid.
func (s *Service) Create(ctx context.Context, req CreateRequest) (Created, error) {
	if err := s.check(req.Config); err != nil {
		return Created{}, err
	}
	if err := checkTags(req.Tags); err != nil {
		return Created{}, err
	}
	req.Environment = req.Config.Environment
	id := req.Name + "-" + moorage.NewSuffix()
	var out Created
	err := s.change(ctx, id, func(tx *store.Tx) (err error) {
		out, err = once(tx, "CreateAgentRuntime", req.Token, req, time.Now(), func() (Created, error) { return s.create(tx, id, req) })
		return err
	})
	if err == nil {
		s.kick()
	}
	return out, err
}

func (s *Service) create(tx *store.Tx, id string, req CreateRequest) (Created, error) {
	if _, err := tx.RuntimeByName(req.Name); err == nil {
		return Created{}, moorage.Errorf(moorage.Conflict, "An agent runtime named '%s' already exists: update it, or choose another name", req.Name)
	} else if moorage.CodeOf(err) != moorage.NotFound {
		return Created{}, err
	}
	if have, err := tx.Runtimes("", maxRuntimes); err != nil {
		return Created{}, err
	} else if len(have) >= maxRuntimes {
		return Created{}, moorage.Errorf(moorage.Quota, "this account has %d agent runtimes, which is the limit; delete some", maxRuntimes)
	}
	now := time.Now().UTC()
	rt := moorage.Runtime{
		ID: id, Name: req.Name, ARN: moorage.RuntimeARN(s.Region, s.Account, id).String(), Latest: 1, Status: moorage.Creating,
		Identity: moorage.WorkloadIdentityARN(s.Region, s.Account, id).String(), CreatedAt: now, UpdatedAt: now,
	}
	v := moorage.Version{RuntimeID: id, Number: 1, Config: req.Config, Status: moorage.Creating, CreatedAt: now, UpdatedAt: now}
	e := s.newEndpoint(rt, moorage.DefaultEndpoint, 1, now)
	for _, write := range []func() error{
		func() error { return tx.PutRuntime(rt) },
		func() error { return tx.PutVersion(v) },
		func() error { return tx.PutEndpoint(e) },
		func() error {
			return tx.PutWorkloadIdentity(moorage.WorkloadIdentity{Name: id, ARN: rt.Identity, RuntimeID: id, CreatedAt: now, UpdatedAt: now})
		},
		func() error { return tx.PutTags(rt.ARN, req.Tags) },
	} {
		if err := write(); err != nil {
			return Created{}, err
		}
	}
	return Created{rt, v}, nil
}

// Update makes the next version of a runtime from config, which replaces the old one whole.
// Errors: NotFound, Conflict while another change is under way, Quota, Invalid.
func (s *Service) Update(ctx context.Context, id string, config moorage.Config, token string) (Created, error) {
	if err := s.check(config); err != nil {
		return Created{}, err
	}
	params := struct {
		ID          string
		Config      moorage.Config
		Environment map[string]string
	}{id, config, config.Environment}
	var out Created
	err := s.change(ctx, id, func(tx *store.Tx) (err error) {
		out, err = once(tx, "UpdateAgentRuntime", token, params, time.Now(), func() (Created, error) { return s.update(tx, id, config) })
		return err
	})
	if err == nil {
		s.kick()
	}
	return out, err
}

func (s *Service) update(tx *store.Tx, id string, config moorage.Config) (Created, error) {
	rt, err := tx.Runtime(id)
	if err != nil {
		return Created{}, err
	}
	if rt.Status.InProgress() {
		return Created{}, moorage.Errorf(moorage.Conflict, "agent runtime %s is %s; wait until it is READY", id, rt.Status)
	}
	if err := s.checkVersions(tx, rt); err != nil {
		return Created{}, err
	}
	last, err := tx.Version(id, rt.Latest)
	if err != nil {
		return Created{}, err
	}
	if config.Platform == "" {
		config.Platform = last.Config.Platform
	}
	now := time.Now().UTC()
	rt.Latest++
	rt.Status, rt.FailureReason, rt.UpdatedAt = moorage.Updating, "", now
	v := moorage.Version{RuntimeID: id, Number: rt.Latest, Config: config, Status: moorage.Updating, CreatedAt: rt.CreatedAt, UpdatedAt: now}
	if err := tx.PutRuntime(rt); err != nil {
		return Created{}, err
	}
	if err := tx.PutVersion(v); err != nil {
		return Created{}, err
	}
	e, err := tx.Endpoint(id, moorage.DefaultEndpoint)
	if err != nil {
		return Created{}, err
	}
	e.Target, e.Status, e.FailureReason, e.UpdatedAt = v.Number, moorage.Updating, "", now
	return Created{rt, v}, tx.PutEndpoint(e)
}

// checkVersions refuses one version too many. Numbers are never used again, so that there are fewer
// versions than the latest number when some were deleted.
func (s *Service) checkVersions(tx *store.Tx, rt moorage.Runtime) error {
	if rt.Latest < maxVersions {
		return nil
	}
	have, err := tx.Versions(rt.ID, 0, maxVersions)
	if err == nil && len(have) >= maxVersions {
		err = moorage.Errorf(moorage.Quota, "agent runtime %s has %d versions, which is the limit; delete some", rt.ID, maxVersions)
	}
	return err
}

// Get returns a runtime with one of its versions; number 0 is the latest.
func (s *Service) Get(ctx context.Context, id string, number int) (out Created, err error) {
	err = s.read(ctx, func(tx *store.Tx) error {
		if out.Runtime, err = tx.Runtime(id); err != nil {
			return err
		}
		if number == 0 {
			number = out.Runtime.Latest
		}
		out.Version, err = tx.Version(id, number)
		return err
	})
	return out, err
}

// List returns up to limit runtimes after the given id, each with its latest version.
func (s *Service) List(ctx context.Context, after string, limit int) (out []Created, err error) {
	err = s.read(ctx, func(tx *store.Tx) error {
		runtimes, err := tx.Runtimes(after, limit)
		if err != nil {
			return err
		}
		for _, rt := range runtimes {
			v, err := tx.Version(rt.ID, rt.Latest)
			if err != nil {
				return err
			}
			out = append(out, Created{rt, v})
		}
		return nil
	})
	return out, err
}

// Versions returns up to limit versions of a runtime below before, newest first; before 0 starts at the newest.
func (s *Service) Versions(ctx context.Context, id string, before, limit int) (rt moorage.Runtime, out []moorage.Version, err error) {
	err = s.read(ctx, func(tx *store.Tx) error {
		if rt, err = tx.Runtime(id); err != nil {
			return err
		}
		out, err = tx.Versions(id, before, limit)
		return err
	})
	return rt, out, err
}

// Delete marks a runtime for removal, or removes one version that nothing uses when number is not 0.
// Errors: NotFound, Conflict.
func (s *Service) Delete(ctx context.Context, id string, number int, token string) (rt moorage.Runtime, err error) {
	params := struct {
		ID     string
		Number int
	}{id, number}
	err = s.change(ctx, id, func(tx *store.Tx) (err error) {
		rt, err = once(tx, "DeleteAgentRuntime", token, params, time.Now(), func() (moorage.Runtime, error) { return s.delete(tx, id, number) })
		return err
	})
	if err == nil {
		s.kick()
	}
	return rt, err
}

func (s *Service) delete(tx *store.Tx, id string, number int) (moorage.Runtime, error) {
	rt, err := tx.Runtime(id)
	if err != nil {
		return rt, err
	}
	if number != 0 {
		return rt, s.deleteVersion(tx, rt, number)
	}
	if rt.Status.InProgress() && rt.Status != moorage.Deleting {
		return rt, moorage.Errorf(moorage.Conflict, "agent runtime %s is %s; wait until that is done", id, rt.Status)
	}
	rt.Status, rt.UpdatedAt = moorage.Deleting, time.Now().UTC()
	return rt, tx.PutRuntime(rt)
}

func (s *Service) deleteVersion(tx *store.Tx, rt moorage.Runtime, number int) error {
	v, err := tx.Version(rt.ID, number)
	if err != nil {
		return err
	}
	endpoints, err := tx.Endpoints(rt.ID, "", -1)
	if err != nil {
		return err
	}
	for _, e := range endpoints {
		if e.Live == number || e.Target == number {
			return moorage.Errorf(moorage.Conflict, "version %d of %s is in use by endpoint %s", number, rt.ID, e.Name)
		}
	}
	if v.Status.InProgress() || number == rt.Latest {
		return moorage.Errorf(moorage.Conflict, "version %d of %s is its latest; update the runtime first", number, rt.ID)
	}
	for _, x := range s.Sessions.List() { // no new one can begin on it
		if x.RuntimeID == rt.ID && x.Version == number {
			return moorage.Errorf(moorage.Conflict, "version %d of %s is in use by session %s; stop it first", number, rt.ID, x.ID)
		}
	}
	return tx.DeleteVersion(rt.ID, number)
}

// resource checks that arn names a runtime or endpoint that exists here.
func (s *Service) resource(tx *store.Tx, arn string) error {
	a, err := moorage.ParseARN(arn)
	if err != nil {
		return err
	}
	if name := a.WorkloadName(); name != "" {
		_, err := tx.WorkloadIdentity(name)
		return err
	}
	id, endpoint, err := a.RuntimeID()
	if err != nil {
		return err
	}
	if a.Region != s.Region || a.Account != s.Account {
		return moorage.Errorf(moorage.NotFound, "%s is not a resource of this account and region (%s, %s)", arn, s.Account, s.Region)
	}
	if _, err := tx.Runtime(id); err != nil || endpoint == "" {
		return err
	}
	_, err = tx.Endpoint(id, endpoint)
	return err
}

const maxTags = 50

// TagIsolation is the tag by which a runtime says the least isolation that it accepts: none (the
// default), kernel or vm.
const TagIsolation = "moorage:isolation"

func leastIsolation(tags map[string]string) (sandbox.Isolation, error) {
	value, ok := tags[TagIsolation]
	if !ok {
		return sandbox.None, nil
	}
	for _, i := range []sandbox.Isolation{sandbox.None, sandbox.Kernel, sandbox.VM} {
		if i.String() == value {
			return i, nil
		}
	}
	return 0, invalid("tags", "the tag %s is one of none, kernel and vm; %q is none of them", TagIsolation, value)
}

// runtimeOf returns the id of the runtime that an ARN names, "" when it names none.
func runtimeOf(arn string) string {
	a, err := moorage.ParseARN(arn)
	if err != nil {
		return ""
	}
	id, _, _ := a.RuntimeID()
	return id
}

// Tag adds tags to a resource.
func (s *Service) Tag(ctx context.Context, arn string, tags map[string]string) error {
	if vault.IsProvider(arn) {
		return s.Vault.Tag(ctx, arn, tags, nil)
	}
	if err := checkTags(tags); err != nil {
		return err
	}
	return s.change(ctx, runtimeOf(arn), func(tx *store.Tx) error {
		if err := s.resource(tx, arn); err != nil {
			return err
		}
		have, err := tx.Tags(arn)
		if err != nil {
			return err
		}
		for k := range tags {
			have[k] = ""
		}
		if len(have) > maxTags {
			return invalid("tags", "a resource has at most %d tags", maxTags)
		}
		return tx.PutTags(arn, tags)
	})
}

// Untag removes tags from a resource by key.
func (s *Service) Untag(ctx context.Context, arn string, keys []string) error {
	if vault.IsProvider(arn) {
		return s.Vault.Tag(ctx, arn, nil, keys)
	}
	return s.change(ctx, runtimeOf(arn), func(tx *store.Tx) error {
		if err := s.resource(tx, arn); err != nil {
			return err
		}
		return tx.DeleteTags(arn, keys)
	})
}

// Tags returns the tags of a resource.
func (s *Service) Tags(ctx context.Context, arn string) (tags map[string]string, err error) {
	if vault.IsProvider(arn) {
		return s.Vault.Tags(ctx, arn)
	}
	err = s.Store.View(ctx, func(tx *store.Tx) error {
		if err := s.resource(tx, arn); err != nil {
			return err
		}
		tags, err = tx.Tags(arn)
		return err
	})
	return tags, err
}

// PutPolicy sets the resource policy of a runtime or endpoint. It is kept and returned; nothing
// evaluates it yet.
func (s *Service) PutPolicy(ctx context.Context, arn, document string) error {
	parsed, err := policy.Parse(policy.Resource, arn, document)
	if err != nil {
		return invalid("policy", "%v", err)
	}
	err = s.Store.Update(ctx, func(tx *store.Tx) error {
		if err := s.resource(tx, arn); err != nil {
			return err
		}
		if err := parsed.Only(arn); err != nil {
			return invalid("policy", "%v", err)
		}
		return tx.PutPolicy(arn, document)
	})
	return s.policiesChanged(ctx, err)
}

// Policy returns the resource policy of a runtime or endpoint, "" when it has none.
func (s *Service) Policy(ctx context.Context, arn string) (document string, err error) {
	err = s.Store.View(ctx, func(tx *store.Tx) error {
		if err := s.resource(tx, arn); err != nil {
			return err
		}
		document, err = tx.Policy(arn)
		if moorage.CodeOf(err) == moorage.NotFound {
			document, err = "", nil
		}
		return err
	})
	return document, err
}

// DeletePolicy removes the resource policy of a runtime or endpoint.
func (s *Service) DeletePolicy(ctx context.Context, arn string) error {
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		if err := s.resource(tx, arn); err != nil {
			return err
		}
		return tx.DeletePolicy(arn)
	})
	return s.policiesChanged(ctx, err)
}

// policiesChanged tells whoever decides by policies, after a change that went well.
func (s *Service) policiesChanged(ctx context.Context, err error) error {
	if err != nil || s.PoliciesChanged == nil {
		return err
	}
	return s.PoliciesChanged(context.WithoutCancel(ctx))
}
