"""A private Postfix as upstream, with STARTTLS, AUTH by Dovecot, and delivery to a Maildir.

All its files are in one directory of its own; a Postfix of the machine is not affected.
Postfix's master has to be started by root.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.certs import Certificates
from tests.support.eventually import eventually
from tests.support.need import program
from tests.support.upstream import CREDENTIALS

_MAIN = """\
compatibility_level = 3.6
maillog_file = /dev/stdout
queue_directory = {folder}/queue
data_directory = {folder}/data
myhostname = upstream.example
mydestination =
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
virtual_mailbox_domains = example.com
virtual_mailbox_maps = inline:{{ {{ ann@example.com = all/ }}, {{ bob@example.com = all/ }} }}
virtual_mailbox_base = {folder}/mail
virtual_uid_maps = static:{user}
virtual_gid_maps = static:{group}
virtual_minimum_uid = 1
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_tls_cert_file = {cert}
smtpd_tls_key_file = {key}
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtputf8_enable = yes
message_size_limit = 10240000
"""
_MASTER = """\
{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
proxymap unix - - n - - proxymap
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
showq unix n - n - - showq
postlog unix-dgram n - n - 1 postlogd
"""
_DOVECOT = """\
base_dir = {folder}/dovecot
state_dir = {folder}/dovecot
log_path = {folder}/dovecot.log
protocols =
ssl = no
auth_mechanisms = plain login
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home=/nonexistent
}}
service auth {{
  unix_listener {folder}/queue/private/auth {{
    mode = 0666
  }}
}}
"""


class Postfix:
    """The running server. `url` is the value for PRESEND_UPSTREAM."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port = port
        self.folder = folder
        self.url = f"smtp+starttls://{CREDENTIALS[0]}@127.0.0.1:{port}"

    def messages(self, having: bytes, count: int = 1) -> list[bytes]:
        """Wait for `count` delivered messages with this text; return them with LF line ends."""
        found: list[bytes] = []

        def all_there() -> bool:
            found[:] = [it for it in self._delivered() if having in it]
            return len(found) >= count

        eventually(all_there, f"{count} messages delivered with {having!r}")
        return found

    def _delivered(self) -> list[bytes]:
        new = self.folder / "mail" / "all" / "new"
        return [path.read_bytes() for path in new.iterdir()] if new.is_dir() else []

    def log(self) -> str:
        """The log of Postfix and Dovecot."""
        logs = (self.folder / name for name in ("postfix.log", "dovecot.log"))
        return "\n".join(path.read_text() for path in logs if path.exists())


@contextlib.contextmanager
def serve(certificates: Certificates, **parameters: str) -> Iterator[Postfix]:
    """Run Postfix and Dovecot; skip the test if they are not installed or the user is not root.

    `parameters` are added to main.cf.
    """
    if os.geteuid() != 0:
        pytest.skip("needs root: Postfix's master does")
    postfix, dovecot = program("postfix"), program("dovecot")
    folder = Path(tempfile.mkdtemp(prefix="presend-postfix-"))
    port = _free_port()
    try:
        _configure(folder, port, certificates, parameters)
        with contextlib.ExitStack() as stack:
            log = stack.enter_context((folder / "postfix.log").open("wb"))
            stack.enter_context(_running(postfix, folder / "etc", log.fileno()))
            server = Postfix(port, folder)
            eventually(
                (folder / "queue" / "private" / "virtual").exists,
                f"Postfix started:\n{server.log()}",
            )
            stack.enter_context(
                _child([dovecot, "-F", "-c", str(folder / "dovecot.conf")], log.fileno())
            )
            eventually(
                (folder / "queue" / "private" / "auth").exists,
                f"Dovecot started:\n{server.log()}",
            )
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _running(postfix: str, etc: Path, output: int) -> Iterator[None]:
    words = [postfix, "-c", str(etc)]
    # In the foreground, which maillog_file = /dev/stdout requires.
    with _child([*words, "start-fg"], output):
        try:
            yield
        finally:
            subprocess.run([*words, "stop"], stdout=output, stderr=output, check=False)


@contextlib.contextmanager
def _child(words: list[str], output: int) -> Iterator[None]:
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def _configure(
    folder: Path, port: int, certificates: Certificates, parameters: Mapping[str, str]
) -> None:
    folder.chmod(0o755)  # Postfix's unprivileged daemons must be able to read it
    values = {
        "folder": folder,
        "port": port,
        "user": 65534,
        "group": 65534,
        "cert": folder / "cert.pem",
        "key": folder / "key.pem",
    }
    for name in ("etc", "queue", "data", "mail"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    os.chown(folder / "mail", 65534, 65534)
    shutil.copy(certificates.cert_file, folder / "cert.pem")
    shutil.copy(certificates.key_file, folder / "key.pem")
    added = "".join(f"{name} = {value}\n" for name, value in parameters.items())
    (folder / "etc" / "main.cf").write_text(_MAIN.format(**values) + added)
    (folder / "etc" / "master.cf").write_text(_MASTER.format(**values))
    (folder / "dovecot.conf").write_text(_DOVECOT.format(**values))
    (folder / "users").write_text(f"{CREDENTIALS[0]}:{{PLAIN}}{CREDENTIALS[1]}\n")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
