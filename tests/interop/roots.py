"""A copy of this machine with other Debian packages installed, without changing the machine.

Mail transport agents exclude each other in Debian. Each is therefore installed into an overlay of
the root file system, in namespaces of its own for mounts, process ids and host name. The overlay is
in memory. All processes in it end with the first one, and the overlay vanishes with them. /tmp is
shared with the machine, and so is the network.
"""

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.interop import install
from tests.support.eventually import eventually

HOST = "mta.app.example"
"""Host name inside."""

_HOLD = ("setpriv", "--pdeathsig=KILL", "unshare", "--fork", "--kill-child")
_SPACES = ("--mount", "--pid", "--uts")
_ENTER = """\
set -e
mount --make-rprivate /
mount -t tmpfs none {top}
mkdir {top}/upper {top}/work {top}/root
mount -t overlay overlay -o lowerdir=/,upperdir={top}/upper,workdir={top}/work {top}/root
mount --rbind /dev {top}/root/dev
mount -t proc proc {top}/root/proc
mount --rbind /tmp {top}/root/tmp
mkdir -p {archives}/partial
mount --bind {archives} {top}/root/var/cache/apt/archives
cat > {top}/root/usr/sbin/policy-rc.d <<END
#!/bin/sh
exit 101
END
chmod 755 {top}/root/usr/sbin/policy-rc.d
hostname {host}
printf '127.0.0.1 {host} localhost\n::1 localhost\n' > {top}/root/etc/hosts
mkdir {top}/root/entered
exec chroot {top}/root sleep infinity
"""


@dataclass(frozen=True, slots=True)
class Root:
    """The copy; `pid` is its first process, as the machine numbers it."""

    pid: int

    def command(self, *words: str) -> list[str]:
        """Return the command line that runs `words` inside."""
        return ["nsenter", f"--target={self.pid}", *_SPACES, "--root", "--wd", *words]

    def run(
        self, *words: str, stdin: bytes = b"", check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command inside to its end."""
        done = subprocess.run(
            self.command(*words), input=stdin, capture_output=True, timeout=120, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"{words}: {done.stdout!r} {done.stderr!r}")
        return done

    def output(self, *words: str) -> str:
        """Run a command inside; return what it wrote to standard output and standard error."""
        done = self.run(*words, check=False)
        return (done.stdout + done.stderr).decode("utf-8", "replace")

    def write(self, path: str, text: str) -> None:
        """Write a file inside."""
        self.run("sh", "-c", f"mkdir -p $(dirname {path}) && cat > {path}", stdin=text.encode())

    def files(self, directory: str) -> list[bytes]:
        """Return the contents of all files below a directory inside."""
        found = (Path(f"/proc/{self.pid}/root") / directory.lstrip("/")).rglob("*")
        return [path.read_bytes() for path in found if path.is_file()]


@contextlib.contextmanager
def root(base: Path, packages: Sequence[str], *, allowed: bool) -> Iterator[Root]:
    """Make the copy, with `packages` installed. Raises NotTriedError where that is impossible."""
    install.need_root()
    if not allowed:
        raise install.NotTriedError(f"not installed: {', '.join(packages)}")
    install.update()
    base.mkdir()
    archives = install.CACHE / "archives"
    archives.mkdir(parents=True, exist_ok=True)
    script = _ENTER.format(top=base, archives=archives, host=HOST)
    process = subprocess.Popen(
        # setpriv: the namespaces end with this process, however it ends.
        [*_HOLD, *_SPACES, "sh", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        eventually(
            lambda: _entered(process) is not None or process.poll() is not None,
            "the root is mounted",
        )
        first = _entered(process)
        if first is None:
            said = process.stderr.read().decode().strip() if process.stderr else ""
            raise install.NotTriedError(f"no overlay of the root file system: {said}")
        made = Root(first)
        options = ("-qq", "-y", "--no-install-recommends")
        install.run(made.command("apt-get", *options, "install", *packages))
        yield made
    finally:
        process.kill()
        if process.stderr:
            process.stderr.close()
        process.wait(20)
        eventually(lambda: _removed(base), "the root is removed")


def _entered(process: subprocess.Popen[bytes]) -> int | None:
    """Return the first process of the namespace, once it runs in the new root."""
    with contextlib.suppress(OSError, ValueError):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        if Path(f"/proc/{int(children)}/root/entered").exists():
            return int(children)
    return None


def _removed(base: Path) -> bool:
    with contextlib.suppress(OSError):
        base.rmdir()  # empty, since the mounts vanished with the namespace
    return not base.exists()
