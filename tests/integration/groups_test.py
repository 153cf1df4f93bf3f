"""groups_test - priority groups of pull consumers."""
import json

import servers
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


def test_pins_hold_across_nodes_and_leaders(env):
    """Clients of three nodes; the pin is known everywhere, and goes on when the leader dies."""
    nodes = env.cluster(3).wait_jetstream()
    clients = [n.client() for n in nodes]
    c = clients[0]
    servers.eventually(lambda: make(c, num_replicas=3), 30, "the stream")
    c.api("CONSUMER.DURABLE.CREATE.S.c",
          consumer("c", priority_groups=["A"], priority_policy="pinned_client", priority_timeout=60_000_000_000))
    leader = c.api("CONSUMER.INFO.S.c")["cluster"]["leader"]
    others = [i for i, n in enumerate(nodes) if n.name != leader]
    mine, theirs = clients[others[0]], clients[others[1]]
    a, b = mine.new_inbox(), theirs.new_inbox()
    first, second = mine.sub(a), theirs.sub(b)
    pull(mine, a, batch=1)
    mine.flush()
    theirs.js_pub("s.1", "1")
    pin = next_message(first, 10).header("Nats-Pin-Id")
    pull(theirs, b, batch=5)
    theirs.flush()
    pull(mine, a, batch=10, id=pin)
    mine.flush()
    for client in clients:
        servers.eventually(lambda: client.api("CONSUMER.INFO.S.c")["priority_groups"][0]["pinned_client_id"] == pin,
                           5, "the pin on each node")
    if env.is_gannet():
        next(n for n in nodes if n.name == leader).kill()
    servers.eventually(lambda: theirs.js_pub("s.1", "2"), 20, "a leader")
    got = next_message(first, 10)
    assert (got.data, got.header("Nats-Pin-Id")) == (b"2", pin), got
    second.none(0.2)
    servers.eventually(lambda: theirs.api("CONSUMER.UNPIN.S.c", {"group": "A"}), 20, "an unpin")
    theirs.js_pub("s.1", "3")
    got = next_message(second, 10)
    assert got.data == b"3" and got.header("Nats-Pin-Id") != pin, got
