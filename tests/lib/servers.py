"""servers - server processes for tests: started with a folder and ports of their own, ended by their pid."""
import os
import signal
import socket
import subprocess
import time

import natsraw

READY_S = 20.0
_ports = set()


def free_port():
    """A port that nothing in this run was given before. Below the range that outgoing connections are given."""
    while True:
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            port = 20000 + int.from_bytes(os.urandom(2), "big") % 12000
            if port in _ports:
                continue
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            _ports.add(port)
            return port


class Server:
    """One process. Its folder and ports stay the same when it is started again."""

    def __init__(self, binary, folder, name="n1", args=(), jetstream=True):
        self.binary, self.folder, self.name, self.args = binary, folder, name, list(args)
        self.port = free_port()
        self.jetstream = jetstream
        self.process = None
        os.makedirs(folder, exist_ok=True)
        self.log_path = os.path.join(folder, "server.log")

    def command(self):
        base = [self.binary, "-a", "127.0.0.1", "-p", str(self.port), "-n", self.name]
        if self.jetstream:
            base += ["-js", "-sd", os.path.join(self.folder, "store")]
        return base + self.args

    def start(self, wait=True):
        assert self.process is None or self.process.poll() is not None, "runs already"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=READY_S):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{self.log()[-2000:]}")
            try:
                natsraw.Client(self.port, timeout=1.0, connect=False).close()
                return
            except (OSError, natsraw.NatsError):
                time.sleep(0.02)
        raise RuntimeError(f"{self.name} isn't ready after {timeout} s:\n{self.log()[-2000:]}")

    def running(self):
        return self.process is not None and self.process.poll() is None

    def send_signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """As a crash: no last word."""
        if self.running():
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()

    def stop(self, number=signal.SIGINT, timeout=20.0):
        """As an operator does; returns the exit status."""
        if self.running():
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"{self.name} didn't end within {timeout} s:\n{self.log()[-2000:]}") from None

    def client(self, **options):
        return natsraw.Client(self.port, **options)

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()


class Cluster:
    def __init__(self, binary, folder, size=3, args=(), name="c1"):
        route_ports = [free_port() for _ in range(size)]
        routes = ",".join(f"nats://127.0.0.1:{p}" for p in route_ports)
        self.nodes = []
        for i in range(size):
            node_args = ["--cluster_name", name, "--cluster", f"nats://127.0.0.1:{route_ports[i]}",
                         "--routes", routes] + list(args)
            self.nodes.append(Server(binary, os.path.join(folder, f"n{i + 1}"), f"n{i + 1}", node_args))

    def start(self):
        for node in self.nodes:
            node.start(wait=False)
        for node in self.nodes:
            node.wait_ready()
        return self

    def wait_jetstream(self, timeout=30.0):
        """Until every running node answers an API request."""
        for node in self.nodes:
            if node.running():
                wait_jetstream(node, timeout)
        return self

    def __getitem__(self, index):
        return self.nodes[index]

    def __iter__(self):
        return iter(self.nodes)


def wait_jetstream(node, timeout=30.0):
    def answers():
        client = node.client()
        try:
            client.api("INFO", timeout=2.0)
            client.api("STREAM.NAMES", timeout=2.0)
            return True
        finally:
            client.close()
    return eventually(answers, timeout, f"{node.name}'s JetStream")


def eventually(condition, timeout=10.0, what="the condition"):
    """Repeats until the condition is true; errors of the client count as not yet. Returns its value."""
    end, last = time.monotonic() + timeout, None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = value
        except (natsraw.NatsError, OSError) as e:
            last = e
        if time.monotonic() > end:
            raise AssertionError(f"{what} didn't come within {timeout} s; last: {last!r}")
        time.sleep(0.02)
