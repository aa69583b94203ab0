"""Special-use IP addresses, which mail from the internet cannot reach."""

from ipaddress import ip_address

import pytest

from validators.dns.special_use import special_use


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("0.0.0.0", "unspecified"),  # noqa: S104 an address to judge
        ("10.1.2.3", "private"),
        ("100.64.0.1", "shared by carrier-grade NAT"),
        ("100.127.255.255", "shared by carrier-grade NAT"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.255", "loopback"),
        ("169.254.169.254", "link-local"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.0.2.1", "documentation"),
        ("192.168.1.1", "private"),
        ("198.18.0.1", "benchmarking"),
        ("198.51.100.7", "documentation"),
        ("203.0.113.9", "documentation"),
        ("224.0.0.1", "multicast"),
        ("255.255.255.255", "reserved"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::7f00:1", "reserved"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:10.0.0.1", "private"),
        ("64:ff9b::192.168.0.1", "private"),
        ("64:ff9b:1::1", "private"),
        ("100::1", "discard-only"),
        ("2001::1", "reserved"),
        ("2001:db8::1", "documentation"),
        ("3fff::1", "documentation"),
        ("2002:7f00:1::", "loopback"),
        ("4000::1", "reserved"),
        ("fc00::1", "private"),
        ("fdff::1", "private"),
        ("fe80::1", "link-local"),
        ("fec0::1", "private"),
        ("ff02::1", "multicast"),
    ],
)
def test_special(address: str, kind: str) -> None:
    assert special_use(ip_address(address).packed) == kind


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
     "172.15.255.255", "172.32.0.0", "192.0.1.1", "198.17.255.255", "198.20.0.0", "223.255.255.255",
     "2001:200::1", "2606:4700::1111", "2a00:1450::1a", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
     "2002:808:808::1", "2001:db7::1", "3ffe::1"],
)  # fmt: skip
def test_routed(address: str) -> None:
    assert special_use(ip_address(address).packed) is None
