"""Tests of the interoperability command: the page agrees with its tables, and a client runs."""

from pathlib import Path

import pytest

from tests.docs import pages
from tests.interop import message, page, recorder
from tests.interop.__main__ import CLIENTS, SERVERS, arguments, main

NAMES = {"client": CLIENTS, "upstream": SERVERS}


@pytest.mark.parametrize(("first", "tables"), [("client", 5), ("upstream", 2)])
def test_every_row_stands_in_every_table_of_the_page(first: str, tables: int) -> None:
    rows = [row[first] for row in pages.rows(page.PAGE, first)]
    assert rows == list(NAMES[first]) * tables


def test_the_page_is_made_from_the_results() -> None:
    text = page.PAGE.read_text()
    assert page.updated(text, page.load(), CLIENTS, SERVERS) == text


@pytest.mark.may_block("the relays run in children")
@pytest.mark.slow
def test_a_client_is_tried_by_the_command(tmp_path: Path) -> None:
    written, results = tmp_path / "page.md", tmp_path / "results.json"
    written.write_text(page.PAGE.read_text())
    files = ("--page", str(written), "--results", str(results))
    main(arguments(["--only", "smtplib", "--no-install", *files]))
    row = page.load(results).clients["smtplib"]
    assert row.not_tried == ""
    assert row.version
    seen = row.cells
    assert (seen["content"], seen["login"]) == ("as sent", "yes")
    assert (seen["utf8"], seen["limited"]) == ("relayed with SMTPUTF8", "relayed")
    assert seen["extensions"] == "SIZE, BODY=8BITMIME"
    assert seen["partial"] == "ann, bob"
    assert "550, b'5.7.1 Refused by policy: suppressed" in seen["partial_seen"]
    assert seen["deferred_seen"].startswith("`SMTPRecipientsRefused({'ann@example.com': (451,")
    assert seen["refused_seen"].startswith("`SMTPConnectError(421,")
    assert seen["between_seen"].startswith("`SMTPSenderRefused(421,")
    assert {seen[name] for name in ("deferred", "refused", "between")} == {"no"}
    (line,) = (
        it
        for it in pages.rows(written, "client", section="The reply is 451")
        if it["client"] == "smtplib"
    )
    assert line["tries again"] == "no"


def test_a_recording_is_divided_into_commands_and_contents() -> None:
    reading = recorder.read(
        [
            (False, b"220 relay\r\n"),
            (True, b"EHLO app\r\n"),
            (False, b"250-relay\r\n250 PIPELINING\r\n"),
            (True, b"MAIL FROM:<a@b> SIZE=1\r\nRCPT TO:<c@d>\r\nDATA\r\n"),
            (False, b"250 OK\r\n250 OK\r\n354 Go\r\n"),
            (True, b"Subject: x\r\n\r\n..\r\n.\r\n"),
            (False, b"250 Queued\r\n"),
            (True, b"MAIL FROM:<a@b>\r\n"),
            (False, b"250 OK\r\n"),
            (True, b"BDAT 3\r\n.\r\nBDAT 2 LAST\r\n\r\n"),
            (False, b"250 OK\r\n250 Queued\r\n"),
        ]
    )
    assert reading.pipelined
    assert reading.chunked
    assert reading.contents == [b"Subject: x\r\n\r\n.\r\n", b".\r\n\r\n"]
    assert ("DATA", "354 Go") in reading.commands
    assert reading.sent("MAIL") == ["MAIL FROM:<a@b> SIZE=1", "MAIL FROM:<a@b>"]


def test_a_changed_content_is_described(tmp_path: Path) -> None:
    content = message.write(tmp_path, "subject").whole.read_bytes()
    assert message.parts_differ(content) == ""
    assert message.parts_differ(content.replace(b"\r\n.", b"\r\n..")) == (
        "lines that begin with a dot"
    )
    assert message.parts_differ(content.replace(b"x" * 400, b"x")) == "the line of 991 octets"
    assert message.parts_differ(content.replace(b"AAEC", b"AAED")) == "the attachment"
