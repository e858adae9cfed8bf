// CloudWatch metrics through the AWS SDK for JavaScript.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import test, { after } from "node:test";

import { CloudWatchClient, GetMetricDataCommand, GetMetricStatisticsCommand, ListMetricsCommand, PutMetricDataCommand } from "@aws-sdk/client-cloudwatch";

const cloudwatch = new CloudWatchClient({ maxAttempts: 1 });
after(() => cloudwatch.destroy());

const window = () => ({ StartTime: new Date(Date.now() - 3600e3), EndTime: new Date(Date.now() + 60e3) });

test("metrics are put, listed and read", async () => {
  const Namespace = `compat-js/${randomUUID()}`;
  await cloudwatch.send(new PutMetricDataCommand({ Namespace, MetricData: [{ MetricName: "sold", Value: 4.5, Unit: "Count" }, { MetricName: "sold", Value: 1.5, Unit: "Count" }] }));
  const { Metrics } = await cloudwatch.send(new ListMetricsCommand({ Namespace }));
  assert.equal(Metrics[0].MetricName, "sold");
  const { Datapoints } = await cloudwatch.send(new GetMetricStatisticsCommand({ Namespace, MetricName: "sold", Period: 3600, Statistics: ["Sum", "Average"], ...window() }));
  assert.equal(Datapoints[0].Sum, 6);
  assert.ok(Datapoints[0].Timestamp instanceof Date);
  const { MetricDataResults } = await cloudwatch.send(new GetMetricDataCommand({
    ...window(), MetricDataQueries: [{ Id: "e1", Expression: `SEARCH('Namespace="${Namespace}"', 'Maximum', 60)` }],
  }));
  assert.deepEqual(MetricDataResults[0].Values, [4.5]);
});

test("a wrong question is refused by name", async () => {
  await assert.rejects(
    cloudwatch.send(new GetMetricDataCommand({ ...window(), MetricDataQueries: [{ Id: "x", Expression: "NOPE(1)" }] })),
    (e) => /NOPE is not offered/.test(e.message) && e.$metadata.httpStatusCode === 400,
  );
});
