// A receiver of the notifier's webhooks, to copy from: it verifies the signature,
// refuses what is too old, and takes each delivery once. Node 18 or newer, no packages.
//
//   node receiver.mjs 127.0.0.1:9000 secret.txt
//
// The file holds the secret as CONNECTOR_<NAME>_SECRET has it: whsec_ and base64.
import { createHmac, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

const toleranceSeconds = 5 * 60;
const maxBody = 16 << 20;
const maxSeen = 100_000; // deliveries to remember: a failed one is repeated for three days

// verify throws unless a holder of the key signed body with these headers within the
// last five minutes. Body has to be a Buffer of the bytes as they came.
function verify(headers, body, key, now = Date.now() / 1000) {
  const id = headers["webhook-id"];
  const timestamp = headers["webhook-timestamp"];
  if (!id || !/^\d{1,15}$/.test(timestamp ?? "")) {
    throw new Error("webhook-id or webhook-timestamp is missing or malformed");
  }
  if (Math.abs(now - Number(timestamp)) > toleranceSeconds) {
    throw new Error("too old, or from the future: it may have been recorded");
  }
  const want = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest();
  for (const one of (headers["webhook-signature"] ?? "").split(" ")) { // several while a secret is exchanged
    const [version, encoded] = one.split(",");
    const got = Buffer.from(encoded ?? "", "base64");
    if (version === "v1" && got.length === want.length && timingSafeEqual(got, want)) { // in constant time
      return;
    }
  }
  throw new Error("no signature matches");
}

// handle is where your own code begins. A digest is a list of events.
function handle(body) {
  const parsed = JSON.parse(body);
  for (const event of Array.isArray(parsed) ? parsed : [parsed]) {
    console.log(event.type, event.id);
  }
}

// Deliveries that were taken. The process forgets them when it ends: a database with
// a unique key on webhook-id does not.
const seen = new Set();

function take(id, body) {
  if (seen.has(id)) {
    return;
  }
  handle(body); // throws: not seen, and it comes again
  seen.add(id);
  if (seen.size > maxSeen) {
    seen.delete(seen.values().next().value); // the oldest
  }
}

async function read(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > maxBody) {
      throw new Error("the body is too large");
    }
    parts.push(part);
  }
  return Buffer.concat(parts);
}

async function receive(key, request, response) {
  let status = 204;
  let text = "";
  try {
    const body = await read(request);
    status = 401;
    verify(request.headers, body, key);
    status = 500;
    take(request.headers["webhook-id"], body);
    status = 204;
  } catch (error) {
    status = status === 204 ? 400 : status;
    text = status === 500 ? "try again later" : error.message;
  }
  response.writeHead(status, { "Content-Type": "text/plain" }).end(text);
}

if (process.argv.length !== 4) {
  console.error("usage: node receiver.mjs <address> <file with the secret>");
  process.exit(2);
}
const [address, file] = process.argv.slice(2);
const secret = readFileSync(file, "utf8").trim();
const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
if (!secret.startsWith("whsec_") || key.length === 0) {
  console.error("the secret is not whsec_ and base64");
  process.exit(2);
}
const server = createServer((request, response) => receive(key, request, response));
const colon = address.lastIndexOf(":");
server.listen(Number(address.slice(colon + 1)), address.slice(0, colon), () => {
  const at = server.address();
  console.log(`listening on ${at.address}:${at.port}`);
});
