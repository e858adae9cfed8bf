"""CloudWatch Logs through boto3: groups, streams, events, live tail, Insights queries."""

import json
import os
import re
import threading
import time
import uuid
import zipfile

from botocore.config import Config

from harness import ACCOUNT, CONTEXT, REGION, boto3, invoke, main, once, refused, session_id, signed, wait

logs = boto3.client("logs", config=once)
PROBE = CONTEXT["agents"]["traced_agent"]
RUNTIME = PROBE.split("/")[-1]
GROUP = f"/aws/bedrock-agentcore/runtimes/{RUNTIME}-DEFAULT"


def query(text, *groups, **more):
    now = int(time.time())
    started = logs.start_query(logGroupNames=list(groups), startTime=now - 3600, endTime=now + 60, queryString=text, **more)

    def done():
        answer = logs.get_query_results(queryId=started["queryId"])
        return answer if answer["status"] not in ("Running", "Scheduled") else None

    answer = wait(30, "the query ends", done)
    assert answer["status"] == "Complete", answer
    return [{cell["field"]: cell["value"] for cell in row} for row in answer["results"]]


def fresh_group():
    name = f"/compat/{uuid.uuid4()}"
    logs.create_log_group(logGroupName=name)
    logs.create_log_stream(logGroupName=name, logStreamName="one")
    return name


def put(group, *messages, at=None):
    at = at or int(time.time() * 1000)
    return logs.put_log_events(logGroupName=group, logStreamName="one", logEvents=[{"timestamp": at + n, "message": m} for n, m in enumerate(messages)])


def called():
    """Calls the agent and waits until its spans and lines are there."""
    session = session_id()
    invoke(PROBE, {"prompt": "tides"}, session=session)
    wait(20, "the agent's spans come", lambda: {"chat nova-pro", "InvokeAgentRuntime"} <= {s["name"] for s in query(f"filter attributes.session.id = '{session}' | fields name", "aws/spans")})
    return session


def check_application_logs_go_where_a_delivery_says():
    name, group = f"payloads-{uuid.uuid4()}", f"/aws/vendedlogs/bedrock-agentcore/runtime/APPLICATION_LOGS/{uuid.uuid4()}"
    invoke(PROBE, {"prompt": "before anybody asked for payloads"})
    logs.put_delivery_source(name=name, resourceArn=PROBE, logType="APPLICATION_LOGS")
    to = logs.put_delivery_destination(name=name, deliveryDestinationConfiguration={"destinationResourceArn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}"})
    delivery = logs.create_delivery(deliverySourceName=name, deliveryDestinationArn=to["deliveryDestination"]["arn"])["delivery"]
    session = session_id()
    invoke(PROBE, {"prompt": "tides"}, session=session)
    stream = "BedrockAgentCoreRuntime_ApplicationLogs"
    assert [s["logStreamName"] for s in logs.describe_log_streams(logGroupName=group)["logStreams"]] == [stream]
    events = wait(10, "the record of the call comes", lambda: logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)["events"])
    record = json.loads(events[0]["message"])
    span = wait(10, "the span of the call comes", lambda: query(f"filter attributes.session.id = '{session}' and name = 'InvokeAgentRuntime' | fields traceId, spanId, attributes.aws.request_id as request", "aws/spans"))[0]
    assert len(events) == 1 and record["request_payload"] == {"prompt": "tides"} and record["response_payload"], events
    assert (record["trace_id"], record["span_id"], record["request_id"]) == (span["traceId"], span["spanId"], span["request"]), (record, span)
    assert (record["resource_arn"], record["account_id"], record["session_id"]) == (PROBE, ACCOUNT, session), record
    assert (record["service_name"], record["operation"]) == ("AgentCoreCodeRuntime", "InvokeAgentRuntime"), record
    logs.delete_delivery(id=delivery["id"])
    invoke(PROBE, {"prompt": "after"}, session=session)
    wait(10, "the next call's span comes", lambda: len(query(f"filter attributes.session.id = '{session}' and name = 'InvokeAgentRuntime' | fields spanId", "aws/spans")) == 2)
    assert len(logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)["events"]) == 1


def check_runtimes_group_is_there_before_its_first_call():
    found = logs.describe_log_groups(logGroupNamePrefix=GROUP)["logGroups"]
    assert [g["logGroupName"] for g in found] == [GROUP] and found[0]["arn"] == f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{GROUP}:*", found


def check_what_an_agent_prints_is_in_its_stream():
    called()
    prefix = time.strftime("%Y/%m/%d/[runtime-logs]", time.gmtime())
    page = wait(20, "the line", lambda: logs.filter_log_events(logGroupName=GROUP, logStreamNamePrefix=prefix, filterPattern='"searching for tides"')["events"])
    again = logs.filter_log_events(logGroupName=GROUP, filterPattern='"searching for tides"')["events"]
    assert {e["eventId"] for e in page} <= {e["eventId"] for e in again}, (page, again)
    stream = page[0]["logStreamName"]
    streams = logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=prefix)["logStreams"]
    assert stream in [s["logStreamName"] for s in streams], streams
    lines = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True)["events"]
    assert any("searching for tides" in e["message"] for e in lines), lines


def check_events_come_in_pages_each_once():
    group = fresh_group()
    put(group, *[f"line {n}" for n in range(25)])
    seen, token = [], None
    while True:
        page = logs.filter_log_events(logGroupName=group, limit=10, **({"nextToken": token} if token else {}))
        seen += page["events"]
        token = page.get("nextToken")
        if not token:
            break
    assert [e["message"] for e in seen] == [f"line {n}" for n in range(25)], seen
    assert len({e["eventId"] for e in seen}) == 25
    tail = logs.get_log_events(logGroupName=group, logStreamName="one", limit=10)
    assert [e["message"] for e in tail["events"]] == [f"line {n}" for n in range(15, 25)], tail
    back = logs.get_log_events(logGroupName=group, logStreamName="one", limit=10, nextToken=tail["nextBackwardToken"])
    assert [e["message"] for e in back["events"]] == [f"line {n}" for n in range(5, 15)], back
    end = logs.get_log_events(logGroupName=group, logStreamName="one", nextToken=tail["nextForwardToken"])
    assert not end["events"] and end["nextForwardToken"] == tail["nextForwardToken"], end


def check_columns_are_told_apart():
    group = fresh_group()
    put(group, "10.0.0.1 GET /a 200 12", "10.0.0.2 GET /b 404 34", "10.0.0.3 GET /c 500 56", "not such a line")
    found = logs.filter_log_events(logGroupName=group, filterPattern="[ip, method, path, status = 4* || status = 500, bytes > 40]")["events"]
    assert [e["message"] for e in found] == ["10.0.0.3 GET /c 500 56"], found


def otlp(group, stream, text):
    at = str(time.time_ns())
    body = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": at, "body": {"stringValue": text}}]}]}]}
    headers = {"Content-Type": "application/json", "x-aws-log-group": group, "x-aws-log-stream": stream}
    return signed("POST", "/v1/logs", headers, json.dumps(body).encode(), "logs")


def check_otlp_goes_to_the_group_that_its_headers_name():
    group = f"/compat/{uuid.uuid4()}"
    answer = otlp(group, "made for it", "by way of OTLP")
    assert answer.status_code == 200, answer.content
    (event,) = logs.filter_log_events(logGroupName=group)["events"]
    assert event["logStreamName"] == "made for it" and "by way of OTLP" in event["message"], event
    assert otlp(GROUP, "of its own", "to the runtime").status_code == 200
    (event,) = logs.filter_log_events(logGroupName=GROUP, logStreamNames=["of its own"])["events"]
    assert "to the runtime" in event["message"], event


def check_retention_takes_effect():
    group, day = fresh_group(), 24 * 3600 * 1000
    now = int(time.time() * 1000)
    put(group, "three days ago", at=now - 3 * day)
    put(group, "today", at=now)
    logs.put_retention_policy(logGroupName=group, retentionInDays=1)
    assert [e["message"] for e in logs.filter_log_events(logGroupName=group)["events"]] == ["today"]
    assert [e["message"] for e in logs.get_log_events(logGroupName=group, logStreamName="one", startFromHead=True)["events"]] == ["today"]
    started = logs.start_query(logGroupNames=[group], startTime=(now - 5 * day) // 1000, endTime=now // 1000 + 60, queryString="fields @message")

    def done():
        answer = logs.get_query_results(queryId=started["queryId"])
        return answer if answer["status"] == "Complete" else None

    assert len(wait(20, "the query ends", done)["results"]) == 1
    logs.delete_retention_policy(logGroupName=group)
    assert len(logs.filter_log_events(logGroupName=group)["events"]) == 2


def check_bad_calls_are_told_apart():
    group = fresh_group()
    with refused("ResourceAlreadyExistsException", 400):
        logs.create_log_group(logGroupName=group)
    with refused("ResourceNotFoundException", 400, "does not exist"):
        logs.filter_log_events(logGroupName="/nobody/has/this")
    with refused("ResourceNotFoundException", 400):
        logs.put_log_events(logGroupName=group, logStreamName="two", logEvents=[{"timestamp": int(time.time() * 1000), "message": "x"}])
    with refused("InvalidParameterException", 400, "character 3"):
        logs.filter_log_events(logGroupName=group, filterPattern='a "open')
    with refused("MalformedQueryException", 400, "line 2, column 3"):
        logs.start_query(logGroupName=group, startTime=0, endTime=1, queryString="fields a\n| frobnicate")
    old = logs.put_log_events(logGroupName=group, logStreamName="one", logEvents=[{"timestamp": 1, "message": "long ago"}, {"timestamp": int(time.time() * 1000), "message": "now"}])
    assert old["rejectedLogEventsInfo"]["tooOldLogEventEndIndex"] == 1, old
    logs.delete_log_stream(logGroupName=group, logStreamName="one")


def check_live_tail_shows_what_comes():
    group = fresh_group()
    arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}"
    tail = boto3.client("logs", config=Config(inject_host_prefix=False)).start_live_tail(logGroupIdentifiers=[arn], logEventFilterPattern="-dull")
    stream = iter(tail["responseStream"])
    first = next(stream)
    assert first["sessionStart"]["logGroupIdentifiers"] == [arn], first
    put(group, "dull", "bright")
    got, deadline = [], time.monotonic() + 15
    while not got and time.monotonic() < deadline:
        got = next(stream)["sessionUpdate"]["sessionResults"]
    assert [e["message"] for e in got] == ["bright"] and got[0]["logStreamName"] == "one", got
    tail["responseStream"].close()


def check_queries_of_the_starter_toolkit():
    """Every query that its builder makes, over a real call."""
    wheels = [f for f in os.listdir(CONTEXT["toolkits"]) if f.startswith("bedrock_agentcore_starter_toolkit")]
    source = zipfile.ZipFile(os.path.join(CONTEXT["toolkits"], wheels[0])).read("bedrock_agentcore_starter_toolkit/operations/observability/query_builder.py")
    module = {}
    exec(compile(source, "query_builder.py", "exec"), module)
    build = module["CloudWatchQueryBuilder"]
    session = called()
    spans = query(build.build_spans_by_session_query(session, RUNTIME), "aws/spans")
    names = [s["spanName"] for s in spans]
    assert "InvokeAgentRuntime" in names and "chat nova-pro" in names, names
    assert [int(s["startTimeUnixNano"]) for s in spans] == sorted(int(s["startTimeUnixNano"]) for s in spans)
    assert all(s["sessionId"] == session and float(s["durationMs"]) >= 0 and json.loads(s["@message"])["traceId"] == s["traceId"] for s in spans), spans
    assert not query(build.build_spans_by_session_query(session, "another-0123456789"), "aws/spans")
    trace = next(s["traceId"] for s in spans if s["spanName"] == "InvokeAgentRuntime")  # health checks have traces of their own
    whole = query(build.build_spans_by_trace_query(trace), "aws/spans")
    assert {"InvokeAgentRuntime", "chat nova-pro"} <= {s["spanName"] for s in whole} and all(s["traceId"] == trace for s in whole), whole
    summary = query(build.build_session_summary_query(session, RUNTIME), "aws/spans")
    assert len(summary) == 1 and int(summary[0]["spanCount"]) >= len(spans) and int(summary[0]["traceCount"]) >= 1 and summary[0]["systemErrors"] == "0", summary
    assert int(summary[0]["sessionStart"]) <= min(int(s["startTimeUnixNano"]) for s in spans), summary
    latest = query(build.build_latest_session_query(RUNTIME), "aws/spans")
    assert latest[0]["attributes.session.id"] == session, latest
    for text in (build.build_runtime_logs_by_trace_direct(trace), build.build_runtime_logs_by_traces_batch([trace, "0" * 32])):
        assert all(r["traceId"] == trace for r in query(text, GROUP)), text


def check_queries_of_the_agentcore_cli():
    """The query strings in the bundle that npm installs, with their blanks filled in."""
    session = called()
    trace = query(f"filter attributes.session.id = '{session}' | fields traceId", "aws/spans")[0]["traceId"]
    texts = CONTEXT["cliQueries"]
    assert len(texts) >= 6, texts
    for text in texts:
        text = re.sub(r"in \[\$\{[^}]*\}\]", f"in ['{trace}']", text)
        text = re.sub(r"limit \$\{[^}]*\}", "limit 10", text)
        text = re.sub(r"parsedAgentId = '\$\{[^}]*\}'", f"parsedAgentId = '{RUNTIME}'", text)
        text = re.sub(r"traceId = '\$\{[^}]*\}'", f"traceId = '{trace}'", text)
        assert "${" not in text, text
        both = query(text, "aws/spans") + query(text, GROUP)
        assert both, text
        if "spanId" in text:  # the CLI reads both groups and adds them up
            assert len({s["spanId"] for s in both}) == len(both), text
        if "by traceId" in text:
            assert any(t.get("sessionId") == session for t in query(text, GROUP)), text


if __name__ == "__main__":
    main(globals())
