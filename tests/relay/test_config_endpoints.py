"""Endpoints, upstreams and networks: any text gives a value or the error of the module."""

import ipaddress
import json
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from relay.settings import SettingsError, load
from relay.settings.clients import (
    WIDEST_IPV4,
    WIDEST_IPV6,
    Access,
    Credentials,
    Network,
    parse_network,
    too_many,
    too_wide,
)
from relay.settings.endpoints import (
    DEFAULT_PORTS,
    Endpoint,
    EndpointError,
    Upstream,
    mask_credentials,
    mask_urls,
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
        ("smtps://a@b@h", "smtps://a@b@h"),
        ("smtps://u@h?password=p", "smtps://u@***"),
        ("smtps://u@h?password=p@q", "smtps://u***"),
        ("smtps://h?password=p", "smtps://h***"),
        ("smtps://h:25/pass@word", "smtps://h:***"),
        ("smtps://u:12,34@h", "smtps://u:***,***@h"),
        ("smtps://u:p,q,r@h,smtp://x:25", "smtps://u:***,***,***@h,smtp://x:25"),
        ("smtp://h:25,smtp://x:25", "smtp://h:25,smtp://x:25"),
        ("u:p@h", "***@h"),
        ("password=p", "password***"),
        ("10.0.0.1/8,fc00::/7", "10.0.0.1/8,fc00::/7"),
        ("[::1]:25,localhost:26", "[::1]:25,localhost:26"),
    ],
)
def test_masking(text: str, shown: str) -> None:
    assert mask_credentials(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("hunter2", "***"),
        ("user:hunter2", "***"),
        ("smtp.example.com:587", "smtp.example.com:587"),
        ("sqlite:/var/lib/presend.db", "sqlite:/var/lib/presend.db"),
        ("sqlite:///p?key=x", "sqlite://***"),
        ("redis://:p@h/0", "redis://:***@***"),
        ("redis://u:p@h:1/0", "redis://u:***@***"),
    ],
)
def test_masking_where_urls_belong(text: str, shown: str) -> None:
    assert mask_urls(text) == shown


def test_who_may_connect() -> None:
    nobody = Access()
    assert nobody.permits("127.0.0.1")
    assert nobody.permits("::1")
    assert nobody.permits("::ffff:127.0.0.1")
    assert not nobody.permits("10.0.0.1")
    pods = Access([parse_network("10.42.0.0/16"), parse_network("fd00:42::/64")])
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
    pods = Access([parse_network("10.0.0.0/8")])
    for number in range(20_000):
        assert pods.permits(f"10.1.{number // 256}.{number % 256}")
    assert len(pods._known) <= 4096


networks = st.lists(
    st.sampled_from(
        ["0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "10.0.0.0/8", "11.0.0.0/8", "192.0.2.7", "::/0",
         "::/1", "8000::/1", "2000::/3", "fc00::/7", "fd00:1::/64", "::ffff:0:0/96",
         "64:ff9b::/96", "2002::/16", "2001::/16", "2600::/16", "13.0.0.0/8", "13.0.0.0/9",
         "15.0.0.0/9", "100.64.0.0/10", "172.16.0.0/12",
         *(f"{n}.0.0.0/8" for n in range(16, 99, 2))]
    ),
    max_size=30,
)  # fmt: skip
listeners = st.lists(
    st.sampled_from(["localhost:25", "127.0.0.1:26", "[::1]:27", "0.0.0.0:28", "[::]:29", "x:30"]),
    min_size=1,
    max_size=3,
)
account = st.fixed_dictionaries(
    {},
    optional={
        "username": st.sampled_from(["app", ""]),
        "password": st.sampled_from(["s", ""]),
        "password_file": st.sampled_from(["", "/nowhere"]),
    },
)
transport = st.fixed_dictionaries(
    {},
    optional={
        "cert_file": st.sampled_from(["", "/c.pem"]),
        "key_file": st.sampled_from(["", "/k.pem"]),
        "required": st.booleans(),
    },
)
STRANGERS = ("198.51.100.1", "8.8.8.8", "2001:db8::1", "64:ff9b::808:808", "2002:808:808::1")


def toml(tables: dict[str, dict[str, object]], **lists: list[str]) -> str:
    """Write settings as a TOML file."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in lists.items()]
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join(lines)


@hypothesis_settings(deadline=None)
@given(listeners, networks, account, transport, st.booleans())
@example(["0.0.0.0:28"], ["10.0.0.0/8"], {"username": ""}, {}, True)  # noqa: FBT003
@example(["0.0.0.0:28"], ["0.0.0.0/0"], {"username": "", "password": ""}, {}, True)  # noqa: FBT003
@example(["0.0.0.0:28"], [f"{n}.0.0.0/8" for n in range(1, 224, 2)], {}, {}, False)  # noqa: FBT003
def test_no_settings_make_an_open_relay(
    tmp_path_factory: pytest.TempPathFactory,
    listen: list[str],
    allow: list[str],
    auth: dict[str, object],
    tls: dict[str, object],
    in_file: bool,  # noqa: FBT001
) -> None:
    """Any accepted settings limit clients to loopback, to few networks, or to AUTH."""
    if in_file:
        file = tmp_path_factory.getbasetemp() / "presend.toml"
        file.write_text(toml({"auth": auth, "tls": tls}, listen=listen, allow_clients=allow))
        environ = {"PRESEND_CONFIG": str(file)}
    else:
        environ = {"PRESEND_LISTEN": ",".join(listen), "PRESEND_ALLOW_CLIENTS": ",".join(allow)}
        for table, values in (("AUTH", auth), ("TLS", tls)):
            environ |= {
                f"PRESEND_{table}__{key.upper()}": str(value) for key, value in values.items()
            }
    try:
        settings = load(environ=environ).settings
    except SettingsError:
        return
    access = settings.access
    named = bool(auth.get("username"))
    assert (access.credentials is not None) == named, "an account is used if it is set"
    assert (access.needs(tls=True, authenticated=False) == "auth") == named
    assert access.needs(tls=True, authenticated=True) is None
    if in_file:
        assert "" not in auth.values()
    reachable = not all(endpoint.loopback for endpoint in settings.listen)
    assert not reachable or access.networks
    if not named:
        assert public_share(access.networks) <= 1
        if reachable:
            welcome = [ip for ip in STRANGERS if access.permits(ip)]
            assert all(a_narrow_network_has(ip, access.networks) for ip in welcome), welcome


def a_narrow_network_has(ip: str, networks: tuple[Network, ...]) -> bool:
    address = ipaddress.ip_address(ip)
    return any(
        address in network
        and network.prefixlen >= (WIDEST_IPV4 if network.version == 4 else WIDEST_IPV6)
        for network in networks
    )


def public_share(networks: tuple[Network, ...]) -> float:
    """The /8s that the IPv4 networks fill, without 10/8, 100.64/10 and 172.16/12."""
    private = [parse_network(text) for text in ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12")]
    return sum(
        network.num_addresses
        for network in set(networks)
        if network.version == 4 and network not in private
        and not any(network != other and network.overlaps(other) and
                    network.prefixlen > other.prefixlen for other in networks)
    ) / 2**24  # fmt: skip


def test_parts_that_make_a_whole_are_too_wide() -> None:
    halves = [parse_network("0.0.0.0/1"), parse_network("128.0.0.0/1")]
    assert too_wide(halves) == ipaddress.IPv4Network("0.0.0.0/0")
    assert too_wide([ipaddress.IPv4Network((number << 24, 8)) for number in range(256)])
    assert too_wide([parse_network("2000::/3")])
    assert too_wide([parse_network("10.0.0.0/8"), parse_network("fc00::/7")]) is None


@pytest.mark.parametrize(
    ("texts", "enough"),
    [
        ([f"{n}.0.0.0/8" for n in range(0, 224, 2)], False),
        (["13.0.0.0/8"], True),
        (["13.0.0.0/8", "15.0.0.0/32"], False),
        (["13.0.0.0/9", "15.0.0.0/9"], True),
        (["13.0.0.0/9", "15.0.0.0/9", "13.1.0.0/16"], True),
        (["13.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"], True),
        (["13.0.0.0/8", "fc00::/7", "2a00::/16"], True),
        (["2a00::/16", "2a02::/128"], False),
        (["64:ff9b::/97"], False),  # NAT64 of half the internet
        (["64:ff9b::d00:0/104"], True),  # NAT64 of 13.0.0.0/8
        (["64:ff9b::d00:0/104", "15.0.0.0/8"], False),
        (["2002:d00::/24"], True),  # 6to4 of 13.0.0.0/8
        (["2002::/16"], False),
        (["2002:d00::/24", "15.0.0.0/8"], False),
        ([], True),
    ],
)
def test_the_public_addresses_of_all_networks_together_are_bounded(
    texts: list[str],
    enough: bool,  # noqa: FBT001
) -> None:
    networks = [parse_network(text) for text in texts]
    assert (too_wide(networks) is None and too_many(networks) is None) is enough
    access = Access(networks)
    assert (access.open_to() is None) is enough
    assert Access(networks, Credentials("app", "s")).open_to() is None


@pytest.mark.parametrize(("name", "password"), [("", "s"), ("app", ""), ("", "")])
def test_an_empty_account_is_none(name: str, password: str) -> None:
    with pytest.raises(ValueError, match="neither of them empty"):
        Credentials(name, password)
