"""ocis_test - the profile of ocis' own nats service: `gannet server`, its settings, debug port, log and end."""
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import natsraw
import servers
from runner import Skip


class Ocis(servers.Server):
    """A service that is told all by its environment."""

    def __init__(self, env, name="n1", **settings):
        if not env.is_gannet():
            raise Skip("a nats-server has no such profile")
        super().__init__(env.binary, os.path.join(env.folder, f"ocis-{name}"), name)
        env.started.append(self)
        self.debug_port = servers.free_port()
        self.settings = {"NATS_NATS_PORT": str(self.port), "NATS_DEBUG_ADDR": f"127.0.0.1:{self.debug_port}",
                         "OCIS_BASE_DATA_PATH": os.path.join(self.folder, "data"), "OCIS_LOG_LEVEL": "info",
                         "OCIS_CONFIG_DIR": os.path.join(self.folder, "config"), **settings}

    def run(self, *words):
        """A command with this service's settings, to its end."""
        return subprocess.run([self.binary, *words], env=self.environment(), capture_output=True, text=True, timeout=30)

    def environment(self):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("OCIS_", "NATS_", "GANNET_"))}
        return {**kept, **{k: v for k, v in self.settings.items() if v is not None}}

    def command(self):
        return [self.binary, "server"]

    def start(self, wait=True):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=self.environment())
        if wait:
            self.wait_ready()
        return self

    def yaml(self, name, text):
        os.makedirs(self.settings["OCIS_CONFIG_DIR"], exist_ok=True)
        with open(os.path.join(self.settings["OCIS_CONFIG_DIR"], name), "w") as f:
            f.write(text)

    def get(self, path, token=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.debug_port}{path}")
        if token is not None:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read().decode(), answer.headers
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode(), e.headers


def test_defaults_are_those_of_ocis(env):
    node = Ocis(env, NATS_NATS_PORT=None, NATS_DEBUG_ADDR=None)
    for port in (9233, 9234):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                raise Skip(f"port {port} is in use here") from None
    node.port, node.debug_port = 9233, 9234
    node.start()
    info = node.client().info
    assert info["cluster"] == "ocis-cluster" and info["jetstream"] and info["max_payload"] == 1048576, info
    assert info["proto"] == 1 and info["headers"] and info["port"] == 9233, info
    assert tuple(int(n) for n in info["version"].split(".")[:2]) >= (2, 9)
    assert node.get("/healthz")[0] == 200


def test_the_last_variable_wins_and_all_win_over_yaml(env):
    node = Ocis(env, NATS_NATS_CLUSTER_ID=None, OCIS_LOG_LEVEL="error", NATS_LOG_LEVEL="info")
    node.yaml("nats.yaml", "nats:\n  host: 127.0.0.1\n  port: 1\n  clusterid: from-yaml\nlog: {level: error}\n")
    node.yaml("ocis.yaml", "log:\n  level: fatal\nnats:\n  nats:\n    clusterid: lower\n    list: [a, {b: c}]\n"
                           "    auth_username: kim\n    auth_password: pw\n")
    node.start()
    client = node.client(**{"user": "kim", "pass": "pw"})
    assert client.info["cluster"] == "from-yaml" and client.info["auth_required"], client.info
    assert '"info"' in node.log()
    node.stop(signal.SIGTERM)
    node.settings["NATS_NATS_CLUSTER_ID"] = "from-env"
    node.start()
    assert node.client(**{"user": "kim", "pass": "pw"}).info["cluster"] == "from-env"


def test_wrong_settings_end_the_start_with_status_1(env):
    node = Ocis(env)
    readonly = os.path.join(node.folder, "file")
    with open(readonly, "w"):
        pass
    for settings, word in (({"NATS_EVENTS_ENABLE_TLS": "maybe"}, "NATS_EVENTS_ENABLE_TLS"),
                           ({"NATS_NATS_PORT": "x"}, "NATS_NATS_PORT"),
                           ({"NATS_NATS_STORE_DIR": readonly + "/below"}, "store directory")):
        before = dict(node.settings)
        node.settings.update(settings)
        done = node.run("server")
        node.settings = before
        assert done.returncode == 1 and word in done.stderr, (settings, done)
    node.yaml("nats.yaml", "nats: [\n")
    done = node.run("server")
    assert done.returncode == 1 and "nats.yaml:" in done.stderr, done


def test_data_lies_below_the_base_path_and_stays(env):
    node = Ocis(env).start()
    client = node.client()
    client.api("STREAM.CREATE.main-queue", {"name": "main-queue", "storage": "file"})
    assert client.request("main-queue", "event").json()["seq"] == 1
    assert os.path.isdir(os.path.join(node.folder, "data", "nats", "jetstream"))
    client.close()
    assert node.stop(signal.SIGTERM) == 0
    node.start()
    # Who is let in finds JetStream at once.
    assert node.client().api("STREAM.INFO.main-queue")["state"]["messages"] == 1


def test_debug_port_tells_health_and_guards_metrics(env):
    node = Ocis(env, NATS_DEBUG_TOKEN="s3cret").start()
    for path in ("/healthz", "/readyz"):
        status, body, headers = node.get(path)
        assert (status, body) == (200, "OK"), (path, status, body)
        assert headers["X-NATS-VERSION"] and headers["Content-Type"].startswith("text/plain")
    for token in (None, "s3cre", "s3crets", "x" * 2000):
        assert node.get("/metrics", token)[0] == 401, token
    status, body, _ = node.get("/metrics", "s3cret")
    assert status == 200 and "# TYPE" in body
    assert node.get("/varz")[0] == 404
    assert node.run("health").returncode == 0
    assert node.run("version").stdout.startswith(("gannet: v", "nats-server: v"))
    node.stop(signal.SIGTERM)
    done = node.run("health")
    assert done.returncode == 1 and "nothing answers" in done.stderr, done


def test_log_lines_are_json_with_what_ocis_writes(env):
    node = Ocis(env).start()
    lines = [json.loads(line) for line in node.log().splitlines()]
    assert any("Starting nats-server" in line["message"] for line in lines)
    assert all(line["service"] == "nats" and line["time"] and line["level"] == "info" for line in lines
               if "Starting" in line["message"]), lines
    quiet = Ocis(env, "n2", OCIS_LOG_LEVEL="nonsense").start()
    assert quiet.log() == "", quiet.log()
    pretty = Ocis(env, "n3", OCIS_LOG_PRETTY="true").start()
    assert "[INF]" in pretty.log()


def test_each_stop_signal_leaves_time_to_deregister(env):
    nodes = [(number, Ocis(env, f"s{number}").start())
             for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)]
    clients = [node.client() for _, node in nodes]
    clients[0].api("STREAM.CREATE.s", {"name": "s", "storage": "file"})
    start = time.monotonic()
    for number, node in nodes:
        node.send_signal(number)
    time.sleep(1)
    assert clients[0].request("s", "goodbye").json()["seq"] == 1
    assert natsraw.Client(nodes[0][1].port).info["jetstream"]  # also for who comes now
    for number, node in nodes:
        assert node.process.wait(20) == 0, (number, node.log())
    assert 2.9 <= time.monotonic() - start


def test_connections_that_come_and_go_leave_nothing(env):
    node = Ocis(env).start()
    fds = f"/proc/{node.process.pid}/fd"
    node.client().close()
    log, before = node.log(), len(os.listdir(fds))
    for _ in range(2000):
        node.client().close()
    servers.eventually(lambda: len(os.listdir(fds)) <= before, 10, "all descriptors closed")
    assert node.log() == log


def test_three_services_that_name_each_other_are_one_cluster(env):
    ports = [servers.free_port() for _ in range(3)]
    routes = ",".join(f"nats://127.0.0.1:{port}" for port in ports)
    nodes = [Ocis(env, f"n{i + 1}", GANNET_SERVER_NAME=f"n{i + 1}", GANNET_CLUSTER_LISTEN=f"127.0.0.1:{ports[i]}",
                  GANNET_CLUSTER_ROUTES=routes, GANNET_CLUSTER_USER="u", GANNET_CLUSTER_PASSWORD="p")
             for i in range(3)]
    for node in nodes:
        node.start(wait=False)
    for node in nodes:
        node.wait_ready()
        servers.wait_jetstream(node)
    nodes[2].client().api("STREAM.CREATE.main-queue", {"name": "main-queue", "storage": "file"})
    assert nodes[1].client().request("main-queue", "event", timeout=10).json()["seq"] == 1
    info = servers.eventually(lambda: (lambda i: i if len(i.get("connect_urls", [])) == 3 else None)(
        nodes[1].client().info), 10, "three addresses")
    assert info["cluster"] == "ocis-cluster"
