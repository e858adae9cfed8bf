"""boto3 against a query service (STS) and a JSON 1.1 service (ECR). Arguments: URL."""
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

common = dict(region_name="us-east-1", endpoint_url=sys.argv[1], aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
              aws_secret_access_key="secret", config=Config(retries={"total_max_attempts": 1}))
sts, ecr = boto3.client("sts", **common), boto3.client("ecr", **common)


def same(got, want):
    assert got == want, f"{got!r}, want {want!r}"


def refused(call, code, status, **arguments):
    try:
        call(**arguments)
    except ClientError as e:
        same(e.response["Error"]["Code"], code)
        same(e.response["ResponseMetadata"]["HTTPStatusCode"], status)
        assert e.response["ResponseMetadata"]["RequestId"], e.response
        return e
    raise AssertionError(f"{code} expected")


role = "arn:aws:iam::123456789012:role/r"
me = sts.get_caller_identity()
same((me["Account"], me["UserId"]), ("123456789012", "<&>"))
got = sts.assume_role(RoleArn=role, RoleSessionName="me", DurationSeconds=900, Tags=[{"Key": "a", "Value": "b"}, {"Key": "c", "Value": "d e"}])
same(got["AssumedRoleUser"], {"AssumedRoleId": "c=d e", "Arn": role})
same(got["PackedPolicySize"], 900)
same(got["Credentials"]["Expiration"].year, 2027)
refused(sts.assume_role, "AccessDenied", 403, RoleArn=role, RoleSessionName="denied")
refused(sts.assume_role, "ValidationError", 400, RoleArn=role, RoleSessionName="no spaces")
refused(sts.get_session_token, "UnsupportedOperationException", 400)

got = ecr.describe_repositories(repositoryNames=["xy"])["repositories"][0]
same((got["repositoryName"], got["createdAt"].year), ("xy", 2027))
e = refused(ecr.describe_repositories, "RepositoryNotFoundException", 400, repositoryNames=["none"])
assert isinstance(e, ecr.exceptions.RepositoryNotFoundException)
refused(ecr.describe_repositories, "InvalidParameterException", 400, repositoryNames=["UPPER"])
refused(ecr.list_images, "UnsupportedOperationException", 400, repositoryName="xy")
