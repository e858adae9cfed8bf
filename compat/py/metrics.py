"""CloudWatch metrics and X-Ray through boto3."""

import base64
import datetime
import json
import os
import time
import uuid

from harness import CONTEXT, boto3, invoke, main, once, raw, refused, session_id, signed, wait

cloudwatch = boto3.client("cloudwatch", config=once)
PROBE = CONTEXT["agents"]["traced_agent"]
RUNTIME = PROBE.split("/")[-1]
NAME = RUNTIME.split("-")[0] + "::DEFAULT"
NAMESPACE = "AWS/Bedrock-AgentCore"
CALLS = [{"Name": "Resource", "Value": PROBE}, {"Name": "Operation", "Value": "InvokeAgentRuntime"}, {"Name": "Name", "Value": NAME}]


def window():
    now = datetime.datetime.now(datetime.timezone.utc)
    return {"StartTime": now - datetime.timedelta(hours=1), "EndTime": now + datetime.timedelta(minutes=1)}


def total(metric, dimensions, stat="Sum"):
    answer = cloudwatch.get_metric_data(**window(), MetricDataQueries=[{
        "Id": "m1", "MetricStat": {"Metric": {"Namespace": NAMESPACE, "MetricName": metric, "Dimensions": dimensions}, "Period": 60, "Stat": stat}}])
    (result,) = answer["MetricDataResults"]
    assert result["StatusCode"] == "Complete", result
    return sum(result["Values"])


def check_a_call_is_counted_in_the_minute_that_runs():
    before = total("Invocations", CALLS)
    for _ in range(3):
        invoke(PROBE, {"prompt": "tides"})
    wait(10, "the calls are counted", lambda: total("Invocations", CALLS) >= before + 3)
    assert total("Sessions", [{"Name": "Resource", "Value": PROBE}]) >= 3
    assert total("Latency", CALLS, "p99") > 0 and total("Errors", CALLS) == total("UserErrors", CALLS) + total("SystemErrors", CALLS)


def check_all_thirteen_metrics_are_listed():
    invoke(PROBE, {"prompt": "tides"})
    want = {"Invocations", "Throttles", "SystemErrors", "UserErrors", "Errors", "Latency", "Sessions", "ActiveSessionCount", "CPUUsed-vCPUHours", "MemoryUsed-GBHours"}

    def listed():
        return {m["MetricName"] for page in cloudwatch.get_paginator("list_metrics").paginate(Namespace=NAMESPACE) for m in page["Metrics"]}

    wait(20, "the metrics are listed", lambda: want <= listed())
    assert total("MemoryUsed-GBHours", [{"Name": "Service", "Value": "AgentCore.Runtime"}, {"Name": "Resource", "Value": PROBE}]) > 0
    assert total("ActiveSessionCount", [{"Name": "Service", "Value": "AgentCore.Runtime"}], "Maximum") >= 1


def check_search_finds_metrics_whatever_their_dimensions():
    invoke(PROBE, {"prompt": "tides"})
    text = f"""SEARCH('Namespace="{NAMESPACE}" MetricName="Latency" Resource="{PROBE}"', 'p95', 300)"""
    found = wait(10, "the search finds some", lambda: cloudwatch.get_metric_data(**window(), MetricDataQueries=[{"Id": "e1", "Expression": text}])["MetricDataResults"])
    assert all(r["Values"] and r["Values"][0] > 0 for r in found), found
    text = f"SUM(SEARCH('{{{NAMESPACE},Resource}} MetricName=\"Invocations\"', 'Sum', 300))"
    (summed,) = cloudwatch.get_metric_data(**window(), MetricDataQueries=[{"Id": "e1", "Expression": text}])["MetricDataResults"]
    assert sum(summed["Values"]) >= 1, summed


def check_what_is_put_is_read_again():
    namespace = f"compat/{uuid.uuid4()}"
    dimensions = [{"Name": "shop", "Value": "north"}]
    data = [{"MetricName": "sold", "Dimensions": dimensions, "Value": float(v), "Unit": "Count"} for v in range(1, 101)]
    cloudwatch.put_metric_data(Namespace=namespace, MetricData=data)
    cloudwatch.put_metric_data(Namespace=namespace, MetricData=[{"MetricName": "sold", "Dimensions": dimensions, "Values": [5.0, 7.0], "Counts": [2.0, 1.0], "Unit": "Count"}])
    points = cloudwatch.get_metric_statistics(Namespace=namespace, MetricName="sold", Dimensions=dimensions, Period=3600, **window(),
                                              Statistics=["Sum", "Maximum", "SampleCount"], ExtendedStatistics=["p50"])["Datapoints"]
    assert sum(p["Sum"] for p in points) == 5067 and sum(p["SampleCount"] for p in points) == 103 and max(p["Maximum"] for p in points) == 100, points
    assert 40 < points[0]["ExtendedStatistics"]["p50"] < 60, points
    metrics = cloudwatch.list_metrics(Namespace=namespace)["Metrics"]
    assert metrics == [{"Namespace": namespace, "MetricName": "sold", "Dimensions": dimensions}], metrics
    other = cloudwatch.get_metric_statistics(Namespace=namespace, MetricName="sold", Period=60, **window(), Statistics=["Sum"])
    assert other["Datapoints"] == [], other


def check_metric_math():
    namespace = f"compat/{uuid.uuid4()}"
    cloudwatch.put_metric_data(Namespace=namespace, MetricData=[{"MetricName": "good", "Value": 8.0}, {"MetricName": "bad", "Value": 2.0}])

    def stat(name):
        return {"Id": name, "ReturnData": False, "MetricStat": {"Metric": {"Namespace": namespace, "MetricName": name}, "Period": 60, "Stat": "Sum"}}

    answer = cloudwatch.get_metric_data(**window(), MetricDataQueries=[stat("good"), stat("bad"), {"Id": "rate", "Expression": "100 * bad / (good + bad)", "Label": "share"}])
    (result,) = answer["MetricDataResults"]
    assert result["Label"] == "share" and result["Values"] == [20.0], result
    with refused("InvalidParameterValue", 400, "character"):
        cloudwatch.get_metric_data(**window(), MetricDataQueries=[{"Id": "x", "Expression": "1 +"}])
    with refused("InvalidParameterValue", 400, "own result"):
        cloudwatch.get_metric_data(**window(), MetricDataQueries=[{"Id": "x", "Expression": "x + 1"}])


def check_embedded_metrics_in_log_lines_count():
    logs = boto3.client("logs", config=once)
    group, namespace = f"/compat/{uuid.uuid4()}", f"compat/{uuid.uuid4()}"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="one")
    now = int(time.time() * 1000)
    line = {"_aws": {"Timestamp": now, "CloudWatchMetrics": [{"Namespace": namespace, "Dimensions": [["tool"]], "Metrics": [{"Name": "calls", "Unit": "Count"}]}]}, "tool": "search", "calls": 3}
    logs.put_log_events(logGroupName=group, logStreamName="one", logEvents=[{"timestamp": now, "message": json.dumps(line)}])
    points = cloudwatch.get_metric_statistics(Namespace=namespace, MetricName="calls", Dimensions=[{"Name": "tool", "Value": "search"}], Period=60, **window(), Statistics=["Sum"])["Datapoints"]
    assert [p["Sum"] for p in points] == [3.0], points


def check_old_clients_speak_forms_and_json():
    form = signed("POST", "/", {"Content-Type": "application/x-www-form-urlencoded"}, f"Action=ListMetrics&Version=2010-08-01&Namespace={NAMESPACE}".encode(), "monitoring")
    assert form.status_code == 200 and b"<MetricName>Invocations</MetricName>" in form.content, form.content
    headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "GraniteServiceVersion20100801.ListMetrics"}
    answer = signed("POST", "/", headers, json.dumps({"Namespace": NAMESPACE}).encode(), "monitoring")
    assert answer.status_code == 200 and answer.json()["Metrics"], answer.content


def check_toolkits_turn_on_what_is_on():
    boto3.client("application-signals", config=once).start_discovery()


def check_usage_is_written_by_session():
    logs = boto3.client("logs", config=once)
    session = session_id()
    invoke(PROBE, {"prompt": "tides"}, session=session)
    group = f"/aws/vendedlogs/bedrock-agentcore/runtime/USAGE_LOGS/{RUNTIME}"

    def written():
        try:
            return logs.filter_log_events(logGroupName=group, filterPattern=f'"{session}"')["events"]
        except logs.exceptions.ResourceNotFoundException:
            return None

    (event, *_) = wait(20, "its usage is written", written)
    record = json.loads(event["message"])
    assert record["attributes"]["session.id"] == session and record["metrics"]["agent.runtime.memory.gb_hours.used"] > 0, record


def traced():
    """Calls the agent and returns its session's trace, once the model's span is there."""
    session = session_id()
    invoke(PROBE, {"prompt": "tides"}, session=session)

    def whole():
        answer = signed("GET", f"/v1/sessions/{session}/trace")
        traces = answer.json().get("traces", []) if answer.status_code == 200 else []
        return next((t for t in traces if {"InvokeAgentRuntime", "chat nova-pro"} <= {s["name"] for s in t["spans"]}), None)

    return session, wait(20, "the trace is whole", whole)


def check_xray_shows_traces():
    xray = boto3.client("xray", config=once)
    session, trace = traced()
    id = f"1-{trace['traceId'][:8]}-{trace['traceId'][8:]}"
    (found,) = xray.batch_get_traces(TraceIds=[id])["Traces"]
    documents = {d["name"]: d for d in (json.loads(s["Document"]) for s in found["Segments"])}
    assert found["Id"] == id and "parent_id" not in documents["InvokeAgentRuntime"] and documents["chat nova-pro"]["type"] == "subsegment", documents
    window = {"StartTime": time.time() - 3600, "EndTime": time.time() + 60}
    listed = xray.get_trace_summaries(**window, FilterExpression=f'annotation.session_id = "{session}" AND responsetime >= 0')["TraceSummaries"]
    assert id in [t["Id"] for t in listed], listed
    assert xray.batch_get_traces(TraceIds=["1-00000000-000000000000000000000000"])["UnprocessedTraceIds"]
    with refused("InvalidRequestException", 400, "not offered"):
        xray.get_trace_summaries(**window, FilterExpression="edge(a, b)")
    assert xray.get_trace_segment_destination() | {"ResponseMetadata": 0} == {"Destination": "CloudWatchLogs", "Status": "ACTIVE", "ResponseMetadata": 0}
    assert xray.update_indexing_rule(Name="Default", Rule={"Probabilistic": {"DesiredSamplingPercentage": 100}})["IndexingRule"]["Name"] == "Default"


def check_a_trace_leaves_as_otlp_and_comes_back():
    session, trace = traced()
    document = signed("GET", f"/v1/traces/{trace['traceId']}?format=otlp").json()
    names = {s["name"] for r in document["resourceSpans"] for sc in r["scopeSpans"] for s in sc["spans"]}
    assert {"InvokeAgentRuntime", "chat nova-pro"} <= names, names
    again = signed("POST", "/v1/traces", {"Content-Type": "application/json"}, json.dumps(document).encode())
    assert again.status_code == 200, again.content
    of_session = signed("GET", f"/v1/sessions/{session}/trace?format=otlp")
    assert of_session.status_code == 200 and trace["traceId"] in of_session.text, of_session.text
    perfetto = signed("GET", f"/v1/traces/{trace['traceId']}?format=perfetto").json()
    assert "chat nova-pro" in [e["name"] for e in perfetto["traceEvents"] if e["ph"] == "X"], perfetto
    wrong = signed("GET", f"/v1/traces/{trace['traceId']}?format=pdf")
    assert wrong.status_code == 400 and "otlp or perfetto" in wrong.text, wrong.text


def check_prometheus_scrapes():
    invoke(PROBE, {"prompt": "tides"})
    key, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]

    def calls():
        answer = raw("GET", "/metrics", {"Authorization": "Basic " + base64.b64encode(f"{key}:{secret}".encode()).decode()})
        assert answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/plain; version=0.0.4"), answer.content
        return [line for line in answer.text.splitlines() if line.startswith("moorage_calls_total{") and f'runtime="{RUNTIME}"' in line and not line.endswith(" 0")]

    wait(10, "the call is scraped", calls)
    assert raw("GET", "/metrics").status_code == 401


if __name__ == "__main__":
    main(globals())
