"""The checks of local parts: honeypot, random_local, tagged and duplicate."""

import pytest

from tests.validators.addresses import valid
from tests.validators.checking import examined
from validators.checks.duplicate import DuplicateCheck
from validators.checks.honeypot import WORDS, HoneypotCheck
from validators.checks.random_local import RandomLocalCheck
from validators.checks.tagged import TaggedCheck
from validators.verdict import CLEAR, Finding, Reason


@pytest.mark.parametrize(
    ("local", "word"),
    [
        *(("spamtrap", "spamtrap"), ("SpamTrap", "spamtrap"), ("spam-trap", "spamtrap")),
        *(("spam.trap", "spamtrap"), ("mail_spam_trap_1", "spamtrap"), ("spamtraps", "spamtrap")),
        *(
            ("joes.spamtrap", "spamtrap"),
            ("myspamtrap2024", "spamtrap"),
            ("ann+spamtrap", "spamtrap"),
        ),
        *(("honeypot", "honeypot"), ("honeypot1", "honeypot"), ("the-honey-pot", "honeypot")),
        *(
            ("honeytrap", "honeytrap"),
            ("catch-spam", "catchspam"),
            ("spamcollector", "spamcollector"),
        ),
    ],
)
def test_names_of_traps(local: str, word: str) -> None:
    (found,) = examined(HoneypotCheck(), f"{local}@example.com")
    assert found == Finding(Reason.HONEYPOT_LOCAL, word)


@pytest.mark.parametrize(
    ("local", "word"),
    [
        *(("ann.nospam", "nospam"), ("annNOSPAM", "nospam"), ("no-spam", "nospam")),
        *(("ann-REMOVETHIS", "removethis"), ("bob_remove.me", "removeme"), ("nospam99", "nospam")),
        *(("nospamplease", "nospamplease"), ("ihatespam", "ihatespam"), ("ann+nospam", "nospam")),
        *(("antispam", "antispam"), ("deleteme.jo", "deleteme")),
    ],
)
def test_text_against_harvesters(local: str, word: str) -> None:
    (found,) = examined(HoneypotCheck(), f"{local}@example.com")
    assert found == Finding(Reason.HONEYPOT_HINT, word)


@pytest.mark.parametrize(
    "local",
    [
        *("honey.potter", "honeypotts", "honey", "miss.honey", "honeytrapp.anna", "myhoneypot"),
        *("stefano.spampinato", "bruno.spampinato", "spampinato", "marco.spam", "stefano.spam"),
        *("spam", "spammer", "hispamer", "remove", "delete", "cuthbert", "taketomo", "junko"),
        *("removesthisone", "jetakethiso", "nospammer.olga", "trap", "potter", "ann"),
    ],
)
def test_names_of_people_that_are_near(local: str) -> None:
    assert examined(HoneypotCheck(), f"{local}@example.com") == [None]


def test_dots_that_gmail_ignores() -> None:
    (found,) = examined(HoneypotCheck(), "spam.trap@gmail.com")
    assert found == Finding(Reason.HONEYPOT_LOCAL, "spamtrap")


def test_each_word_has_a_part_by_which_it_is_found() -> None:
    for word in ("spamtrap", "honeypot", "removethis", "takethisout", "cutthis", "nojunkmail"):
        assert any(part in word for part in WORDS.parts)
        assert WORDS.traps.search(word) or WORDS.hints.search(word)


@pytest.mark.parametrize(
    "local",
    [
        *("xk7qz2vf9t", "a8d7f3b2c1e94f60", "q9w8x7z6v5", "3f2a9c0b7d61e5", "hq7xv2kd9w1p"),
        *("zxkqvwjtrp", "bvcxqzwkjh", "qjxzvkwpfh", "info.xqzkvjwtbp", "k3j9x2m4q7z1"),
        "0123456789abcdef0123456789abcdef",
    ],
)
def test_local_parts_made_by_machines(local: str) -> None:
    assert examined(RandomLocalCheck(), f"{local}@example.com") == [Finding(Reason.RANDOM_LOCAL)]


@pytest.mark.parametrize(
    "local",
    [
        # names of many languages, most of which the model has not seen
        *("krzysztof.brzeczyszczykiewicz", "wladyslaw.szczesny", "grzegorz.brzyski", "mkowalczyk"),
        *("bohumil.hrabal", "vlastimil.trnavsky", "srdjan.djokovic", "zdravko.colic", "hrvatska"),
        *("gudrun.schlichtmann", "hschwarzkopf", "jschmittschneider", "wolfgang.amadeus.mozart"),
        *("thorsteinn.gudjonsson", "bjorgvin.halldorsson", "kjetil.strand", "sigbjornsen"),
        *("nguyenthihuong", "tranquocbao", "phamvanthanh", "xiaomingzhang", "qingzhouxu"),
        *("zhangweiqiang", "chongqingfan", "venkataraman.iyer", "srinivasrao.k", "jayalakshmi"),
        *("abdulmajeed.alzahrani", "mohdfaizal", "khadijabintkhalid", "oluwaseun.adeyemi"),
        *("xoliswa.nxumalo", "nkosazana.dlamini", "ngozi.okonjo", "tsvetelina", "mzukisi.qobo"),
        *("jean-christophe.quentin", "xavier.vazquez", "joaquinx.marquez", "maximilianfuchs"),
        # nicknames, numbers, roles and initials
        *("john1970smith", "darkangel1992", "xxdarkangelxx", "bmw320diesel", "mp3player2go"),
        *("anna19901224", "user123456789", "0123456789", "customer.service", "jjjohnson"),
        *("b2b-marketing", "rhythmguitar", "strengths", "mr.jqpublic", "gsxr1000rider"),
    ],
)
def test_local_parts_of_people(local: str) -> None:
    assert examined(RandomLocalCheck(), f"{local}@example.com") == [None]


@pytest.mark.parametrize("local", ["xk7qz2vf", "q", "zxkqvwjt"])
def test_in_a_short_local_part_there_is_no_telling(local: str) -> None:
    assert examined(RandomLocalCheck(), f"{local}@example.com") == [None]


@pytest.mark.parametrize(
    "address",
    ["xk7qz2vf9t@privaterelay.appleid.com", "xk7qz2vf9t@duck.com", "x9k2m4q7z1@me.mozmail.com"],
)
def test_aliases_of_forwarding_services_are_made_by_machines(address: str) -> None:
    assert examined(RandomLocalCheck(), address) == [None]


@pytest.mark.parametrize(
    ("text", "tagged"),
    [
        ("ann+news@example.com", True),
        ("ann+@example.com", True),
        ("a+b+c@gmail.com", True),
        ("+ann@example.com", False),
        ("ann@example.com", False),
        ("ann-news@example.com", False),
        ('"ann+news"@example.com', True),
    ],
)
def test_tags(text: str, *, tagged: bool) -> None:
    assert examined(TaggedCheck(), text) == [Finding(Reason.TAGGED) if tagged else None]


def test_duplicates_in_a_group_by_mailbox() -> None:
    duplicate = Finding(Reason.DUPLICATE)
    group = (
        "J.Doe@gmail.com",
        "ann@example.com",
        "jdoe+x@googlemail.com",
        "Ann@Example.COM",
        "b@c.de",
    )
    assert examined(DuplicateCheck(), *group) == [None, None, duplicate, duplicate, None]


def test_what_one_provider_ignores_another_does_not() -> None:
    group = ("j.doe@example.com", "jdoe@example.com", "jdoe+x@example.com")
    assert examined(DuplicateCheck(), *group) == [None, None, None]


def test_duplicates_over_groups_need_a_memory() -> None:
    check = DuplicateCheck()
    assert examined(check, "ann@example.com") == examined(check, "ann@example.com") == [None]
    mailboxes: set[str] = set()

    def seen(mailbox: str) -> bool:
        before = mailbox in mailboxes
        mailboxes.add(mailbox)
        return before

    check = DuplicateCheck(seen)
    assert examined(check, "ann@example.com") == [None]
    assert examined(check, "bob@example.com", "ANN@example.com") == [
        None,
        Finding(Reason.DUPLICATE),
    ]


@pytest.mark.parametrize(
    "check", [HoneypotCheck(), RandomLocalCheck(), TaggedCheck(), DuplicateCheck()]
)
def test_no_finding_is_clear(check: HoneypotCheck) -> None:
    assert check.examine([]) is CLEAR
    assert check.examine([valid("ann@example.com"), valid("bob@example.com")]) is CLEAR


def test_findings_are_in_the_order_of_the_group() -> None:
    found = examined(HoneypotCheck(), "ann@example.com", "spamtrap@example.com", "bob@example.com")
    assert found == [None, Finding(Reason.HONEYPOT_LOCAL, "spamtrap"), None]
