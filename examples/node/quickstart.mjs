// strat from Node: node-redis as it is, nothing but sendCommand and subscribe.
//
//     npm install
//     REDIS_URL=redis://127.0.0.1:6379/ node quickstart.mjs      (or unix:///path/to/redis.sock)
//
// Uses the user `quickstart-js` and removes what it made. Ends with 0 if everything answered as expected.
import { createClient } from "redis";

const KEY = "user:quickstart-js:strategy:s1";

// --- connect
const url = (process.env.REDIS_URL ?? "redis://127.0.0.1:6379/").replace("redis+unix://", "unix://");
const options = url.startsWith("unix://") ? { socket: { path: url.slice("unix://".length) } } : { url };
const client = createClient(options);
client.on("error", (error) => console.error(String(error)));
await client.connect();

/** Arguments are texts: a price as a number would lose digits. */
const strat = (...words) => client.sendCommand(words.map(String));
// --- end

// --- maps
/** RESP2 answers maps as names and values in turn. */
const fields = (flat) => Object.fromEntries(flat.flatMap((name, at) => (at % 2 ? [] : [[name, flat[at + 1]]])));
// --- end

function expect(what, found, expected) {
  console.log(`${what}: ${found}`);
  if (JSON.stringify(found) !== JSON.stringify(expected)) {
    throw new Error(`${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(found)}`);
  }
}

await strat("STRAT.DEL", KEY);

// --- events
const seen = [];
const listener = client.duplicate();
await listener.connect();
await listener.subscribe("events:quickstart-js", (message) => seen.push(JSON.parse(message)));
// --- end

/** The next event; every wait ends. */
async function event() {
  for (let tries = 0; tries < 1000 && seen.length === 0; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  if (seen.length === 0) throw new Error("no event within 10 seconds");
  return seen.shift().type;
}

// Set and get: every text comes back as it was given.
await strat("STRAT.SET", KEY, "symbol", "IBM", "quantity", 10, "stop_loss", "2500.00", "note", '{"by": "me"}');
const before = fields(await strat("STRAT.GET", KEY));
expect("stop_loss", before.stop_loss, "2500.00");
expect("note", before.note, '{"by": "me"}');
expect("event", await event(), "STRATEGY_STARTED");

// Update: the other fields stay. A bad price changes nothing.
await strat("STRAT.UPDATE", KEY, "stop_loss", "2490.50");
expect("updated", fields(await strat("STRAT.GET", KEY)).stop_loss, "2490.50");
expect("event", await event(), "STRATEGY_UPDATED");
// --- refusals
try {
  await strat("STRAT.UPDATE", KEY, "stop_loss", "nan");
  throw new Error("a stop at nan was accepted");
} catch (error) {
  expect("refused", error.message.split(" ")[0], "BADPRICE"); // the first word is stable
}
// --- end

// --- pages
let cursor = "0";
const mine = [];
do {
  const [next, keys] = await strat("STRAT.LIST", "USER", "quickstart-js", "CURSOR", cursor, "COUNT", 100);
  cursor = next;
  mine.push(...keys);
} while (cursor !== "0");
// --- end
expect("my strategies", mine, [KEY]);

// Lock twice: only one gets a token.
const token = await strat("STRAT.LOCK", KEY, "BUY", "first", 5000);
expect("second lock", await strat("STRAT.LOCK", KEY, "BUY", "second", 5000), null);
expect("wrong token", await strat("STRAT.UNLOCK", KEY, "1-1"), 0);
expect("unlock", await strat("STRAT.UNLOCK", KEY, token), 1);

// Remove.
expect("removed", await strat("STRAT.DEL", KEY), 1);
expect("gone", await strat("STRAT.GET", KEY), null);
expect("event", await event(), "STRATEGY_REMOVED");
listener.destroy();
client.destroy();
console.log("all as expected");
