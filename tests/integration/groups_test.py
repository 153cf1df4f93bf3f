"""groups_test - priority groups of pull consumers."""
import json

from js_test import consumer, make, started
from natsraw import Timeout


def pull(c, inbox, **body):
    c.pub("$JS.API.CONSUMER.MSG.NEXT.S.c", json.dumps({"group": "A", "expires": 20_000_000_000, **body}), inbox)


def next_message(sub, timeout=5.0):
    msg = sub.next(timeout)
    assert msg.status is None, msg
    return msg


def grouped(env, policy, **config):
    _, c = started(env)
    make(c)
    c.api("CONSUMER.DURABLE.CREATE.S.c",
          consumer("c", priority_groups=["A"], priority_policy=policy, **config))
    return c, [(c.new_inbox(),) for _ in range(2)]


def test_one_client_is_pinned_until_it_is_unpinned(env):
    c, ((a,), (b,)) = grouped(env, "pinned_client", priority_timeout=30_000_000_000)
    first, second = c.sub(a), c.sub(b)
    pull(c, a, batch=1)
    c.flush()
    c.js_pub("s.1", "1")
    pin = next_message(first).header("Nats-Pin-Id")
    assert pin
    pull(c, b, batch=5)
    c.js_pub("s.1", "2")
    second.none(0.3)
    pull(c, a, batch=1, id=pin)
    assert next_message(first).data == b"2"
    group = c.api("CONSUMER.INFO.S.c")["priority_groups"][0]
    assert (group["group"], group["pinned_client_id"]) == ("A", pin), group
    c.api("CONSUMER.UNPIN.S.c", {"group": "A"})
    c.js_pub("s.1", "3")
    got = next_message(second)
    assert got.data == b"3" and got.header("Nats-Pin-Id") not in (None, pin), got
    pull(c, a, batch=1, id=pin)
    assert first.next(5.0).status == 423


def test_overflow_waits_for_its_threshold(env):
    c, ((a,), _) = grouped(env, "overflow")
    sub = c.sub(a)
    pull(c, a, batch=10, min_pending=3)
    c.flush()
    for i in range(2):
        c.js_pub("s.1", str(i))
    sub.none(0.3)
    c.js_pub("s.1", "2")
    assert next_message(sub).data == b"0"
    try:
        while True:
            assert sub.next(0.3).status in (None, 100)
    except Timeout:
        pass
