"""The servers of a benchmark, each started when it is first used."""

import contextlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import trustme

from tests.bench import haraka, postfix, presend, servers
from tests.bench.auth_service import PASSWORD, USER
from tests.bench.clients import Secured
from tests.bench.presend import Presend
from tests.bench.processes import BenchError, free_port

ONE_WAY = 10.0  # milliseconds: an upstream with 20 ms round trip


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of the private Postfix."""

    near: int
    far: int
    secure: int


class Rig:
    """The servers of one run. Their files are in `base`; installed programs are kept in `cache`."""

    def __init__(
        self, base: Path, cache: Path, stack: contextlib.ExitStack, *, plain: bool = False
    ) -> None:
        """`stack` ends the servers after the run; `plain` means that presend is not compiled."""
        self.base = base
        self.plain = plain
        self.cache = cache
        self.stack = stack
        self.notes: list[str] = []

    def note(self, sentence: str) -> None:
        """Add a sentence to the notes of the report, unless it is already there."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    @cached_property
    def sink(self) -> int:
        """Port of smtp-sink."""
        return self.stack.enter_context(servers.sink(self.base / "sink.log"))

    @cached_property
    def far(self) -> servers.Far:
        """smtp-sink behind a proxy that adds 20 ms per round trip."""
        return self.distant(self.sink, ONE_WAY)

    @cached_property
    def far_secure(self) -> servers.Far:
        """Postfix with STARTTLS and AUTH behind a proxy that adds 20 ms per round trip."""
        if reason := postfix.missing():
            raise BenchError(reason)
        return self.distant(self.postfix.secure, ONE_WAY)

    @cached_property
    def near_counted(self) -> servers.Far:
        """smtp-sink behind a proxy that counts round trips and adds no delay."""
        return self.distant(self.sink, 0)

    def distant(self, target: int, milliseconds: float) -> servers.Far:
        """Start a delaying proxy in front of a port."""
        log = self.base / f"delay-{target}-{milliseconds:.0f}.log"
        return self.stack.enter_context(servers.far(target, milliseconds, log))

    @cached_property
    def dns(self) -> int | None:
        """Port of unbound, or None."""
        if reason := servers.dns_missing():
            self.note(f"{reason}: presend runs without DNS, so the MX check answers 451")
            return None
        return self.stack.enter_context(servers.dns(self.base / "dns"))

    @cached_property
    def secured(self) -> Secured:
        """The upstream's certificate authority and user."""
        path = self.base / "ca.pem"
        self.authority.cert_pem.write_to_path(str(path))
        return Secured(path, USER, PASSWORD)

    @cached_property
    def authority(self) -> trustme.CA:
        """The authority that signs the certificate of the distant upstream."""
        return trustme.CA()

    @cached_property
    def postfix(self) -> Ports:
        """Postfix relaying to the sink, relaying to the distant sink, and as distant upstream."""
        ports = Ports(free_port(), free_port(), free_port())
        certificate, key = self.base / "upstream.pem", self.base / "upstream.key"
        issued = self.authority.issue_cert("127.0.0.1", "localhost")
        issued.private_key_pem.write_to_path(str(key))
        for each in issued.cert_chain_pems:
            each.write_to_path(str(certificate), append=True)
        auth = self.stack.enter_context(servers.auth_service(self.base / "auth.log"))
        sink, far = f"127.0.0.1:{self.sink}", f"127.0.0.1:{self.far.port}"
        services = (
            postfix.Service(ports.near, sink),
            postfix.Service(ports.far, far),
            postfix.Service(ports.secure, sink, postfix.authenticated(certificate, key, auth)),
        )
        self.stack.enter_context(postfix.started(self.base / "postfix", services))
        return ports

    @cached_property
    def haraka(self) -> int:
        """Port of Haraka, which relays to the sink."""
        started = haraka.started(self.cache, self.base / "haraka", self.sink, servers.domain(0))
        return self.stack.enter_context(started)[0]

    @cached_property
    def tree(self) -> Path:
        """Directory from which presend is run: compiled as in the image, or plain Python."""
        tree = None if self.plain else presend.compiled()
        kind = "compiled, as in the image" if tree else "as plain Python, not compiled"
        self.note(f"presend ran {kind}")
        return tree or presend.ROOT

    @cached_property
    def store(self) -> Path | None:
        """A store holding a realistic suppression list."""
        return presend.filled_store(self.base)

    def relay(self, name: str, upstream: str, **extra: str) -> Presend:
        """Start a presend."""
        base = self.base / name
        started = presend.started(self.tree, base, upstream, self.dns, self.store, extra)
        return self.stack.enter_context(started)

    @cached_property
    def presend(self) -> Presend:
        """A presend that relays to the sink."""
        return self.relay("presend", f"smtp://127.0.0.1:{self.sink}")

    @cached_property
    def presend_far(self) -> Presend:
        """A presend that relays to the distant sink."""
        return self.relay("presend-far", f"smtp://127.0.0.1:{self.far.port}")

    @cached_property
    def presend_secure(self) -> Presend:
        """A presend that relays to the distant upstream with STARTTLS and AUTH."""
        return self.relay(
            "presend-secure",
            f"smtp+starttls://{USER}@127.0.0.1:{self.far_secure.port}",
            PRESEND_UPSTREAM_PASSWORD=PASSWORD,
            PRESEND_UPSTREAM_TLS__CA_FILE=str(self.secured.ca),
        )
