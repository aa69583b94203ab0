"""The relays that clients are tried with, and the upstream behind them.

A client always connects to the port of the recorder. The recorder connects it to the relay that the
trial needs.
"""

import contextlib
from enum import StrEnum, auto
from pathlib import Path

from tests.interop.recorder import Recorder
from tests.support.certs import Certificates
from tests.support.eventually import eventually
from tests.support.presend import Presend, command
from tests.support.upstream import Upstream
from tests.support.wire import Client

SUPPRESSED = "gone@example.com"
LOGIN = ("app", "secret-of-the-app")
IDLE = 1.0  # seconds


class Relay(StrEnum):
    """A relay with its settings."""

    PLAIN = auto()
    SECURE = auto()
    FULL = auto()
    HASTY = auto()


class Stand:
    """The upstream, the relays and the recorder. A relay is started when it is first used."""

    def __init__(self, base: Path, stack: contextlib.ExitStack) -> None:
        """`base` is a directory for all files; `stack` ends the servers after the run."""
        self.base = base
        self._stack = stack
        self._relays: dict[Relay, Presend] = {}
        self._occupant: Client | None = None
        self.certificates = Certificates(base)
        self.upstream = stack.enter_context(Upstream())
        self.recorder = stack.enter_context(Recorder())

    def use(self, relay: Relay, *, extensions: tuple[str, ...] | None = None) -> None:
        """Connect new sessions of the recorder to a relay; forget what was received so far.

        `extensions` replaces those that the upstream offers.
        """
        self.free()
        self.upstream.reset()
        if extensions is not None:
            self.upstream.settings.extensions = extensions
        self.recorder.reset()
        self.recorder.target = self.relay(relay).smtp_port

    def relay(self, relay: Relay) -> Presend:
        """Return the running relay."""
        if relay not in self._relays:
            directory = self.base / relay
            directory.mkdir()
            settings = {"PRESEND_UPSTREAM": self.upstream.url(), **self._settings(relay)}
            words = ("suppress", "add", SUPPRESSED, "--reason", "hard_bounce")
            done = command(*words, directory=directory, settings=settings)
            if done.returncode:
                raise AssertionError(done.stderr)
            self._relays[relay] = self._stack.enter_context(Presend(directory, settings))
        return self._relays[relay]

    def occupy(self) -> None:
        """Take the one session that the relay FULL allows."""
        port = self.relay(Relay.FULL).smtp_port
        eventually(lambda: self._occupied(port), "the session is free")

    def free(self) -> None:
        """Give back the session of the relay FULL."""
        if self._occupant is not None:
            self._occupant.close()
            self._occupant = None

    def _occupied(self, port: int) -> bool:
        client = Client(port)
        if str(client.reply()).startswith("220"):
            self._occupant = client
            return True
        client.close()
        return False

    def _settings(self, relay: Relay) -> dict[str, str]:
        match relay:
            case Relay.PLAIN:
                return {}
            case Relay.SECURE:
                return {
                    "PRESEND_TLS__CERT_FILE": str(self.certificates.cert_file),
                    "PRESEND_TLS__KEY_FILE": str(self.certificates.key_file),
                    "PRESEND_AUTH__USERNAME": LOGIN[0],
                    "PRESEND_AUTH__PASSWORD": LOGIN[1],
                }
            case Relay.FULL:
                return {"PRESEND_LIMITS__CONNECTIONS": "1"}
            case Relay.HASTY:
                return {"PRESEND_LIMITS__IDLE": str(IDLE)}
