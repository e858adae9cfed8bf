"""The control plane through boto3: contract §3."""

import datetime
import io
import re
import uuid

from harness import ACCOUNT, CONTEXT, REGION, ROLE, boto3, control, data, invoke, lax, main, refused, s3, signed, wait

CODE = CONTEXT["code"]  # {"bucket", "prefix"} of a working agent's zip
names = (f"boto_{uuid.uuid4().hex[:8]}_{n}" for n in range(1000))
loose = boto3.client("bedrock-agentcore-control", config=lax)


def artifact(**more):
    return {"codeConfiguration": {"code": {"s3": CODE}, "runtime": "PYTHON_3_11", "entryPoint": ["main.py"], **more}}


def wanted(**more):
    return {"agentRuntimeName": next(names), "agentRuntimeArtifact": artifact(), "roleArn": ROLE, "networkConfiguration": {"networkMode": "PUBLIC"}, **more}


def settled(runtime):
    """Waits until a runtime is in no transition and returns what Get says."""
    def get():
        got = control.get_agent_runtime(agentRuntimeId=runtime)
        return got["status"] not in ("CREATING", "UPDATING") and got
    return wait(120, f"{runtime} settles", get)


def ready(**more):
    made = control.create_agent_runtime(**wanted(**more))
    got = settled(made["agentRuntimeId"])
    assert got["status"] == "READY", got
    return got


def remove(*runtimes):
    for runtime in runtimes:
        control.delete_agent_runtime(agentRuntimeId=runtime)
    for runtime in runtimes:
        wait(30, f"{runtime} is gone", lambda: gone(runtime))


def gone(runtime):
    try:
        control.get_agent_runtime(agentRuntimeId=runtime)
    except control.exceptions.ResourceNotFoundException:
        return True
    return False


def check_create_get_delete():
    request = wanted(environmentVariables={"A": "1"}, tags={"team": "one"})
    made = control.create_agent_runtime(**request)
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 202, made
    runtime, name = made["agentRuntimeId"], request["agentRuntimeName"]
    assert re.fullmatch(name + "-[a-zA-Z0-9]{10}", runtime), runtime
    assert made["agentRuntimeArn"] == f"arn:aws:bedrock-agentcore:{REGION}:{ACCOUNT}:runtime/{runtime}", made
    assert made["agentRuntimeVersion"] == "1" and made["status"] == "CREATING", made
    assert isinstance(made["createdAt"], datetime.datetime), made
    identity = made["workloadIdentityDetails"]["workloadIdentityArn"]
    assert identity.startswith(f"arn:aws:bedrock-agentcore:{REGION}:{ACCOUNT}:workload-identity-directory/default/workload-identity/{name}-"), identity

    # Toolkits poll the DEFAULT endpoint from the first moment.
    endpoint = control.get_agent_runtime_endpoint(agentRuntimeId=runtime, endpointName="DEFAULT")
    assert endpoint["status"] in ("CREATING", "READY") and endpoint["targetVersion"] == "1", endpoint
    with refused("ConflictException", 409):
        control.delete_agent_runtime(agentRuntimeId=runtime)
    with refused("ConflictException", 409):
        control.update_agent_runtime(agentRuntimeId=runtime, agentRuntimeArtifact=artifact(), roleArn=ROLE, networkConfiguration={"networkMode": "PUBLIC"})
    with refused("ConflictException", 409):
        invoke(made["agentRuntimeArn"], {"op": "state"})

    got = settled(runtime)
    assert got["status"] == "READY", got
    for member in ("agentRuntimeArn", "agentRuntimeName", "agentRuntimeId", "agentRuntimeVersion", "createdAt", "lastUpdatedAt", "roleArn", "networkConfiguration", "status", "lifecycleConfiguration"):
        assert member in got, f"{member} is missing from {got}"
    assert got["lifecycleConfiguration"] == {"idleRuntimeSessionTimeout": 900, "maxLifetime": 28800}, got
    assert got["networkConfiguration"]["networkMode"] == "PUBLIC" and got["metadataConfiguration"] == {"requireMMDSV2": True}, got
    assert got["environmentVariables"] == {"A": "1"} and got["agentRuntimeArtifact"] == request["agentRuntimeArtifact"], got
    assert "failureReason" not in got and "authorizerConfiguration" not in got, got
    endpoint = control.get_agent_runtime_endpoint(agentRuntimeId=runtime, endpointName="DEFAULT")
    assert endpoint["status"] == "READY" and endpoint["liveVersion"] == endpoint["targetVersion"] == "1" and endpoint["name"] == "DEFAULT", endpoint
    listed = [r for page in control.get_paginator("list_agent_runtimes").paginate(PaginationConfig={"PageSize": 2}) for r in page["agentRuntimes"]]
    mine = [r for r in listed if r["agentRuntimeId"] == runtime]
    assert len(mine) == 1 and mine[0]["description"] == "" and mine[0]["status"] == "READY" and mine[0]["agentRuntimeVersion"] == "1", mine

    with refused("ConflictException", 409, name):
        control.create_agent_runtime(**wanted(agentRuntimeName=name))
    removed = control.delete_agent_runtime(agentRuntimeId=runtime)
    assert removed["status"] == "DELETING" and removed["ResponseMetadata"]["HTTPStatusCode"] == 202, removed
    wait(30, "the runtime is gone", lambda: gone(runtime))
    with refused("ResourceNotFoundException", 404):
        invoke(made["agentRuntimeArn"], {"op": "state"})
    with refused("ResourceNotFoundException", 404):
        control.get_agent_runtime_endpoint(agentRuntimeId=runtime, endpointName="DEFAULT")
    again = control.create_agent_runtime(**wanted(agentRuntimeName=name))
    assert again["agentRuntimeId"] != runtime
    settled(again["agentRuntimeId"])
    remove(again["agentRuntimeId"])


def check_update_replaces_everything():
    first = ready(description="first", environmentVariables={"PROBE_VERSION": "1"}, tags={"team": "one"}, platformVersion="V2",
                  requestHeaderConfiguration={"requestHeaderAllowlist": ["X-Note"]}, lifecycleConfiguration={"idleRuntimeSessionTimeout": 120, "maxLifetime": 240})
    runtime = first["agentRuntimeId"]
    made = control.update_agent_runtime(agentRuntimeId=runtime, agentRuntimeArtifact=artifact(), roleArn=ROLE, networkConfiguration={"networkMode": "PUBLIC"})
    assert made["agentRuntimeVersion"] == "2" and made["status"] == "UPDATING" and made["lastUpdatedAt"] >= made["createdAt"], made
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 202, made
    with refused("ConflictException", 409):
        control.update_agent_runtime(agentRuntimeId=runtime, agentRuntimeArtifact=artifact(), roleArn=ROLE, networkConfiguration={"networkMode": "PUBLIC"})
    got = settled(runtime)
    assert got["status"] == "READY" and got["agentRuntimeVersion"] == "2", got
    for member in ("description", "environmentVariables", "requestHeaderConfiguration"):
        assert not got.get(member), f"{member} was not cleared: {got}"
    assert got["lifecycleConfiguration"] == {"idleRuntimeSessionTimeout": 900, "maxLifetime": 28800}, got
    assert got["platformVersion"] == "V2", got
    assert control.list_tags_for_resource(resourceArn=got["agentRuntimeArn"])["tags"] == {"team": "one"}
    old = control.get_agent_runtime(agentRuntimeId=runtime, agentRuntimeVersion="1")
    assert old["description"] == "first" and old["environmentVariables"] == {"PROBE_VERSION": "1"} and old["status"] == "READY", old
    endpoint = control.get_agent_runtime_endpoint(agentRuntimeId=runtime, endpointName="DEFAULT")
    assert endpoint["liveVersion"] == endpoint["targetVersion"] == "2" and endpoint["status"] == "READY", endpoint
    versions = control.list_agent_runtime_versions(agentRuntimeId=runtime)["agentRuntimes"]
    assert sorted(v["agentRuntimeVersion"] for v in versions) == ["1", "2"], versions
    with refused("ConflictException", 409):
        control.delete_agent_runtime(agentRuntimeId=runtime, agentRuntimeVersion="2") if "agentRuntimeVersion" in members("DeleteAgentRuntime") else signed_delete(runtime, "2")
    with refused("ResourceNotFoundException", 404):
        control.get_agent_runtime(agentRuntimeId=runtime, agentRuntimeVersion="77")
    remove(runtime)


def members(operation):
    return control.meta.service_model.operation_model(operation).input_shape.members


def signed_delete(runtime, version):
    """For a boto3 that has no member for the version yet: the raw call, its refusal made an exception."""
    answer = signed("DELETE", f"/runtimes/{runtime}/?version={version}")
    if answer.status_code >= 300:
        name = answer.headers["x-amzn-ErrorType"]
        raise control.exceptions.ClientError({"Error": {"Code": name, "Message": answer.json()["message"]}, "ResponseMetadata": {"HTTPStatusCode": answer.status_code}}, "DeleteAgentRuntime")


def check_client_token_makes_create_idempotent():
    token = str(uuid.uuid4())
    request = wanted(clientToken=token)
    one, two = control.create_agent_runtime(**request), control.create_agent_runtime(**request)
    assert one["agentRuntimeId"] == two["agentRuntimeId"], (one, two)
    with refused("ValidationException", 400) as e:
        control.create_agent_runtime(**{**request, "description": "another"})
    assert e["reason"] == "IdempotentParameterMismatchException", e
    settled(one["agentRuntimeId"])
    remove(one["agentRuntimeId"])


def check_endpoints():
    runtime = ready()["agentRuntimeId"]
    control.update_agent_runtime(agentRuntimeId=runtime, agentRuntimeArtifact=artifact(), roleArn=ROLE, networkConfiguration={"networkMode": "PUBLIC"}, environmentVariables={"PROBE_VERSION": "2"})
    arn = settled(runtime)["agentRuntimeArn"]
    made = control.create_agent_runtime_endpoint(agentRuntimeId=runtime, name="prod", agentRuntimeVersion="1", description="for all", tags={"stage": "prod"})
    assert made["endpointName"] == "prod" and made["targetVersion"] == "1" and made["agentRuntimeArn"] == arn, made
    assert made["agentRuntimeEndpointArn"] == arn + "/runtime-endpoint/prod" and made["ResponseMetadata"]["HTTPStatusCode"] == 202, made
    assert control.list_tags_for_resource(resourceArn=made["agentRuntimeEndpointArn"])["tags"] == {"stage": "prod"}

    def live():
        got = control.get_agent_runtime_endpoint(agentRuntimeId=runtime, endpointName="prod")
        return got["status"] == "READY" and got
    got = wait(20, "prod is READY", live)
    assert got["name"] == "prod" and got["liveVersion"] == "1" and got["description"] == "for all" and got["id"], got
    assert invoke(arn, {"op": "state"}, qualifier="prod")["version"] == ""
    assert invoke(arn, {"op": "state"})["version"] == "2"
    moved = control.update_agent_runtime_endpoint(agentRuntimeId=runtime, endpointName="prod", agentRuntimeVersion="2")
    assert moved["targetVersion"] == "2" and moved["ResponseMetadata"]["HTTPStatusCode"] == 202, moved
    wait(20, "prod moved", lambda: live() and live()["liveVersion"] == "2")
    assert invoke(arn, {"op": "state"}, qualifier="prod")["version"] == "2"
    listed = control.list_agent_runtime_endpoints(agentRuntimeId=runtime)["runtimeEndpoints"]
    assert sorted(e["name"] for e in listed) == ["DEFAULT", "prod"], listed

    with refused("ConflictException", 409):
        control.create_agent_runtime_endpoint(agentRuntimeId=runtime, name="prod")
    with refused("ResourceNotFoundException", 404):
        control.create_agent_runtime_endpoint(agentRuntimeId=runtime, name="other", agentRuntimeVersion="9")
    with refused("ResourceNotFoundException", 404):
        control.get_agent_runtime_endpoint(agentRuntimeId=runtime, endpointName="other")
    with refused("ConflictException", 409):
        control.delete_agent_runtime_endpoint(agentRuntimeId=runtime, endpointName="DEFAULT")
    for n in range(8):
        control.create_agent_runtime_endpoint(agentRuntimeId=runtime, name=f"e{n}")
    with refused("ServiceQuotaExceededException", 402):
        control.create_agent_runtime_endpoint(agentRuntimeId=runtime, name="eleventh")
    removed = control.delete_agent_runtime_endpoint(agentRuntimeId=runtime, endpointName="prod")
    assert removed["status"] == "DELETING" and removed["ResponseMetadata"]["HTTPStatusCode"] == 202, removed
    with refused("ResourceNotFoundException", 404, "No endpoint or agent found with qualifier 'prod' for agent"):
        invoke(arn, {"op": "state"}, qualifier="prod")
    remove(runtime)


def check_tags():
    arn = CONTEXT["probe"]
    control.tag_resource(resourceArn=arn, tags={"a": "1", "b": "2", "moorage:note": "x y"})
    control.tag_resource(resourceArn=arn, tags={"b": "3"})
    assert control.list_tags_for_resource(resourceArn=arn)["tags"] == {"a": "1", "b": "3", "moorage:note": "x y"}
    control.untag_resource(resourceArn=arn, tagKeys=["a", "moorage:note", "never there"])
    assert control.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "3"}
    with refused("ValidationException", 400):
        control.tag_resource(resourceArn=arn, tags={f"k{n}": "v" for n in range(50)})
    with refused("ResourceNotFoundException", 404):
        control.list_tags_for_resource(resourceArn=arn[:-10] + "0000000000")
    control.untag_resource(resourceArn=arn, tagKeys=["b"])


def check_resource_policy():
    arn = CONTEXT["probe"]
    policy = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"%s"},"Action":"bedrock-agentcore:InvokeAgentRuntime","Resource":"%s"}]}' % (CONTEXT["account"], arn)
    assert not control.get_resource_policy(resourceArn=arn).get("policy")
    put = control.put_resource_policy(resourceArn=arn, policy=policy)
    assert put["ResponseMetadata"]["HTTPStatusCode"] == 201 and put["policy"] == policy, put
    assert control.get_resource_policy(resourceArn=arn)["policy"] == policy
    removed = control.delete_resource_policy(resourceArn=arn)
    assert removed["ResponseMetadata"]["HTTPStatusCode"] == 204, removed
    assert not control.get_resource_policy(resourceArn=arn).get("policy")
    with refused("ResourceNotFoundException", 404):
        control.put_resource_policy(resourceArn=arn[:-10] + "0000000000", policy=policy)


def check_validation_names_the_field():
    cases = [
        ("agentRuntimeName", {"agentRuntimeName": "9lives"}),
        ("agentRuntimeName", {"agentRuntimeName": "a" * 49}),
        ("roleArn", {"roleArn": "notanarn"}),
        ("description", {"description": "x" * 4097}),
        ("runtime", {"agentRuntimeArtifact": artifact(runtime="COBOL_68")}),
        ("entryPoint", {"agentRuntimeArtifact": artifact(entryPoint=[])}),
        ("entryPoint", {"agentRuntimeArtifact": artifact(entryPoint=["a", "b", "c"])}),
        ("networkMode", {"networkConfiguration": {"networkMode": "CARRIER_PIGEON"}}),
        ("requestHeaderAllowlist", {"requestHeaderConfiguration": {"requestHeaderAllowlist": ["X-Amz-Security-Token"]}}),
        ("requestHeaderAllowlist", {"requestHeaderConfiguration": {"requestHeaderAllowlist": ["Cookie"]}}),
        ("requestHeaderAllowlist", {"requestHeaderConfiguration": {"requestHeaderAllowlist": ["Authorization"]}}),
        ("requestHeaderAllowlist", {"requestHeaderConfiguration": {"requestHeaderAllowlist": ["X-One", "x-one"]}}),
        ("requestHeaderAllowlist", {"requestHeaderConfiguration": {"requestHeaderAllowlist": [f"X-{n}" for n in range(21)]}}),
        ("idleRuntimeSessionTimeout", {"lifecycleConfiguration": {"idleRuntimeSessionTimeout": 59}}),
        ("maxLifetime", {"lifecycleConfiguration": {"maxLifetime": 1209601}}),
        ("lifecycleConfiguration", {"lifecycleConfiguration": {"idleRuntimeSessionTimeout": 600, "maxLifetime": 300}}),
        ("serverProtocol", {"protocolConfiguration": {"serverProtocol": "GOPHER"}}),
        ("port", {"protocolConfiguration": {"serverProtocol": "HTTP", "port": 8443}}),
        ("path", {"protocolConfiguration": {"serverProtocol": "HTTP", "path": "no-slash"}}),
        ("mountPath", {"filesystemConfigurations": [{"sessionStorage": {"mountPath": "/etc"}}]}),
        ("environmentVariables", {"environmentVariables": {"BIG": "x" * 5001}}),
        ("tags", {"tags": {"k" * 129: "v"}}),
        ("clientToken", {"clientToken": "short"}),
    ]
    wrong = []
    for field, change in cases:
        try:
            with refused("ValidationException", 400) as e:
                loose.create_agent_runtime(**wanted(**change))
            assert e.get("reason") == "FieldValidationFailed", f"reason {e.get('reason')}"
            assert any(field in f["name"] for f in e["fieldList"]), f"fieldList {e['fieldList']}"
        except AssertionError as failure:
            wrong.append(f"{field} {str(change)[:80]}: {failure}")
    assert not wrong, "\n".join(wrong)


def check_validation_of_the_rest():
    with refused("ValidationException", 400, "Role validation failed", "arn:aws:iam::999999999999:role/other"):
        control.create_agent_runtime(**wanted(roleArn="arn:aws:iam::999999999999:role/other"))
    with refused("ValidationException", 400, "idleRuntimeSessionTimeout must be less than or equal to maxLifetime"):
        control.create_agent_runtime(**wanted(lifecycleConfiguration={"idleRuntimeSessionTimeout": 600, "maxLifetime": 300}))
    for bad in ({"maxResults": 0}, {"maxResults": 101}, {"nextToken": "with space"}):
        try:
            with refused("ValidationException", 400):
                loose.list_agent_runtimes(**bad)
        except AssertionError as e:
            raise AssertionError(f"{bad}: {e}") from e
    with refused("ResourceNotFoundException", 404):
        control.get_agent_runtime(agentRuntimeId="nobody-0123456789")
    with refused("ValidationException", 400):
        loose.get_agent_runtime(agentRuntimeId="no id at all")
    answer = signed("PUT", "/runtimes/", {"Content-Type": "application/json"}, b'{"agentRuntimeName": ')
    assert answer.status_code == 400 and answer.headers["x-amzn-ErrorType"] in ("ValidationException", "SerializationException"), (answer.status_code, answer.text)
    only_max = ready(lifecycleConfiguration={"maxLifetime": 300})
    assert only_max["lifecycleConfiguration"] == {"idleRuntimeSessionTimeout": 300, "maxLifetime": 300}, only_max
    remove(only_max["agentRuntimeId"])


def check_missing_artifacts_fail_by_name():
    made = control.create_agent_runtime(**wanted(agentRuntimeArtifact={"codeConfiguration": {"code": {"s3": {"bucket": CODE["bucket"], "prefix": "no/such.zip"}}, "runtime": "PYTHON_3_11", "entryPoint": ["main.py"]}}))
    got = settled(made["agentRuntimeId"])
    assert got["status"] == "CREATE_FAILED" and "no/such.zip" in got["failureReason"], got
    endpoint = control.get_agent_runtime_endpoint(agentRuntimeId=made["agentRuntimeId"], endpointName="DEFAULT")
    assert endpoint["status"] == "CREATE_FAILED" and "no/such.zip" in endpoint["failureReason"], endpoint
    with refused("ConflictException", 409, "no/such.zip"):
        invoke(made["agentRuntimeArn"], {"op": "state"})
    remove(made["agentRuntimeId"])


def check_unknown_operations_say_so():
    with refused("UnsupportedOperationException", None, "ListBrowsers"):
        control.list_browsers()
    with refused("UnsupportedOperationException", None, "ListEvents"):
        data.list_events(memoryId="memory-0123456789", sessionId="s", actorId="a")
    answer = signed("GET", "/no/such/place/")
    assert answer.status_code in (403, 404) and answer.headers.get("x-amzn-ErrorType"), (answer.status_code, answer.headers)


def check_s3():
    bucket = f"boto-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=bucket)
    s3.head_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="a/kept.txt", Body=b"kept")
    big = b"0123456789abcdef" * (1 << 20)  # 16 MiB: upload_fileobj sends it in parts
    s3.upload_fileobj(io.BytesIO(big), bucket, "a/big.bin")
    assert s3.get_object(Bucket=bucket, Key="a/big.bin")["Body"].read() == big
    assert s3.head_object(Bucket=bucket, Key="a/kept.txt")["ContentLength"] == 4
    listed = s3.list_objects_v2(Bucket=bucket, Prefix="a/")
    assert [o["Key"] for o in listed["Contents"]] == ["a/big.bin", "a/kept.txt"], listed
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="absent")
    with refused("404", 404):
        s3.head_bucket(Bucket=bucket + "-not")
    for key in ("../../escape", "a/../../../etc/passwd"):
        try:
            s3.put_object(Bucket=bucket, Key=key, Body=b"x")
            assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"x"
            s3.delete_object(Bucket=bucket, Key=key)
        except s3.exceptions.ClientError as e:
            assert e.response["ResponseMetadata"]["HTTPStatusCode"] == 400, e.response
    for key in ("a/kept.txt", "a/big.bin"):
        s3.delete_object(Bucket=bucket, Key=key)
    s3.delete_bucket(Bucket=bucket)


if __name__ == "__main__":
    main(dict(globals()))
