// Sends requests side by side over one connection of HTTP/2: http2.mjs URL PROTOCOL [CA].

import { readFileSync } from "node:fs";
import { connect, constants } from "node:http2";

const [url, protocol, ca] = process.argv.slice(2);
const session = connect(url, ca ? { ca: readFileSync(ca) } : {});
const failed = new Promise((_, reject) => session.on("error", reject));

function send(method, path, body) {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      [constants.HTTP2_HEADER_METHOD]: method,
      [constants.HTTP2_HEADER_PATH]: path,
      "content-type": "application/json",
    });
    let status;
    const chunks = [];
    stream.on("response", (headers) => (status = headers[constants.HTTP2_HEADER_STATUS]));
    stream.on("data", (chunk) => chunks.push(chunk));
    stream.on("end", () => resolve({ status, text: Buffer.concat(chunks).toString() }));
    stream.on("error", reject);
    stream.end(body);
  });
}

function expect(is, what) {
  if (!is) throw new Error(what);
}

const start = Math.floor(Date.now() / 1000) - 60;
const traceId = `1-${start.toString(16)}-${"0".repeat(23)}9`;

function document(number) {
  const id = number.toString(16).padStart(16, "0");
  return JSON.stringify({ name: "shop", id, trace_id: traceId, start_time: start, end_time: start + 1 });
}

async function run() {
  const puts = [];
  for (let number = 1; number <= 60; number += 1) {
    puts.push(send("POST", "/TraceSegments", JSON.stringify({ TraceSegmentDocuments: [document(number)] })));
  }
  for (const { status, text } of await Promise.all(puts)) {
    expect(status === 200 && text === '{"UnprocessedTraceSegments":[]}', `${status} ${text}`);
  }
  const { status, text } = await send("POST", "/Traces", JSON.stringify({ TraceIds: [traceId] }));
  expect(status === 200, `${status} ${text}`);
  expect(JSON.parse(text).Traces[0].Segments.length === 60, text);
  expect(session.alpnProtocol === protocol, `the protocol is ${session.alpnProtocol}`);
}

await Promise.race([run(), failed]);
session.close();
