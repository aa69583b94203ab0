"""Sendmail: as a client with SMART_HOST, and as an upstream with system users."""

import contextlib
import re
from collections.abc import Iterator

from tests.interop.mta import MAIL, USERS, Agent, Queue, daemon, listening, sendmail_command
from tests.interop.roots import Root

_CONFIGURATION = "/etc/mail/sendmail.cf"
_QUEUE = "/var/spool/mqueue"
_HEAD = """\
divert(0)dnl
OSTYPE(`linux')dnl
FEATURE(`nocanonify')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`accept_unqualified_senders')dnl
define(`confDONT_PROBE_INTERFACES', `True')dnl
define(`confBAD_RCPT_THROTTLE', `0')dnl
undefine(`ALIAS_FILE')dnl
"""
_CLIENT = """\
define(`SMART_HOST', `relay:[127.0.0.1]')dnl
define(`RELAY_MAILER_ARGS', `TCP $h {port}')dnl
define(`confDELIVERY_MODE', `interactive')dnl
define(`confCACERT', `/etc/interop/ca.pem')dnl
define(`confCACERT_PATH', `/etc/ssl/certs')dnl
MAILER(`smtp')dnl
"""
_LOGIN = """\
LOCAL_RULESETS
Sauthinfo
R$*\t$# "U:{user}" "I:{user}" "P:{password}" "M:PLAIN"
"""
_STORE = "/usr/local/bin/interop-store"
_SERVER = f"""\
define(`confCACERT', `/etc/interop/ca.pem')dnl
define(`confCACERT_PATH', `/etc/ssl/certs')dnl
define(`confSERVER_CERT', `/etc/interop/cert.pem')dnl
define(`confSERVER_KEY', `/etc/interop/key.pem')dnl
define(`confMAX_MESSAGE_SIZE', `20000000')dnl
define(`confDELIVERY_MODE', `background')dnl
define(`LOCAL_MAILER_PATH', `{_STORE}')dnl
define(`LOCAL_MAILER_ARGS', `interop-store $u')dnl
DAEMON_OPTIONS(`Name=MTA, Addr=127.0.0.1, Port={{port}}')dnl
LOCAL_DOMAIN(`example.com')dnl
MAILER(`local')dnl
MAILER(`smtp')dnl
"""


def _configure(root: Root, text: str) -> None:
    root.write("/etc/mail/interop.mc", text)
    build = "m4 /usr/share/sendmail/cf/m4/cf.m4 /etc/mail/interop.mc"
    root.run("sh", "-c", f"cd /usr/share/sendmail/cf && {build} > {_CONFIGURATION}")


def _reason(listing: str) -> str:
    """Return the text in the parentheses below a message."""
    found = re.search(r"^ +\((Deferred.*)\)$", listing, re.MULTILINE)
    return found[1] if found else ""


@contextlib.contextmanager
def client(root: Root, port: int, login: tuple[str, str] | None) -> Iterator[Queue]:
    """Configure Sendmail with the relay as smarthost; it delivers in the foreground."""
    text = _HEAD + _CLIENT.format(port=port)
    if login:
        text += _LOGIN.format(user=login[0], password=login[1])
    _configure(root, text)
    # Sendmail cannot keep its queue on an overlay: an fsync there fails.
    root.run("mount", "-t", "tmpfs", "-o", "mode=1777", "none", _QUEUE)
    yield Queue(
        sendmail_command(root, "-Am"),
        lambda: root.run("sendmail", "-Am", "-q"),
        lambda: _reason(root.output("mailq", "-Am")),
    )
    root.run("umount", "--lazy", _QUEUE)


@contextlib.contextmanager
def server(root: Root, port: int) -> Iterator[None]:
    """Run Sendmail on a port of loopback."""
    _configure(root, _HEAD + _SERVER.format(port=port))
    root.run("mount", "-t", "tmpfs", "-o", "mode=1777", "none", _QUEUE)
    root.write(_STORE, f'#!/bin/sh\nexec cat > "{MAIL}/$1.$$"\n')
    root.run("sh", "-c", f"chmod 755 {_STORE}; mkdir -p {MAIL}; chmod 1777 {MAIL}")
    for user in USERS:
        root.run("useradd", "-m", user, check=False)
    words = ("/usr/sbin/sendmail-mta", "-bD")
    with daemon(root, *words, until=lambda: listening(root, port)):
        yield


AGENT = Agent(
    "Sendmail",
    ("sendmail-bin", "sendmail-cf", "sensible-mda", "libsasl2-modules"),
    "`sendmail`",
    lambda root: root.output("sh", "-c", "sendmail -d0.1 -bv root").split()[1],
    client,
    server,
)
