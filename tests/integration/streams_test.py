"""streams_test - what connects a stream with other subjects and streams: transforms, republish, mirrors, sources."""
import base64
import os

import servers
from js_test import consumer, fails, get, make, started, state


def create(c, name, **config):
    return c.api(f"STREAM.CREATE.{name}", {"name": name, "storage": "file", **config})


def holds(c, name, count):
    servers.eventually(lambda: state(c, name)["messages"] == count, 5, f"{count} messages in {name}")


def test_subjects_are_transformed(env):
    _, c = started(env)
    make(c, subjects=["s.*.*"], subject_transform={"src": "s.*.*", "dest": "t.{{wildcard(2)}}.{{partition(10,1,2)}}.$1"})
    c.js_pub("s.foo.bar", "x")
    c.js_pub("s.baz.qux", "y")
    assert get(c, 1)[2] == "t.bar.0.foo", get(c, 1)
    assert get(c, 2)[2] == "t.qux.6.baz", get(c, 2)
    fails(10156, create, c, "T", subjects=["x"], subject_transform={"src": "x", "dest": "y.$1"})


def test_what_is_stored_is_republished(env):
    _, c = started(env)
    make(c, republish={"src": "s.>", "dest": "r.>"})
    create(c, "H", subjects=["h.*"], republish={"src": "h.*", "dest": "rh.$1", "headers_only": True})
    sub, heads = c.sub("r.>"), c.sub("rh.*")
    c.flush()
    for data in ("1", "2"):
        c.js_pub("s.a", data, headers={"k": "v"})
    c.js_pub("h.x", "12345")
    first, second = sub.take(2)
    assert (first.subject, first.data, first.header("k")) == ("r.a", b"1", "v"), first
    assert [first.header(f"Nats-{k}") for k in ("Stream", "Subject", "Sequence", "Last-Sequence")] == ["S", "s.a", "1", "0"]
    assert first.header("Nats-Time-Stamp").endswith("Z")
    assert [second.header(f"Nats-{k}") for k in ("Sequence", "Last-Sequence")] == ["2", "1"]
    bare = heads.next()
    assert (bare.subject, bare.data, bare.header("Nats-Msg-Size")) == ("rh.x", b"", "5"), bare
    fails(10052, create, c, "C", subjects=["c.>"], republish={"src": "c.>", "dest": "c.x.>"})


def test_a_mirror_follows_its_origin(env):
    _, c = started(env)
    make(c, allow_direct=True)
    for i in range(1, 6):
        c.js_pub(f"s.{i}", f"m{i}")
    c.api("STREAM.MSG.DELETE.S", {"seq": 2})
    made = create(c, "M", mirror={"name": "S"})
    assert made["config"]["mirror"] == {"name": "S"} and "subjects" not in made["config"], made
    assert made["config"]["mirror_direct"]
    holds(c, "M", 4)
    c.js_pub("s.6", "m6")
    holds(c, "M", 5)
    at = state(c, "M")
    assert (at["first_seq"], at["last_seq"], at["num_deleted"]) == (1, 6, 1), at
    assert get(c, 6, name="M") == get(c, 6)
    info = c.api("STREAM.INFO.M")["mirror"]
    assert (info["name"], info["lag"]) == ("S", 0) and info["active"] >= 0, info
    fails(10034, create, c, "N", mirror={"name": "S"}, subjects=["n"])


def test_sources_are_gathered_once_across_restarts(env):
    node, c = started(env)
    make(c, "A", ["a.*"])
    make(c, "B", ["b.*"])
    for i in range(10):
        c.js_pub(f"a.{i % 2}", str(i))
        c.js_pub("b.x", str(i))
    create(c, "T", subjects=["t"], sources=[
        {"name": "A", "filter_subject": "a.1"},
        {"name": "B", "opt_start_seq": 6, "subject_transforms": [{"src": "b.*", "dest": "from.b.$1"}]}])
    holds(c, "T", 10)
    c.js_pub("t", "own")
    source = get(c, last_by_subj="from.b.x", name="T")
    assert source[1] == b"9"
    node.stop()
    node.start()
    servers.wait_jetstream(node)
    c = node.client()
    c.js_pub("a.1", "again")
    holds(c, "T", 12)
    message = c.api("STREAM.MSG.GET.T", {"last_by_subj": "a.1"})["message"]
    assert b"Nats-Stream-Source: A 11 a.1 > a.1" in base64.b64decode(message["hdrs"]), message
    assert [s["name"] for s in c.api("STREAM.INFO.T")["sources"]] == ["A", "B"]


def test_mirrors_and_sources_go_on_when_the_leader_dies(env):
    if not env.is_gannet():
        return  # publishes fail there while a leader is chosen
    nodes = env.cluster(3).wait_jetstream()
    c = nodes[0].client()
    config = {"num_replicas": 3}
    servers.eventually(lambda: make(c, **config), 30, "the stream")
    create(c, "M", mirror={"name": "S"}, **config)
    create(c, "T", sources=[{"name": "S"}], **config)
    for i in range(50):
        c.js_pub("s.x", str(i))
    leader = c.api("STREAM.INFO.S")["cluster"]["leader"]
    victim = next(n for n in nodes if n.name == leader)
    victim.kill()
    c = next(n for n in nodes if n is not victim).client()
    for i in range(50):
        c.js_pub("s.x", str(i), timeout=20)
    for name in ("M", "T"):
        holds(c, name, 100)
        assert get(c, 100, name=name)[1] == b"49"


def snapshot(c, name, **body):
    """The answer and the chunks."""
    inbox = c.new_inbox()
    sub = c.sub(inbox)
    answer = c.api(f"STREAM.SNAPSHOT.{name}", {"deliver_subject": inbox, **body})
    chunks = []
    while True:
        msg = sub.next(5.0)
        if msg.status is not None:
            assert msg.status == 204, msg
            return answer, chunks
        if not msg.data:
            return answer, chunks
        chunks.append(msg.data)
        c.pub(msg.reply, b"")


def restore(c, name, answer, chunks):
    to = c.api(f"STREAM.RESTORE.{name}", {"config": answer["config"], "state": answer["state"]})["deliver_subject"]
    for chunk in chunks:
        got = c.request(to, chunk)
        assert got.data == b"", got
    return c.request(to, b"").json()


def test_a_stream_comes_back_from_its_snapshot(env):
    node, c = started(env)
    make(c, max_msgs=500, retention="workqueue")
    c.api("CONSUMER.DURABLE.CREATE.S.c", consumer("c"))
    for i in range(1, 301):
        c.js_pub(f"s.{i % 3}", f"message {i} " + os.urandom(500).hex())
    for msg in c.fetch("S", "c", 10):
        c.double_ack(msg)
    c.fetch("S", "c", 5)
    before = c.api("STREAM.INFO.S")
    answer, chunks = snapshot(c, "S", chunk_size=20000)
    assert len(chunks) > 10
    message = get(c, 200)
    fails(10130, c.api, "STREAM.RESTORE.S", {"config": answer["config"], "state": answer["state"]})
    c.api("STREAM.DELETE.S")
    restored = restore(c, "S", answer, chunks)
    assert restored["config"] == before["config"], restored
    same = ("messages", "bytes", "first_seq", "first_ts", "last_seq", "last_ts", "consumer_count")
    assert [restored["state"][k] for k in same] == [before["state"][k] for k in same], restored
    assert get(c, 200) == message
    info = c.api("CONSUMER.INFO.S.c")
    assert (info["ack_floor"]["stream_seq"], info["num_ack_pending"], info["num_pending"]) == (10, 5, 285), info
    assert c.js_pub("s.x", "new")["seq"] == 301
    assert c.fetch("S", "c", 1)[0].data.startswith(b"message 16 ")


def test_a_broken_restore_leaves_nothing(env):
    node, c = started(env)
    make(c)
    c.js_pub("s.a", "x")
    answer, chunks = snapshot(c, "S")
    c.api("STREAM.DELETE.S")
    request = {"config": answer["config"], "state": answer["state"]}
    for data in (b"not a backup", chunks[0][:-1] + b"\xff" + b"more", b""):
        to = c.api("STREAM.RESTORE.S", request)["deliver_subject"]
        answered = c.request(to, data)
        if not answered.data:
            answered = c.request(to, b"")
        assert answered.json()["error"]["err_code"] == 10062, answered
        servers.eventually(lambda: c.api("STREAM.NAMES")["total"] == 0, 5, "the stream to go")
