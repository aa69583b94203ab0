"""A real name server (nsd) on loopback, serving zones that a test writes as plain data."""

import contextlib
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.need import program

SERVFAIL = "SERVFAIL"
"""In place of a zone's records: the server knows the zone and cannot answer for it."""

_HEADER = """\
$ORIGIN {origin}
$TTL {ttl}
@ IN SOA ns.invalid. hostmaster.invalid. 1 3600 600 86400 {negative_ttl}
@ IN NS ns.invalid.
"""

_SETTINGS = """\
server:
    ip-address: 127.0.0.1@{port}
    server-count: 1
    username: ""
    chroot: ""
    zonesdir: "{folder}"
    pidfile: ""
    database: ""
    xfrdfile: "{folder}/xfrd.state"
    zonelistfile: "{folder}/zone.list"
    rrl-ratelimit: 0
    verbosity: 1
remote-control:
    control-enable: no
"""


@contextlib.contextmanager
def serve(
    zones: Mapping[str, str],
    folder: Path,
    *,
    ttl: int = 300,
    negative_ttl: int = 60,
) -> Iterator[tuple[str, int]]:
    """Serve `zones` (origin to master-file lines, or SERVFAIL); yields the server's address.

    A name in no zone is REFUSED, as an authoritative server does; serve "." for NXDOMAIN.
    """
    port = _free_port()
    settings = _SETTINGS.format(port=port, folder=folder)
    for number, (origin, records) in enumerate(zones.items()):
        settings += f'zone:\n    name: "{origin}"\n    zonefile: "{number}.zone"\n'
        if records != SERVFAIL:
            header = _HEADER.format(origin=_absolute(origin), ttl=ttl, negative_ttl=negative_ttl)
            (folder / f"{number}.zone").write_text(f"{header}{records}\n", encoding="ascii")
    path = folder / "nsd.conf"
    path.write_text(settings, encoding="ascii")
    process = subprocess.Popen(
        [program("nsd"), "-d", "-c", str(path)],
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            _wait_until_started(process)
            yield "127.0.0.1", port
        finally:
            process.terminate()


@contextlib.contextmanager
def silent() -> Iterator[tuple[str, int]]:
    """Yield the address of a server that takes every question and answers none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()


def _wait_until_started(process: subprocess.Popen[str]) -> None:
    """Return once nsd says so; AssertionError with what it said instead."""
    said = []
    if process.stderr is None:
        raise AssertionError
    for line in process.stderr:
        said.append(line)
        if "nsd started" in line:
            return
    raise AssertionError("nsd did not start:\n" + "".join(said))


def _absolute(origin: str) -> str:
    return origin if origin.endswith(".") else f"{origin}."


def _free_port() -> int:
    """Return a port that is free for UDP and TCP at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream:
        stream.bind(("127.0.0.1", 0))
        port: int = stream.getsockname()[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
            datagram.bind(("127.0.0.1", port))
    return port
