"""Endpoints, upstreams and networks: any text gives a value or the error of the module."""

import ipaddress
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.settings import SettingsError, load
from relay.settings.clients import AllowList, parse_network, too_wide
from relay.settings.endpoints import (
    DEFAULT_PORTS,
    Endpoint,
    EndpointError,
    Upstream,
    mask_credentials,
    parse_endpoint,
    parse_upstream,
)
from relay.settings.store_urls import check_store

pieces = st.sampled_from(
    ["smtp://", "smtps://", "smtp+starttls://", "@", ":", "[", "]", "::1", "25", "%40", "%", "/",
     "localhost", "h.example", "127.0.0.1", "user", " ", "\n", "é", "0", "99999", "*"]
)  # fmt: skip
texts = st.text() | st.lists(pieces).map("".join)


@given(texts)
def test_any_text_is_an_endpoint_or_an_error(text: str) -> None:
    with suppress(EndpointError):
        endpoint = parse_endpoint(text, default_port=25, lowest=0)
        assert 0 <= endpoint.port <= 65535
        assert parse_endpoint(str(endpoint), lowest=0) == endpoint
        assert str(endpoint).isascii()


@given(texts)
def test_any_text_is_an_upstream_or_an_error(text: str) -> None:
    with suppress(EndpointError):
        upstream = parse_upstream(text)
        assert upstream.user != ""
        assert parse_upstream(str(upstream)) == upstream


@given(texts)
def test_any_text_is_a_network_or_an_error(text: str) -> None:
    with suppress(ValueError):
        network = parse_network(text)
        assert parse_network(str(network)) == network


@given(texts)
def test_any_text_can_be_checked_and_masked(text: str) -> None:
    with suppress(EndpointError):
        assert check_store(text) == text
    mask_credentials(text)


@given(st.text(min_size=1), st.sampled_from(sorted(DEFAULT_PORTS)))
def test_any_user_survives_its_url(user: str, scheme: str) -> None:
    with suppress(EndpointError, UnicodeEncodeError):
        user.encode()
        upstream = Upstream(scheme, user, "h.example", 25)  # type: ignore[arg-type]
        assert parse_upstream(str(upstream)).user == user


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost:25", "localhost", 25),
        ("LOCALHOST:25", "localhost", 25),
        ("[::1]:25", "::1", 25),
        ("mail.example.com:587", "mail.example.com", 587),
        ("under_score.svc:25", "under_score.svc", 25),
    ],
)
def test_endpoints(text: str, host: str, port: int) -> None:
    assert parse_endpoint(text) == Endpoint(host, port)


@pytest.mark.parametrize(
    "text",
    ["", ":25", "25", "localhost", "::1:25", "[::1]", "[::1]25", "[127.0.0.1]:25", "[::1:25",
     "localhost:0", "localhost:65536", "localhost:+25", "localhost:2_5", "localhost:\uff12\uff15",
     "*:25", "127.0.0.256:25", "-x:25", "a..b:25", "a b:25", "é.example:25"],
)  # fmt: skip
def test_no_endpoints(text: str) -> None:
    with pytest.raises(EndpointError):
        parse_endpoint(text)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("0.0.0.0", False),  # noqa: S104 - nothing listens on it
        ("::", False),
        ("192.0.2.1", False),
        ("localhost.example", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:  # noqa: FBT001
    assert Endpoint(host, 25).loopback is loopback


@pytest.mark.parametrize(
    ("text", "user", "name"),
    [
        ("smtp://h.example", None, "h.example:25"),
        ("smtp+starttls://h.example", None, "h.example:587"),
        ("SMTPS://h.example/", None, "h.example:465"),
        ("smtps://[2001:db8::1]", None, "[2001:db8::1]:465"),
        ("smtps://api@h.example:2465", "api", "h.example:2465"),
        ("smtps://news@corp.example@h.example", "news@corp.example", "h.example:465"),
        ("smtps://news%40corp.example@h.example", "news@corp.example", "h.example:465"),
        ("smtps://a%3Ab%2Cc@h.example", "a:b,c", "h.example:465"),
    ],
)
def test_upstreams(text: str, user: str | None, name: str) -> None:
    upstream = parse_upstream(text)
    assert (upstream.user, upstream.name) == (user, name)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("smtps://u:p@h:1", "smtps://u:***@h:1"),
        ("smtps://u:p@q@h", "smtps://u:***@h"),
        ("smtps://u:p,q@h,smtp://x", "smtps://u:***,***@h,smtp://x"),
        ("smtps://h:25", "smtps://h:25"),
        ("smtp://u@h", "smtp://u@h"),
        ("smtp://[::1]:25", "smtp://[::1]:25"),
    ],
)
def test_masking(text: str, shown: str) -> None:
    assert mask_credentials(text) == shown


def test_who_may_connect() -> None:
    nobody = AllowList()
    assert nobody.permits("127.0.0.1")
    assert nobody.permits("::1")
    assert nobody.permits("::ffff:127.0.0.1")
    assert not nobody.permits("10.0.0.1")
    pods = AllowList([parse_network("10.42.0.0/16"), parse_network("fd00:42::/64")])
    for _ in range(2):  # the second result comes from the cache
        assert pods.permits("10.42.255.1")
        assert pods.permits("::ffff:10.42.0.1")
        assert pods.permits("fd00:42::7")
        assert pods.permits("127.0.0.1")
        assert not pods.permits("10.43.0.1")
        assert not pods.permits("::ffff:10.43.0.1")
        assert not pods.permits("fd00:43::7")
        assert not pods.permits("")
        assert not pods.permits("localhost")


def test_the_memory_of_clients_is_bounded() -> None:
    pods = AllowList([parse_network("10.0.0.0/8")])
    for number in range(20_000):
        assert pods.permits(f"10.1.{number // 256}.{number % 256}")
    assert len(pods._known) <= 4096


networks = st.lists(
    st.sampled_from(
        ["0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "10.0.0.0/8", "11.0.0.0/8", "192.0.2.7", "::/0",
         "::/1", "8000::/1", "2000::/3", "fc00::/7", "fd00:1::/64", "::ffff:0:0/96"]
    ),
    max_size=4,
)  # fmt: skip
listeners = st.lists(
    st.sampled_from(["localhost:25", "127.0.0.1:26", "[::1]:27", "0.0.0.0:28", "[::]:29", "x:30"]),
    min_size=1,
    max_size=3,
)
credentials = st.fixed_dictionaries(
    {}, optional={"PRESEND_AUTH__USERNAME": st.just("app"), "PRESEND_AUTH__PASSWORD": st.just("s")}
)
certificates = st.sampled_from(
    [{}, {"PRESEND_TLS__CERT_FILE": "/c.pem", "PRESEND_TLS__KEY_FILE": "/k.pem"}]
)


@given(listeners, networks, credentials, certificates)
def test_no_settings_make_an_open_relay(
    listen: list[str], allow: list[str], auth: dict[str, str], tls: dict[str, str]
) -> None:
    """Any accepted settings limit clients to loopback, to narrow networks, or to AUTH."""
    environ = {"PRESEND_LISTEN": ",".join(listen), "PRESEND_ALLOW_CLIENTS": ",".join(allow)}
    with suppress(SettingsError):
        settings = load(environ=environ | auth | tls).settings
        clients = AllowList(settings.allow_clients)
        stranger = clients.permits("198.51.100.1") or clients.permits("2001:db8::1")
        assert (
            all(endpoint.loopback for endpoint in settings.listen)
            or settings.auth.required
            or (settings.allow_clients and not stranger)
        )
        assert settings.auth.required or sum(
            network.num_addresses
            for network in settings.allow_clients
            if isinstance(network, ipaddress.IPv4Network)
        ) <= 2 * 2**24 * len(allow)


def test_parts_that_make_a_whole_are_too_wide() -> None:
    halves = [parse_network("0.0.0.0/1"), parse_network("128.0.0.0/1")]
    assert too_wide(halves) == ipaddress.IPv4Network("0.0.0.0/0")
    assert too_wide([ipaddress.IPv4Network((number << 24, 8)) for number in range(256)])
    assert too_wide([parse_network("2000::/3")])
    assert too_wide([parse_network("10.0.0.0/8"), parse_network("fc00::/7")]) is None
