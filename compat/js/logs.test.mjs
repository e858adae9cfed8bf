// CloudWatch Logs through the AWS SDK for JavaScript.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import test, { after } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import {
  CloudWatchLogsClient, CreateLogGroupCommand, CreateLogStreamCommand, DescribeLogGroupsCommand, DescribeLogStreamsCommand, FilterLogEventsCommand,
  GetLogEventsCommand, GetQueryResultsCommand, PutLogEventsCommand, StartLiveTailCommand, StartQueryCommand,
} from "@aws-sdk/client-cloudwatch-logs";

const { account } = JSON.parse(process.env.COMPAT);
const region = process.env.AWS_REGION;
const logs = new CloudWatchLogsClient({ maxAttempts: 1 });
after(() => logs.destroy());

async function freshGroup() {
  const logGroupName = `/compat-js/${randomUUID()}`;
  await logs.send(new CreateLogGroupCommand({ logGroupName }));
  await logs.send(new CreateLogStreamCommand({ logGroupName, logStreamName: "one" }));
  return logGroupName;
}

const put = (logGroupName, ...messages) => logs.send(new PutLogEventsCommand({
  logGroupName, logStreamName: "one", logEvents: messages.map((message, n) => ({ timestamp: Date.now() + n, message })),
}));

test("events are put and read, and groups and streams listed", async () => {
  const logGroupName = await freshGroup();
  await put(logGroupName, "first", "second");
  const { events } = await logs.send(new FilterLogEventsCommand({ logGroupName, filterPattern: "second" }));
  assert.deepEqual(events.map((e) => e.message), ["second"]);
  const all = await logs.send(new GetLogEventsCommand({ logGroupName, logStreamName: "one", startFromHead: true }));
  assert.deepEqual(all.events.map((e) => e.message), ["first", "second"]);
  const { logGroups } = await logs.send(new DescribeLogGroupsCommand({ logGroupNamePrefix: logGroupName }));
  assert.equal(logGroups[0].logGroupName, logGroupName);
  const { logStreams } = await logs.send(new DescribeLogStreamsCommand({ logGroupName }));
  assert.equal(logStreams[0].logStreamName, "one");
});

test("a query is answered, and a wrong one refused", async () => {
  const logGroupName = await freshGroup();
  await put(logGroupName, JSON.stringify({ level: "INFO", ms: 12 }), JSON.stringify({ level: "ERROR", ms: 30 }));
  const now = Math.floor(Date.now() / 1000);
  const window = { logGroupName, startTime: now - 60, endTime: now + 60 };
  const { queryId } = await logs.send(new StartQueryCommand({ ...window, queryString: "stats max(ms) as most by level | sort most desc" }));
  let answer;
  do {
    await pause(50);
    answer = await logs.send(new GetQueryResultsCommand({ queryId }));
  } while (answer.status === "Running");
  assert.deepEqual(answer.results[0], [{ field: "level", value: "ERROR" }, { field: "most", value: "30" }]);
  await assert.rejects(logs.send(new StartQueryCommand({ ...window, queryString: "stats nothing" })), { name: "MalformedQueryException" });
  await assert.rejects(logs.send(new FilterLogEventsCommand({ logGroupName: "/nobody/has/this" })), { name: "ResourceNotFoundException" });
});

test("a live tail shows what comes", async () => {
  const logGroupName = await freshGroup();
  const direct = new CloudWatchLogsClient({ maxAttempts: 1, disableHostPrefix: true });
  const tail = await direct.send(new StartLiveTailCommand({ logGroupIdentifiers: [`arn:aws:logs:${region}:${account}:log-group:${logGroupName}`] }));
  for await (const event of tail.responseStream) {
    if (event.sessionStart) await put(logGroupName, "hello");
    if (event.sessionUpdate?.sessionResults.length) {
      assert.equal(event.sessionUpdate.sessionResults[0].message, "hello");
      break;
    }
  }
  direct.destroy();
});
