"""Which files the mail path runs through: `python -m tests.trace` prints it.

The relay of `tests.bench.in_memory` is followed with `sys.setprofile` from the octets that a client
sends to the octets of the reply. docs/architecture.md states the rules of counting and shows the
result; tests/docs/test_architecture.py holds its bounds. A setting is followed from the environment
to the object that uses it.
"""

import asyncio
import contextlib
import inspect
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Final, NamedTuple, cast

from relay.app import Process, Relay
from relay.settings import ServeSettings, load_settings
from tests.bench import presend
from tests.bench.in_memory import BODY, InMemory, built
from tests.bench.servers import SENDER, domain
from tests.support.registered import restored_logging

ROOT: Final = Path(__file__).parents[1]
CHECKS: Final = "the checks"
_COUNTED_AS_CHECKS: Final = (
    "relay/stores/",
    "validators/address.py",
    "validators/canonical.py",
    "validators/checks/",
    "validators/dns/",
    "validators/domains.py",
    "validators/suppression.py",
)
_NOT_CALLS: Final = {"__init__", "<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}


class Call(NamedTuple):
    """A call of a function of presend: its file, relative to the repository, and its name."""

    file: str
    function: str


class Step(NamedTuple):
    """Calls that follow one another in one file."""

    file: str
    functions: tuple[str, ...]


class Way(NamedTuple):
    """The files that something passes, in order."""

    steps: tuple[Step, ...]

    @property
    def files(self) -> int:
        """Number of different files."""
        return len({step.file for step in self.steps})

    @property
    def changes(self) -> int:
        """Number of changes from one file to another."""
        return len(self.steps) - 1


def _source(frame: FrameType) -> str:
    """Return the file of a frame relative to the repository, or "" if it is not presend's."""
    path = Path(frame.f_code.co_filename)
    if not path.is_relative_to(ROOT):
        return ""
    name = str(path.relative_to(ROOT))
    return name if name.startswith(("relay/", "validators/")) else ""


@contextlib.contextmanager
def _profiled(seen: Callable[[FrameType], None]) -> Iterator[None]:
    """Hand every call of a function in Python to `seen`."""

    def profile(frame: FrameType, event: str, _arg: object) -> None:
        if event == "call":
            seen(frame)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(before)


def follow(work: Callable[[], None]) -> Way:
    """Return the way of some work through the files of presend."""
    calls: list[Call] = []

    def seen(frame: FrameType) -> None:
        file, function = _source(frame), frame.f_code.co_qualname
        if file and frame.f_code.co_name not in _NOT_CALLS:
            calls.append(Call(CHECKS if file.startswith(_COUNTED_AS_CHECKS) else file, function))

    with _profiled(seen):
        work()
    steps: list[Step] = []
    for file, function in calls:
        if steps and steps[-1].file == file:
            steps[-1] = Step(file, (*steps[-1].functions, function))
        else:
            steps.append(Step(file, (function,)))
    return Way(tuple(steps))


def _exchange(memory: InMemory, octets: bytes) -> None:
    """Send octets as the client; flush the write buffer only if something is held in it."""
    buffer = memory.relay.write_buffer
    memory.client.data_received(octets)
    while buffer._held or memory.upstream.due:
        if buffer._held:
            buffer.flush()
        else:
            memory.connection.data_received(memory.upstream.due.popleft())


def _mail_path(memory: InMemory) -> dict[str, Way]:
    def rcpt(number: int) -> bytes:
        return b"RCPT TO:<customer.%d@%b>\r\n" % (number, domain(number).encode())

    for _ in range(10):
        memory.send(3)
    _exchange(memory, b"MAIL FROM:<%b>\r\n" % SENDER.encode())
    found = {
        "first RCPT": follow(lambda: _exchange(memory, rcpt(0))),
        "further RCPT": follow(lambda: _exchange(memory, rcpt(1))),
    }
    _exchange(memory, b"DATA\r\n")
    _exchange(memory, BODY)  # header fields, in which Received is counted
    found["content"] = follow(lambda: _exchange(memory, BODY))
    found["final dot"] = follow(lambda: _exchange(memory, b".\r\n"))
    replies = [reply[:3] for reply in memory.heard]
    if replies != [b"250", b"250", b"250", b"354", b"250"]:
        raise ValueError(f"the message was not relayed: {memory.heard}")
    return found


def mail_path() -> dict[str, Way]:
    """Trace a message on a warm relay: two RCPTs, a piece of content, the final dot."""

    async def trace() -> dict[str, Way]:
        with tempfile.TemporaryDirectory() as directory:
            async with built(Path(directory)) as memory:
                return _mail_path(cast("InMemory", memory))

    with restored_logging():
        return asyncio.run(trace())


def setting(variable: str, group: str) -> list[str]:
    """Return the files on the way of a setting from the environment to its use.

    They are those of the functions that are given the environment; the file that declares the
    group; and those of the functions through which the settings, and then the group, reach the
    object that keeps the group, and of that object.
    """
    found: list[str] = []
    target: object = None

    def given(frame: FrameType) -> list[Any]:
        code = frame.f_code
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        return [frame.f_locals.get(name) for name in names]

    def reading(frame: FrameType) -> None:
        mappings = [it for it in given(frame) if isinstance(it, Mapping)]
        if _source(frame) and any(variable in mapping for mapping in mappings):
            found.append(_source(frame))

    def using(frame: FrameType) -> None:
        if not _source(frame) or not any(it is target for it in given(frame)[1:]):
            return
        stack: list[str] = []
        caller: FrameType | None = frame
        while caller is not None and (file := _source(caller)):
            stack.insert(0, file)
            caller = caller.f_back
        found.extend(stack)

    async def trace() -> None:
        nonlocal target
        with tempfile.TemporaryDirectory() as directory:
            environ = presend.settings(Path(directory) / "presend.db", "smtp://127.0.0.1:1", None)
            with _profiled(reading):
                settings = load_settings(ServeSettings, environ={**environ, variable: "17.25"})
            target = getattr(settings, group)
            found.append(str(Path(inspect.getfile(type(target))).relative_to(ROOT)))
            async with Process(settings) as process:
                with _profiled(using):
                    Relay(process, settings, settings.upstream)

    with restored_logging():
        asyncio.run(trace())
    return list(dict.fromkeys(found))


def main() -> None:
    """Print the ways."""
    for name, way in mail_path().items():
        sys.stdout.write(f"{name}: {way.files} files, {way.changes} changes of file\n")
        for step in way.steps:
            shown = "" if step.file == CHECKS else ", ".join(step.functions)
            sys.stdout.write(f"    {step.file:36} {shown}\n")
    files = setting("PRESEND_POOL__WAIT", "pool")
    sys.stdout.write(f"PRESEND_POOL__WAIT: {len(files)} files\n    ")
    sys.stdout.write("\n    ".join(files) + "\n")


if __name__ == "__main__":
    main()
