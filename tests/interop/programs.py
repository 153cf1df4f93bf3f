"""programs - builds the client programs once a run, in build/interop; what can't be built here is skipped."""
import functools
import os
import shutil
import subprocess

import runner

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(runner.ROOT, "build", "interop")
NATS_CLI = "github.com/nats-io/natscli/nats@v0.5.1"


def call(command, timeout=100, **kw):
    """Output of a command; AssertionError with it when the command fails."""
    p = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
                       timeout=timeout, check=False, **kw)
    assert p.returncode == 0, f"{' '.join(command)} ended with {p.returncode}:\n{p.stdout[-4000:]}"
    return p.stdout


def build(tool, command, **kw):
    if shutil.which(tool) is None:
        raise runner.Skip(f"{tool} isn't installed")
    os.makedirs(OUT, exist_ok=True)
    call(command, timeout=600, **kw)


@functools.cache
def libnats():
    if not os.path.exists("/usr/include/nats/nats.h"):
        raise runner.Skip("libnats-dev isn't installed")
    program = os.path.join(OUT, "libnats")
    build("gcc", ["gcc", "-O1", "-g", "-Wall", "-Wextra", "-std=gnu17", os.path.join(HERE, "libnats", "main.c"),
                  "-lnats", "-o", program])
    return [program]


@functools.cache
def natsgo():
    program = os.path.join(OUT, "natsgo")
    build("go", ["go", "build", "-o", program, "."], cwd=os.path.join(HERE, "natsgo"))
    return [program]


@functools.cache
def natsjs():
    folder = os.path.join(OUT, "natsjs")
    if shutil.which("node") is None:
        raise runner.Skip("node isn't installed")
    shutil.copytree(os.path.join(HERE, "natsjs"), folder, dirs_exist_ok=True)
    build("npm", ["npm", "install", "--no-audit", "--no-fund", "--silent"], cwd=folder)
    return ["node", os.path.join(folder, "main.mjs")]


@functools.cache
def nats_cli():
    """The command line tool: $NATS_CLI, or built by go."""
    if os.environ.get("NATS_CLI"):
        return os.environ["NATS_CLI"]
    program = os.path.join(OUT, "nats")
    if not os.path.exists(program):
        build("go", ["go", "install", NATS_CLI], env={**os.environ, "GOBIN": OUT})
    return program
