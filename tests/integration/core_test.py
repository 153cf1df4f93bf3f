"""core_test - publish and subscribe on one node, and the program's own surface."""
import glob
import json
import os
import signal
import socket
import subprocess
import time

import natsraw
import servers
from natsraw import Closed, NoResponders, Timeout


def plain(env, *args):
    return env.server(*args, jetstream=False)


def test_messages_reach_plain_and_wildcard_subscriptions(env):
    node = plain(env)
    a, b = node.client(), node.client()
    subs = [b.sub(s) for s in ("a.b", "a.*", "a.>", ">", "*.b")]
    others = [b.sub(s) for s in ("a", "a.b.c", "a.b.>", "b.*", "a.B")]
    b.flush()
    a.pub("a.b", "hello", reply="r.1")
    for sub in subs:
        msg = sub.next()
        assert (msg.subject, msg.data, msg.reply) == ("a.b", b"hello", "r.1"), msg
    a.flush()
    b.flush()
    assert not any(s.msgs for s in others)


def test_order_is_kept_over_many_messages(env):
    node = plain(env)
    a, b = node.client(), node.client()
    sub = b.sub("seq.>")
    b.flush()
    count = 20000
    a.send(b"".join(b"PUB seq.%d %d\r\n%d\r\n" % (i % 7, len(str(i)), i) for i in range(count)))
    got = sub.take(count, 20)
    assert [int(m.data) for m in got] == list(range(count))


def test_a_queue_group_gets_each_message_once(env):
    node = plain(env)
    clients = [node.client() for _ in range(4)]
    subs = [c.sub("work", queue="q") for c in clients[:3]]
    for c in clients:
        c.flush()
    for i in range(300):
        clients[3].pub("work", str(i))
    clients[3].flush()
    for c in clients:
        c.flush()
    got = sorted(int(m.data) for s in subs for m in s.msgs)
    assert got == list(range(300))
    assert all(len(s.msgs) > 20 for s in subs), [len(s.msgs) for s in subs]


def test_headers_arrive_as_sent(env):
    node = plain(env)
    a = node.client()
    sub = a.sub("h")
    a.pub("h", "body", headers={"Key": ["one", "two"], "Other": "x"})
    msg = sub.next()
    assert msg.headers == {"Key": ["one", "two"], "Other": ["x"]}, msg.headers
    assert msg.data == b"body"
    old = node.client(headers=False, no_responders=False)
    bare = old.sub("h2")
    old.flush()
    a.pub("h2", "body", headers={"Key": "one"})
    assert bare.next().data == b"body"


def test_a_request_without_listeners_is_answered_503(env):
    client = plain(env).client()
    try:
        client.request("nobody.there")
        raise AssertionError("answered")
    except NoResponders:
        pass


def test_request_and_reply(env):
    node = plain(env)
    a, b = node.client(), node.client()
    sub = b.sub("echo")
    b.flush()
    inbox = a.new_inbox()
    answers = a.sub(inbox)
    a.pub("echo", "ping", reply=inbox)
    msg = sub.next()
    b.pub(msg.reply, msg.data + b"!")
    assert answers.next().data == b"ping!"


def test_unsub_ends_after_so_many_messages(env):
    client = plain(env).client()
    sub = client.sub("u")
    client.unsub(sub, 3)
    for i in range(10):
        client.pub("u", str(i))
    client.flush()
    assert [m.data for m in sub.msgs] == [b"0", b"1", b"2"]


def test_verbose_answers_each_operation(env):
    client = natsraw.Client(plain(env).port, connect=False)
    client.connect(verbose=True)
    client.sub("x")
    client.pub("y", "1")
    client.flush()
    assert client.oks == 3, client.oks


def raw(node, data, seconds=2.0):
    """What the server says to these bytes until it closes, or for so long."""
    with socket.create_connection(("127.0.0.1", node.port), seconds) as s:
        s.sendall(data)
        out, end = b"", time.monotonic() + seconds
        while time.monotonic() < end:
            s.settimeout(max(0.01, end - time.monotonic()))
            try:
                part = s.recv(65536)
            except (TimeoutError, ConnectionError):
                break
            if not part:
                return out, True
            out += part
        return out, False


def test_nonsense_closes_the_connection_with_its_error(env):
    node = plain(env)
    out, closed = raw(node, b"CONNECT {}\r\nFOO bar\r\n")
    assert closed and b"-ERR 'Unknown Protocol Operation'" in out, out
    out, closed = raw(node, b"CONNECT {}\r\nPUB a 100000000\r\n")
    assert closed and b"-ERR 'Maximum Payload Violation'" in out, out
    out, closed = raw(node, b"CONNECT {}\r\nSUB a..b 1\r\nPING\r\n", 1.0)
    assert b"-ERR 'Invalid Subject'" in out and b"PONG" in out, out
    out, _ = raw(node, b"ping\r\n", 0.5)
    assert out.endswith(b"PONG\r\n"), out


def test_bytes_may_come_one_at_a_time(env):
    node = plain(env)
    client = node.client()
    sub = client.sub("slow.msg")
    client.flush()
    with socket.create_connection(("127.0.0.1", node.port)) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b'CONNECT {"verbose":false}\r\nPUB slow.msg reply.to 5\r\nhello\r\n':
            s.sendall(bytes([byte]))
        msg = sub.next()
    assert msg.data == b"hello" and msg.reply == "reply.to"


def test_the_largest_payload_passes_and_no_more(env):
    node = plain(env)
    client = node.client()
    size = client.info["max_payload"]
    sub = client.sub("big")
    client.pub("big", b"x" * size)
    assert len(sub.next(10).data) == size
    client.send(f"PUB big {size + 1}\r\n".encode())
    try:
        client.flush()
        raise AssertionError("accepted")
    except Closed as e:
        assert "Maximum Payload" in str(e), e


def test_users_are_checked_and_permissions_hold(env):
    conf = env.file("auth.conf", """
        authorization {
          users = [
            {user: alice, password: secret}
            {user: bob, password: "b0b", permissions: {publish: "b.>", subscribe: {allow: "b.>", deny: "b.private"}}}
          ]
        }
        """)
    node = env.server("-c", conf, jetstream=False, start=False)
    node.start(wait=False)
    node.wait_ready()
    try:
        node.client(user="alice", **{"pass": "wrong"})
        raise AssertionError("let in")
    except Closed as e:
        assert "Authorization Violation" in str(e), e
    alice, bob = node.client(user="alice", **{"pass": "secret"}), node.client(user="bob", **{"pass": "b0b"})
    sub = alice.sub(">")
    alice.flush()
    bob.pub("a.no", "1")
    bob.pub("b.yes", "2")
    bob.sub("a.no")
    bob.sub("b.private")
    bob.flush()
    assert sub.next().subject == "b.yes"
    texts = [e for e in bob.errors if "Permissions Violation" in e]
    assert len(texts) == 3, bob.errors


def test_info_tells_what_clients_read(env):
    info = plain(env).client().info
    for key in ("server_id", "server_name", "version", "proto", "host", "port", "headers", "max_payload", "client_id"):
        assert key in info, key
    assert info["headers"] is True and info["proto"] == 1
    assert info["server_id"].startswith("N") and len(info["server_id"]) == 56


def test_ports_and_pid_files_and_a_clean_end(env):
    folder = os.path.join(env.folder, "run")
    os.makedirs(folder)
    pid_file = os.path.join(folder, "pid")
    node = plain(env, "--ports_file_dir", folder, "-P", pid_file)

    def ports():
        found = glob.glob(os.path.join(folder, "*.ports"))
        return found and json.load(open(found[0]))
    urls = servers.eventually(ports, 5, "the ports file")["nats"]
    assert urls == [f"nats://127.0.0.1:{node.port}"], urls
    assert open(pid_file).read() == str(node.process.pid)
    assert os.path.basename(glob.glob(os.path.join(folder, "*.ports"))[0]).endswith(f"_{node.process.pid}.ports")
    assert node.stop() == 0
    assert not glob.glob(os.path.join(folder, "*.ports"))


def test_an_ended_server_closes_its_clients(env):
    node = plain(env)
    client = node.client()
    assert node.stop(signal.SIGTERM) in (0, 1)
    try:
        client.flush()
        raise AssertionError("still there")
    except Closed:
        pass


def test_a_port_in_use_is_said_and_ends_the_start(env):
    node = plain(env)
    second = env.server(jetstream=False, start=False, name="n2")
    second.port = node.port
    second.start(wait=False)
    assert second.process.wait(10) != 0
    assert "in use" in second.log()


def test_lame_duck_tells_clients_and_accepts_no_more(env):
    node = plain(env)
    client = node.client()
    node.send_signal(signal.SIGUSR2)
    client.wait(lambda: [i for i in client.infos if i.get("ldm")], 5, "INFO with ldm")

    def refused():
        try:
            socket.create_connection(("127.0.0.1", node.port), 1).close()
        except OSError:
            return True
        return False
    servers.eventually(refused, 10, "a closed listener")
    client.flush()


def test_a_slow_client_is_dropped_and_others_are_served(env):
    conf = env.file("slow.conf", "max_pending: 1MB\n")
    node = plain(env, "-c", conf)
    slow, quick, sender = node.client(), node.client(), node.client()
    slow.sub("fan")
    sub = quick.sub("fan")
    slow.flush()
    quick.flush()
    for _ in range(200):
        sender.pub("fan", b"x" * 100000)
        sub.next(5)
    sender.flush()

    def gone():
        try:
            while not slow._read(0.05):
                pass
        except Closed:
            return True
        return False
    servers.eventually(gone, 10, "the slow client's end")
    try:
        quick.flush()
    except Timeout:
        raise AssertionError("the quick client isn't served") from None


def test_tls_that_is_not_there_yet_is_refused(env):
    path = os.path.join(env.folder, "tls.conf")
    with open(path, "w") as f:
        f.write('port: -1\ntls { cert_file: "c.pem", key_file: "k.pem" }\n')
    done = subprocess.run([env.binary, "-c", path], capture_output=True, text=True, timeout=10)
    if os.path.basename(os.path.realpath(env.binary)) == "gannet":
        assert "TLS" in done.stderr, done.stderr
    assert done.returncode != 0
