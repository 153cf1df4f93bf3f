"""nodes - the cluster under test: processes, their disks, and what is done to them.

With images each node's store lies on an ext4 file system of its own in a file, so that a power loss can be had:
the file holds what the disk was told to keep, and nothing of the kernel's page cache.
"""
import os
import shutil
import signal
import subprocess
import threading
import time

import natsraw
import servers

IMAGE_BYTES = 2 << 30


class Node(servers.Server):
    def __init__(self, binary, folder, name, args, image):
        super().__init__(binary, folder, name, args)
        self.image = os.path.join(folder, "disk.img") if image else None
        self.disk = os.path.join(folder, "disk")
        os.makedirs(self.disk, exist_ok=True)
        if image:
            with open(self.image, "wb") as f:
                f.truncate(IMAGE_BYTES)
            run("mkfs.ext4", "-q", self.image)
            self.mount()

    def command(self):
        return [self.binary, "-a", "127.0.0.1", "-p", str(self.port), "-n", self.name, "-js",
                "-sd", os.path.join(self.disk, "store")] + self.args

    def mount(self):
        """commit=600: the file system writes what it must, hardly anything by its own timer."""
        run("mount", "-o", "loop,commit=600", self.image, self.disk)

    def unmount(self):
        subprocess.run(["umount", "-l", self.disk], check=False, stderr=subprocess.DEVNULL)

    def lose_page_cache(self, copy):
        """The image as it was copied takes the disk's place; call it with the process dead."""
        self.unmount()
        os.replace(copy, self.image)
        self.mount()


def run(*args):
    subprocess.run(args, check=True, stdout=subprocess.DEVNULL)


def can_mount(folder):
    """Whether this user may mount an image here; tried, since neither root nor tools alone tell it."""
    image, point = os.path.join(folder, "probe.img"), os.path.join(folder, "probe")
    try:
        os.makedirs(point, exist_ok=True)
        with open(image, "wb") as f:
            f.truncate(16 << 20)
        run("mkfs.ext4", "-q", image)
        run("mount", "-o", "loop", image, point)
        run("umount", point)
        return True
    except (OSError, subprocess.CalledProcessError):
        return False
    finally:
        if os.path.exists(image):
            os.unlink(image)


class Nodes:
    """All nodes; who is down on purpose; events of the run with their times."""

    def __init__(self, binary, folder, size, image):
        ports = [servers.free_port() for _ in range(size)]
        routes = ",".join(f"nats://127.0.0.1:{p}" for p in ports)
        self.all, self.meant, self.events, self.deaths = [], set(), [], []
        self.lock = threading.Lock()
        for i in range(size):
            args = [] if size == 1 else ["--cluster_name", "chaos", "--cluster", f"nats://127.0.0.1:{ports[i]}",
                                         "--routes", routes]
            name = f"n{i + 1}"
            self.all.append(Node(binary, os.path.join(folder, name), name, args, image))

    def __iter__(self):
        return iter(self.all)

    def __len__(self):
        return len(self.all)

    def start(self, which=None):
        which = self.all if which is None else which
        for node in which:
            node.start(wait=False)
        for node in which:
            node.wait_ready()
            self.meant.discard(node.name)
        return self

    def up(self):
        return [n for n in self.all if n.name not in self.meant]

    def note(self, what, which):
        self.events.append({"t": time.monotonic(), "what": what, "nodes": [n.name for n in which]})

    def kill(self, which):
        """All at the same moment, each as a crash."""
        self.meant.update(n.name for n in which)
        self.note("kill", which)
        for node in which:
            os.kill(node.process.pid, signal.SIGKILL)
        for node in which:
            node.process.wait()

    def pause(self, which, seconds):
        self.meant.update(n.name for n in which)
        self.note("pause", which)
        for node in which:
            node.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        for node in which:
            node.send_signal(signal.SIGCONT)
            self.meant.discard(node.name)
        self.note("continue", which)

    def cut_power(self, which):
        self.meant.update(n.name for n in which)
        self.note("power", which)
        for node in which:
            node.send_signal(signal.SIGSTOP)
        copies = [n.image + ".crash" for n in which]
        jobs = [subprocess.Popen(["cp", "--sparse=always", n.image, c]) for n, c in zip(which, copies)]
        bad = [j for j in jobs if j.wait() != 0]
        for node in which:
            os.kill(node.process.pid, signal.SIGKILL)
        for node, copy in zip(which, copies):
            node.process.wait()
            if not bad:
                node.lose_page_cache(copy)
        if bad:
            raise RuntimeError("an image can't be copied")

    def revive(self, which):
        self.note("start", which)
        self.start(which)

    def look_for_deaths(self):
        """A process that ended though nobody killed it; each is told once."""
        for node in self.up():
            if node.process.poll() is not None:
                tail = "\n    ".join(node.log().splitlines()[-12:])
                self.deaths.append(f"{node.name} ended by itself with {node.process.returncode}:\n    {tail}")
                self.meant.add(node.name)
        return self.deaths

    def ask(self, subject, body=None, node=None, timeout=5.0):
        client = (node or self.up()[0]).client(timeout=timeout)
        try:
            return client.api(subject, body, timeout)
        finally:
            client.close()

    def leader(self, stream):
        return servers.eventually(
            lambda: (self.ask(f"STREAM.INFO.{stream}", timeout=3).get("cluster") or {}).get("leader"), 30, "a leader")

    def named(self, name):
        return next(n for n in self.all if n.name == name)

    def healed(self, stream):
        """Every node answers for itself, and says that all replicas are up to date."""
        for node in self.all:
            cluster = self.ask(f"STREAM.INFO.{stream}", node=node, timeout=3).get("cluster") or {}
            replicas = cluster.get("replicas") or []
            good = [r for r in replicas if r.get("current") and not r.get("offline") and not r.get("lag", 0) > 200]
            if len(self.all) > 1 and not (cluster.get("leader") and len(good) == len(self.all) - 1):
                return False
        return True

    def wait_healed(self, stream, timeout=60.0):
        """How long it took."""
        start = time.monotonic()

        def healed():
            if self.look_for_deaths():
                raise AssertionError(self.deaths[-1])
            return self.healed(stream)
        servers.eventually(healed, timeout, "that all nodes are up to date")
        return time.monotonic() - start

    def close(self):
        for node in self.all:
            if node.process is not None:
                node.kill()
            if node.image:
                node.unmount()


def keep_stores(nodes):
    """Stores that lie on images are copied out, so that they can be looked at without mounting."""
    for node in nodes:
        if node.image:
            target = os.path.join(node.folder, "store")
            shutil.copytree(os.path.join(node.disk, "store"), target, dirs_exist_ok=True)
