// Tests of research.ts against the mock: qcmock run --speed 60 --severity not-found=warning -- npm test
import assert from "node:assert/strict";
import { test } from "node:test";

import { call, Refused, research } from "./research.ts";

test("a run ends with a summary", async () => {
  const { status, said } = await research("Build a buy and hold strategy for SPY", 20);
  assert.equal(status, "Completed");
  assert.match(said, /SPY/);
});

test("a failed run is told from a success", async () => {
  const { status } = await research("Trade options on SPY [mock:failed]", 20);
  assert.equal(status, "Failed");
});

test("a run without a conversation has no text", async () => {
  assert.deepEqual(await research("Say nothing [mock:empty-conversation]", 20), { status: "Completed", said: "" });
});

test("a refusal carries the words of the service", async () => {
  await assert.rejects(call("agents/tasks/read", { taskId: 1 }), (error) => error instanceof Refused && /not found/.test(error.message));
});
