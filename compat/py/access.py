"""Users, roles and policies by boto3, and what they then may do."""
import json
import sys
import boto3
from botocore.exceptions import ClientError

arn = sys.argv[1]
endpoint = arn + "/runtime-endpoint/DEFAULT"
root = boto3.Session()
iam, sts = root.client("iam"), root.client("sts")
account = sts.get_caller_identity()["Account"]
session_id = "access-test-session-0123456789-0123456789"


def allow(*resources, action="bedrock-agentcore:InvokeAgentRuntime", effect="Allow", **more):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": effect, "Action": action, "Resource": list(resources), **more}]})


def call(session, user=None):
    client = session.client("bedrock-agentcore")
    extra = {"runtimeUserId": user} if user else {}
    try:
        answer = client.invoke_agent_runtime(agentRuntimeArn=arn, runtimeSessionId=session_id, payload=b'{"op":"state"}', **extra)
        return json.loads(answer["response"].read())["count"]
    except ClientError as e:
        return e.response["Error"]["Code"]


def want(what, got, expected):
    if got != expected:
        print(f"FAIL {what}: {got!r}, want {expected!r}")
        sys.exit(1)
    print("ok", what)


# A user and its key.
iam.create_user(UserName="alice")
key = iam.create_access_key(UserName="alice")["AccessKey"]
alice = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"])
want("who is alice", alice.client("sts").get_caller_identity()["Arn"], f"arn:aws:iam::{account}:user/alice")
want("without a policy", call(alice), "AccessDeniedException")
iam.put_user_policy(UserName="alice", PolicyName="p", PolicyDocument=allow(arn))
want("the runtime alone is not enough", call(alice), "AccessDeniedException")
iam.put_user_policy(UserName="alice", PolicyName="p", PolicyDocument=allow(arn, endpoint))
want("runtime and endpoint", call(alice), 1)
want("for a user of its own", call(alice, "u1"), "AccessDeniedException")
iam.put_user_policy(UserName="alice", PolicyName="for-user", PolicyDocument=allow(arn, endpoint, action="bedrock-agentcore:InvokeAgentRuntimeForUser", Condition={"StringLike": {"bedrock-agentcore:userid": "u*"}}))
want("for a user that the condition names", call(alice, "u1"), 1)
want("for one that it does not", call(alice, "v1"), "AccessDeniedException")
iam.put_user_policy(UserName="alice", PolicyName="no", PolicyDocument=allow("*", action="*", effect="Deny", Condition={"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}))
want("a denial wins", call(alice), "AccessDeniedException")
iam.delete_user_policy(UserName="alice", PolicyName="no")
want("and goes", call(alice), 2)
want("documents come back as they were", iam.get_user_policy(UserName="alice", PolicyName="p")["PolicyDocument"]["Statement"][0]["Resource"], [arn, endpoint])

# What she may not manage.
control = alice.client("bedrock-agentcore-control")
for name, ask in {
    "list": lambda: control.list_agent_runtimes(),
    "delete": lambda: control.delete_agent_runtime(agentRuntimeId=arn.split("/")[1]),
    "make a key for the administrator": lambda: alice.client("iam").create_access_key(UserName="admin"),
    "attach herself a policy": lambda: alice.client("iam").attach_user_policy(UserName="alice", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess"),
}.items():
    try:
        ask()
        want(name, "allowed", "refused")
    except ClientError as e:
        want(name, e.response["Error"]["Code"] in ("AccessDeniedException", "AccessDenied"), True)

# A resource policy.
iam.delete_user_policy(UserName="alice", PolicyName="p")
admin = root.client("bedrock-agentcore-control")
for on in (arn, endpoint):
    admin.put_resource_policy(resourceArn=on, policy=json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:user/alice"}, "Action": "bedrock-agentcore:InvokeAgentRuntime", "Resource": on}]}))
want("by the resources' policies", call(alice), 3)
admin.delete_resource_policy(resourceArn=endpoint)
want("without the endpoint's", call(alice), "AccessDeniedException")
admin.delete_resource_policy(resourceArn=arn)
try:
    admin.put_resource_policy(resourceArn=arn, policy=json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]}))
    want("a star as the resource", "taken", "refused")
except ClientError as e:
    want("a star as the resource", e.response["Error"]["Code"], "ValidationException")

# A role.
trust = lambda who: json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": who, "Action": "sts:AssumeRole", "Condition": {"StringEquals": {"sts:ExternalId": "x-1"}}}]})
role = iam.create_role(RoleName="caller", AssumeRolePolicyDocument=trust({"AWS": f"arn:aws:iam::{account}:user/alice"}))["Role"]
iam.put_role_policy(RoleName="caller", PolicyName="p", PolicyDocument=allow(arn, endpoint))


def assume(session=alice, **more):
    try:
        c = session.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="s1", **more)["Credentials"]
        return boto3.Session(c["AccessKeyId"], c["SecretAccessKey"], c["SessionToken"])
    except ClientError as e:
        return e.response["Error"]["Code"]


want("without the external id", assume() in ("AccessDenied", "AccessDeniedException"), True)
became = assume(ExternalId="x-1")
want("who is it then", became.client("sts").get_caller_identity()["Arn"], f"arn:aws:sts::{account}:assumed-role/caller/s1")
want("a session of its own", call(became), 1)
bound = assume(ExternalId="x-1", Policy=allow(arn))
want("a session policy bounds", call(bound), "AccessDeniedException")
want("the administrator is not in the trust", assume(root, ExternalId="x-1") in ("AccessDenied", "AccessDeniedException"), True)
iam.delete_role_policy(RoleName="caller", PolicyName="p")
iam.delete_role(RoleName="caller")
want("the role is gone", call(became), "UnrecognizedClientException")

# A role that does not trust the service cannot be passed to a runtime.
iam.create_role(RoleName="nobodys", AssumeRolePolicyDocument=trust({"AWS": f"arn:aws:iam::{account}:root"}))
try:
    admin.create_agent_runtime(agentRuntimeName="never", roleArn=f"arn:aws:iam::{account}:role/nobodys", networkConfiguration={"networkMode": "PUBLIC"},
                               agentRuntimeArtifact={"containerConfiguration": {"containerUri": "a/b:1"}})
    want("a role that does not trust", "taken", "refused")
except ClientError as e:
    want("a role that does not trust", (e.response["Error"]["Code"], "Role validation failed" in str(e)), ("ValidationException", True))
iam.delete_role(RoleName="nobodys")

# Keys end.
second = iam.create_access_key(UserName="alice")["AccessKey"]
try:
    iam.create_access_key(UserName="alice")
    want("a third key", "made", "refused")
except ClientError as e:
    want("a third key", e.response["Error"]["Code"], "LimitExceeded")
used = iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])
want("last used", (used["UserName"], used["AccessKeyLastUsed"]["ServiceName"] in ("bedrock-agentcore", "sts")), ("alice", True))
iam.update_access_key(UserName="alice", AccessKeyId=key["AccessKeyId"], Status="Inactive")
want("a disabled key", call(alice), "UnrecognizedClientException")
iam.delete_access_key(UserName="alice", AccessKeyId=key["AccessKeyId"])
iam.delete_access_key(UserName="alice", AccessKeyId=second["AccessKeyId"])
iam.delete_user_policy(UserName="alice", PolicyName="for-user")
iam.delete_user(UserName="alice")
want("users", [u["UserName"] for u in iam.list_users()["Users"]], ["admin"])
print("all done")
