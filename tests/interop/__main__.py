"""`python -m tests.interop`: try the clients and upstreams, and write the page."""

import argparse
import contextlib
import functools
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.interop import exim, install, mailman, mta, opensmtpd, page, postfix, roots, sendmail
from tests.interop.clients import PROGRAMS_TRIED, Program
from tests.interop.page import Row
from tests.interop.stand import Stand
from tests.interop.trials import try_client
from tests.interop.upstreams import UPSTREAMS, Place, Upstream, try_upstream

AGENTS = {module.AGENT.name: module.AGENT for module in (postfix, exim, opensmtpd, sendmail)}
CLIENTS = (*AGENTS, *(program.name for program in PROGRAMS_TRIED), "Mailman")
FAILURES = (install.NotTriedError, AssertionError, OSError, subprocess.SubprocessError)
"""What ends the attempt of a row; the row then says that it was not tried, and why."""

SERVERS = tuple(row.name for row in UPSTREAMS)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.interop", description=__doc__)
    known = {name.lower(): name for name in (*CLIENTS, *SERVERS)}
    parser.add_argument("--only", type=lambda text: text.split(","), metavar="NAMES")
    parser.add_argument("--no-install", action="store_true", help="use only what is installed")
    parser.add_argument("--page", type=Path, default=page.PAGE)
    parser.add_argument("--results", type=Path, default=page.RESULTS)
    given = parser.parse_args(words)
    if unknown := {name for name in given.only or () if name.lower() not in known}:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(known.values())}")
    given.chosen = {known[name.lower()] for name in given.only or known}
    return given


class Run:
    """One run: the stand, and the roots of the agents, which serve as client and as upstream."""

    def __init__(self, base: Path, stack: contextlib.ExitStack, *, may_install: bool) -> None:
        """`base` is a directory for all files; `stack` ends all servers."""
        self.base = base
        self._stack = stack
        self._may_install = may_install

    @functools.cached_property
    def stand(self) -> Stand:
        """The relays for the clients."""
        directory = self.base / "stand"
        directory.mkdir()
        return Stand(directory, self._stack)

    def agent(self, name: str) -> tuple[Row, Row]:
        """Try an agent as a client and as an upstream, in one root."""
        agent = AGENTS[name]
        place = roots.root(self.base / f"root-{name}", agent.packages, allowed=self._may_install)
        with place as root, contextlib.ExitStack() as stack:
            mta.certified(root, self.stand.certificates)
            version = agent.version(root)
            client = mta.QueuedClient(agent, root, stack)
            as_client = tried(
                lambda: (version, try_client(self.stand, client, self._directory(name)))
            )
            as_client.cells["used_as"] = f"{agent.used} on the same machine; it relays to presend"
            stack.close()
            row = next(it for it in UPSTREAMS if it.name == name)
            at = Place(self._directory(f"{name}-upstream"), self.stand.certificates, root)
            return as_client, tried(lambda: try_upstream(row, at))

    def program(self, program: Program) -> Row:
        """Try a program or library."""
        install.install(program.needs, allowed=self._may_install)
        if program.prepare:
            install.CACHE.mkdir(parents=True, exist_ok=True)
            (install.CACHE / "java").mkdir(exist_ok=True)
            install.run(program.prepare)
        cells = try_client(self.stand, program, self._directory(program.name))
        return Row(program.told_version(), "", {"used_as": program.used, **cells})

    def mailman(self) -> Row:
        """Try Mailman."""
        install.install(mailman.NEEDS, allowed=self._may_install)
        client = mailman.Mailman(self._directory("Mailman"))
        version = client.told_version()
        cells = try_client(self.stand, client, self._directory("Mailman-message"))
        return Row(version, "", {"used_as": "a list with the recipients as members", **cells})

    def upstream(self, row: Upstream) -> Row:
        """Try an upstream that is not an agent."""
        install.install(row.needs, allowed=self._may_install)
        place = Place(self._directory(f"{row.name}-upstream"), self.stand.certificates)
        return tried(lambda: try_upstream(row, place))

    def _directory(self, name: str) -> Path:
        directory = self.base / name.replace("/", "-").replace(" ", "-")
        directory.mkdir()
        return directory


def tried(attempt: Callable[[], tuple[str, dict[str, str]]]) -> Row:
    """Return the row of an attempt; a failure of the attempt becomes its reason."""
    try:
        version, cells = attempt()
    except FAILURES as error:
        return Row(not_tried=reason(error))
    return Row(version, "", cells)


def reason(error: Exception) -> str:
    """Return the first line of an error, shortened, for the page; the rest goes to stderr."""
    sys.stderr.write(f"  {error}\n")
    lines = str(error).strip().splitlines() or [type(error).__name__]
    failed = "" if isinstance(error, install.NotTriedError) else "the attempt failed: "
    return f"{failed}{lines[0][:200]}"


def go(run: Run, chosen: set[str], results: page.Results, save: Callable[[], None]) -> None:
    """Try everything that was chosen; save after each, so that an interrupted run keeps much."""
    for name in (each for each in AGENTS if each in chosen):
        with timed(name):
            try:
                client, server = run.agent(name)
            except FAILURES as error:
                client = server = Row(not_tried=reason(error))
            results.clients[name], results.upstreams[name] = client, server
        save()
    singles: Mapping[str, tuple[dict[str, Row], Callable[[], Row]]] = {
        **{it.name: (results.clients, functools.partial(run.program, it)) for it in PROGRAMS_TRIED},
        "Mailman": (results.clients, run.mailman),
        **{
            it.name: (results.upstreams, functools.partial(run.upstream, it))
            for it in UPSTREAMS
            if it.agent is None
        },
    }
    for name, (rows, attempt) in singles.items():
        if name in chosen:
            with timed(name):
                try:
                    rows[name] = attempt()
                except FAILURES as error:
                    rows[name] = Row(not_tried=reason(error))
            save()


@contextlib.contextmanager
def timed(name: str) -> Iterator[None]:
    """Write the name and the seconds to standard error."""
    started = time.monotonic()
    sys.stderr.write(f"{name}\n")
    yield
    sys.stderr.write(f"  {time.monotonic() - started:.0f} s\n")


def system() -> str:
    """Describe the system on which the last run was made."""
    release = platform.system()
    with contextlib.suppress(OSError):
        release = platform.freedesktop_os_release()["PRETTY_NAME"]
    return f"The last run was made on {release}, with Python {platform.python_version()}."


def main(given: argparse.Namespace) -> None:
    """Run, and write the page."""
    results = page.load(given.results)
    results.system = system()

    def save() -> None:
        page.save(results, given.results)
        text = page.updated(given.page.read_text(), results, CLIENTS, SERVERS)
        given.page.write_text(text)

    with contextlib.ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="presend-interop-")))
        base.chmod(0o755)  # the agents' unprivileged processes read in it
        go(Run(base, stack, may_install=not given.no_install), given.chosen, results, save)


if __name__ == "__main__":
    main(arguments())
