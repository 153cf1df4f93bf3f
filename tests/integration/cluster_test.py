"""cluster_test - three nodes as processes: what goes across them, what a crash of each leaves."""
import base64
import shutil
import signal
import threading
import time

import natsraw
import servers
from js_test import consumer
from natsraw import ApiError, NatsError
from servers import eventually


def three(env):
    return env.cluster(3).wait_jetstream()


def make(node, name="S", subjects=("s.>",), **config):
    """Retried: right after a start a cluster may still choose its leaders."""
    body = {"name": name, "subjects": list(subjects), "storage": "file", "num_replicas": 3, **config}

    def made():
        c = node.client()
        try:
            return c.api(f"STREAM.CREATE.{name}", body, timeout=5)
        finally:
            c.close()
    return eventually(made, 30, "the stream")


def stream_state(node, name="S"):
    c = node.client()
    try:
        return c.api(f"STREAM.INFO.{name}", timeout=3)["state"]
    finally:
        c.close()


class Publisher(threading.Thread):
    """Publishes numbers, each until it is acknowledged, through any node that answers; notes what was promised."""

    def __init__(self, nodes, subject="s.p"):
        super().__init__(daemon=True)
        self.nodes, self.subject = list(nodes), subject
        self.acked, self.ended, self.error = {}, threading.Event(), None
        self.longest_gap = 0.0
        self.client, self.at = None, 0

    def run(self):
        try:
            number, last = 0, time.monotonic()
            while not self.ended.is_set():
                self.one(number)
                now = time.monotonic()
                self.longest_gap = max(self.longest_gap, now - last)
                number, last = number + 1, now
        except Exception as e:  # the test reads it
            self.error = e

    def one(self, number):
        """Stays with a node while it answers, at most 50 messages."""
        if number % 50 == 49:
            self.leave()
        while not self.ended.is_set():
            try:
                if self.client is None:
                    self.client = self.nodes[self.at % len(self.nodes)].client(timeout=2)
                answer = self.client.js_pub(self.subject, str(number), 2.0,
                                            {"Nats-Msg-Id": f"{self.subject}.{number}"})
                self.acked[number] = answer["seq"]
                return
            except ApiError:
                time.sleep(0.05)
            except (NatsError, OSError):
                self.leave()
                time.sleep(0.02)

    def leave(self):
        if self.client is not None:
            self.client.close()
        self.client = None
        self.at += 1

    def finish(self):
        self.ended.set()
        self.join(30)
        if self.error:
            raise self.error
        return self.acked


def all_current(node, name="S"):
    """The stream has a leader and two replicas, none behind."""
    c = node.client()
    try:
        cluster = c.api(f"STREAM.INFO.{name}", timeout=3).get("cluster", {})
        replicas = cluster.get("replicas") or []
        good = [r for r in replicas if r.get("current") and not r.get("offline") and not r.get("lag")]
        return cluster.get("leader") and len(replicas) == len(good) == 2
    finally:
        c.close()


def contents(node, name="S"):
    """All messages of a stream through this node: {seq: data}."""
    c = node.client()
    try:
        st = c.api(f"STREAM.INFO.{name}", timeout=5)["state"]
        inbox = c.new_inbox()
        sub = c.sub(inbox)
        c.api(f"CONSUMER.CREATE.{name}", {"stream_name": name, "config": {
            "deliver_subject": inbox, "deliver_policy": "all", "ack_policy": "none", "num_replicas": 1,
            "mem_storage": True}}, timeout=5)
        return {natsraw.ack_info(m)["stream_seq"]: m.data.decode() for m in sub.take(st["messages"], 30)}
    finally:
        c.close()


def check_kept(acked, nodes):
    """Whatever was acknowledged is there, once, at its sequence, through each node."""
    assert acked
    for node in nodes:
        got = eventually(lambda n=node: contents(n), 30, f"the messages through {node.name}")
        for number, seq in acked.items():
            assert got.get(seq) == str(number), (node.name, number, seq, got.get(seq))
        values = [int(v) for _, v in sorted(got.items())]
        assert len(values) == len(set(values)), "a message is stored twice"
        assert values == sorted(values), "messages are out of order"


# ---- core ----

def test_messages_go_across_nodes(env):
    nodes = env.cluster(3)
    clients = [n.client() for n in nodes]
    subs = [c.sub("x.>") for c in clients]
    for c in clients:
        c.flush()

    def across():
        for i, c in enumerate(clients):
            c.pub(f"x.probe{i}", "p")
        for c in clients:
            c.flush()
        return all(len({m.subject for m in s.msgs}) == 3 for s in subs)
    eventually(across, 10, "interest everywhere")
    time.sleep(0.2)
    for c, s in zip(clients, subs):
        c.flush()
        s.msgs.clear()
    for i, c in enumerate(clients):
        for k in range(100):
            c.pub(f"x.{i}", str(k), headers={"N": str(k)})
    for s in subs:
        got = s.take(300, 10)
        for i in range(3):
            assert [int(m.data) for m in got if m.subject == f"x.{i}"] == list(range(100))
        assert all(m.header("N") == m.data.decode() for m in got)


def test_a_queue_group_over_nodes_gets_each_once_and_locals_first(env):
    nodes = env.cluster(3)
    clients = [n.client() for n in nodes]
    subs = [c.sub("q", queue="g") for c in clients[:2]]

    def across():
        clients[2].pub("q", "probe")
        for c in clients:
            c.flush()
        return any(s.msgs for s in subs)
    eventually(across, 10, "interest")
    time.sleep(0.3)
    for c, s in zip(clients, subs):
        c.flush()
        s.msgs.clear()
    for i in range(100):
        clients[2].pub("q", str(i))
    got = []

    def all_there():
        for c, s in zip(clients, subs):
            c.flush()
            got.extend(int(m.data) for m in s.msgs)
            s.msgs.clear()
        return len(got) >= 100
    eventually(all_there, 5, "a hundred messages")
    assert sorted(got) == list(range(100))
    if not env.is_gannet():
        return  # others may spread what a local member could take
    for i in range(50):
        clients[0].pub("q", str(i))
    clients[0].flush()
    assert len(subs[0].take(50)) == 50 and subs[1].none()


def test_a_request_is_answered_from_another_node(env):
    nodes = env.cluster(3)
    server, client = nodes[0].client(), nodes[2].client()
    sub = server.sub("service")
    server.flush()
    inbox = client.new_inbox()
    answers = client.sub(inbox)

    def answered():
        client.pub("service", "?", reply=inbox)
        client.flush()
        server.flush()
        time.sleep(0.05)
        server.flush()
        while sub.msgs:
            server.pub(sub.msgs.popleft().reply, "!")
        server.flush()
        time.sleep(0.05)
        client.flush()
        return [m for m in answers.msgs if m.data == b"!"]
    eventually(answered, 10, "the answer")


def test_clients_are_told_of_all_nodes(env):
    nodes = env.cluster(3)
    want = {f"127.0.0.1:{n.port}" for n in nodes}

    def told():
        c = nodes[1].client()
        urls = set(c.info.get("connect_urls", []))
        c.close()
        return urls >= want
    eventually(told, 10, "connect_urls")


# ---- JetStream ----

def test_each_node_serves_the_same_stream(env):
    nodes = three(env)
    make(nodes[0])
    seqs = []
    for i in range(60):
        c = nodes[i % 3].client()
        seqs.append(c.js_pub(f"s.{i}", str(i))["seq"])
        assert c.api("STREAM.MSG.GET.S", {"seq": seqs[-1]})["message"]["subject"] == f"s.{i}"
        c.close()
    assert seqs == list(range(1, 61))
    for node in nodes:
        st = eventually(lambda n=node: (lambda s: s["messages"] == 60 and s)(stream_state(n)), 10, "sixty messages")
        assert st["last_seq"] == 60


def test_a_consumer_is_shared_over_nodes(env):
    nodes = three(env)
    make(nodes[0])
    c = nodes[0].client()
    c.api("CONSUMER.DURABLE.CREATE.S.d", consumer("d", num_replicas=3))
    for i in range(90):
        c.js_pub("s.1", str(i))
    got = []
    for k in range(9):
        worker = nodes[k % 3].client()
        for msg in worker.fetch("S", "d", 10, 3):
            got.append(int(msg.data))
            worker.double_ack(msg)
        worker.close()
    assert sorted(got) == list(range(90)), len(got)
    eventually(lambda: c.api("CONSUMER.INFO.S.d")["ack_floor"]["stream_seq"] == 90, 10, "the ack floor")


def test_nothing_acknowledged_is_lost_when_each_node_is_killed_in_turn(env):
    nodes = three(env)
    make(nodes[0])
    publisher = Publisher(nodes)
    publisher.start()
    for node in nodes:
        before = len(publisher.acked)
        eventually(lambda b=before: len(publisher.acked) > b + 50, 30, "progress before a kill")
        node.kill()
        before = len(publisher.acked)
        eventually(lambda b=before: len(publisher.acked) > b + 100, 30, f"progress without {node.name}")
        node.start()
        servers.wait_jetstream(node)
    acked = publisher.finish()
    print(f"  {len(acked)} acknowledged, longest gap {publisher.longest_gap:.2f} s")
    check_kept(acked, nodes)


def test_a_kill_of_all_nodes_at_once_loses_nothing(env):
    nodes = three(env)
    make(nodes[0])
    publisher = Publisher(nodes)
    publisher.start()
    eventually(lambda: len(publisher.acked) > 200, 30, "progress")
    for node in nodes:
        node.kill()
    publisher.ended.set()
    for node in nodes:
        node.start(wait=False)
    for node in nodes:
        node.wait_ready()
    nodes.wait_jetstream()
    check_kept(publisher.finish(), nodes)


def test_a_rolling_restart_loses_nothing(env):
    nodes = three(env)
    make(nodes[0])
    publisher = Publisher(nodes)
    publisher.start()
    for node in nodes:
        before = len(publisher.acked)
        eventually(lambda b=before: len(publisher.acked) > b + 50, 30, "progress")
        node.stop(timeout=30)
        node.start()
        servers.wait_jetstream(node)
    acked = publisher.finish()
    print(f"  {len(acked)} acknowledged, longest gap {publisher.longest_gap:.2f} s")
    check_kept(acked, nodes)


def test_a_paused_node_holds_nobody_up_and_catches_up(env):
    nodes = three(env)
    make(nodes[0])
    publisher = Publisher(nodes)
    publisher.start()
    for node in nodes:
        before = len(publisher.acked)
        eventually(lambda b=before: len(publisher.acked) > b + 30, 30, "progress")
        node.send_signal(signal.SIGSTOP)
        before = len(publisher.acked)
        eventually(lambda b=before: len(publisher.acked) > b + 100, 40, f"progress while {node.name} is paused")
        node.send_signal(signal.SIGCONT)
        servers.wait_jetstream(node)
    check_kept(publisher.finish(), nodes)


def test_without_a_majority_nothing_is_acknowledged(env):
    nodes = three(env)
    make(nodes[0])
    c = nodes[2].client()
    c.js_pub("s.1", "0")
    nodes[0].kill()
    nodes[1].kill()
    try:
        answer = c.js_pub("s.1", "1", timeout=3, headers={"Nats-Msg-Id": "one"})
        raise AssertionError(f"acknowledged by one of three: {answer}")
    except NatsError:
        pass
    nodes[0].start(wait=False)
    nodes[1].start(wait=False)
    nodes[0].wait_ready()
    nodes[1].wait_ready()
    nodes.wait_jetstream()

    def published():
        d = nodes[2].client()
        try:
            return d.js_pub("s.1", "1", timeout=3, headers={"Nats-Msg-Id": "one"})
        finally:
            d.close()
    eventually(published, 30, "an acknowledgement")
    got = contents(nodes[1])
    assert sorted(got.values()) == ["0", "1"], got


def test_a_consumer_goes_on_when_its_leader_is_killed(env):
    nodes = three(env)
    make(nodes[0])
    c = nodes[0].client()
    c.api("CONSUMER.DURABLE.CREATE.S.d", consumer("d", ack_wait=int(5e9), num_replicas=3))
    for i in range(200):
        c.js_pub("s.1", str(i))
    leader = c.api("CONSUMER.INFO.S.d")["cluster"]["leader"]
    c.close()
    victim = next(n for n in nodes if n.name == leader)
    others = [n for n in nodes if n is not victim]
    done = set()

    def work(node, batch=20):
        w = node.client()
        try:
            for msg in w.fetch("S", "d", batch, 2):
                w.double_ack(msg)
                assert int(msg.data) not in done, f"{msg.data} was delivered again after its double ack"
                done.add(int(msg.data))
        finally:
            w.close()
    work(others[0], 60)
    victim.kill()

    def drained():
        try:
            work(others[len(done) % 2])
        except (NatsError, OSError):
            pass
        return len(done) == 200
    eventually(drained, 60, "all messages")


def test_an_emptied_node_comes_back_by_itself(env):
    env.not_yet("add a node with a new disk to its voters")
    nodes = three(env)
    make(nodes[0])
    c = nodes[0].client()
    for i in range(100):
        c.js_pub("s.1", str(i))
    victim = nodes[2]
    victim.kill()
    shutil.rmtree(victim.folder + "/store")
    for i in range(100, 150):
        eventually(lambda k=i: c.js_pub("s.1", str(k), headers={"Nats-Msg-Id": str(k)}), 20, "an acknowledgement")
    victim.start()
    servers.wait_jetstream(victim)
    d = victim.client()
    msg = eventually(lambda: d.api("STREAM.MSG.GET.S", {"seq": 120}, timeout=3), 60, "a message through it")
    assert base64.b64decode(msg["message"]["data"]) == b"119"
    eventually(lambda: all_current(nodes[0]) and all_current(victim), 60, "three current replicas")
    nodes[1].kill()  # it must be a voter again

    def published():
        e = victim.client()
        try:
            return e.js_pub("s.1", "150", timeout=3, headers={"Nats-Msg-Id": "last"})
        finally:
            e.close()
    assert eventually(published, 60, "an acknowledgement with the emptied node")["seq"] == 151


def test_a_node_that_names_one_seed_is_linked_with_all(env):
    seed = servers.free_port()
    nodes = []
    for i in range(3):
        listen = seed if i == 0 else servers.free_port()
        args = ["--cluster_name", "c1", "--cluster", f"nats://127.0.0.1:{listen}"]
        if i > 0:
            args += ["--routes", f"nats://127.0.0.1:{seed}"]
        nodes.append(env.server(*args, name=f"n{i + 1}", jetstream=False))
    servers.eventually(lambda: len(nodes[2].client().info.get("connect_urls", [])) == 3, 10, "connect_urls")
    a, b = nodes[1].client(), nodes[2].client()
    sub = a.sub("news")
    a.flush()
    servers.eventually(lambda: (b.pub("news", "hello"), b.flush(), a.flush(), sub.msgs)[-1], 10, "a message")
    nodes[0].kill()
    b.pub("news", "without the seed")
    b.flush()
    servers.eventually(lambda: (a.flush(), any(m.data == b"without the seed" for m in sub.msgs))[-1], 5, "the other")


def test_a_reply_from_another_node_is_never_lost(env):
    cluster = env.cluster(3)
    responder, asker = cluster[1].client(), cluster[0].client()
    asked = responder.sub("ask")
    responder.flush()
    eventually(lambda: (asker.pub("ask", reply="warm"), asker.flush(), responder.flush(), asked.msgs)[-1], 10, "interest")
    asker.flush()
    responder.flush()
    asked.msgs.clear()
    for i in range(300):
        # Inbox and request in one write: both come in one turn of the node's loop.
        inbox = asker.sub(f"_INBOX.one.{i}")
        asker.pub("ask", str(i), reply=inbox.subject)
        request = asked.next(timeout=5)
        responder.pub(request.reply, request.data)
        assert inbox.next(timeout=5).data == str(i).encode()
        asker.unsub(inbox)
