"""Role accounts, and personal names that must not match."""

import pytest

from tests.validators.addresses import EVERYTHING, valid
from validators.address import SyntaxOptions
from validators.checks.role import NAMES, RoleCheck
from validators.verdict import CLEAR, Finding, Reason

RFC_2142 = [
    "info", "marketing", "sales", "support", "abuse", "noc", "security", "postmaster",
    "hostmaster", "usenet", "news", "webmaster", "www", "uucp", "ftp",
]  # fmt: skip


def role(text: str, *allow: str) -> str | None:
    facts = RoleCheck(allow).examine([valid(text, EVERYTHING)])
    if facts is CLEAR:
        return None
    (finding,) = facts
    assert finding is not None
    assert finding.reason is Reason.ROLE_ACCOUNT
    return finding.detail


@pytest.mark.parametrize("name", RFC_2142)
def test_rfc_2142(name: str) -> None:
    assert role(f"{name}@example.com") == role(f"{name.upper()}@example.com") == name


@pytest.mark.parametrize(
    ("local", "name"),
    [
        ("Postmaster", "postmaster"),
        ("abuse+spam-report", "abuse"),
        ("abuse+", "abuse"),
        ('"abuse"', "abuse"),
        ("noreply", "no-reply"),
        ("no-reply", "no-reply"),
        ("no_reply", "no-reply"),
        ("No.Reply", "no-reply"),
        ("NoReply+x", "no-reply"),
        ("donotreply", "do-not-reply"),
        ("do-not.reply", "do-not-reply"),
        ("mailer-daemon", "mailer-daemon"),
        ("MAILER-DAEMON", "mailer-daemon"),
        ("undisclosed-recipients", "undisclosed-recipients"),
        ("devnull", "dev-null"),
        ("sysadmin", "sys-admin"),
        ("customer.service", "customer-service"),
        ("list-request", "list-request"),
        ("gardeners-request", "gardeners-request"),
        ("gardeners-owner", "gardeners-owner"),
        ("owner-gardeners", "owner-gardeners"),
        ("gardeners-bounces+ann=example.org", "gardeners-bounces"),
        ("noreply-shop", "noreply-shop"),
    ],
)
def test_spellings(local: str, name: str) -> None:
    assert role(f"{local}@example.com") == name


@pytest.mark.parametrize(
    "local",
    ["ann", "john.smith", "s.ales", "i.nfo", "m.arketing", "b.illing", "chef", "ca", "hi", "md",
     "it", "hr", "pr", "me", "mail", "post", "hello", "test", "guest", "newsom", "wwww",
     "information", "infos.smith", "sales.smith", "abuser", "rooter", "adminah", "jane-admin",
     "support1", "john+abuse", "+abuse", "re.quest", "bounce.smith", "owner", "page", "may",
     "webber"],
)  # fmt: skip
def test_people(local: str) -> None:
    assert role(f"{local}@example.com") is None


def test_what_the_provider_ignores_hides_no_role() -> None:
    assert role("p.o.s.t.master+x@gmail.com") == "postmaster"
    assert role("a.buse@pm.me") == "abuse"
    # other providers do not ignore dots
    assert role("a.buse@example.com") is None


def test_a_name_may_be_allowed_everywhere_or_at_one_domain() -> None:
    assert role("info@example.com", "INFO") is None
    assert role("info+x@example.com", "info@Example.com") is None
    assert role("info@example.org", "info@example.com") == "info"
    assert role("no.reply@example.com", "noreply") is None
    assert role("no-reply@example.com", "no_reply@example.com") is None
    assert role("abuse@b\u00fccher.example", "abuse@xn--bcher-kva.example") is None
    assert role("abuse@example.com", "info") == "abuse"


@pytest.mark.parametrize("entry", ["abuse@", "abuse@nowhere", "ab use@example.com"])
def test_what_cannot_be_allowed(entry: str) -> None:
    with pytest.raises(ValueError, match=r"abuse|ab use"):
        RoleCheck([entry])


def test_a_group_keeps_its_order() -> None:
    group = [valid(f"{local}@example.com") for local in ("ann", "info", "bob", "abuse")]
    assert RoleCheck().examine(group) == [
        None,
        Finding(Reason.ROLE_ACCOUNT, "info"),
        None,
        Finding(Reason.ROLE_ACCOUNT, "abuse"),
    ]


def test_the_data_is_written_as_the_check_reads_it() -> None:
    assert all(name == name.lower() for name in NAMES.spellings)
    assert all(valid(f"{name}@example.com").local == name for name in NAMES.spellings)
    assert min(map(len, NAMES.spellings)) >= 3


def test_postmaster_without_a_domain_is_one() -> None:
    address = valid("Postmaster", SyntaxOptions(postmaster=True))
    assert RoleCheck().examine([address]) == [Finding(Reason.ROLE_ACCOUNT, "postmaster")]
    assert RoleCheck(["postmaster"]).examine([address]) is CLEAR
    assert RoleCheck(["postmaster@example.com"]).examine([address]) != CLEAR
