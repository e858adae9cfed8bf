// Package cognitoidp is the face of Amazon Cognito's user pools, as far as an agent's callers need one: the AWS CLI, boto3
// and the AgentCore starter toolkit make pools, clients and users, and get tokens, unchanged. Types and constraints are
// generated; see api.gen.go. What the operations mean is in internal/identity/pool.
//
// A setting that would do nothing here is refused by name, where whoever sets it would rely on it, and kept and shown
// where not.
package cognitoidp

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/identity/pool"
)

type handlers struct{ *pool.Service }

// Serve adds the operations that Moorage offers to svc.
func Serve(svc *wire.Service, s *pool.Service) {
	h := handlers{s}
	wire.Handle(svc, CreateUserPool, h.createPool)
	wire.Handle(svc, DescribeUserPool, h.describePool)
	wire.Handle(svc, ListUserPools, h.listPools)
	wire.Handle(svc, DeleteUserPool, h.deletePool)
	wire.Handle(svc, CreateUserPoolClient, h.createClient)
	wire.Handle(svc, DescribeUserPoolClient, h.describeClient)
	wire.Handle(svc, UpdateUserPoolClient, h.updateClient)
	wire.Handle(svc, ListUserPoolClients, h.listClients)
	wire.Handle(svc, CreateUserPoolDomain, h.createDomain)
	wire.Handle(svc, DescribeUserPoolDomain, h.describeDomain)
	wire.Handle(svc, DeleteUserPoolDomain, h.deleteDomain)
	wire.Handle(svc, CreateResourceServer, h.createServer)
	wire.Handle(svc, AdminCreateUser, h.createUser)
	wire.Handle(svc, AdminSetUserPassword, h.setPassword)
	wire.Handle(svc, AdminDeleteUser, h.deleteUser)
	wire.Handle(svc, ListUsers, h.listUsers)
	wire.Handle(svc, InitiateAuth, h.initiateAuth)
	wire.Handle(svc, RespondToAuthChallenge, h.respond)
}

func notSupported(what string) error {
	return moorage.Errorf(moorage.Unsupported, "%s is not supported by Moorage", what)
}

// refuse returns an error for the first thing that was asked for and does not exist here.
func refuse(asked ...refusal) error {
	for _, a := range asked {
		if a.set {
			return notSupported(a.what)
		}
	}
	return nil
}

type refusal struct {
	what string
	set  bool
}

func text(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

func number(p *int32, otherwise int) int {
	if p == nil {
		return otherwise
	}
	return int(*p)
}

func yes(p *bool) bool { return p != nil && *p }

func some[T any](v T) *T { return &v }

// page cuts a list for one answer; the token is the place where the next begins.
func page[T any](all []T, token *string, most int) ([]T, *string, error) {
	from := 0
	if token != nil {
		n, err := strconv.Atoi(*token)
		if err != nil || n < 0 || n > len(all) {
			return nil, nil, &moorage.Error{Code: moorage.Invalid, Exception: "InvalidParameterException", Message: "Invalid pagination token"}
		}
		from = n
	}
	all = all[from:]
	if len(all) <= most {
		return all, nil, nil
	}
	return all[:most], some(strconv.Itoa(from + most)), nil
}

func (h handlers) createPool(ctx context.Context, in *CreateUserPoolInput) (*CreateUserPoolOutput, error) {
	if err := refusePool(in); err != nil {
		return nil, err
	}
	p := pool.Pool{
		Name: in.PoolName, Passwords: passwordsOf(in.Policies), Protected: in.DeletionProtection == DeletionProtectionTypeActive,
		FoldNames: in.UsernameConfiguration != nil && !in.UsernameConfiguration.CaseSensitive,
	}
	for _, a := range in.Schema {
		name := text(a.Name)
		if a.DeveloperOnlyAttribute != nil && *a.DeveloperOnlyAttribute {
			return nil, notSupported("an attribute for developers only")
		}
		if !pool.IsStandard(name) {
			name = "custom:" + name
			p.Custom = append(p.Custom, name)
		}
		if yes(a.Required) {
			p.Required = append(p.Required, name)
		}
	}
	shown := UserPoolType{
		DeletionProtection: in.DeletionProtection, AutoVerifiedAttributes: in.AutoVerifiedAttributes, SchemaAttributes: in.Schema,
		EmailVerificationMessage: in.EmailVerificationMessage, EmailVerificationSubject: in.EmailVerificationSubject,
		VerificationMessageTemplate: in.VerificationMessageTemplate, EmailConfiguration: in.EmailConfiguration, UserPoolTags: in.UserPoolTags,
		AdminCreateUserConfig: in.AdminCreateUserConfig, UsernameConfiguration: in.UsernameConfiguration, AccountRecoverySetting: in.AccountRecoverySetting,
		UserPoolTier: in.UserPoolTier, MfaConfiguration: UserPoolMfaTypeOff,
	}
	var err error
	if p.Shown, err = json.Marshal(shown); err != nil {
		return nil, err
	}
	made, err := h.CreatePool(ctx, p)
	if err != nil {
		return nil, err
	}
	out, err := h.shownPool(made.ID)
	return &CreateUserPoolOutput{UserPool: out}, err
}

// refusePool refuses what would not be done.
func refusePool(in *CreateUserPoolInput) error {
	mail := in.EmailConfiguration
	return refuse(
		refusal{"LambdaConfig (triggers)", in.LambdaConfig != nil},
		refusal{"AliasAttributes", len(in.AliasAttributes) > 0},
		refusal{"UsernameAttributes", len(in.UsernameAttributes) > 0},
		refusal{"MfaConfiguration other than OFF", in.MfaConfiguration != "" && in.MfaConfiguration != UserPoolMfaTypeOff},
		refusal{"DeviceConfiguration", in.DeviceConfiguration != nil},
		refusal{"SmsConfiguration (short messages)", in.SmsConfiguration != nil},
		refusal{"EmailConfiguration (mail through SES)", mail != nil && mail.EmailSendingAccount == EmailSendingAccountTypeDeveloper},
		refusal{"UserPoolAddOns", in.UserPoolAddOns != nil && in.UserPoolAddOns.AdvancedSecurityMode != AdvancedSecurityModeTypeOff},
		refusal{"KeyConfiguration", in.KeyConfiguration != nil},
		refusal{"IssuerConfiguration", in.IssuerConfiguration != nil},
		refusal{"SignInPolicy", in.Policies != nil && in.Policies.SignInPolicy != nil},
		refusal{"PasswordHistorySize", in.Policies != nil && in.Policies.PasswordPolicy != nil && number(in.Policies.PasswordPolicy.PasswordHistorySize, 0) > 0},
	)
}

func passwordsOf(policies *UserPoolPolicyType) pool.PasswordPolicy {
	if policies == nil || policies.PasswordPolicy == nil {
		return pool.DefaultPasswords
	}
	in := policies.PasswordPolicy
	return pool.PasswordPolicy{
		Min: number(in.MinimumLength, pool.DefaultPasswords.Min), Upper: yes(in.RequireUppercase), Lower: yes(in.RequireLowercase),
		Digits: yes(in.RequireNumbers), Symbols: yes(in.RequireSymbols), TemporaryDays: number(in.TemporaryPasswordValidityDays, pool.DefaultPasswords.TemporaryDays),
	}
}

func (h handlers) shownPool(id string) (*UserPoolType, error) {
	v, err := h.Pool(id)
	if err != nil {
		return nil, err
	}
	out := new(UserPoolType)
	if err := json.Unmarshal(v.Shown, out); err != nil {
		return nil, err
	}
	r := v.Passwords
	out.Id, out.Name, out.Arn, out.EstimatedNumberOfUsers = &v.ID, &v.Name, &v.ARN, some(int32(v.Users))
	out.CreationDate, out.LastModifiedDate = &v.Created, &v.Created
	out.Policies = &UserPoolPolicyType{PasswordPolicy: &PasswordPolicyType{
		MinimumLength: some(int32(r.Min)), RequireUppercase: &r.Upper, RequireLowercase: &r.Lower, RequireNumbers: &r.Digits, RequireSymbols: &r.Symbols,
		TemporaryPasswordValidityDays: some(int32(r.TemporaryDays)),
	}}
	if out.DeletionProtection == "" {
		out.DeletionProtection = DeletionProtectionTypeInactive
	}
	if v.Domain != "" {
		out.Domain = &v.Domain
	}
	return out, nil
}

func (h handlers) describePool(_ context.Context, in *DescribeUserPoolInput) (*DescribeUserPoolOutput, error) {
	out, err := h.shownPool(in.UserPoolId)
	return &DescribeUserPoolOutput{UserPool: out}, err
}

func (h handlers) listPools(_ context.Context, in *ListUserPoolsInput) (*ListUserPoolsOutput, error) {
	some, next, err := page(h.Pools(), in.NextToken, int(in.MaxResults))
	out := &ListUserPoolsOutput{UserPools: []UserPoolDescriptionType{}, NextToken: next}
	for _, v := range some {
		out.UserPools = append(out.UserPools, UserPoolDescriptionType{Id: &v.ID, Name: &v.Name, CreationDate: &v.Created, LastModifiedDate: &v.Created})
	}
	return out, err
}

func (h handlers) deletePool(ctx context.Context, in *DeleteUserPoolInput) (*DeleteUserPoolOutput, error) {
	return nil, h.DeletePool(ctx, in.UserPoolId)
}

func (h handlers) createDomain(ctx context.Context, in *CreateUserPoolDomainInput) (*CreateUserPoolDomainOutput, error) {
	if err := refuse(refusal{"CustomDomainConfig", in.CustomDomainConfig != nil}, refusal{"Routing", in.Routing != nil}); err != nil {
		return nil, err
	}
	for _, reserved := range []string{"aws", "amazon", "cognito"} {
		if strings.Contains(in.Domain, reserved) {
			return nil, &moorage.Error{Code: moorage.Invalid, Exception: "InvalidParameterException", Message: "Domain cannot contain reserved word: " + reserved}
		}
	}
	return &CreateUserPoolDomainOutput{ManagedLoginVersion: some(int32(1))}, h.SetDomain(ctx, in.UserPoolId, in.Domain)
}

// describeDomain answers with an empty description for a domain that nobody has, as Cognito does.
func (h handlers) describeDomain(_ context.Context, in *DescribeUserPoolDomainInput) (*DescribeUserPoolDomainOutput, error) {
	id, ok := h.DomainPool(in.Domain)
	if !ok {
		return &DescribeUserPoolDomainOutput{DomainDescription: &DomainDescriptionType{}}, nil
	}
	return &DescribeUserPoolDomainOutput{DomainDescription: &DomainDescriptionType{
		UserPoolId: &id, AWSAccountId: &h.Account, Domain: &in.Domain, Status: DomainStatusTypeActive, ManagedLoginVersion: some(int32(1)),
	}}, nil
}

func (h handlers) deleteDomain(ctx context.Context, in *DeleteUserPoolDomainInput) (*DeleteUserPoolDomainOutput, error) {
	return nil, h.DeleteDomain(ctx, in.UserPoolId, in.Domain)
}

func (h handlers) createServer(ctx context.Context, in *CreateResourceServerInput) (*CreateResourceServerOutput, error) {
	r := pool.Server{ID: in.Identifier, Name: in.Name}
	for _, s := range in.Scopes {
		r.Scopes = append(r.Scopes, pool.Scope{Name: s.ScopeName, Description: s.ScopeDescription})
	}
	if err := h.AddServer(ctx, in.UserPoolId, r); err != nil {
		return nil, err
	}
	return &CreateResourceServerOutput{ResourceServer: ResourceServerType{UserPoolId: &in.UserPoolId, Identifier: &in.Identifier, Name: &in.Name, Scopes: in.Scopes}}, nil
}

func (h handlers) createUser(ctx context.Context, in *AdminCreateUserInput) (*AdminCreateUserOutput, error) {
	err := refuse(
		refusal{"MessageAction RESEND (messages to users)", in.MessageAction == MessageActionTypeResend},
		refusal{"DesiredDeliveryMediums (messages to users)", len(in.DesiredDeliveryMediums) > 0},
	)
	if err != nil {
		return nil, err
	}
	var attributes []pool.Attribute
	for _, a := range in.UserAttributes {
		attributes = append(attributes, pool.Attribute{Name: a.Name, Value: text(a.Value)})
	}
	u, err := h.CreateUser(ctx, in.UserPoolId, in.Username, text(in.TemporaryPassword), attributes)
	if err != nil {
		return nil, err
	}
	return &AdminCreateUserOutput{User: shownUser(u)}, nil
}

func shownUser(u pool.User) *UserType {
	status := UserStatusTypeConfirmed
	if u.Temporary {
		status = UserStatusTypeForceChangePassword
	}
	out := &UserType{Username: &u.Name, Enabled: some(true), UserStatus: status, UserCreateDate: &u.Created, UserLastModifiedDate: &u.Changed}
	for _, a := range append([]pool.Attribute{{Name: "sub", Value: u.Sub}}, u.Attributes...) {
		out.Attributes = append(out.Attributes, AttributeType{Name: a.Name, Value: &a.Value})
	}
	return out
}

func (h handlers) setPassword(ctx context.Context, in *AdminSetUserPasswordInput) (*AdminSetUserPasswordOutput, error) {
	return nil, h.SetPassword(ctx, in.UserPoolId, in.Username, in.Password, yes(in.Permanent))
}

func (h handlers) deleteUser(ctx context.Context, in *AdminDeleteUserInput) (*AdminDeleteUserOutput, error) {
	return nil, h.DeleteUser(ctx, in.UserPoolId, in.Username)
}

// maxUsers is how many users one answer has. Source: ListUsers, API reference.
const maxUsers = 60

func (h handlers) listUsers(_ context.Context, in *ListUsersInput) (*ListUsersOutput, error) {
	if err := refuse(refusal{"Filter", text(in.Filter) != ""}, refusal{"AttributesToGet", len(in.AttributesToGet) > 0}); err != nil {
		return nil, err
	}
	all, err := h.Users(in.UserPoolId)
	if err != nil {
		return nil, err
	}
	some, next, err := page(all, in.PaginationToken, min(number(in.Limit, maxUsers), maxUsers))
	out := &ListUsersOutput{Users: []UserType{}, PaginationToken: next}
	for _, u := range some {
		out.Users = append(out.Users, *shownUser(u))
	}
	return out, err
}

func (h handlers) initiateAuth(ctx context.Context, in *InitiateAuthInput) (*InitiateAuthOutput, error) {
	p := in.AuthParameters
	need := func(names ...string) error {
		for _, name := range names {
			if p[name] == "" {
				return &moorage.Error{Code: moorage.Invalid, Exception: "InvalidParameterException", Message: "Missing required parameter " + name}
			}
		}
		return nil
	}
	switch in.AuthFlow {
	case AuthFlowTypeUserPasswordAuth:
		if err := need("USERNAME", "PASSWORD"); err != nil {
			return nil, err
		}
		got, err := h.SignIn(ctx, in.ClientId, p["USERNAME"], p["PASSWORD"], p["SECRET_HASH"])
		return answer(got, err)
	case AuthFlowTypeRefreshTokenAuth, AuthFlowTypeRefreshToken:
		if err := need("REFRESH_TOKEN"); err != nil {
			return nil, err
		}
		got, err := h.Renew(ctx, in.ClientId, p["REFRESH_TOKEN"], p["SECRET_HASH"])
		return answer(pool.Outcome{Tokens: got}, err)
	case AuthFlowTypeAdminNoSrpAuth, AuthFlowTypeAdminUserPasswordAuth:
		return nil, &moorage.Error{Code: moorage.Invalid, Exception: "InvalidParameterException", Message: "Initiate Auth method not supported."}
	}
	return nil, notSupported("AuthFlow " + string(in.AuthFlow) + " (USER_PASSWORD_AUTH and REFRESH_TOKEN_AUTH are)")
}

func (h handlers) respond(ctx context.Context, in *RespondToAuthChallengeInput) (*RespondToAuthChallengeOutput, error) {
	if in.ChallengeName != ChallengeNameTypeNewPasswordRequired {
		return nil, notSupported("ChallengeName " + string(in.ChallengeName) + " (NEW_PASSWORD_REQUIRED is)")
	}
	r := in.ChallengeResponses
	for _, name := range []string{"USERNAME", "NEW_PASSWORD"} {
		if r[name] == "" {
			return nil, &moorage.Error{Code: moorage.Invalid, Exception: "InvalidParameterException", Message: "Missing required parameter " + name}
		}
	}
	got, err := answer(h.ChoosePassword(ctx, in.ClientId, r["USERNAME"], text(in.Session), r["NEW_PASSWORD"], r["SECRET_HASH"]))
	if err != nil {
		return nil, err
	}
	return &RespondToAuthChallengeOutput{ChallengeParameters: got.ChallengeParameters, AuthenticationResult: got.AuthenticationResult}, nil
}

func answer(got pool.Outcome, err error) (*InitiateAuthOutput, error) {
	if err != nil {
		return nil, err
	}
	if got.Session != "" {
		return &InitiateAuthOutput{ChallengeName: ChallengeNameTypeNewPasswordRequired, Session: &got.Session, ChallengeParameters: map[string]string{
			"USER_ID_FOR_SRP": got.User.Name, "requiredAttributes": "[]", "userAttributes": "{}",
		}}, nil
	}
	out := &AuthenticationResultType{AccessToken: &got.Access, ExpiresIn: some(int32(got.Life.Seconds())), TokenType: some("Bearer")}
	if got.Identity != "" {
		out.IdToken = &got.Identity
	}
	if got.Refresh != "" {
		out.RefreshToken = &got.Refresh
	}
	return &InitiateAuthOutput{ChallengeParameters: map[string]string{}, AuthenticationResult: out}, nil
}
