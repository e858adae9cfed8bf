"""What boto3 does with buckets, objects, uploads in parts and lists, against the server at argv[1]."""
import io
import os
import sys

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

s3 = boto3.client("s3", endpoint_url=sys.argv[1], region_name="us-east-1",
                  config=Config(request_checksum_calculation="when_required", response_checksum_validation="when_required"))


def code_of(call, **kwargs):
    try:
        call(**kwargs)
    except ClientError as e:
        return e.response["Error"]["Code"]
    return None


assert code_of(s3.head_bucket, Bucket="code") == "404"
s3.create_bucket(Bucket="code")
s3.create_bucket(Bucket="code")  # us-east-1 takes it twice
s3.head_bucket(Bucket="code")

KEYS = ["a.txt", "dir/b c+d.txt", "dir/sub/e.txt", "dir/zip.zip", "umlaut/ä漢.txt", "x\x01y"]
for key in KEYS:
    put = s3.put_object(Bucket="code", Key=key, Body=key.encode(), ContentType="text/plain")
    got = s3.get_object(Bucket="code", Key=key)
    assert got["Body"].read() == key.encode(), key
    assert got["ETag"] == put["ETag"] and got["ContentType"] == "text/plain", got

assert s3.get_object(Bucket="code", Key="a.txt", Range="bytes=2-4")["Body"].read() == b"txt"
assert s3.head_object(Bucket="code", Key="a.txt")["ContentLength"] == 5
assert code_of(s3.get_object, Bucket="code", Key="none") == "NoSuchKey"
assert code_of(s3.head_object, Bucket="code", Key="none") == "404"

listed = [o["Key"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket="code", PaginationConfig={"PageSize": 2})
          for o in page.get("Contents", [])]
assert listed == sorted(KEYS), listed
listed = [o["Key"] for page in s3.get_paginator("list_objects").paginate(Bucket="code", PaginationConfig={"PageSize": 2})
          for o in page.get("Contents", [])]
assert listed == sorted(KEYS), listed
top = s3.list_objects_v2(Bucket="code", Delimiter="/")
assert [o["Key"] for o in top["Contents"]] == ["a.txt", "x\x01y"], top
assert [p["Prefix"] for p in top["CommonPrefixes"]] == ["dir/", "umlaut/"], top
folded = [p["Prefix"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket="code", Delimiter="/", PaginationConfig={"PageSize": 1})
          for p in page.get("CommonPrefixes", [])]
assert folded == ["dir/", "umlaut/"], folded
assert s3.list_objects_v2(Bucket="code", Prefix="dir/s")["KeyCount"] == 1
assert s3.list_objects_v2(Bucket="code", MaxKeys=0)["KeyCount"] == 0

big = os.urandom(12 << 20)
s3.upload_fileobj(io.BytesIO(big), "code", "big", Config=TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20))
back = io.BytesIO()
s3.download_fileobj("code", "big", back)
assert back.getvalue() == big, "an upload in parts came back otherwise"
upload = s3.create_multipart_upload(Bucket="code", Key="aborted")["UploadId"]
s3.abort_multipart_upload(Bucket="code", Key="aborted", UploadId=upload)
assert code_of(s3.abort_multipart_upload, Bucket="code", Key="aborted", UploadId=upload) == "NoSuchUpload"

assert code_of(s3.delete_bucket, Bucket="code") == "BucketNotEmpty"
for key in KEYS + ["big"]:
    s3.delete_object(Bucket="code", Key=key)
s3.delete_object(Bucket="code", Key="none")
s3.delete_bucket(Bucket="code")
