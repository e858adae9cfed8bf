// Package iam is the face of AWS IAM: users, their access keys, roles, and policies, as the AWS CLI, boto3 and
// Terraform manage them. Types and constraints are generated; see api.gen.go. What is decided by them is decided in
// internal/identity/iam.
package iam

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/identity/iam"
	"github.com/moorage-dev/moorage/internal/store"
)

type handlers struct {
	*iam.Directory
	caller func(context.Context) moorage.Caller
}

// Serve adds the operations that Moorage offers to svc. Caller returns who makes the call of ctx.
func Serve(svc *wire.Service, d *iam.Directory, caller func(context.Context) moorage.Caller) {
	h := handlers{d, caller}
	wire.Handle(svc, CreateUser, h.createUser)
	wire.Handle(svc, GetUser, h.getUser)
	wire.Handle(svc, ListUsers, h.listUsers)
	wire.Handle(svc, DeleteUser, h.deleteUser)
	wire.Handle(svc, ListGroupsForUser, h.groups)
	wire.Handle(svc, CreateAccessKey, h.createKey)
	wire.Handle(svc, ListAccessKeys, h.listKeys)
	wire.Handle(svc, UpdateAccessKey, h.updateKey)
	wire.Handle(svc, DeleteAccessKey, h.deleteKey)
	wire.Handle(svc, GetAccessKeyLastUsed, h.lastUsed)
	wire.Handle(svc, CreateRole, h.createRole)
	wire.Handle(svc, GetRole, h.getRole)
	wire.Handle(svc, ListRoles, h.listRoles)
	wire.Handle(svc, DeleteRole, h.deleteRole)
	wire.Handle(svc, UpdateAssumeRolePolicy, h.updateTrust)
	wire.Handle(svc, ListInstanceProfilesForRole, h.profiles)
	h.servePolicies(svc)
}

func (h handlers) servePolicies(svc *wire.Service) {
	wire.Handle(svc, PutUserPolicy, func(ctx context.Context, in *PutUserPolicyInput) (*PutUserPolicyOutput, error) {
		return nil, h.PutPolicy(ctx, iam.User, in.UserName, in.PolicyName, in.PolicyDocument)
	})
	wire.Handle(svc, PutRolePolicy, func(ctx context.Context, in *PutRolePolicyInput) (*PutRolePolicyOutput, error) {
		return nil, h.PutPolicy(ctx, iam.Role, in.RoleName, in.PolicyName, in.PolicyDocument)
	})
	wire.Handle(svc, DeleteUserPolicy, func(ctx context.Context, in *DeleteUserPolicyInput) (*DeleteUserPolicyOutput, error) {
		return nil, h.DeletePolicy(ctx, iam.User, in.UserName, in.PolicyName)
	})
	wire.Handle(svc, DeleteRolePolicy, func(ctx context.Context, in *DeleteRolePolicyInput) (*DeleteRolePolicyOutput, error) {
		return nil, h.DeletePolicy(ctx, iam.Role, in.RoleName, in.PolicyName)
	})
	wire.Handle(svc, AttachUserPolicy, func(ctx context.Context, in *AttachUserPolicyInput) (*AttachUserPolicyOutput, error) {
		return nil, h.Attach(ctx, iam.User, in.UserName, in.PolicyArn)
	})
	wire.Handle(svc, AttachRolePolicy, func(ctx context.Context, in *AttachRolePolicyInput) (*AttachRolePolicyOutput, error) {
		return nil, h.Attach(ctx, iam.Role, in.RoleName, in.PolicyArn)
	})
	wire.Handle(svc, DetachUserPolicy, func(ctx context.Context, in *DetachUserPolicyInput) (*DetachUserPolicyOutput, error) {
		return nil, h.DeletePolicy(ctx, iam.User, in.UserName, in.PolicyArn)
	})
	wire.Handle(svc, DetachRolePolicy, func(ctx context.Context, in *DetachRolePolicyInput) (*DetachRolePolicyOutput, error) {
		return nil, h.DeletePolicy(ctx, iam.Role, in.RoleName, in.PolicyArn)
	})
	h.serveReads(svc)
}

func (h handlers) serveReads(svc *wire.Service) {
	wire.Handle(svc, GetUserPolicy, func(_ context.Context, in *GetUserPolicyInput) (*GetUserPolicyOutput, error) {
		doc, err := h.inline(iam.User, in.UserName, in.PolicyName)
		return &GetUserPolicyOutput{UserName: in.UserName, PolicyName: in.PolicyName, PolicyDocument: doc}, err
	})
	wire.Handle(svc, GetRolePolicy, func(_ context.Context, in *GetRolePolicyInput) (*GetRolePolicyOutput, error) {
		doc, err := h.inline(iam.Role, in.RoleName, in.PolicyName)
		return &GetRolePolicyOutput{RoleName: in.RoleName, PolicyName: in.PolicyName, PolicyDocument: doc}, err
	})
	wire.Handle(svc, ListUserPolicies, func(_ context.Context, in *ListUserPoliciesInput) (*ListUserPoliciesOutput, error) {
		names, _, err := h.policies(iam.User, in.UserName)
		page, marker, err := cut(names, in.Marker, in.MaxItems, err)
		return &ListUserPoliciesOutput{PolicyNames: page, IsTruncated: truncated(marker), Marker: marker}, err
	})
	wire.Handle(svc, ListRolePolicies, func(_ context.Context, in *ListRolePoliciesInput) (*ListRolePoliciesOutput, error) {
		names, _, err := h.policies(iam.Role, in.RoleName)
		page, marker, err := cut(names, in.Marker, in.MaxItems, err)
		return &ListRolePoliciesOutput{PolicyNames: page, IsTruncated: truncated(marker), Marker: marker}, err
	})
	wire.Handle(svc, ListAttachedUserPolicies, func(_ context.Context, in *ListAttachedUserPoliciesInput) (*ListAttachedUserPoliciesOutput, error) {
		_, attached, err := h.policies(iam.User, in.UserName)
		return &ListAttachedUserPoliciesOutput{AttachedPolicies: attached, IsTruncated: truncated(nil)}, err
	})
	wire.Handle(svc, ListAttachedRolePolicies, func(_ context.Context, in *ListAttachedRolePoliciesInput) (*ListAttachedRolePoliciesOutput, error) {
		_, attached, err := h.policies(iam.Role, in.RoleName)
		return &ListAttachedRolePoliciesOutput{AttachedPolicies: attached, IsTruncated: truncated(nil)}, err
	})
}

// inline returns an inline policy as IAM does: percent-encoded. Source: IAM API, GetRolePolicy.
func (h handlers) inline(kind, name, policyName string) (string, error) {
	inline, _, err := h.Policies(kind, name)
	if err != nil {
		return "", err
	}
	doc, ok := inline[policyName]
	if !ok {
		return "", &moorage.Error{Code: moorage.NotFound, Exception: "NoSuchEntity", Message: "The " + kind + " policy with name " + policyName + " cannot be found."}
	}
	return url.PathEscape(doc), nil
}

func (h handlers) policies(kind, name string) (inline []string, attached []AttachedPolicy, err error) {
	documents, arns, err := h.Policies(kind, name)
	for n := range documents {
		inline = append(inline, n)
	}
	slices.Sort(inline)
	for _, arn := range arns {
		name := arn[len("arn:aws:iam::aws:policy/"):]
		attached = append(attached, AttachedPolicy{PolicyName: &name, PolicyArn: &arn})
	}
	return inline, attached, err
}

// userName is the user that a call is about: the one that it names, or the caller.
func (h handlers) userName(ctx context.Context, named *string) string {
	if named != nil {
		return *named
	}
	return UserOf(h.caller(ctx))
}

// UserOf returns the name of a caller that is a user.
func UserOf(c moorage.Caller) string {
	arn, err := moorage.ParseARN(c.ARN)
	if err != nil || arn.Service != "iam" {
		return ""
	}
	for i := len(arn.Resource) - 1; i >= 0; i-- {
		if arn.Resource[i] == '/' {
			return arn.Resource[i+1:]
		}
	}
	return ""
}

func userOf(v iam.RoleView) User {
	return User{Path: v.Path, UserName: v.Name, UserId: v.ID, Arn: v.ARN, CreateDate: v.CreatedAt}
}

func roleOf(v iam.RoleView) Role {
	trust, seconds := url.PathEscape(v.Trust), int32(v.MaxDuration/time.Second)
	out := Role{Path: v.Path, RoleName: v.Name, RoleId: v.ID, Arn: v.ARN, CreateDate: v.CreatedAt, AssumeRolePolicyDocument: &trust, MaxSessionDuration: &seconds}
	if v.Description != "" {
		out.Description = &v.Description
	}
	return out
}

func (h handlers) createUser(ctx context.Context, in *CreateUserInput) (*CreateUserOutput, error) {
	if err := unsupported(in.PermissionsBoundary, len(in.Tags)); err != nil {
		return nil, err
	}
	v, err := h.Create(ctx, store.Principal{Kind: iam.User, Name: in.UserName, Path: value(in.Path)})
	u := userOf(v)
	return &CreateUserOutput{User: &u}, err
}

// unsupported refuses what would be believed and not done. Tags of principals take part in no decision, but tools set them always.
func unsupported(boundary *string, _ int) error {
	if boundary != nil {
		return moorage.Errorf(moorage.Unsupported, "permissions boundaries are not supported by Moorage: deny in an inline policy what must not be")
	}
	return nil
}

func (h handlers) getUser(ctx context.Context, in *GetUserInput) (*GetUserOutput, error) {
	v, err := h.Get(iam.User, h.userName(ctx, in.UserName))
	return &GetUserOutput{User: userOf(v)}, err
}

func (h handlers) listUsers(_ context.Context, in *ListUsersInput) (*ListUsersOutput, error) {
	page, marker, err := cut(h.Principals(iam.User, value(in.PathPrefix)), in.Marker, in.MaxItems, nil)
	out := &ListUsersOutput{Users: []User{}, IsTruncated: truncated(marker), Marker: marker}
	for _, v := range page {
		out.Users = append(out.Users, userOf(v))
	}
	return out, err
}

func (h handlers) deleteUser(ctx context.Context, in *DeleteUserInput) (*DeleteUserOutput, error) {
	return nil, h.Delete(ctx, iam.User, in.UserName)
}

func (h handlers) groups(_ context.Context, in *ListGroupsForUserInput) (*ListGroupsForUserOutput, error) {
	_, err := h.Get(iam.User, in.UserName)
	return &ListGroupsForUserOutput{Groups: []Group{}, IsTruncated: truncated(nil)}, err
}

func (h handlers) profiles(_ context.Context, in *ListInstanceProfilesForRoleInput) (*ListInstanceProfilesForRoleOutput, error) {
	_, err := h.Get(iam.Role, in.RoleName)
	return &ListInstanceProfilesForRoleOutput{InstanceProfiles: []InstanceProfile{}, IsTruncated: truncated(nil)}, err
}

func (h handlers) createKey(ctx context.Context, in *CreateAccessKeyInput) (*CreateAccessKeyOutput, error) {
	user := h.userName(ctx, in.UserName)
	k, err := h.CreateAccessKey(ctx, user)
	return &CreateAccessKeyOutput{AccessKey: AccessKey{UserName: user, AccessKeyId: k.ID, SecretAccessKey: k.Secret, Status: StatusTypeActive, CreateDate: &k.CreatedAt}}, err
}

func (h handlers) listKeys(ctx context.Context, in *ListAccessKeysInput) (*ListAccessKeysOutput, error) {
	user := h.userName(ctx, in.UserName)
	keys, err := h.AccessKeys(user)
	out := &ListAccessKeysOutput{AccessKeyMetadata: []AccessKeyMetadata{}, IsTruncated: truncated(nil)}
	for _, k := range keys {
		status := StatusTypeInactive
		if k.Active {
			status = StatusTypeActive
		}
		out.AccessKeyMetadata = append(out.AccessKeyMetadata, AccessKeyMetadata{UserName: &user, AccessKeyId: &k.ID, Status: status, CreateDate: &k.CreatedAt})
	}
	return out, err
}

func (h handlers) updateKey(ctx context.Context, in *UpdateAccessKeyInput) (*UpdateAccessKeyOutput, error) {
	if in.Status != StatusTypeActive && in.Status != StatusTypeInactive {
		return nil, moorage.Errorf(moorage.Invalid, "Status must be Active or Inactive")
	}
	return nil, h.SetAccessKey(ctx, h.userName(ctx, in.UserName), in.AccessKeyId, in.Status == StatusTypeActive)
}

func (h handlers) deleteKey(ctx context.Context, in *DeleteAccessKeyInput) (*DeleteAccessKeyOutput, error) {
	return nil, h.DeleteAccessKey(ctx, h.userName(ctx, in.UserName), in.AccessKeyId)
}

func (h handlers) lastUsed(_ context.Context, in *GetAccessKeyLastUsedInput) (*GetAccessKeyLastUsedOutput, error) {
	user, used, err := h.KeyOwner(in.AccessKeyId)
	last := &AccessKeyLastUsed{ServiceName: "N/A", Region: "N/A"}
	if !used.At.IsZero() {
		at := used.At.UTC().Truncate(time.Second)
		last = &AccessKeyLastUsed{LastUsedDate: &at, ServiceName: used.Service, Region: h.Region}
	}
	return &GetAccessKeyLastUsedOutput{UserName: &user, AccessKeyLastUsed: last}, err
}

func (h handlers) createRole(ctx context.Context, in *CreateRoleInput) (*CreateRoleOutput, error) {
	if err := unsupported(in.PermissionsBoundary, len(in.Tags)); err != nil {
		return nil, err
	}
	v, err := h.Create(ctx, store.Principal{
		Kind: iam.Role, Name: in.RoleName, Path: value(in.Path), Trust: in.AssumeRolePolicyDocument, Description: value(in.Description),
		MaxDuration: time.Duration(value(in.MaxSessionDuration)) * time.Second,
	})
	return &CreateRoleOutput{Role: roleOf(v)}, err
}

func (h handlers) getRole(_ context.Context, in *GetRoleInput) (*GetRoleOutput, error) {
	v, err := h.Get(iam.Role, in.RoleName)
	return &GetRoleOutput{Role: roleOf(v)}, err
}

func (h handlers) listRoles(_ context.Context, in *ListRolesInput) (*ListRolesOutput, error) {
	page, marker, err := cut(h.Principals(iam.Role, value(in.PathPrefix)), in.Marker, in.MaxItems, nil)
	out := &ListRolesOutput{Roles: []Role{}, IsTruncated: truncated(marker), Marker: marker}
	for _, v := range page {
		out.Roles = append(out.Roles, roleOf(v))
	}
	return out, err
}

func (h handlers) deleteRole(ctx context.Context, in *DeleteRoleInput) (*DeleteRoleOutput, error) {
	return nil, h.Delete(ctx, iam.Role, in.RoleName)
}

func (h handlers) updateTrust(ctx context.Context, in *UpdateAssumeRolePolicyInput) (*UpdateAssumeRolePolicyOutput, error) {
	return nil, h.SetTrust(ctx, in.RoleName, in.PolicyDocument)
}

func value[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}

// cut returns one page of a list, and the marker of the next; nil where it ends.
func cut[T any](all []T, marker *string, size *int32, err error) ([]T, *string, error) {
	if err != nil {
		return nil, nil, err
	}
	from := 0
	if marker != nil {
		if from, err = strconv.Atoi(*marker); err != nil || from < 0 || from > len(all) {
			return nil, nil, moorage.Errorf(moorage.Invalid, "Marker is not one of ours")
		}
	}
	n := 100
	if size != nil {
		n = int(*size)
	}
	if all = all[from:]; len(all) <= n {
		return all, nil, nil
	}
	next := strconv.Itoa(from + n)
	return all[:n], &next, nil
}

func truncated(marker *string) *bool {
	more := marker != nil
	return &more
}
