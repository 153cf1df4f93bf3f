"""check - reads every node's data and judges it against what clients were told. Each finding names its rule.

C1 nothing acknowledged is missing   C2 nothing comes from nowhere      C3 nothing is there twice
C4 what an ack says is true          C5 order in time is order in the stream
C7 no holes                          C8 replicas are equal              C9 reads of a key are never stale
C11 each message reaches the consumer    C12 never again after a confirmed ack    C13 consumers' counts
C17 while a majority runs, requests are answered
"""
import collections
import hashlib
import time

import load
import natsraw
import servers

MOST = 8  # findings of one kind that are printed


class Findings:
    def __init__(self):
        self.of = collections.OrderedDict()

    def add(self, rule, text):
        self.of.setdefault(rule, []).append(text)

    def __bool__(self):
        return bool(self.of)

    def lines(self):
        for rule, texts in self.of.items():
            for text in texts[:MOST]:
                yield f"{rule}: {text}"
            if len(texts) > MOST:
                yield f"{rule}: and {len(texts) - MOST} more"


# ---- reading ----

def dump(node, stream):
    """{sequence: (subject, header, data, time)} as this node has them, in a consumer that reads its own store."""
    client = node.client()
    try:
        state = client.api(f"STREAM.INFO.{stream}", timeout=10)["state"]
        inbox = client.new_inbox()
        sub = client.sub(inbox)
        client.api(f"CONSUMER.CREATE.{stream}", {"stream_name": stream, "config": {
            "deliver_subject": inbox, "deliver_policy": "all", "ack_policy": "none", "num_replicas": 1,
            "mem_storage": True, "inactive_threshold": int(10e9)}}, timeout=10)
        out = {}
        while len(out) < state["messages"]:
            msg = sub.next(15)
            if msg.reply is None or msg.status is not None:
                continue
            info = natsraw.ack_info(msg)
            out[info["stream_seq"]] = (msg.subject, tuple(sorted((k, tuple(v)) for k, v in msg.headers.items())),
                                       msg.data, info["time"])
        return state, out
    finally:
        client.close()


def digest(messages):
    h = hashlib.sha256()
    for seq in sorted(messages):
        h.update(repr((seq, messages[seq])).encode())
    return h.hexdigest()


def dump_all(nodes, findings):
    """{stream: {node: (state, messages)}}; a node that can't be read is a finding."""
    out = {}
    for stream in load.STREAMS:
        out[stream] = {}
        for node in nodes:
            try:
                out[stream][node.name] = servers.eventually(
                    lambda n=node, s=stream: dump(n, s), 30, f"the contents of {stream} through {node.name}")
            except AssertionError as e:
                findings.add("C8", str(e))
    return out


# ---- judging ----

def by_key(ops, stream):
    """{key: one summary of all its tries}."""
    out = {}
    for op in ops:
        if op["stream"] != stream:
            continue
        one = out.setdefault(op["key"], {"t0": op["t0"], "t1": None, "seqs": set(), "res": set(), "op": op,
                                         "subject": op["subject"]})
        one["t0"] = min(one["t0"], op["t0"])
        one["res"].add(op["res"])
        if op["res"] == "ok":
            one["seqs"].add(op["seq"])
            one["t1"] = op["t1"] if one["t1"] is None else min(one["t1"], op["t1"])
    return out


def check_stream(stream, keys, copies, findings):
    limited = stream.startswith("KV_")
    for name, (state, messages) in copies.items():
        where = f"{stream} on {name}"
        check_contents(where, keys, messages, findings)
        if limited:
            check_last(where, keys, messages, 1 if stream == "KV_last" else load.HISTORY, findings)
        else:
            check_kept(where, keys, messages, findings)
            check_dense(where, state, messages, findings)
    check_order(stream, keys, findings)
    digests = {name: digest(messages) for name, (_, messages) in copies.items()}
    if len(set(digests.values())) > 1:
        findings.add("C8", f"{stream} differs: {differences(copies)}")


def differences(copies):
    names = list(copies)
    first, out = copies[names[0]][1], []
    for name in names[1:]:
        other = copies[name][1]
        bad = sorted(s for s in set(first) | set(other) if first.get(s) != other.get(s))
        if bad:
            out.append(f"{names[0]}/{name} at {bad[:5]} ({len(bad)}): {first.get(bad[0])!r:.200} {other.get(bad[0])!r:.200}")
    return "; ".join(out)


def check_contents(where, keys, messages, findings):
    seen = {}
    for seq, (subject, _, data, _) in messages.items():
        key = load.key_of(data)
        one = keys.get(key)
        if one is None or data != load.payload(key) or subject != one["subject"]:
            findings.add("C2", f"{where}: {seq} is {subject} {data[:60]!r}, which nobody sent so")
        elif one["res"] == {"fail"}:
            findings.add("C2", f"{where}: {seq} has {key}, which was refused: {one['op']['note']}")
        if key in seen:
            findings.add("C3", f"{where}: {key} is stored at {seen[key]} and {seq}")
        seen[key] = seq


def check_kept(where, keys, messages, findings):
    for key, one in keys.items():
        for seq in one["seqs"]:
            there = messages.get(seq)
            if there is None:
                findings.add("C1", f"{where}: {key}, acknowledged as {seq}, is missing (last {max(messages, default=0)})")
            elif load.key_of(there[2]) != key:
                findings.add("C4", f"{where}: {key} was acknowledged as {seq}, there is {load.key_of(there[2])}")


def check_dense(where, state, messages, findings):
    if messages and (min(messages) != 1 or len(messages) != max(messages)):
        holes = sorted(set(range(1, max(messages) + 1)) - set(messages))
        findings.add("C7", f"{where}: {len(holes)} holes: {holes[:10]}")
    if state["last_seq"] != max(messages, default=0) or state["messages"] != len(messages):
        findings.add("C7", f"{where}: INFO says {state}, there are {len(messages)} up to {max(messages, default=0)}")


def check_last(where, keys, messages, history, findings):
    """Of each subject the newest `history` are there; nothing that was acknowledged is newer than the newest."""
    of = collections.defaultdict(list)
    for seq, (subject, _, _, _) in messages.items():
        of[subject].append(seq)
    acked = collections.defaultdict(dict)
    for key, one in keys.items():
        for seq in one["seqs"]:
            if seq in acked[one["subject"]]:
                findings.add("C4", f"{where}: {seq} was given to {key} and {acked[one['subject']][seq]}")
            acked[one["subject"]][seq] = key
    for subject, seqs in acked.items():
        there = sorted(of[subject])
        if len(there) > history:
            findings.add("C7", f"{where}: {subject} has {len(there)} revisions")
        for seq in sorted(seqs)[-history:]:
            if seq in there:
                if load.key_of(messages[seq][2]) != seqs[seq]:
                    findings.add("C4", f"{where}: {seqs[seq]} was acknowledged as {seq}, there is "
                                       f"{load.key_of(messages[seq][2])}")
            elif len([s for s in there if s > seq]) < history:
                findings.add("C1", f"{where}: {subject} lacks {seq} ({seqs[seq]}); it has {there}")


def check_order(stream, keys, findings):
    """A sent after B's ack came has the higher sequence."""
    acked = [(one["t0"], one["t1"], max(one["seqs"]), key) for key, one in keys.items() if one["seqs"]]
    for key, one in keys.items():
        if len(one["seqs"]) > 1:
            findings.add("C3", f"{stream}: {key} was acknowledged as {sorted(one['seqs'])}")
    ends = sorted(acked, key=lambda a: a[1])
    at, highest = 0, (0, None)
    for t0, _, seq, key in sorted(acked):
        while at < len(ends) and ends[at][1] < t0:
            highest = max(highest, (ends[at][2], ends[at][3]))
            at += 1
        if seq < highest[0]:
            findings.add("C5", f"{stream}: {key} got {seq}, sent after {highest[1]} had been told {highest[0]}")


def check_kv(workers, findings):
    """Per key: no read or compare of a version after a newer one was acknowledged."""
    ops = collections.defaultdict(list)  # subject -> (rev, t0, t1, what)
    for w in workers:
        for op in w.ops:
            if op["res"] == "ok":
                ops[(op["stream"], op["subject"])].append((op["seq"], op["t0"], op["t1"], op["key"]))
                if "expected" in op:
                    ops[(op["stream"], op["subject"])].append((op["expected"], op["t0"], None, "compare"))
        for r in w.reads:
            ops[(f"KV_{w.bucket}", r["subject"])].append((r["seq"], r["t0"], r["t1"], f"read on {r['node']}"))
    for where, rows in ops.items():
        finished = sorted((r for r in rows if r[2] is not None), key=lambda r: r[2])
        at, newest = 0, (0, "")
        for rev, t0, t1, what in sorted(rows, key=lambda r: r[1]):
            while at < len(finished) and finished[at][2] < t0:
                newest = max(newest, (finished[at][0], finished[at][3]))
                at += 1
            if rev < newest[0] and what != "compare":
                findings.add("C9", f"{where}: {what} saw {rev} after {newest[1]} had {newest[0]}")


def check_batches(pipers, findings):
    for piper in pipers:
        for seqs in piper.batches:
            if seqs != sorted(seqs) or len(set(seqs)) != len(seqs):
                findings.add("C6", f"{piper.who}: one connection's messages got {seqs}")


def check_consumer(name, readers, keys, messages, findings, strict):
    got = [g for r in readers for g in r.got]
    seen = {g["seq"] for g in got}
    for key, one in keys.items():
        for seq in one["seqs"] - seen:
            findings.add("C11", f"{name}: {seq} ({key}) was never delivered")
    for g in got:
        there = messages.get(g["seq"])
        if there is None or load.key_of(there[2]) != g["key"]:
            findings.add("C2", f"{name}: {g['key']} was delivered as {g['seq']}")
    if not strict:
        return
    sure = {}
    for r in readers:
        for seq, t in r.sure.items():
            sure[seq] = min(t, sure.get(seq, t))
    for g in got:
        if g["seq"] in sure and g["asked"] > sure[g["seq"]]:
            findings.add("C12", f"{name}: {g['seq']} came again on {g['node']} (attempt {g['times']}), asked for "
                                f"{g['asked'] - sure[g['seq']]:.3f} s after its confirmed ack")


def check_counts(nodes, findings):
    """After the drain each node says the same, and that nothing is left."""
    for stream, name in (("THREE", "pull"), ("ONE", "push")):
        said = {}
        for node in nodes:
            info = servers.eventually(lambda n=node, s=stream, c=name: nodes.ask(f"CONSUMER.INFO.{s}.{c}", node=n), 20,
                                      f"{name}'s info through {node.name}")
            said[node.name] = (info["ack_floor"]["stream_seq"], info["delivered"]["stream_seq"],
                               info["delivered"]["consumer_seq"], info["num_pending"], info["num_ack_pending"])
        if len(set(said.values())) > 1:
            findings.add("C13", f"{name} (floor, delivered, consumer's, pending, unacked) differs: {said}")


# ---- liveness ----

def gaps(nodes, pinned, span=3.0):
    """For each fault (seconds, node, time of the fault): the longest time between two acks through a node that went on."""
    out, hits = [], [e for e in nodes.events if e["what"] in ("kill", "pause", "power")]
    for event, after in zip(hits, hits[1:] + [None]):
        end = min(event["t"] + span, after["t"] if after else event["t"] + span)
        if len(event["nodes"]) == len(nodes):
            continue
        for worker in pinned:
            near = [op for op in worker.ops if event["t"] - 10 < op["t1"] < event["t"] + span + load.REQUEST_S]
            at = [op["node"] for op in near if op["t0"] < event["t"]][-1:]
            if not at or at[0] in event["nodes"]:
                continue
            times = [op["t1"] for op in near if op["res"] == "ok"]
            longest = max((b - a for a, b in zip(times, times[1:]) if b > event["t"] and a < end),
                          default=span + load.REQUEST_S)
            out.append((longest, at[0], event["t"]))
    return sorted(out)


def check_answers(nodes, pinned, findings):
    """A request to a node that nothing was done to is answered, with an ack, within its time."""
    hurt = collections.defaultdict(list)
    for event in nodes.events:
        for name in event["nodes"]:
            hurt[name].append(event["t"])
    majority_lost = [e["t"] for e in nodes.events if len(e["nodes"]) * 2 > len(nodes)]
    for worker in pinned:
        for op in worker.ops:
            if op["res"] == "ok":
                continue
            near = [t for t in hurt[op["node"]] + majority_lost if op["t0"] - 8 < t < op["t1"] + 0.2]
            if not near:
                findings.add("C17", f"{op['key']} on {op['node']}, to which nothing was done: {op['res']} after "
                                    f"{op['t1'] - op['t0']:.2f} s {op['note']}")


def drain(nodes, readers, timeout=60.0):
    """Until both consumers have nothing left; returns what is left otherwise."""
    for r in readers:
        r.careful = True
    end, left = time.monotonic() + timeout, None
    while time.monotonic() < end:
        try:
            left = [(c, nodes.ask(f"CONSUMER.INFO.{s}.{c}")) for s, c in (("THREE", "pull"), ("ONE", "push"))]
            left = [(c, i["num_pending"], i["num_ack_pending"]) for c, i in left if i["num_pending"] or i["num_ack_pending"]]
            if not left:
                return None
        except (natsraw.NatsError, OSError) as e:
            left = repr(e)
        time.sleep(0.2)
    return left
