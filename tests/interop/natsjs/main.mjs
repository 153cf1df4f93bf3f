// main - what programs do with nats.js against a server.
// usage: node main.mjs URL[,URL...]   prints "ok case" for each; the first failure ends it with status 1.
import { connect, headers, nuid } from "@nats-io/transport-node";
import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { Objm } from "@nats-io/obj";

const servers = process.argv[2].split(",");

function want(good, what) {
  if (!good) throw new Error(what);
}

// Collects so many values of an async iterator, or fails after ten seconds.
async function take(iterator, count, what) {
  const got = [];
  const timer = setTimeout(() => {
    console.log(`FAIL ${what}: ${got.length} of ${count} came`);
    process.exit(1);
  }, 10000);
  if (count > 0) {
    for await (const m of iterator) {
      got.push(m);
      if (got.length === count) break;
    }
  }
  clearTimeout(timer);
  return got;
}

async function fresh(nc, name) {
  const jsm = await jetstreamManager(nc);
  await jsm.streams.delete(name).catch(() => {});
  await jsm.streams.add({ name, subjects: [`${name}.>`] });
  return { jsm, js: jetstream(nc) };
}

const cases = {
  async core(nc) {
    const sub = nc.subscribe("core.*");
    const h = headers();
    h.append("k", "v");
    for (let i = 0; i < 100; i++) nc.publish(`core.${i}`, `${i}`, { headers: h });
    const got = await take(sub, 100, "core messages");
    want(got.every((m, i) => m.string() === `${i}` && m.headers.get("k") === "v"), "contents");
  },
  async request(nc) {
    nc.subscribe("svc", { queue: "q", callback: (_err, m) => m.respond(m.data) });
    await nc.flush();
    const answer = await nc.request("svc", "hi", { timeout: 5000 });
    want(answer.string() === "hi", "answer");
    const error = await nc.request("nobody", "", { timeout: 5000 }).catch((e) => e);
    want(/no responders/i.test(String(error)), `a request to nobody: ${error}`);
  },
  async "js publish"(nc) {
    const { js, jsm } = await fresh(nc, "jspub");
    const first = await js.publish("jspub.a", "1", { msgID: "id" });
    const again = await js.publish("jspub.a", "1", { msgID: "id" });
    want(first.seq === 1 && again.duplicate && again.seq === 1, "duplicates");
    const error = await js.publish("jspub.a", "2", { expect: { lastSequence: 9 } }).catch((e) => e);
    want(/wrong last sequence/.test(String(error)), `expected sequence: ${error}`);
    await Promise.all(Array.from({ length: 200 }, (_, i) => js.publish("jspub.b", `${i}`)));
    const info = await jsm.streams.info("jspub");
    want(info.state.messages === 201, `messages ${info.state.messages}`);
    const m = await jsm.streams.getMessage("jspub", { last_by_subj: "jspub.a" });
    want(m.seq === 1, "last by subject");
    want((await jsm.streams.purge("jspub")).purged === 201, "purge");
  },
  async consume(nc) {
    const { js, jsm } = await fresh(nc, "jscons");
    for (let i = 0; i < 50; i++) await js.publish("jscons.a", `${i}`);
    await jsm.consumers.add("jscons", { durable_name: "d", ack_policy: AckPolicy.Explicit });
    const c = await js.consumers.get("jscons", "d");
    const iter = await c.consume({ max_messages: 20 });
    const got = [];
    for await (const m of iter) {
      got.push(m.string());
      await m.ackAck();
      if (got.length === 50) break;
    }
    want(got.every((s, i) => s === `${i}`), "order");
    const ci = await c.info();
    want(ci.ack_floor.stream_seq === 50 && ci.num_pending === 0, "ack floor");
    await js.publish("jscons.a", "x");
    const one = await c.next({ expires: 5000 });
    want(one.string() === "x", "next");
    one.nak();
    const again = await c.next({ expires: 5000 });
    want(again.info.deliveryCount === 2, "redelivery");
    again.ack();
    const fetched = await take(await c.fetch({ max_messages: 3, expires: 1000 }), 0, "fetch");
    want(fetched.length === 0, "fetch of nothing");
  },
  async ordered(nc) {
    const { js } = await fresh(nc, "jsord");
    for (let i = 0; i < 50; i++) await js.publish("jsord.a", `${i}`);
    const c = await js.consumers.get("jsord", { deliver_policy: DeliverPolicy.All });
    const got = await take(await c.consume(), 50, "ordered messages");
    want(got.every((m, i) => m.string() === `${i}`), "order");
  },
  async push(nc) {
    const { js, jsm } = await fresh(nc, "jspush");
    await jsm.consumers.add("jspush", {
      durable_name: "p",
      ack_policy: AckPolicy.Explicit,
      deliver_subject: `push.${nuid.next()}`,
    });
    const c = await js.consumers.getPushConsumer("jspush", "p");
    const iter = await c.consume();
    for (let i = 0; i < 20; i++) await js.publish("jspush.a", `${i}`);
    const got = await take(iter, 20, "pushed messages");
    for (const m of got) m.ack();
    want(got.every((m, i) => m.string() === `${i}`), "order");
  },
  async kv(nc) {
    const kvm = new Kvm(nc);
    const old = await kvm.create("jskv", { history: 5 });
    await old.destroy();
    const kv = await kvm.create("jskv", { history: 5 });
    const rev = await kv.put("a", "1");
    want((await kv.get("a")).string() === "1", "get");
    await kv.update("a", "2", rev);
    want(await kv.update("a", "3", rev).catch(() => "refused") === "refused", "update at an old revision");
    want(await kv.create("a", "x").catch(() => "refused") === "refused", "create over a value");
    await kv.put("b", "y");
    const w = await kv.watch();
    const seen = await take(w, 2, "watch");
    want(seen.map((e) => e.key).sort().join() === "a,b", "watch");
    await kv.delete("b");
    const keys = [];
    for await (const k of await kv.keys()) keys.push(k);
    want(keys.join() === "a", `keys ${keys}`);
    const history = [];
    for await (const e of await kv.history({ key: "a" })) history.push(e.string());
    want(history.join() === "1,2", `history ${history}`);
  },
  async "object store"(nc) {
    const objm = new Objm(nc);
    const os = await objm.create("jsobj");
    const data = new Uint8Array(500000).fill(7);
    await os.putBlob({ name: "big" }, data);
    const back = await os.getBlob("big");
    want(back.length === data.length && back.every((b) => b === 7), "contents");
    await os.delete("big");
    want((await os.get("big")) === null, "a deleted object");
    await os.destroy();
  },
};

for (const [name, run] of Object.entries(cases)) {
  try {
    const nc = await connect({ servers, maxReconnectAttempts: -1 });
    await run(nc);
    await nc.close();
    console.log(`ok ${name}`);
  } catch (e) {
    console.log(`FAIL ${name}: ${e.stack ?? e}`);
    process.exit(1);
  }
}
