"""consumer_test - deliveries of one node: pull and push, acks, redelivery, limits."""
import json

import natsraw
import servers
from js_test import consumer, fails, make, started


def filled(env, count=10):
    node, c = started(env)
    make(c)
    for i in range(1, count + 1):
        c.js_pub(f"s.{i % 2}", f"m{i}")
    return node, c


def create(c, name, **config):
    return c.api(f"CONSUMER.DURABLE.CREATE.S.{name}", consumer(name, **config))


def info(c, name):
    return c.api(f"CONSUMER.INFO.S.{name}")


def test_a_pull_consumer_hands_out_each_message_once(env):
    _, c = filled(env)
    made = create(c, "d")
    assert made["type"] == "io.nats.jetstream.api.v1.consumer_create_response"
    assert made["num_pending"] == 10 and made["config"]["ack_wait"] == 30000000000
    assert made["config"]["max_ack_pending"] == 1000 and made["config"]["deliver_policy"] == "all"
    first = c.fetch("S", "d", 4)
    assert [m.data for m in first] == [b"m1", b"m2", b"m3", b"m4"]
    assert first[2].subject == "s.1"
    reply = natsraw.ack_info(first[2])
    assert (reply["stream"], reply["consumer"], reply["stream_seq"], reply["consumer_seq"], reply["delivered"],
            reply["pending"]) == ("S", "d", 3, 3, 1, 7), reply
    assert [m.data for m in c.fetch("S", "d", 20, 0.3)] == [b"m%d" % i for i in range(5, 11)]
    after = info(c, "d")
    assert after["num_ack_pending"] == 10 and after["num_pending"] == 0, after
    for msg in first:
        c.ack(msg)
    servers.eventually(lambda: info(c, "d")["ack_floor"]["stream_seq"] == 4, 5, "the ack floor")


def test_an_empty_pull_is_answered(env):
    _, c = filled(env, 1)
    create(c, "d")
    c.fetch("S", "d", 1)
    inbox = c.new_inbox()
    sub = c.sub(inbox)
    for body, status, text in (({"batch": 1, "no_wait": True}, 404, "No Messages"),
                               ({"batch": 1, "expires": 200000000}, 408, "Request Timeout")):
        c.pub("$JS.API.CONSUMER.MSG.NEXT.S.d", json.dumps(body), inbox)
        msg = sub.next(3)
        assert msg.status == status and text in msg.description, msg


def test_a_waiting_pull_gets_what_is_published(env):
    _, c = filled(env, 0)
    create(c, "d")
    inbox = c.new_inbox()
    sub = c.sub(inbox)
    c.pub("$JS.API.CONSUMER.MSG.NEXT.S.d", json.dumps({"batch": 2, "expires": 10000000000}), inbox)
    c.flush()
    c.js_pub("s.1", "a")
    assert sub.next().data == b"a"
    c.js_pub("s.1", "b")
    assert sub.next().data == b"b"


def test_what_is_not_acknowledged_comes_again(env):
    _, c = filled(env, 2)
    create(c, "d", ack_wait=int(0.5e9))
    first = c.fetch("S", "d", 2)
    c.double_ack(first[0])
    again = c.fetch("S", "d", 1, 5)
    assert again[0].data == b"m2" and natsraw.ack_info(again[0])["delivered"] == 2
    c.double_ack(again[0])
    assert c.fetch("S", "d", 1, 1.0) == []
    assert info(c, "d")["num_redelivered"] == 0


def test_answers_other_than_ack(env):
    _, c = filled(env, 3)
    create(c, "d", ack_wait=int(20e9))
    one, two, three = c.fetch("S", "d", 3)
    c.ack(one, b"-NAK")
    again = c.fetch("S", "d", 1, 3)
    assert again[0].data == b"m1" and natsraw.ack_info(again[0])["delivered"] == 2
    c.ack(two, b"+TERM")
    c.ack(three, b"+WPI")
    c.ack(again[0], b'-NAK {"delay": 300000000}')
    later = c.fetch("S", "d", 1, 3)
    assert later[0].data == b"m1" and natsraw.ack_info(later[0])["delivered"] == 3
    c.double_ack(later[0])
    c.double_ack(three)
    after = info(c, "d")
    assert after["num_ack_pending"] == 0 and after["ack_floor"]["stream_seq"] == 3, after


def test_max_deliver_and_max_ack_pending_hold(env):
    _, c = filled(env, 5)
    create(c, "d", ack_wait=int(0.3e9), max_deliver=2)
    assert len(c.fetch("S", "d", 5)) == 5
    again = c.fetch("S", "d", 5, 3)
    assert sorted(natsraw.ack_info(m)["delivered"] for m in again) == [2] * 5
    assert c.fetch("S", "d", 1, 1.0) == []
    create(c, "p", max_ack_pending=2)
    got = c.fetch("S", "p", 5, 0.5)
    assert [m.data for m in got] == [b"m1", b"m2"]
    c.double_ack(got[0])
    assert [m.data for m in c.fetch("S", "p", 5, 0.5)] == [b"m3"]


def test_start_policies_and_filters(env):
    _, c = filled(env, 10)
    rows = [("all", {}, b"m1"), ("last", {"deliver_policy": "last"}, b"m10"),
            ("seq", {"deliver_policy": "by_start_sequence", "opt_start_seq": 4}, b"m4"),
            ("lps", {"deliver_policy": "last_per_subject", "filter_subject": "s.*"}, b"m9"),
            ("f", {"filter_subject": "s.0"}, b"m2"),
            ("fs", {"filter_subjects": ["s.0", "s.zzz"]}, b"m2")]
    for name, config, first in rows:
        create(c, name, **config)
        assert c.fetch("S", name, 1)[0].data == first, name
    create(c, "new", deliver_policy="new")
    c.js_pub("s.1", "fresh")
    assert c.fetch("S", "new", 1)[0].data == b"fresh"


def test_a_push_consumer_delivers_to_its_subject(env):
    node, c = filled(env, 5)
    inbox = c.new_inbox()
    sub = c.sub(inbox)
    c.flush()
    create(c, "push", deliver_subject=inbox)
    got = sub.take(5)
    assert [m.data for m in got] == [b"m%d" % i for i in range(1, 6)]
    c.js_pub("s.1", "m6")
    assert sub.next().data == b"m6"
    for m in got:
        c.ack(m)
    servers.eventually(lambda: info(c, "push")["ack_floor"]["stream_seq"] == 5, 5, "the ack floor")
    assert info(c, "push")["push_bound"] is True
    other = node.client()
    c.unsub(sub)
    servers.eventually(lambda: not info(other, "push").get("push_bound"), 5, "the end of the interest")


def test_a_push_group_shares_messages(env):
    node, c = filled(env, 0)
    members = [node.client() for _ in range(3)]
    subs = [m.sub("deliver.here", queue="g") for m in members]
    for m in members:
        m.flush()
    create(c, "pg", deliver_subject="deliver.here", deliver_group="g")
    for i in range(60):
        c.js_pub("s.1", str(i))
    got = []

    def all_there():
        for m, s in zip(members, subs):
            m.flush()
            while s.msgs:
                msg = s.msgs.popleft()
                got.append(int(msg.data))
                m.ack(msg)
        return len(got) == 60
    servers.eventually(all_there, 10, "sixty messages")
    assert sorted(got) == list(range(60))


def test_an_idle_push_consumer_sends_heartbeats(env):
    _, c = filled(env, 1)
    inbox = c.new_inbox()
    sub = c.sub(inbox)
    create(c, "hb", deliver_subject=inbox, idle_heartbeat=int(0.3e9), ack_policy="none")
    assert sub.next().data == b"m1"
    beat = sub.next(3)
    assert beat.status == 100 and beat.description == "Idle Heartbeat", beat
    assert beat.header("Nats-Last-Consumer") == "1" and beat.header("Nats-Last-Stream") == "1", beat


def test_consumers_are_listed_changed_paused_and_deleted(env):
    _, c = filled(env, 1)
    for name in ("a", "b"):
        create(c, name)
    assert sorted(c.api("CONSUMER.NAMES.S")["consumers"]) == ["a", "b"]
    assert c.api("CONSUMER.LIST.S")["total"] == 2
    fails(10014, info, c, "none")
    create(c, "a", description="changed", max_ack_pending=7)
    assert info(c, "a")["config"]["max_ack_pending"] == 7
    fails(10148, c.api, "CONSUMER.CREATE.S.a",
          {"stream_name": "S", "action": "create", "config": {"name": "a", "ack_policy": "none"}})
    assert c.api("CONSUMER.DELETE.S.a")["success"]
    assert c.api("CONSUMER.NAMES.S")["consumers"] == ["b"]
    fails(10014, c.api, "CONSUMER.DELETE.S.a")


def test_an_ephemeral_consumer_ends_when_nobody_asks(env):
    _, c = filled(env, 1)
    made = c.api("CONSUMER.CREATE.S", {"stream_name": "S", "config": {
        "ack_policy": "explicit", "inactive_threshold": int(0.5e9)}})
    assert made["name"]
    servers.eventually(lambda: c.api("CONSUMER.NAMES.S")["total"] == 0, 10, "the end of the consumer")


def test_a_deleted_consumer_ends_waiting_pulls(env):
    _, c = filled(env, 0)
    create(c, "d")
    inbox = c.new_inbox()
    sub = c.sub(inbox)
    c.pub("$JS.API.CONSUMER.MSG.NEXT.S.d", json.dumps({"batch": 1, "expires": 20000000000}), inbox)
    c.flush()
    c.api("CONSUMER.DELETE.S.d")
    msg = sub.next(3)
    assert msg.status == 409 and msg.description == "Consumer Deleted", msg
