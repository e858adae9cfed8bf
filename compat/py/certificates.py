"""A provider off the public network whose certificate is by an authority in a bucket, through boto3."""

import json
import urllib.parse
import urllib.request
import uuid

from botocore.exceptions import ClientError
from harness import ACCOUNT, CONTEXT, control, data, main, refused, s3, wait

BUCKET = "authorities-" + uuid.uuid4().hex
ENDPOINT = {"selfManagedLatticeResource": {"resourceConfigurationIdentifier": CONTEXT["bare"]}}


def by(key, **more):
    return [{"s3": {"uri": f"s3://{BUCKET}/{key}", **more}}]


def uploaded():
    s3.create_bucket(Bucket=BUCKET)
    with open(CONTEXT["ca"], "rb") as f:
        s3.put_object(Bucket=BUCKET, Key="corp/ca.pem", Body=f.read())
    s3.put_object(Bucket=BUCKET, Key="none.pem", Body=b"no certificate")


def client(**more):
    name = "by-certificate-" + uuid.uuid4().hex
    control.create_oauth2_credential_provider(
        name=name,
        credentialProviderVendor="CustomOauth2",
        oauth2ProviderConfigInput={"customOauth2ProviderConfig": {
            "oauthDiscovery": {"discoveryUrl": CONTEXT["discovery"]}, "clientId": "sid1", "clientSecret": "verysecret", "privateEndpoint": ENDPOINT, **more,
        }},
    )
    return name


def token(provider):
    workload = "machine-" + uuid.uuid4().hex
    control.create_workload_identity(name=workload)
    wat = data.get_workload_access_token(workloadName=workload)["workloadAccessToken"]
    return data.get_resource_oauth2_token(workloadIdentityToken=wat, resourceCredentialProviderName=provider, scopes=["openid"], oauth2Flow="M2M")


def check_a_client_trusts_the_authority_that_it_names():
    uploaded()
    good = client(certificateConfigurations=by("corp/ca.pem", bucketOwnerAccountId=ACCOUNT))
    assert token(good)["accessToken"].count(".") == 2
    shown = control.get_oauth2_credential_provider(name=good)["oauth2ProviderConfigOutput"]["customOauth2ProviderConfig"]
    assert shown["certificateConfigurations"] == by("corp/ca.pem", bucketOwnerAccountId=ACCOUNT) and shown["privateEndpoint"] == ENDPOINT, shown
    unknown = client()
    try:
        token(unknown)
    except ClientError as e:
        assert e.response["ResponseMetadata"]["HTTPStatusCode"] >= 500, e
    else:
        raise AssertionError("an authority that nobody named is trusted")


def check_what_is_no_certificate_is_refused():
    for configurations, words in (
        (by("gone.pem"), "there is no object"),
        (by("corp/ca.pem", bucketOwnerAccountId="999999999999"), "there is no object"),
        (by("none.pem"), "holds no certificate"),
        ([{"secretsManager": {"secretArn": f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:ca"}}], "there is no Secrets Manager here"),
    ):
        with refused("ValidationException", 400, words):
            client(certificateConfigurations=configurations)


def check_an_authorizer_trusts_the_authority_that_it_names():
    before = control.get_agent_runtime(agentRuntimeId=CONTEXT["runtime"])
    authorizer = {"discoveryUrl": CONTEXT["discovery"], "allowedAudience": ["sid1"], "privateEndpoint": ENDPOINT, "certificateConfigurations": by("corp/ca.pem")}
    control.update_agent_runtime(
        agentRuntimeId=CONTEXT["runtime"], authorizerConfiguration={"customJWTAuthorizer": authorizer},
        **{k: before[k] for k in ("agentRuntimeArtifact", "roleArn", "networkConfiguration")},
    )
    after = control.get_agent_runtime(agentRuntimeId=CONTEXT["runtime"])
    assert after["authorizerConfiguration"]["customJWTAuthorizer"] == authorizer, after
    address = f"{data.meta.endpoint_url}/runtimes/{urllib.parse.quote(after['agentRuntimeArn'], safe='')}/invocations"
    headers = {"Authorization": "Bearer " + CONTEXT["token"], "Content-Type": "application/json"}
    wait(60, "the version is live", lambda: control.get_agent_runtime(agentRuntimeId=CONTEXT["runtime"])["status"] == "READY")
    with urllib.request.urlopen(urllib.request.Request(address, b'{"op":"state"}', headers)) as answer:
        assert answer.status == 200 and json.load(answer)["count"] == 1


if __name__ == "__main__":
    main(dict(globals()))
