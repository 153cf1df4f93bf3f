"""load - what clients do meanwhile. Each worker is a thread with a connection of its own and notes all it did.

An operation: {t0, t1, who, node, stream, subject, key, res, seq, dup, note}. res is ok (acknowledged), fail (a
definite refusal: it must never be stored) or info (nobody knows: it may be stored, once).
"""
import hashlib
import random
import threading
import time

import natsraw
from natsraw import ApiError, NatsError, NoResponders, Timeout

REQUEST_S = 5.0
TRIES = 5
ACK_WAIT_S = 5
HISTORY = 5

STREAMS = {
    # name: (subjects, replicas asked for, what else)
    "ONE": ("one.>", 1, {}),
    "THREE": ("three.>", 3, {}),
    "MEMORY": ("memory.>", 3, {"storage": "memory"}),
    "KV_last": ("$KV.last.>", 3, {"max_msgs_per_subject": 1, "allow_rollup_hdrs": True, "deny_delete": True,
                                  "discard": "new"}),
    "KV_many": ("$KV.many.>", 3, {"max_msgs_per_subject": HISTORY, "allow_rollup_hdrs": True, "discard": "new"}),
}


def payload(key):
    """The bytes that belong to a key: recomputed by the check, so that nothing else passes for them."""
    digest = hashlib.sha256(key.encode()).digest()
    size = int.from_bytes(digest[:2], "big") % 900
    return key.encode() + b"|" + (digest * (size // 32 + 1))[:size]


def key_of(data):
    return data.split(b"|", 1)[0].decode("utf-8", "replace")


def set_up(nodes):
    for name, (subject, replicas, more) in STREAMS.items():
        nodes.ask(f"STREAM.CREATE.{name}", {"name": name, "subjects": [subject], "storage": "file",
                                            "num_replicas": min(replicas, len(nodes)), "retention": "limits",
                                            "duplicate_window": int(600e9), **more}, timeout=20)
    common = {"ack_policy": "explicit", "ack_wait": int(ACK_WAIT_S * 1e9), "deliver_policy": "all",
              "max_ack_pending": 500, "replay_policy": "instant"}
    nodes.ask("CONSUMER.DURABLE.CREATE.THREE.pull", {"stream_name": "THREE", "config": {
        "durable_name": "pull", **common}}, timeout=20)
    nodes.ask("CONSUMER.DURABLE.CREATE.ONE.push", {"stream_name": "ONE", "config": {
        "durable_name": "push", "deliver_subject": "deliver.push", "deliver_group": "g", **common}}, timeout=20)


class Worker(threading.Thread):
    """Stays with its home node while that runs, moves to another meanwhile and back when it is there again."""

    def __init__(self, nodes, home, who, seed):
        super().__init__(daemon=True, name=who)
        self.nodes, self.home, self.who = nodes, home, who
        self.rng = random.Random(f"{seed}/{who}")
        self.ended, self.error, self.client, self.at = threading.Event(), None, None, None
        self.ops = []

    def run(self):
        try:
            while not self.ended.is_set():
                self.connected(self.step)
        except Exception as e:  # told by the run's report
            self.error = f"{self.who}: {e!r}"
            raise
        finally:
            self.leave()

    def connected(self, what):
        """Calls it with a connection; a lost one is left."""
        try:
            self.enter()
            what()
        except (Timeout, ApiError, NoResponders):
            pass
        except (NatsError, OSError):
            self.leave()
            time.sleep(0.02)

    def enter(self):
        if self.client is not None and self.at is not self.home and self.home.name not in self.nodes.meant:
            self.leave()
        if self.client is None:
            up = self.nodes.up()
            self.at = self.home if self.home in up or not up else self.rng.choice(up)
            self.client = self.at.client(timeout=2, name=self.who)
            self.fresh()

    def fresh(self):
        """A new connection is there."""

    def leave(self):
        if self.client is not None:
            self.client.close()
        self.client = None

    def step(self):
        raise NotImplementedError

    def note(self, t0, stream, subject, key, res, seq=None, dup=False, note=""):
        self.ops.append({"t0": t0, "t1": time.monotonic(), "who": self.who, "node": self.at.name, "stream": stream,
                         "subject": subject, "key": key, "res": res, "seq": seq, "dup": dup, "note": note})

    def publish(self, stream, subject, key, headers=None):
        """One request; True when it is over, False when the same may be tried again."""
        t0 = time.monotonic()
        try:
            answer = self.client.js_pub(subject, payload(key), REQUEST_S, headers)
        except (ApiError, NoResponders) as e:
            self.note(t0, stream, subject, key, "fail", note=repr(e))
            raise
        except (NatsError, OSError) as e:
            self.note(t0, stream, subject, key, "info", note=repr(e))
            raise
        self.note(t0, stream, subject, key, "ok", answer["seq"], answer.get("duplicate", False))
        return answer


class Publisher(Worker):
    """One at a time; every second message has an id, and is tried again with it until it is acknowledged."""

    def __init__(self, nodes, home, who, seed, stream, pause):
        super().__init__(nodes, home, who, seed)
        self.stream, self.pause, self.number, self.left = stream, pause, 0, 0

    def step(self):
        key = f"{self.who}-{self.number}"
        subject = f"{self.stream.lower()}.{self.who}"
        if self.number % 2 or not self.left:
            self.left = TRIES
        self.left -= 1
        with_id = self.number % 2 == 0
        if not with_id:
            self.number += 1
        self.publish(self.stream, subject, key, {"Nats-Msg-Id": key} if with_id else None)
        if with_id:
            self.number, self.left = self.number + 1, 0
        time.sleep(self.pause * self.rng.random() * 2)

    def connected(self, what):
        super().connected(what)
        if self.number % 2 == 0 and self.left == 0 and self.ops and self.ops[-1]["res"] != "ok":
            self.number += 1  # tried often enough


class Piper(Worker):
    """Many under way at once on one connection; their order there is their order in the stream."""

    def __init__(self, nodes, home, who, seed, stream, pause):
        super().__init__(nodes, home, who, seed)
        self.stream, self.pause, self.number = stream, pause, 0
        self.batches = []

    def fresh(self):
        self.inbox = self.client.new_inbox()
        self.answers = self.client.sub(self.inbox + ".*")

    def step(self):
        keys = [f"{self.who}-{self.number + i}" for i in range(self.rng.randint(1, 30))]
        self.number += len(keys)
        subject, t0, waiting, error = f"{self.stream.lower()}.{self.who}", time.monotonic(), dict(enumerate(keys)), None
        seqs = {}
        try:
            for i, key in enumerate(keys):
                self.client.pub(subject, payload(key), f"{self.inbox}.{keys[0]}:{i}",
                                {"Nats-Msg-Id": key} if i % 2 else None)
            end = t0 + REQUEST_S
            while waiting:
                msg = self.answers.next(max(0.001, end - time.monotonic()))
                batch, _, at = msg.subject[len(self.inbox) + 1:].partition(":")
                if batch != keys[0]:
                    continue
                self.answer(msg, t0, subject, waiting.pop(int(at)), seqs)
        except (NatsError, OSError) as e:
            error = e
        for key in waiting.values():
            self.note(t0, self.stream, subject, key, "info", note=repr(error))
        self.batches.append([seqs[k] for k in keys if k in seqs])
        if error:
            raise error
        time.sleep(self.pause * self.rng.random() * 2)

    def answer(self, msg, t0, subject, key, seqs):
        body = msg.json() if msg.data else {"error": msg.status}
        if "error" in body:
            self.note(t0, self.stream, subject, key, "fail", note=str(body["error"]))
            return
        self.note(t0, self.stream, subject, key, "ok", body["seq"], body.get("duplicate", False))
        seqs[key] = body["seq"]


class KvWriter(Worker):
    """Puts, and updates of what a key was last seen to be; several writers share the keys."""

    def __init__(self, nodes, home, who, seed, bucket, pause):
        super().__init__(nodes, home, who, seed)
        self.bucket, self.pause, self.number = bucket, pause, 0
        self.reads = []

    def step(self):
        subject = f"$KV.{self.bucket}.k{self.rng.randint(0, 9)}"
        key, headers = f"{self.who}-{self.number}", None
        self.number += 1
        if self.rng.random() < 0.5:
            headers = {"Nats-Expected-Last-Subject-Sequence": str(self.read(subject))}
        try:
            self.publish(f"KV_{self.bucket}", subject, key, headers)
            if headers:
                self.ops[-1]["expected"] = int(headers["Nats-Expected-Last-Subject-Sequence"])
        except ApiError as e:
            if e.err_code != 10071 or not headers:
                raise
            self.ops[-1]["note"] = "refused"
        time.sleep(self.pause * self.rng.random() * 2)

    def read(self, subject):
        t0, rev = time.monotonic(), 0
        try:
            rev = self.client.api(f"STREAM.MSG.GET.KV_{self.bucket}", {"last_by_subj": subject},
                                  REQUEST_S)["message"]["seq"]
        except ApiError as e:
            if e.err_code != 10037:
                raise
        self.reads.append({"t0": t0, "t1": time.monotonic(), "node": self.at.name, "subject": subject, "seq": rev})
        return rev


class Puller(Worker):
    """A member of the durable pull consumer: acks, double acks, naks, and now and then forgets one."""

    def __init__(self, nodes, home, who, seed):
        super().__init__(nodes, home, who, seed)
        self.got, self.sure = [], {}
        self.careful = False

    def step(self):
        asked = time.monotonic()
        for msg in self.client.fetch("THREE", "pull", self.rng.randint(1, 32), 1.0):
            self.take(msg, asked)

    def take(self, msg, asked):
        info, dice = natsraw.ack_info(msg), self.rng.random()
        self.got.append({"asked": asked, "t": time.monotonic(), "seq": info["stream_seq"],
                         "times": info["delivered"], "key": key_of(msg.data), "node": self.at.name})
        if self.careful or dice < 0.4:
            self.client.double_ack(msg, REQUEST_S)
            self.sure.setdefault(info["stream_seq"], time.monotonic())
        elif dice < 0.9:
            self.client.ack(msg)
        elif dice < 0.95:
            self.client.ack(msg, b"-NAK")


class Member(Puller):
    """A member of the push consumer's queue group."""

    def fresh(self):
        self.queue = self.client.sub("deliver.push", queue="g")

    def step(self):
        msg = self.queue.next(0.5)
        if msg.reply and msg.status is None:
            self.take(msg, time.monotonic())


class Load:
    def __init__(self, nodes, seed):
        at = list(nodes) * 4
        rate = 0.012
        self.pinned = [Publisher(nodes, n, f"p{i}", seed, "THREE", rate) for i, n in enumerate(nodes)]
        self.others = [Publisher(nodes, at[0], "q0", seed, "ONE", rate),
                       Publisher(nodes, at[1], "q1", seed, "MEMORY", rate * 3),
                       Piper(nodes, at[0], "w0", seed, "ONE", rate * 10),
                       Piper(nodes, at[2], "w1", seed, "THREE", rate * 10)]
        self.kv = [KvWriter(nodes, at[i], f"k{i}", seed, ("last", "many")[i % 2], rate * 3) for i in range(4)]
        self.pullers = [Puller(nodes, at[i], f"d{i}", seed) for i in range(2)]
        self.members = [Member(nodes, at[i + 1], f"g{i}", seed) for i in range(2)]
        self.writers = self.pinned + self.others + self.kv
        self.readers = self.pullers + self.members
        self.all = self.writers + self.readers

    def start(self):
        for worker in self.all:
            worker.start()

    def stop(self, workers):
        for worker in workers:
            worker.ended.set()
        for worker in workers:
            worker.join(60)

    def errors(self):
        return [w.error for w in self.all if w.error] + [f"{w.who} hangs" for w in self.all
                                                         if w.ended.is_set() and w.is_alive()]

    def ops(self):
        return [op for w in self.writers for op in w.ops]

    def acked(self):
        return sum(1 for w in self.pinned for op in w.ops[-2000:] if op["res"] == "ok")
