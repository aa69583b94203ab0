"""The DNS transport: order of name servers, time-outs, and replies that are ignored."""

import asyncio

import pytest

from tests.support.dns import held, reply_to, silent
from validators.dns.transport import Nameservers, Server
from validators.dns.wire import ALIAS_LIMIT, Failed, Found, Missing, Mx, Type

NO_ONE = ("127.0.0.1", 1)
"""Nothing listens there, and the system says so at once."""


def asking(*servers: Server, patience: float = 5.0, max_queries: int = 64) -> Nameservers:
    return Nameservers(servers, max_queries=max_queries, patience=[patience])


async def test_a_found_answer(server: Server) -> None:
    assert await asking(server).ask("good.test", Type.MX) == Found((Mx(10, "mx.good.test"),), 300)


async def test_a_missing_answer_has_the_ttl_of_rfc_2308(server: Server) -> None:
    assert await asking(server).ask("nowhere.test", Type.MX) == Missing(exists=False, ttl=120)
    assert await asking(server).ask("nothing.test", Type.MX) == Missing(exists=True, ttl=120)


@pytest.mark.parametrize("name", ["", ".", "a..b", "exam ple.com", "a" * 64, "\u00fc.example"])
async def test_what_cannot_be_asked(name: str) -> None:
    assert await asking().ask(name, Type.MX) == Failed(f"{name} cannot be asked for")


async def test_the_next_server_is_asked_if_one_cannot_be_reached(server: Server) -> None:
    assert isinstance(await asking(NO_ONE, server).ask("good.test", Type.MX), Found)


async def test_the_next_server_is_asked_if_one_refuses(server: Server) -> None:
    async with held() as other:
        task = asyncio.ensure_future(asking(server, other.address).ask("x.example", Type.MX))
        await other.answer("x.example. 60 MX 10 mx.x.example.")
        assert await task == Found((Mx(10, "mx.x.example"),), 60)


async def test_the_next_server_is_asked_if_one_is_silent_and_first_from_then_on(
    server: Server,
) -> None:
    async with held() as mute:
        servers = asking(mute.address, server, patience=0.3)
        assert isinstance(await servers.ask("good.test", Type.MX), Found)
        assert isinstance(await servers.ask("two.test", Type.MX), Found)
        assert mute.asked == ["good.test. IN MX"]


async def test_a_silent_server_is_asked_again() -> None:
    async with held() as slow:
        task = asyncio.ensure_future(asking(slow.address, patience=0.02).ask("x.test", Type.MX))
        await slow.questions.get()
        while not task.done():
            # on a busy machine, a query may have timed out before it is answered
            await slow.answer("x.test. 60 MX 10 mx.x.test.")
            await asyncio.wait([task], timeout=0.02)
        assert task.result() == Found((Mx(10, "mx.x.test"),), 60)
        assert len(slow.asked) > 1


async def test_if_all_fail_the_last_failure_is_told(server: Server) -> None:
    assert await asking(server, NO_ONE).ask("x.broken.test", Type.MX) == Failed(
        "the name server cannot be reached for MX of x.broken.test",
    )
    assert await asking(NO_ONE, server).ask("x.broken.test", Type.MX) == Failed(
        "SERVFAIL for MX of x.broken.test",
    )
    assert await asking().ask("x.test", Type.MX) == Failed("no name server is configured")


async def test_the_target_of_an_alias_is_asked_for_if_the_answer_lacks_it() -> None:
    async with held() as server:
        task = asyncio.ensure_future(asking(server.address).ask("x.test", Type.MX))
        await server.answer("x.test. 60 CNAME y.test.")
        await server.answer("y.test. 60 MX 10 mx.y.test.")
        assert await task == Found((Mx(10, "mx.y.test"),), 60)
        assert server.asked == ["x.test. IN MX", "y.test. IN MX"]


async def test_aliases_without_end_are_no_answer() -> None:
    async with held() as server:
        task = asyncio.ensure_future(asking(server.address).ask("x0.test", Type.MX))
        for n in range(ALIAS_LIMIT):
            await server.answer(f"x{n}.test. 60 CNAME x{n + 1}.test.")
        assert await task == Failed("chain of aliases without end at x0.test")


async def test_forged_and_broken_replies_are_passed_over() -> None:
    async with held() as server:
        task = asyncio.ensure_future(asking(server.address).ask("x.test", Type.MX))
        query, client = await server.questions.get()
        genuine = reply_to(query, "x.test. 60 MX 10 mx.x.test.")
        query.id ^= 1
        forged = reply_to(query, "x.test. 60 MX 10 evil.x.test.")
        for octets in (b"", b"garbage", forged, genuine[:-1], genuine):
            server.send(octets, client)
        assert await task == Found((Mx(10, "mx.x.test"),), 60)


async def test_every_query_has_its_own_port_and_number() -> None:
    async with held() as server:
        tasks = [
            asyncio.ensure_future(asking(server.address).ask("x.test", Type.A)) for _ in range(8)
        ]
        seen = [await server.questions.get() for _ in tasks]
        assert len({client[1] for _, client in seen}) == 8
        assert len({query.id for query, _ in seen}) > 1
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_no_more_queries_at_once_than_allowed() -> None:
    async with held() as server:
        bounded, free = asking(server.address, max_queries=3), asking(server.address)
        tasks = {asyncio.ensure_future(bounded.ask(f"d{n}.test", Type.A)) for n in range(8)}
        waiting = [await server.questions.get() for _ in range(3)]
        for answered in range(1, 9):
            # this datagram arrives next, so no others were sent before it
            marker = asyncio.ensure_future(free.ask("marker.test", Type.A))
            query, _ = await server.questions.get()
            assert query.question[0].name.to_text().lower() == "marker.test."
            marker.cancel()
            query, client = waiting.pop(0)
            server.send(reply_to(query, f"{query.question[0].name} 60 A 192.31.196.1"), client)
            done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            assert [type(task.result()) for task in done] == [Found]
            if answered + 3 <= 8:
                waiting.append(await server.questions.get())


async def test_it_waits_as_long_as_its_caller_does() -> None:
    with silent() as mute, pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await asking(mute, patience=0.01).ask("x.test", Type.A)


def test_a_server_is_given_by_its_address() -> None:
    asking(("::1", 53), ("localhost", 53))
    with pytest.raises(ValueError, match="given by its address: ns"):
        asking(("ns.example", 53))
