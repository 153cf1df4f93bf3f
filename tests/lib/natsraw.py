"""natsraw - a small NATS client on one socket and no threads, for tests.

Bytes are read only while somebody waits (next, request, flush, wait), so a test decides when time passes.
Everything that the server said is kept: errors in Client.errors, each INFO in Client.infos.
"""
import collections
import json
import os
import socket
import time


class NatsError(Exception):
    pass


class Timeout(NatsError):
    pass


class NoResponders(NatsError):
    pass


class Closed(NatsError):
    pass


class ApiError(NatsError):
    def __init__(self, error):
        super().__init__(f"{error.get('err_code')} {error.get('description')}")
        self.code = error.get("code")
        self.err_code = error.get("err_code")
        self.description = error.get("description")


class Msg:
    def __init__(self, subject, sid, reply, header, data):
        self.subject, self.sid, self.reply, self.data = subject, sid, reply, data
        self.headers, self.status, self.description = {}, None, ""
        lines = header.decode("utf-8", "replace").split("\r\n") if header else []
        if lines and lines[0].startswith("NATS/1.0 "):
            code, _, self.description = lines[0][9:].partition(" ")
            self.status = int(code)
        for line in lines[1:]:
            key, colon, value = line.partition(":")
            if colon:
                self.headers.setdefault(key, []).append(value.strip())

    def header(self, key):
        return self.headers.get(key, [None])[0]

    def json(self):
        return json.loads(self.data)

    def __repr__(self):
        return f"Msg({self.subject!r}, reply={self.reply!r}, status={self.status}, {self.headers}, {self.data[:80]!r})"


class Sub:
    def __init__(self, client, sid, subject):
        self.client, self.sid, self.subject = client, sid, subject
        self.msgs = collections.deque()

    def next(self, timeout=2.0):
        self.client.wait(lambda: self.msgs, timeout, f"a message on {self.subject}")
        return self.msgs.popleft()

    def take(self, count, timeout=5.0):
        end = time.monotonic() + timeout
        return [self.next(max(0.001, end - time.monotonic())) for _ in range(count)]

    def none(self, within=0.2):
        """True when nothing comes."""
        try:
            self.client.wait(lambda: self.msgs, within, "")
        except Timeout:
            return True
        return False


def header_block(headers):
    lines = ["NATS/1.0"] + [f"{k}: {v}" for k, vs in headers.items() for v in (vs if isinstance(vs, list) else [vs])]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Client:
    def __init__(self, port, host="127.0.0.1", timeout=5.0, connect=True, **options):
        self.sock = socket.create_connection((host, port), timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer, self.subs, self.errors, self.infos = b"", {}, [], []
        self.pongs = self.oks = self.next_sid = 0
        self.inbox = self.inbox_sub = None
        self.closed = False
        self.wait(lambda: self.infos, timeout, "INFO")
        if connect:
            self.connect(timeout, **options)

    @property
    def info(self):
        return self.infos[-1]

    def connect(self, timeout=5.0, **options):
        settings = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, "protocol": 1,
                    "lang": "raw", "version": "1", "name": "test"}
        settings.update(options)
        self.send(f"CONNECT {json.dumps(settings)}\r\n".encode())
        self.flush(timeout)

    # ---- bytes ----
    def send(self, data):
        try:
            self.sock.settimeout(20)
            self.sock.sendall(data)
        except OSError as e:
            self.closed = True
            raise Closed(str(e)) from e

    def _read(self, seconds):
        self.sock.settimeout(max(0.001, seconds))
        try:
            data = self.sock.recv(1 << 18)
        except TimeoutError:
            return
        except OSError as e:
            self.closed = True
            raise Closed(str(e)) from e
        if not data:
            self.closed = True
            raise Closed("; ".join(self.errors) or "the server closed the connection")
        self.buffer += data
        while self._parse():
            pass

    def _parse(self):
        end = self.buffer.find(b"\r\n")
        if end < 0:
            return False
        line = self.buffer[:end].decode("utf-8", "replace")
        op, _, rest = line.partition(" ")
        if op in ("MSG", "HMSG"):
            return self._parse_msg(op, rest.split(), end + 2)
        self.buffer = self.buffer[end + 2:]
        if op == "PING":
            self.send(b"PONG\r\n")
        elif op == "PONG":
            self.pongs += 1
        elif op == "+OK":
            self.oks += 1
        elif op == "-ERR":
            self.errors.append(rest.strip("'"))
        elif op == "INFO":
            self.infos.append(json.loads(rest))
        else:
            raise NatsError(f"the server said {line[:200]!r}")
        return True

    def _parse_msg(self, op, args, at):
        total = int(args[-1])
        header = int(args[-2]) if op == "HMSG" else 0
        if len(self.buffer) < at + total + 2:
            return False
        block = self.buffer[at:at + total]
        if self.buffer[at + total:at + total + 2] != b"\r\n":
            raise NatsError("no line end after a payload")
        self.buffer = self.buffer[at + total + 2:]
        reply = args[2] if len(args) == (5 if op == "HMSG" else 4) else None
        msg = Msg(args[0], args[1], reply, block[:header], block[header:])
        sub = self.subs.get(args[1])
        if sub is None:
            raise NatsError(f"a message for a subscription that isn't there: {msg}")
        sub.msgs.append(msg)
        return True

    def wait(self, condition, timeout, what):
        end = time.monotonic() + timeout
        while not condition():
            left = end - time.monotonic()
            if left <= 0:
                raise Timeout(f"no {what} within {timeout:.1f} s; errors: {self.errors}")
            self._read(left)
        return condition()

    # ---- protocol ----
    def sub(self, subject, queue=None):
        self.next_sid += 1
        sid = str(self.next_sid)
        self.subs[sid] = Sub(self, sid, subject)
        self.send(f"SUB {subject} {queue + ' ' if queue else ''}{sid}\r\n".encode())
        return self.subs[sid]

    def unsub(self, sub, max_msgs=None):
        self.send(f"UNSUB {sub.sid}{f' {max_msgs}' if max_msgs else ''}\r\n".encode())

    def pub(self, subject, data=b"", reply=None, headers=None):
        data = data.encode() if isinstance(data, str) else data
        middle = f"{subject} {reply} " if reply else f"{subject} "
        if headers is None:
            self.send(f"PUB {middle}{len(data)}\r\n".encode() + data + b"\r\n")
        else:
            block = header_block(headers)
            self.send(f"HPUB {middle}{len(block)} {len(block) + len(data)}\r\n".encode() + block + data + b"\r\n")

    def flush(self, timeout=5.0):
        want = self.pongs + 1
        self.send(b"PING\r\n")
        self.wait(lambda: self.pongs >= want, timeout, "PONG")

    def new_inbox(self):
        return f"_INBOX.{os.urandom(9).hex()}"

    def request(self, subject, data=b"", timeout=5.0, headers=None):
        if self.inbox is None:
            self.inbox = self.new_inbox()
            self.inbox_sub = self.sub(self.inbox + ".*")
        reply = f"{self.inbox}.{os.urandom(4).hex()}"
        self.pub(subject, data, reply, headers)

        def mine():
            return [m for m in self.inbox_sub.msgs if m.subject == reply]
        msg = self.wait(mine, timeout, f"answer to {subject}")[0]
        self.inbox_sub.msgs.clear()
        if msg.status == 503 and not msg.data:
            raise NoResponders(subject)
        return msg

    # ---- JetStream ----
    def api(self, subject, body=None, timeout=5.0):
        data = b"" if body is None else json.dumps(body).encode()
        answer = self.request(f"$JS.API.{subject}", data, timeout).json()
        if "error" in answer:
            raise ApiError(answer["error"])
        return answer

    def js_pub(self, subject, data=b"", timeout=5.0, headers=None):
        answer = self.request(subject, data, timeout, headers).json()
        if "error" in answer:
            raise ApiError(answer["error"])
        return answer

    def fetch(self, stream, consumer, batch, timeout=2.0, **options):
        """Messages of one pull request, without its closing status; fewer when time is up."""
        inbox = self.new_inbox()
        sub = self.sub(inbox)
        body = {"batch": batch, "expires": int(timeout * 1e9), **options}
        self.pub(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", json.dumps(body), inbox)
        got = []
        try:
            while len(got) < batch:
                msg = sub.next(timeout + 1)
                if msg.status == 100:
                    continue
                if msg.status is not None:
                    break
                got.append(msg)
        except Timeout:
            pass
        self.unsub(sub)
        return got

    def ack(self, msg, what=b"+ACK"):
        self.pub(msg.reply, what)

    def double_ack(self, msg, timeout=5.0):
        return self.request(msg.reply, b"+ACK", timeout)

    def close(self):
        self.closed = True
        self.sock.close()


def ack_info(msg):
    """The fields of a delivered message's reply subject ($JS.ACK...)."""
    parts = msg.reply.split(".")
    if len(parts) >= 11:
        parts = parts[:2] + parts[4:]
    return {"stream": parts[2], "consumer": parts[3], "delivered": int(parts[4]), "stream_seq": int(parts[5]),
            "consumer_seq": int(parts[6]), "time": int(parts[7]), "pending": int(parts[8])}
