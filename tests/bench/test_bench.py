"""Tests of the benchmark: its proxy, its clients, its figures and its report."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.bench import auth_service, chart, clients, figures, loads, report, servers
from tests.bench.figures import Figure, Target, Unit


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[int]:
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(b"hello\n")
            async for line in reader:
                writer.write(line)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await ended.wait()


@pytest.mark.may_block("starts and stops the proxy as a child")
async def test_a_round_trip_is_counted_when_the_client_speaks_after_it_heard(
    tmp_path: Path,
) -> None:
    async with echo() as port:
        with servers.far(port, 2, tmp_path / "log") as far:
            reader, writer = await asyncio.open_connection("127.0.0.1", far.port)
            assert await reader.readline() == b"hello\n"
            for lines in (b"one\ntwo\nthree\n", b"four\n"):
                writer.write(lines)
                for _ in lines.splitlines():
                    assert await reader.readline() in lines
            counts = await asyncio.to_thread(far.counts)
            writer.close()
            await writer.wait_closed()
    assert counts == {"connections": 1, "open": 1, "most_open": 1, "round_trips": 2}


@pytest.mark.may_block("starts and stops the proxy as a child")
async def test_the_delay_applies_to_each_direction_and_to_the_connection(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with echo() as port:
        with servers.far(port, 20, tmp_path / "log") as far:
            start = loop.time()
            reader, writer = await asyncio.open_connection("127.0.0.1", far.port)
            await reader.readline()
            connected = loop.time()
            writer.write(b"a\n")
            await reader.readline()
            answered = loop.time()
            writer.close()
            await writer.wait_closed()
    assert connected - start >= 0.078  # two round trips; loop timers may fire slightly early
    assert answered - connected >= 0.038


def test_the_authentication_service_knows_one_user() -> None:
    good = "AGNhbXBhaWduAG5vdC1hLXNlY3JldA=="
    assert auth_service.answer(f"AUTH\t7\tPLAIN\tservice=smtp\tresp={good}") == (
        "OK\t7\tuser=campaign\n"
    )
    assert auth_service.answer("AUTH\t8\tPLAIN\tresp=AGEAYg==").startswith("FAIL\t8\t")
    assert not auth_service.answer("CPID\t1")


@pytest.mark.parametrize(
    ("measured", "said"), [(2.5, "goal"), (1.5, "met"), (1.0, "missed"), (None, "not measured")]
)
def test_a_figure_is_judged_by_must_and_goal(measured: float | None, said: str) -> None:
    target = Target("keep", "ratio", 1.3, 2.0)
    figure = None if measured is None else Figure("keep", "ratio", measured, Unit.TIMES)
    assert report.verdict(target, figure) == said


def test_an_upper_bound_is_kept_from_below() -> None:
    target = Target("body", "memory", 8, at_most=True)
    assert report.verdict(target, Figure("body", "memory", 7.9, Unit.MIB)) == "met"
    assert report.verdict(target, Figure("body", "memory", 8.1, Unit.MIB)) == "missed"


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.718, "2.72 MiB"), (27.18, "27.2 MiB"), (12345.6, "12,346 MiB"), (3, "3 MiB")],
)
def test_numbers_are_written_with_the_digits_that_matter(value: float, text: str) -> None:
    assert figures.written(value, Unit.MIB) == text


def rates() -> Iterator[tuple[str, loads.Rates]]:
    yield (
        "keep",
        loads.Rates("messages/s", "<&>", {"presend": [2.0, 20.0, 3.0], "direct": [4.0, 40.0, 2.0]}),
    )


def test_a_ratio_is_taken_round_by_round() -> None:
    measured = dict(rates())["keep"]
    assert measured.ratio("presend", "direct") == 0.5
    assert measured.median("presend") == 3.0


def test_the_chart_is_well_formed_and_has_a_bar_for_each_path() -> None:
    root = ET.fromstring(chart.svg(dict(rates())))  # noqa: S314 - our own SVG
    bars = [each for each in root.iter() if each.tag.endswith("rect")]
    widths = [float(bar.attrib["width"]) for bar in bars]
    assert widths[0] / widths[1] == pytest.approx(0.75, rel=0.01)


def test_the_report_names_what_was_not_measured() -> None:
    text = report.text(dict(rates()), [Figure("idle", figures.EACH, 3.0, Unit.KIB)], ["no npm"])
    assert "not measured" in text
    assert "≤ 20 KiB" in text
    assert "Note: no npm" in text


def test_the_message_of_our_own_clients_has_about_the_size_asked_for() -> None:
    assert abs(len(clients.body(4096)) - 4096) < len(clients.BODY_LINE)
