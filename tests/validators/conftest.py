"""The zones for tests of the resolver, served by nsd."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.dns import SERVFAIL, serve
from validators.dns import Resolver

ZONE = """\
good          MX 10 mx.good
mx.good       A 192.31.196.1
two           MX 20 second.two
two           MX 10 first.two
two           MX 10 FIRST.two
first.two     A 192.31.196.2
second.two    A 192.31.196.3
v6            MX 10 mx.v6
mx.v6         AAAA 2620:4f:8000::1
implicit      A 192.31.196.4
implicit6     AAAA 2620:4f:8000::2
nothing       TXT "no mail here"
null          MX 0 .
null10        MX 10 .
mixed         MX 0 .
mixed         MX 10 mx.good
gone          MX 10 mx.gone
gone          MX 20 other.gone
other.gone    TXT "here, but no address"
literal       MX 10 192.0.2.1.
literal-plus MX 10 192.0.2.1.
literal-plus MX 20 mx.good
local         MX 10 localhost.
loop          MX 10 mx.loop
mx.loop       A 127.0.0.1
mx.loop       AAAA ::1
private       MX 10 a.private
private       MX 20 b.private
a.private     A 10.0.0.1
b.private     A 192.168.0.1
private-plus MX 10 a.private
private-plus MX 20 mx.good
mapped        MX 10 mx.mapped
mx.mapped     AAAA ::ffff:10.0.0.1
both          MX 10 mx.both
mx.both       A 10.0.0.1
mx.both       A 192.31.196.5
loopimplicit  A 127.0.0.1
bad-plus-gone MX 10 a.private
bad-plus-gone MX 20 mx.gone
alias         CNAME good
aliasmx       MX 10 alias.mx
alias.mx      CNAME mx.good
dangling      CNAME nowhere
far           CNAME good.other.
circle        CNAME circle2
circle2       CNAME circle
failing       MX 10 mx.broken
failing-plus MX 10 mx.broken
failing-plus MX 20 mx.good
failing-minus  MX 10 mx.broken
failing-minus  MX 20 a.private
short         300 MX 10 mx.short
mx.short      20 A 192.31.196.6
zero          0 MX 10 mx.zero
mx.zero       0 A 192.31.196.7
long          900000 MX 10 mx.long
mx.long       900000 A 192.31.196.8
"""


def _crowd() -> str:
    """Return zones with more hosts than fit into one datagram, and more than are looked up."""
    lines = [f"crowd MX {n} host{n}.with-a-rather-long-name-to-fill-it.crowd" for n in range(60)]
    lines.append("host0.with-a-rather-long-name-to-fill-it.crowd A 192.31.196.9")
    lines += [f"bad MX {n} a{n}.bad\na{n}.bad A 10.0.0.{n}" for n in range(8)]
    lines += [f"bad9 MX {n} a{n}.bad9\na{n}.bad9 A 10.0.0.{n}" for n in range(9)]
    strings = " ".join(f'"{"x" * 250}"' for _ in range(100))
    lines.append(f"huge TXT {strings}")
    return "\n".join(lines)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    zones = {
        "test": f"{ZONE}{_crowd()}",
        "broken.test": SERVFAIL,
        "31.192.in-addr.arpa": "1.196 PTR mx.good.test.",
        "other": "good MX 10 mx.good\nmx.good A 192.31.196.10",
    }
    with serve(zones, tmp_path_factory.mktemp("nsd"), negative_ttl=120) as address:
        yield address


@pytest.fixture
async def resolver(server: tuple[str, int]) -> AsyncIterator[Resolver]:
    made = Resolver([server])
    yield made
    await made.aclose()
