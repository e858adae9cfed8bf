"""Chooses the key of the token vault by boto3: vault_key.py KMS_ARN TRANSIT_ARN BROKEN_ARN."""

import sys
import time

import boto3
from botocore.exceptions import ClientError

kms, transit, broken = sys.argv[1:]
control = boto3.client("bedrock-agentcore-control")
data = boto3.client("bedrock-agentcore")


def want(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: {got!r}, not {wanted!r}")


def choose(**config):
    """The exception's code, or the answer's configuration."""
    try:
        return control.set_token_vault_cmk(tokenVaultId="default", kmsConfiguration=config)["kmsConfiguration"]
    except ClientError as e:
        return e.response["Error"]["Code"]


def secret():
    return data.get_resource_api_key(workloadIdentityToken=token, resourceCredentialProviderName="kept")["apiKey"]


own = {"keyType": "ServiceManagedKey"}
customer = lambda arn: {"keyType": "CustomerManagedKey", "kmsKeyArn": arn}

control.create_workload_identity(name="reader")
token = data.get_workload_access_token(workloadName="reader")["workloadAccessToken"]
control.create_api_key_credential_provider(name="kept", apiKey="sk-canary-kept")
first = control.get_token_vault()
want("the vault at first", (first["tokenVaultId"], first["kmsConfiguration"]), ("default", own))

want("a key that nobody gave", choose(**customer(kms[:-1] + "0")), "ResourceNotFoundException")
want("a key that AWS does not have", choose(**customer(broken)), "EncryptionFailure")
want("no ARN", choose(keyType="CustomerManagedKey"), "ValidationException")
want("an ARN too many", choose(keyType="ServiceManagedKey", kmsKeyArn=kms), "ValidationException")
want("no ARN of a key", choose(**customer("arn:aws:kms:us-east-1:1:alias/x")), "ValidationException")
try:
    control.set_token_vault_cmk(tokenVaultId="another", kmsConfiguration=own)
    sys.exit("another vault was taken")
except control.exceptions.ResourceNotFoundException:
    pass
want("after all that", control.get_token_vault()["kmsConfiguration"], own)

before = time.time()
for arn in (kms, transit):
    want(arn, choose(**customer(arn)), customer(arn))
    want("a secret", secret(), "sk-canary-kept")
    now = control.get_token_vault(tokenVaultId="default")
    want("the vault", now["kmsConfiguration"], customer(arn))
    if not before - 1 < now["lastModifiedDate"].timestamp() < time.time() + 1:
        sys.exit(f"it was last modified at {now['lastModifiedDate']}")
    want("chosen again", choose(**customer(arn)), customer(arn))
    want("which changes nothing", control.get_token_vault()["lastModifiedDate"], now["lastModifiedDate"])
want("back", choose(**own), own)
want("a secret", secret(), "sk-canary-kept")
control.delete_api_key_credential_provider(name="kept")
control.delete_workload_identity(name="reader")
print("all done")
