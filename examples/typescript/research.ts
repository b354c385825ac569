// Run a prompt on QuantConnect and give what the agent says in the end.
//
// Where and as whom comes from the environment: QUANTCONNECT_API_BASE_URL, QUANTCONNECT_USER_ID, QUANTCONNECT_API_TOKEN
// and QUANTCONNECT_ORGANIZATION_ID, as `qcmock run` sets them. Without the first it is production, where a run costs
// tokens.
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

const agent = 47; // predefined by QuantConnect
const final = new Set(["completed", "stopped", "failed", "runtimeerror"]);

interface Part {
  type: string;
  text?: string;
}
interface Conversation {
  messages?: { role?: string; parts?: Part[] }[];
}
interface Answer {
  success: boolean;
  errors?: string[];
  task?: { id: number; name: string };
  deployment?: { deploymentId: string; status: string };
  conversation?: Conversation | null;
}

/** The service said no; the message is its own. */
export class Refused extends Error {}

/** Calls an endpoint, signed afresh, and gives its answer. */
export async function call(endpoint: string, members: Record<string, unknown>): Promise<Answer> {
  const { QUANTCONNECT_API_BASE_URL: base = "https://www.quantconnect.com/api/v2" } = process.env;
  const timestamp = Math.floor(Date.now() / 1000).toString();
  const hash = createHash("sha256").update(`${process.env.QUANTCONNECT_API_TOKEN}:${timestamp}`).digest("hex");
  const credentials = Buffer.from(`${process.env.QUANTCONNECT_USER_ID}:${hash}`).toString("base64");
  const response = await fetch(`${base}/${endpoint}`, {
    method: "POST",
    headers: { Authorization: `Basic ${credentials}`, Timestamp: timestamp, "Content-Type": "application/json" },
    body: JSON.stringify(members),
  });
  const answer = (await response.json()) as Answer;
  if (!answer.success) throw new Refused((answer.errors ?? []).join(" "));
  return answer;
}

/** Deploys a prompt, waits for it, and gives its final status and the last text of its transcript. */
export async function research(prompt: string, pause = 10_000): Promise<{ status: string; said: string }> {
  const { task } = await call("agents/tasks/create", {
    organizationId: process.env.QUANTCONNECT_ORGANIZATION_ID,
    agentId: agent,
    name: prompt.slice(0, 40),
    prompt,
    projectPreference: "project-each-task-deployment",
  });
  try {
    const { deployment } = await call("agents/deployments/create", { taskId: task!.id });
    const { deploymentId } = deployment!;
    let { status } = deployment!;
    while (!final.has(status.toLowerCase())) {
      await sleep(pause);
      status = (await call("agents/deployments/read", { deploymentId })).deployment!.status;
    }
    const { conversation } = await call("agents/deployments/conversation/read", { deploymentId });
    return { status, said: lastText(conversation) };
  } finally {
    await call("agents/tasks/delete", { taskId: task!.id });
  }
}

/** The last text part of a transcript, which may be null. */
export function lastText(conversation: Conversation | null | undefined): string {
  const texts = (conversation?.messages ?? [])
    .filter((message) => message.role !== "user")
    .flatMap((message) => message.parts ?? [])
    .filter((part) => part.type === "text");
  return texts.at(-1)?.text ?? "";
}
