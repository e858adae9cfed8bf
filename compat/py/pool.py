"""User pools by boto3: each operation, with what it refuses."""
import base64
import hashlib
import hmac
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
import uuid

import boto3
from botocore.exceptions import ClientError

endpoint = sys.argv[1]
cognito = boto3.client("cognito-idp")
token_url = endpoint + "/oauth2/token"


def refused(exception, words, operation, **members):
    try:
        getattr(cognito, operation)(**members)
    except ClientError as e:
        error = e.response["Error"]
        assert error["Code"] == exception and words in error["Message"], (operation, members, error)
        assert e.response["ResponseMetadata"]["RequestId"], e.response
        return
    raise AssertionError(f"{operation} {members} was not refused")


def claims(token):
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def ask_token(form, basic=None):
    request = urllib.request.Request(token_url, urllib.parse.urlencode(form).encode())
    if basic:
        request.add_header("Authorization", "Basic " + base64.b64encode(":".join(basic).encode()).decode())
    try:
        return json.load(urllib.request.urlopen(request))
    except urllib.error.HTTPError as e:
        return json.load(e)


# Pools.
pool = cognito.create_user_pool(PoolName="boto", Policies={"PasswordPolicy": {"MinimumLength": 8, "RequireNumbers": True}})["UserPool"]
id = pool["Id"]
assert id.startswith("us-east-1_") and len(id) == 19 and pool["Arn"].endswith(":userpool/" + id), pool
assert cognito.describe_user_pool(UserPoolId=id)["UserPool"]["Policies"]["PasswordPolicy"]["RequireNumbers"] is True
assert id in [p["Id"] for p in cognito.list_user_pools(MaxResults=60)["UserPools"]]
nowhere = "us-east-1_Nowhere00"
refused("ResourceNotFoundException", "does not exist", "describe_user_pool", UserPoolId=nowhere)
refused("ResourceNotFoundException", "does not exist", "delete_user_pool", UserPoolId=nowhere)
refused("InvalidParameterException", "PoolName", "create_user_pool", PoolName="not/a/name")
refused("UnsupportedOperationException", "MfaConfiguration", "create_user_pool", PoolName="x", MfaConfiguration="ON")
refused("UnsupportedOperationException", "UsernameAttributes", "create_user_pool", PoolName="x", UsernameAttributes=["email"])
refused("UnsupportedOperationException", "triggers", "create_user_pool", PoolName="x", LambdaConfig={"PreSignUp": "arn:aws:lambda:us-east-1:123456789012:function:f"})
refused("UnsupportedOperationException", "not supported by Moorage", "sign_up", ClientId="x", Username="u", Password="p")
refused("UnsupportedOperationException", "not supported by Moorage", "create_group", UserPoolId=id, GroupName="g")

# Domains.
domain = "boto-" + uuid.uuid4().hex[:8]
cognito.create_user_pool_domain(Domain=domain, UserPoolId=id)
described = cognito.describe_user_pool_domain(Domain=domain)["DomainDescription"]
assert described["Status"] == "ACTIVE" and described["UserPoolId"] == id, described
assert "Status" not in cognito.describe_user_pool_domain(Domain="nobody-has-it")["DomainDescription"]
refused("InvalidParameterException", "already", "create_user_pool_domain", Domain=domain, UserPoolId=id)
refused("InvalidParameterException", "reserved word", "create_user_pool_domain", Domain="my-cognito", UserPoolId=id)
refused("ResourceNotFoundException", "does not exist", "create_user_pool_domain", Domain="other-one", UserPoolId=nowhere)
refused("InvalidParameterException", "domain configured", "delete_user_pool", UserPoolId=id)
refused("InvalidParameterException", "No such domain", "delete_user_pool_domain", Domain="other-one", UserPoolId=id)
refused("ResourceNotFoundException", "does not exist", "delete_user_pool_domain", Domain=domain, UserPoolId=nowhere)

# Resource servers and machines.
server = dict(UserPoolId=id, Identifier="api", Name="API", Scopes=[{"ScopeName": "read", "ScopeDescription": "Read"}])
assert cognito.create_resource_server(**server)["ResourceServer"]["Scopes"][0]["ScopeName"] == "read"
refused("InvalidParameterException", "already exists", "create_resource_server", **server)
refused("ResourceNotFoundException", "does not exist", "create_resource_server", **{**server, "UserPoolId": nowhere})
machine = cognito.create_user_pool_client(
    UserPoolId=id, ClientName="machine", GenerateSecret=True, AllowedOAuthFlows=["client_credentials"], AllowedOAuthScopes=["api/read"], AllowedOAuthFlowsUserPoolClient=True
)["UserPoolClient"]
got = ask_token({"grant_type": "client_credentials"}, (machine["ClientId"], machine["ClientSecret"]))
assert claims(got["access_token"])["scope"] == "api/read" and got["expires_in"] == 3600, got
assert ask_token({"grant_type": "client_credentials"}, (machine["ClientId"], "wrong"))["error"] == "invalid_client"
refused("ScopeDoesNotExistException", "api/write", "create_user_pool_client", UserPoolId=id, ClientName="x", GenerateSecret=True, AllowedOAuthFlows=["client_credentials"], AllowedOAuthScopes=["api/write"], AllowedOAuthFlowsUserPoolClient=True)
refused("InvalidOAuthFlowException", "secret", "create_user_pool_client", UserPoolId=id, ClientName="x", AllowedOAuthFlows=["client_credentials"], AllowedOAuthScopes=["api/read"], AllowedOAuthFlowsUserPoolClient=True)

# Clients.
flows = ["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]
app = cognito.create_user_pool_client(
    UserPoolId=id, ClientName="app", ExplicitAuthFlows=flows, AccessTokenValidity=5, RefreshTokenValidity=90, TokenValidityUnits={"AccessToken": "minutes", "RefreshToken": "minutes"}
)["UserPoolClient"]
client = app["ClientId"]
assert "ClientSecret" not in app and len(client) == 26, app
refused("InvalidParameterException", "token validity", "create_user_pool_client", UserPoolId=id, ClientName="x", AccessTokenValidity=4, TokenValidityUnits={"AccessToken": "minutes"})
refused("UnsupportedOperationException", "COGNITO", "create_user_pool_client", UserPoolId=id, ClientName="x", SupportedIdentityProviders=["Google"])
refused("ResourceNotFoundException", "does not exist", "create_user_pool_client", UserPoolId=nowhere, ClientName="x")
described = cognito.describe_user_pool_client(UserPoolId=id, ClientId=client)["UserPoolClient"]
assert described["AccessTokenValidity"] == 5 and sorted(described["ExplicitAuthFlows"]) == sorted(flows), described
refused("ResourceNotFoundException", "does not exist", "describe_user_pool_client", UserPoolId=id, ClientId="nobody")
changed = cognito.update_user_pool_client(UserPoolId=id, ClientId=client, ExplicitAuthFlows=flows, AccessTokenValidity=10, TokenValidityUnits={"AccessToken": "minutes"}, PreventUserExistenceErrors="LEGACY")["UserPoolClient"]
assert changed["AccessTokenValidity"] == 10 and changed["ClientName"] == "app" and changed["RefreshTokenValidity"] == 30, changed
refused("ResourceNotFoundException", "does not exist", "update_user_pool_client", UserPoolId=id, ClientId="nobody")
refused("InvalidParameterException", "callback URL", "update_user_pool_client", UserPoolId=id, ClientId=client, CallbackURLs=["javascript:alert(1)"])
assert {c["ClientName"] for c in cognito.list_user_pool_clients(UserPoolId=id, MaxResults=60)["UserPoolClients"]} == {"app", "machine"}

# Users.
user = dict(UserPoolId=id, Username="alice", UserAttributes=[{"Name": "email", "Value": "alice@example.com"}])
made = cognito.admin_create_user(**user, TemporaryPassword="Temporary1", MessageAction="SUPPRESS")["User"]
sub = {a["Name"]: a["Value"] for a in made["Attributes"]}["sub"]
assert made["UserStatus"] == "FORCE_CHANGE_PASSWORD" and uuid.UUID(sub), made
refused("UsernameExistsException", "already exists", "admin_create_user", **user)
refused("InvalidPasswordException", "numeric", "admin_create_user", UserPoolId=id, Username="bob", TemporaryPassword="Temporary")
refused("InvalidParameterException", "did not conform to the schema", "admin_create_user", UserPoolId=id, Username="bob", UserAttributes=[{"Name": "shoe", "Value": "44"}])
refused("UnsupportedOperationException", "messages", "admin_create_user", UserPoolId=id, Username="bob", DesiredDeliveryMediums=["EMAIL"])
refused("ResourceNotFoundException", "does not exist", "admin_create_user", UserPoolId=nowhere, Username="bob")

# Signing in.
auth = dict(ClientId=client, AuthFlow="USER_PASSWORD_AUTH")


def with_password(password, name="alice", **more):
    return {**auth, "AuthParameters": {"USERNAME": name, "PASSWORD": password, **more}}


challenge = cognito.initiate_auth(**with_password("Temporary1"))
assert challenge["ChallengeName"] == "NEW_PASSWORD_REQUIRED" and "AuthenticationResult" not in challenge, challenge
answer = dict(ClientId=client, ChallengeName="NEW_PASSWORD_REQUIRED", Session=challenge["Session"])
refused("InvalidPasswordException", "not long enough", "respond_to_auth_challenge", **answer, ChallengeResponses={"USERNAME": "alice", "NEW_PASSWORD": "Short1"})
got = cognito.respond_to_auth_challenge(**answer, ChallengeResponses={"USERNAME": "alice", "NEW_PASSWORD": "Permanent1"})["AuthenticationResult"]
assert claims(got["AccessToken"])["sub"] == sub and got["ExpiresIn"] == 600, got
refused("InvalidPasswordException", "numeric", "admin_set_user_password", UserPoolId=id, Username="alice", Password="Permanent", Permanent=True)
refused("UserNotFoundException", "does not exist", "admin_set_user_password", UserPoolId=id, Username="nobody", Password="Permanent1", Permanent=True)
refused("ResourceNotFoundException", "does not exist", "admin_set_user_password", UserPoolId=nowhere, Username="alice", Password="Permanent1", Permanent=True)
cognito.admin_set_user_password(UserPoolId=id, Username="alice", Password="Permanent2", Permanent=True)
refused("NotAuthorizedException", "Refresh Token has been revoked", "initiate_auth", ClientId=client, AuthFlow="REFRESH_TOKEN_AUTH", AuthParameters={"REFRESH_TOKEN": got["RefreshToken"]})
got = cognito.initiate_auth(**with_password("Permanent2"))["AuthenticationResult"]
assert claims(got["IdToken"])["email"] == "alice@example.com" and claims(got["IdToken"])["aud"] == client, got
again = cognito.initiate_auth(ClientId=client, AuthFlow="REFRESH_TOKEN_AUTH", AuthParameters={"REFRESH_TOKEN": got["RefreshToken"]})["AuthenticationResult"]
assert "RefreshToken" not in again and claims(again["AccessToken"])["origin_jti"] == claims(got["AccessToken"])["origin_jti"], again
refused("NotAuthorizedException", "Incorrect username or password.", "initiate_auth", **with_password("Wrong1234"))
refused("UserNotFoundException", "User does not exist.", "initiate_auth", **with_password("Wrong1234", "nobody"))
refused("InvalidParameterException", "Missing required parameter USERNAME", "initiate_auth", **auth, AuthParameters={"PASSWORD": "x"})
refused("ResourceNotFoundException", "does not exist", "initiate_auth", **{**with_password("x"), "ClientId": "nobody"})
refused("UnsupportedOperationException", "USER_SRP_AUTH", "initiate_auth", ClientId=client, AuthFlow="USER_SRP_AUTH", AuthParameters={"USERNAME": "alice", "SRP_A": "1"})
refused("InvalidParameterException", "AuthFlow", "initiate_auth", ClientId=client, AuthFlow="CLIENT_CREDENTIALS", AuthParameters={})
refused("NotAuthorizedException", "Invalid Refresh Token", "initiate_auth", ClientId=client, AuthFlow="REFRESH_TOKEN_AUTH", AuthParameters={"REFRESH_TOKEN": "x"})

# A client with a secret.
keeper = cognito.create_user_pool_client(UserPoolId=id, ClientName="keeper", GenerateSecret=True, ExplicitAuthFlows=flows)["UserPoolClient"]
digest = hmac.new(keeper["ClientSecret"].encode(), ("alice" + keeper["ClientId"]).encode(), hashlib.sha256).digest()
auth["ClientId"] = keeper["ClientId"]
refused("NotAuthorizedException", "SECRET_HASH was not received", "initiate_auth", **with_password("Permanent2"))
refused("NotAuthorizedException", "Unable to verify secret hash", "initiate_auth", **with_password("Permanent2", SECRET_HASH="x"))
cognito.initiate_auth(**with_password("Permanent2", SECRET_HASH=base64.b64encode(digest).decode()))

# Guessing.
auth["ClientId"] = client
for _ in range(5):
    try:
        cognito.initiate_auth(**with_password("Guess1234"))
    except ClientError as e:
        assert e.response["Error"]["Code"] == "NotAuthorizedException", e
refused("NotAuthorizedException", "Password attempts exceeded", "initiate_auth", **with_password("Guess1234"))

# Without a key nothing is managed.
anonymous = boto3.client("cognito-idp", aws_access_key_id="AKIAIOSFODNN7EXAMPLE", aws_secret_access_key="nothing")
try:
    anonymous.list_user_pools(MaxResults=1)
    raise AssertionError("anybody lists pools")
except ClientError as e:
    assert e.response["Error"]["Code"] == "UnrecognizedClientException", e

cognito.admin_delete_user(UserPoolId=id, Username="alice")
refused("UserNotFoundException", "does not exist", "admin_delete_user", UserPoolId=id, Username="alice")
assert cognito.list_users(UserPoolId=id)["Users"] == []
cognito.delete_user_pool_domain(Domain=domain, UserPoolId=id)
cognito.delete_user_pool(UserPoolId=id)
refused("ResourceNotFoundException", "does not exist", "describe_user_pool", UserPoolId=id)
refused("ResourceNotFoundException", "does not exist", "initiate_auth", **with_password("Permanent2"))
print("all done")
