"""What the attack must not harm: a client that sends messages, and probes of the HTTP port.

Both use blocking sockets and no event loop, so that nothing but the relay and the machine delays
them.
"""

import base64
import http.client
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.bench.clients import body
from tests.bench.servers import SENDER, ZONE, domain
from tests.support.wire import Client

PATIENCE = 20.0  # seconds the victim and the probes wait, for a whole message or response
PAUSE = 0.02  # seconds between two messages, and between two probes
PROBED = {"/livez": 1.0, "/metrics": 10.0}
"""The time-outs in seconds of the startup probe in deploy/k8s, and of Prometheus by default."""

_LEAST = 0.01  # seconds of a time-out: 0 would mean that the socket does not wait at all
_DOMAINS = 8
_BODY = body()
_numbers = itertools.count(1)


@dataclass(slots=True)
class Sent:
    """The victim's messages: seconds of those answered 250 or given up, and what failed."""

    seconds: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    acknowledged: set[str] = field(default_factory=set)


class Victim:
    """A client that sends one message a connection; `address` is its own."""

    def __init__(
        self,
        port: int,
        address: str = "127.0.0.1",
        credentials: tuple[str, str] | None = None,
        *,
        new_domains: bool = False,
    ) -> None:
        """With `credentials` it uses AUTH PLAIN; `new_domains` makes each recipient's unique."""
        self.port = port
        self.address = address
        self.credentials = credentials
        self.new_domains = new_domains

    def send(self, sent: Sent) -> None:
        """Send one whole message, from connecting to the reply to QUIT, and record it."""
        number = next(_numbers)
        began = time.perf_counter()
        try:
            refusal = self._converse(number)
        except (OSError, AssertionError) as error:
            sent.failures[type(error).__name__] += 1
            if isinstance(error, TimeoutError):
                sent.seconds.append(time.perf_counter() - began)
            return
        if refusal:
            sent.failures[refusal] += 1
        else:
            sent.seconds.append(time.perf_counter() - began)
            sent.acknowledged.add(str(number))

    def _converse(self, number: int) -> str:
        """Return the first refusal's code, or "" for a message that was acknowledged."""
        until = time.monotonic() + PATIENCE
        with Client(self.port, source=self.address, timeout=PATIENCE) as client:
            reply = client.reply()
            for command in self._commands(number):
                if reply.code >= 400:
                    return str(reply.code)
                client.sock.settimeout(max(_LEAST, until - time.monotonic()))
                reply = client.cmd(command)
            reply = client.body(f"X-Number: {number}\r\n".encode() + _BODY)
            if reply.code != 250:
                return str(reply.code)
            client.cmd("QUIT")
            return ""

    def _commands(self, number: int) -> Iterator[str]:
        yield "EHLO victim.example"
        if self.credentials:
            response = "\0{}\0{}".format(*self.credentials)
            yield f"AUTH PLAIN {base64.b64encode(response.encode()).decode()}"
        yield f"MAIL FROM:<{SENDER}>"
        place = f"n{number}.{ZONE}" if self.new_domains else domain(number % _DOMAINS)
        yield f"RCPT TO:<customer@{place}>"
        yield "DATA"


class Probes(threading.Thread):
    """A thread that requests /livez and /metrics in turn, each over a connection of its own."""

    def __init__(self, port: int) -> None:
        """`port` is the relay's HTTP port."""
        super().__init__(daemon=True)
        self.port = port
        self.over = threading.Event()
        self.seconds: list[float] = []
        self.failures = 0

    def run(self) -> None:
        """Probe until `over` is set."""
        for path, limit in itertools.cycle(PROBED.items()):
            if self.over.wait(PAUSE):
                return
            began = time.perf_counter()
            answered = self._get(path)
            seconds = time.perf_counter() - began
            self.seconds.append(seconds)
            self.failures += not answered or seconds > limit

    def _get(self, path: str) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return response.status == http.HTTPStatus.OK

    def end(self) -> None:
        """Stop, and wait for the last probe."""
        self.over.set()
        self.join(PATIENCE * 2)
