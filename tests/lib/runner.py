"""runner - finds test_* functions in the files of a folder and runs each with an Env of its own.

Whatever a test started is ended afterwards; the folder of a failed test (logs and data) stays in tests/out.
"""
import argparse
import importlib.util
import os
import shutil
import signal
import sys
import time
import traceback

import servers

LIB = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(LIB))
TEST_S = 180


class Skip(Exception):
    """The test can't run here; the reason is its text."""


class Env:
    def __init__(self, server, folder):
        self.binary, self.folder, self.started = server, folder, []

    def server(self, *args, name="n1", jetstream=True, start=True):
        folder = os.path.join(self.folder, f"{name}-{len(self.started)}")
        one = servers.Server(self.binary, folder, name, args, jetstream)
        self.started.append(one)
        return one.start() if start else one

    def cluster(self, size=3, *args):
        cluster = servers.Cluster(self.binary, self.folder, size, args)
        self.started.extend(cluster.nodes)
        return cluster.start()

    def file(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def is_gannet(self):
        return os.path.basename(os.path.realpath(self.binary)) == "gannet"

    def not_yet(self, what):
        """Skips on Gannet what it doesn't do so far; others are judged all the same."""
        if self.is_gannet():
            raise Skip(f"Gannet doesn't {what} yet")

    def close(self):
        for one in self.started:
            if one.process is not None:
                one.kill()


def alarm(_signal, _frame):
    raise TimeoutError(f"the test took more than {TEST_S} s")


def find(folder, word):
    for name in sorted(os.listdir(folder)):
        if not name.endswith("_test.py"):
            continue
        spec = importlib.util.spec_from_file_location(name[:-3], os.path.join(folder, name))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for key, value in list(vars(module).items()):
            title = f"{name[:-8]}.{key[5:]}"
            if key.startswith("test_") and callable(value) and word in title:
                yield title, value


def run_one(title, test, server, keep):
    folder = os.path.join(ROOT, "tests", "out", title)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    env = Env(server, folder)
    start = time.monotonic()
    word, detail = "ok  ", ""
    signal.alarm(TEST_S)
    try:
        test(env)
    except Skip as e:
        word, detail = "skip", f": {e}"
    except BaseException as e:  # a stuck test ends in TimeoutError, ctrl-C in KeyboardInterrupt
        if isinstance(e, KeyboardInterrupt):
            raise
        word, detail = "FAIL", f"\n{traceback.format_exc()}  logs and data: {folder}"
    finally:
        signal.alarm(0)
        env.close()
    print(f"{word} {title} ({time.monotonic() - start:.1f} s){detail}", flush=True)
    if word != "FAIL" and not keep:
        shutil.rmtree(folder, ignore_errors=True)
    return word


def main(folder):
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", default=os.path.join(ROOT, "build", "gannet"))
    parser.add_argument("-k", default="", help="only tests whose name has this text")
    parser.add_argument("--keep", action="store_true", help="leave logs and data of passed tests too")
    options = parser.parse_args()
    server = os.path.abspath(options.server)
    signal.signal(signal.SIGALRM, alarm)
    words = [run_one(title, test, server, options.keep) for title, test in find(folder, options.k)]
    skipped = words.count("skip")
    if skipped:
        print(f"{skipped} skipped")
    print(f"{words.count('ok  ')} passed, {words.count('FAIL')} failed")
    return 1 if "FAIL" in words or "ok  " not in words else 0


def run(file):
    sys.exit(main(os.path.dirname(os.path.abspath(file))))
