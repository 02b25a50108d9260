// Takes every step of steps.json (described in steps.py) with the AWS SDK for JavaScript: node steps.mjs ENDPOINT VARIABLES.

import { readFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import * as xray from "@aws-sdk/client-xray";

const PATIENCE_MS = 30_000;
const TIMES = new Set(["StartTime", "EndTime", "Timestamp"]);

const [endpoint, variablesPath] = process.argv.slice(2);
const steps = JSON.parse(readFileSync(new URL("steps.json", import.meta.url), "utf8"));
const variables = JSON.parse(readFileSync(variablesPath, "utf8"));
const client = new xray.XRayClient({
  endpoint,
  region: "us-east-1",
  credentials: { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "secret" },
  maxAttempts: 1,
});

// Times are dates in this client.
function filled(value, name) {
  if (Array.isArray(value)) return value.map((item) => filled(item));
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, filled(inner, key)]));
  }
  const found = typeof value === "string" && value.startsWith("$") ? variables[value.slice(1)] : value;
  return TIMES.has(name) && typeof found === "number" ? new Date(found * 1000) : found;
}

function isLike(value, pattern) {
  if (pattern === "*") return value !== undefined && value !== null && value !== "" && !Number.isNaN(value.valueOf());
  if (Array.isArray(pattern)) {
    if (!Array.isArray(value) || (value.length > 0 && pattern.length === 0)) return false;
    return pattern.every((inner) => value.some((item) => isLike(item, inner)));
  }
  if (pattern !== null && typeof pattern === "object") {
    return value !== null && typeof value === "object" && Object.entries(pattern).every(([name, inner]) => isLike(value[name], inner));
  }
  if (typeof pattern === "number") return typeof value === "number" && Math.abs(value - pattern) < 0.001;
  return value === pattern;
}

async function call(operation, input) {
  try {
    const paginate = xray[`paginate${operation}`];
    if (paginate === undefined) {
      return { result: await client.send(new xray[`${operation}Command`](input)) };
    }
    let result;
    for await (const page of paginate({ client }, input)) {
      for (const [name, value] of Object.entries(page)) {
        if (result !== undefined && Array.isArray(value)) result[name].push(...value);
      }
      result ??= page;
    }
    return { result };
  } catch (error) {
    const typed = xray[error.name];
    if (typed === undefined || !(error instanceof typed)) return { problem: `untyped: ${error.stack}` };
    if (!error.$metadata.requestId) return { problem: "an error without a request id" };
    return { error: error.name, text: error.message };
  }
}

async function attempt(step) {
  const answer = await call(step.operation, filled(step.input));
  if (answer.problem !== undefined) return answer.problem;
  if (step.error !== undefined) {
    if (answer.error !== step.error) return `${step.error} was due, not ${JSON.stringify(answer)}`;
    return answer.text ? undefined : "an error without a text";
  }
  const pattern = filled(step.result);
  if (!isLike(answer.result, pattern)) return `${JSON.stringify(pattern)} was due, not ${JSON.stringify(answer)}`;
  for (const [name, path] of Object.entries(step.save ?? {})) {
    variables[name] = path.split(".").reduce((value, member) => value[member], answer.result);
  }
  return undefined;
}

async function take(step) {
  const givenUp = Date.now() + (step.until ? PATIENCE_MS : 0);
  for (;;) {
    const problem = await attempt(step).catch((error) => String(error.stack));
    if (problem === undefined || Date.now() > givenUp) return problem;
    await wait(50);
  }
}

const offered = Object.keys(xray).filter((name) => /^[A-Z].*Command$/.test(name) && name !== "$Command").map((name) => name.slice(0, -"Command".length));
console.log(JSON.stringify({ offered: offered.sort() }));
for (const step of steps) {
  const problem = await take(step);
  console.log(JSON.stringify({ operation: step.operation, expected: step.error ?? "result", ok: problem === undefined, problem }));
}
