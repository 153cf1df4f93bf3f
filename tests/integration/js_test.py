"""js_test - JetStream on one node: streams, publishes, reads, what a restart keeps."""
import base64
import json

import natsraw
import servers
from natsraw import ApiError, NoResponders


def started(env, *args):
    node = env.server(*args)
    servers.wait_jetstream(node)
    return node, node.client()


def make(client, name="S", subjects=("s.>",), **config):
    return client.api(f"STREAM.CREATE.{name}", {"name": name, "subjects": list(subjects), "storage": "file", **config})


def fails(code, call, *args, **kw):
    try:
        got = call(*args, **kw)
    except ApiError as e:
        assert e.err_code == code, e
        return e
    raise AssertionError(f"answered {got}")


def state(client, name="S"):
    return client.api(f"STREAM.INFO.{name}")["state"]


def get(client, seq=None, name="S", **request):
    body = {"seq": seq} if seq else {"seq" if k == "start" else k: v for k, v in request.items()}
    msg = client.api(f"STREAM.MSG.GET.{name}", body)["message"]
    return msg["seq"], base64.b64decode(msg.get("data", "")), msg["subject"]


def test_a_stream_is_made_shown_listed_and_deleted(env):
    _, c = started(env)
    made = make(c, max_msgs=1000, description="first")
    assert made["type"] == "io.nats.jetstream.api.v1.stream_create_response" and made["did_create"]
    config = made["config"]
    for key, value in {"name": "S", "subjects": ["s.>"], "retention": "limits", "storage": "file", "discard": "old",
                       "max_msgs": 1000, "max_bytes": -1, "max_age": 0, "num_replicas": 1,
                       "duplicate_window": 120000000000, "description": "first"}.items():
        assert config[key] == value, (key, config.get(key))
    assert make(c, max_msgs=1000, description="first")["config"] == config
    fails(10058, make, c, max_msgs=5)
    fails(10065, make, c, "S2", ("s.1",))
    assert c.api("STREAM.NAMES")["streams"] == ["S"]
    assert c.api("STREAM.NAMES", {"subject": "s.x"})["streams"] == ["S"]
    assert c.api("STREAM.LIST")["total"] == 1
    assert c.api("STREAM.INFO.S")["config"]["name"] == "S"
    assert c.api("INFO")["streams"] == 1
    assert c.api("STREAM.DELETE.S")["success"]
    fails(10059, c.api, "STREAM.INFO.S")
    fails(10059, c.api, "STREAM.DELETE.S")


def test_a_stream_is_updated(env):
    _, c = started(env)
    make(c, max_msgs=10)
    config = c.api("STREAM.INFO.S")["config"]
    config.update(max_msgs=3, subjects=["s.>", "t.*"])
    assert c.api("STREAM.UPDATE.S", config)["config"]["max_msgs"] == 3
    for i in range(5):
        c.js_pub("t.x", str(i))
    assert state(c)["messages"] == 3 and state(c)["first_seq"] == 3
    config["storage"] = "memory"
    fails(10052, c.api, "STREAM.UPDATE.S", config)


def test_publishes_are_acknowledged_with_their_sequence(env):
    _, c = started(env)
    make(c)
    for i in range(1, 11):
        assert c.js_pub(f"s.{i % 3}", f"m{i}") == {"stream": "S", "seq": i}
    st = state(c)
    assert (st["messages"], st["first_seq"], st["last_seq"], st["num_subjects"]) == (10, 1, 10, 3), st
    assert get(c, 4) == (4, b"m4", "s.1")
    assert get(c, last_by_subj="s.2") == (8, b"m8", "s.2")
    assert get(c, next_by_subj="s.0", start=5) == (6, b"m6", "s.0")
    fails(10037, get, c, 11)
    try:
        c.js_pub("nowhere.1", "x")
        raise AssertionError("acknowledged")
    except NoResponders:
        pass


def test_a_message_id_is_stored_once(env):
    _, c = started(env)
    make(c)
    first = c.js_pub("s.1", "a", headers={"Nats-Msg-Id": "id1"})
    again = c.js_pub("s.1", "b", headers={"Nats-Msg-Id": "id1"})
    assert first["seq"] == 1 and again == {"stream": "S", "seq": 1, "duplicate": True}
    assert c.js_pub("s.1", "c", headers={"Nats-Msg-Id": "id2"})["seq"] == 2
    assert state(c)["messages"] == 2


def test_expectations_of_a_publish_are_checked(env):
    _, c = started(env)
    make(c)
    c.js_pub("s.1", "a", headers={"Nats-Msg-Id": "id1"})
    rows = [("Nats-Expected-Last-Sequence", "7", 10071), ("Nats-Expected-Stream", "Q", 10060),
            ("Nats-Expected-Last-Msg-Id", "x", 10070), ("Nats-Expected-Last-Subject-Sequence", "9", 10071)]
    for key, value, code in rows:
        fails(code, c.js_pub, "s.1", "x", headers={key: value})
    good = [("Nats-Expected-Last-Sequence", "1"), ("Nats-Expected-Stream", "S"),
            ("Nats-Expected-Last-Subject-Sequence", "3")]
    for i, (key, value) in enumerate(good):
        assert c.js_pub("s.1", "y", headers={key: value})["seq"] == i + 2
    assert c.js_pub("s.new", "z", headers={"Nats-Expected-Last-Subject-Sequence": "0"})["seq"] == 5


def test_limits_drop_the_oldest_or_refuse(env):
    _, c = started(env)
    make(c, max_msgs=5)
    make(c, "N", ("n.>",), max_msgs=2, discard="new")
    make(c, "P", ("p.>",), max_msgs_per_subject=2)
    for i in range(9):
        c.js_pub("s.1", str(i))
        c.js_pub(f"p.{i % 2}", str(i))
    assert state(c)["first_seq"] == 5 and state(c)["messages"] == 5
    p = state(c, "P")
    assert p["messages"] == 4 and p["num_subjects"] == 2
    c.js_pub("n.1", "1")
    c.js_pub("n.1", "2")
    fails(10077, c.js_pub, "n.1", "3")
    make(c, "M", ("m.>",), max_msg_size=10)
    fails(10054, c.js_pub, "m.1", "x" * 11)


def test_purge_and_delete_of_messages(env):
    _, c = started(env)
    make(c)
    for i in range(1, 21):
        c.js_pub(f"s.{i % 2}", str(i))
    assert c.api("STREAM.MSG.DELETE.S", {"seq": 3})["success"]
    fails(10037, get, c, 3)
    assert state(c)["num_deleted"] == 1
    assert c.api("STREAM.PURGE.S", {"filter": "s.0", "keep": 1})["purged"] == 9
    assert state(c)["messages"] == 10
    assert c.api("STREAM.PURGE.S", {"seq": 10})["purged"] == 4
    assert c.api("STREAM.PURGE.S")["purged"] == 6
    st = state(c)
    assert (st["messages"], st["first_seq"], st["last_seq"]) == (0, 21, 20), st
    assert c.js_pub("s.1", "x")["seq"] == 21


def test_direct_get_answers_with_the_message_itself(env):
    _, c = started(env)
    make(c, allow_direct=True)
    for i in range(1, 4):
        c.js_pub(f"s.{i}", f"m{i}", headers={"K": "v"})
    msg = c.request("$JS.API.DIRECT.GET.S.s.2")
    assert msg.data == b"m2" and msg.header("Nats-Sequence") == "2" and msg.header("Nats-Subject") == "s.2"
    assert msg.header("K") == "v" and msg.header("Nats-Stream") == "S" and msg.header("Nats-Time-Stamp")
    msg = c.request("$JS.API.DIRECT.GET.S", json.dumps({"seq": 2, "next_by_subj": ">"}))
    assert msg.header("Nats-Sequence") == "2"
    assert c.request("$JS.API.DIRECT.GET.S.s.9").status == 404


def test_max_age_ends_messages(env):
    _, c = started(env)
    make(c, max_age=int(0.5e9), duplicate_window=int(0.2e9))
    c.js_pub("s.1", "x")
    assert state(c)["messages"] == 1
    servers.eventually(lambda: state(c)["messages"] == 0, 10, "the end of the message")
    assert state(c)["last_seq"] == 1


def test_work_queue_and_interest_drop_what_is_acknowledged(env):
    _, c = started(env)
    make(c, retention="workqueue")
    c.api("CONSUMER.DURABLE.CREATE.S.w", consumer("w"))
    for i in range(10):
        c.js_pub("s.1", str(i))
    for msg in c.fetch("S", "w", 4):
        c.double_ack(msg)
    assert state(c)["messages"] == 6
    fails(10099, c.api, "CONSUMER.DURABLE.CREATE.S.w2", consumer("w2"))
    make(c, "I", ("i.>",), retention="interest")
    c.js_pub("i.1", "nobody")
    assert state(c, "I")["messages"] == 0
    for name in ("a", "b"):
        c.api(f"CONSUMER.DURABLE.CREATE.I.{name}", consumer(name, stream="I"))
    c.js_pub("i.1", "both")
    c.double_ack(c.fetch("I", "a", 1)[0])
    assert state(c, "I")["messages"] == 1
    c.double_ack(c.fetch("I", "b", 1)[0])
    servers.eventually(lambda: state(c, "I")["messages"] == 0, 5, "the drop")


def consumer(name, stream="S", **config):
    return {"stream_name": stream, "config": {"durable_name": name, "ack_policy": "explicit", **config}}


def test_everything_is_there_after_a_clean_restart(env):
    node, c = started(env)
    make(c)
    c.api("CONSUMER.DURABLE.CREATE.S.d", consumer("d"))
    for i in range(1, 501):
        c.js_pub("s.1", f"m{i}", headers={"Nats-Msg-Id": f"id{i}"})
    for msg in c.fetch("S", "d", 100):
        c.double_ack(msg)
    assert node.stop() == 0
    node.start()
    servers.wait_jetstream(node)
    c = node.client()
    st = state(c)
    assert (st["messages"], st["first_seq"], st["last_seq"]) == (500, 1, 500), st
    assert get(c, 321)[1] == b"m321"
    info = c.api("CONSUMER.INFO.S.d")
    assert info["ack_floor"]["stream_seq"] == 100 and info["num_pending"] == 400, info
    assert c.fetch("S", "d", 1)[0].data == b"m101"
    assert c.js_pub("s.1", "x", headers={"Nats-Msg-Id": "id500"})["duplicate"]
    assert c.js_pub("s.1", "x")["seq"] == 501


def test_what_was_acknowledged_survives_kills(env):
    node, c = started(env)
    make(c)
    acked = 0
    for round_ in range(3):
        for i in range(200):
            answer = c.js_pub("s.1", f"{round_}.{i}")
            assert answer["seq"] > acked, answer
            acked = answer["seq"]
        node.kill()
        node.start()
        servers.wait_jetstream(node)
        c = node.client()
        st = state(c)
        assert st["last_seq"] >= acked and st["messages"] == st["last_seq"], (acked, st)
    assert get(c, acked)[1] == b"2.199"


def test_key_value_as_clients_use_it(env):
    _, c = started(env)
    c.api("STREAM.CREATE.KV_b", {
        "name": "KV_b", "subjects": ["$KV.b.>"], "max_msgs_per_subject": 5, "discard": "new", "allow_rollup_hdrs": True,
        "deny_delete": True, "allow_direct": True, "storage": "file", "num_replicas": 1, "max_msgs": -1,
        "max_bytes": -1, "max_age": 0, "max_msg_size": -1, "duplicate_window": 120000000000})

    def put(key, value, **headers):
        return c.js_pub(f"$KV.b.{key}", value, headers={k.replace("_", "-"): v for k, v in headers.items()} or None)

    def read(key):
        return c.request(f"$JS.API.DIRECT.GET.KV_b.$KV.b.{key}")
    assert put("a", "1")["seq"] == 1
    assert put("a", "2")["seq"] == 2
    assert read("a").data == b"2" and read("a").header("Nats-Sequence") == "2"
    assert put("new", "x", Nats_Expected_Last_Subject_Sequence="0")["seq"] == 3
    fails(10071, put, "new", "y", Nats_Expected_Last_Subject_Sequence="0")
    assert put("new", "y", Nats_Expected_Last_Subject_Sequence="3")["seq"] == 4
    put("a", "", KV_Operation="DEL")
    assert read("a").header("KV-Operation") == "DEL"
    put("a", "", KV_Operation="PURGE", Nats_Rollup="sub")
    st = c.api("STREAM.INFO.KV_b", {"subjects_filter": ">"})["state"]
    assert st["subjects"] == {"$KV.b.a": 1, "$KV.b.new": 2}, st
    assert read("none").status == 404
    fails(10057, c.api, "STREAM.MSG.DELETE.KV_b", {"seq": 3})


def test_a_watcher_sees_what_is_there_and_what_comes(env):
    _, c = started(env)
    make(c, max_msgs_per_subject=1)
    for i in range(4):
        c.js_pub(f"s.{i % 2}", str(i))
    inbox = c.new_inbox()
    sub = c.sub(inbox)
    c.api("CONSUMER.CREATE.S", {"stream_name": "S", "config": {
        "deliver_subject": inbox, "deliver_policy": "last_per_subject", "ack_policy": "none", "max_deliver": 1,
        "flow_control": True, "idle_heartbeat": int(5e9), "num_replicas": 1, "mem_storage": True,
        "inactive_threshold": int(300e9), "filter_subject": "s.>"}})
    got = sub.take(2)
    assert [m.data for m in got] == [b"2", b"3"]
    assert [natsraw.ack_info(m)["pending"] for m in got] == [1, 0]
    c.js_pub("s.9", "new")
    msg = sub.next()
    assert msg.subject == "s.9" and msg.data == b"new"
