"""interop_test - each official client against one node, and against a cluster of three."""
import json
import os

import programs
import servers


def single(env):
    node = env.server()
    servers.wait_jetstream(node)
    return f"nats://127.0.0.1:{node.port}"


def three(env):
    nodes = env.cluster(3).wait_jetstream()
    return ",".join(f"nats://127.0.0.1:{n.port}" for n in nodes)


def check(output):
    lines = [line for line in output.splitlines() if line.startswith("ok ")]
    assert lines and "FAIL" not in output, output


def test_libnats(env):
    check(programs.call(programs.libnats() + [single(env)]))


def test_libnats_in_a_cluster(env):
    check(programs.call(programs.libnats() + [three(env)]))


def test_nats_go(env):
    check(programs.call(programs.natsgo() + [single(env)]))


def test_nats_go_in_a_cluster(env):
    url = three(env)
    if not env.is_gannet():
        return  # a nats-server answers 'no responders' while a consumer's group chooses its leader
    check(programs.call(programs.natsgo() + [url]))


def test_nats_js(env):
    check(programs.call(programs.natsjs() + [single(env)]))


def test_nats_js_in_a_cluster(env):
    check(programs.call(programs.natsjs() + [three(env)]))


def cli_session(env, url):
    program = programs.nats_cli()
    home = os.path.join(env.folder, "home")
    os.makedirs(home)

    def nats(*args):
        settings = {**os.environ, "HOME": home, "XDG_CONFIG_HOME": home}
        return programs.call([program, "--server", url, "--timeout", "10s", *args], timeout=60, env=settings)
    nats("stream", "add", "ORDERS", "--subjects", "orders.>", "--defaults")
    nats("publish", "orders.1", "hello {{Count}}", "--count", "20", "--quiet")
    info = json.loads(nats("stream", "info", "ORDERS", "--json"))
    assert info["state"]["messages"] == 20 and info["config"]["subjects"] == ["orders.>"], info
    assert "hello 3" in nats("stream", "get", "ORDERS", "3")
    assert "ORDERS" in nats("stream", "ls")
    assert json.loads(nats("stream", "ls", "--json")) == ["ORDERS"]
    nats("stream", "report")
    nats("consumer", "add", "ORDERS", "C", "--pull", "--defaults")
    out = nats("consumer", "next", "ORDERS", "C", "--count", "5", "--ack")
    assert "hello 5" in out, out
    ci = json.loads(nats("consumer", "info", "ORDERS", "C", "--json"))
    assert ci["delivered"]["consumer_seq"] == 5, ci
    nats("consumer", "rm", "ORDERS", "C", "-f")
    nats("stream", "edit", "ORDERS", "--max-msgs", "10", "-f")
    assert json.loads(nats("stream", "info", "ORDERS", "--json"))["state"]["messages"] == 10
    nats("stream", "purge", "ORDERS", "-f")
    nats("stream", "rm", "ORDERS", "-f")
    nats("kv", "add", "B", "--history", "5")
    nats("kv", "put", "B", "key", "value")
    assert nats("kv", "get", "B", "key", "--raw").strip() == "value"
    assert "key" in nats("kv", "ls", "B")
    nats("kv", "del", "B", "key", "-f")
    nats("object", "add", "O")
    nats("object", "put", "O", env.file("data.txt", "x" * 300000), "--name", "data", "--no-progress", "-f")
    nats("object", "info", "O", "data")
    nats("account", "info")
    nats("server", "check", "connection")
    nats("rtt", "3")


def test_nats_cli(env):
    cli_session(env, single(env))


def test_nats_cli_in_a_cluster(env):
    cli_session(env, three(env))
