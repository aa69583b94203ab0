"""OpenSMTPD: as a client with `relay host`, and as an upstream with system users.

Messages are submitted by SMTP: its sendmail command would encode a multipart message with 8-bit
text as a whole, which makes it unreadable.
"""

import contextlib
from collections.abc import Iterator

from tests.bench.processes import free_port
from tests.interop.mta import MAIL, USERS, Agent, Queue, daemon, listening, submission_by_smtp
from tests.interop.roots import Root

_CONFIGURATION = "/etc/smtpd.conf"
_CLIENT = """\
listen on lo port {submission}
action "relay" relay host "smtp://127.0.0.1:{port}"
match from any for any action "relay"
"""
_LOGIN = """\
listen on lo port {submission}
table secrets {{ "app" = "{user}:{password}" }}
action "relay" relay host "smtp+tls://app@127.0.0.1:{port}" auth <secrets>
match from any for any action "relay"
"""
_SERVER = f"""\
pki interop cert "/etc/interop/cert.pem"
pki interop key "/etc/interop/key.pem"
smtp max-message-size 20M
listen on lo port {{port}} tls pki interop
action "store" maildir "{MAIL}/%{{{{user.username}}}}"
match from any for domain "example.com" action "store"
"""


def _reason(listing: str) -> str:
    """Return the last error of the first envelope, the last field but none."""
    fields = listing.splitlines()[0].split("|") if listing.strip() else []
    return fields[-1] if len(fields) > 1 and fields[-1] else ""


@contextlib.contextmanager
def client(root: Root, port: int, login: tuple[str, str] | None) -> Iterator[Queue]:
    """Run OpenSMTPD with the relay as smarthost."""
    template, (user, password) = (_LOGIN, login) if login else (_CLIENT, ("", ""))
    submission = free_port()
    text = template.format(port=port, user=user, password=password, submission=submission)
    root.write(_CONFIGURATION, text)
    root.run("sh", "-c", "rm -rf /var/spool/smtpd/queue/*")
    with daemon(root, "/usr/sbin/smtpd", "-d", until=lambda: listening(root, submission)):
        yield Queue(
            submission_by_smtp(submission),
            lambda: root.output("smtpctl", "schedule", "all"),
            lambda: _reason(root.output("smtpctl", "show", "queue")),
        )


@contextlib.contextmanager
def server(root: Root, port: int) -> Iterator[None]:
    """Run OpenSMTPD on a port of loopback."""
    root.write(_CONFIGURATION, _SERVER.format(port=port))
    for user in USERS:
        root.run("useradd", "-m", user, check=False)
        root.run("install", "-d", "-o", user, f"{MAIL}/{user}")
    with daemon(root, "/usr/sbin/smtpd", "-d", until=lambda: listening(root, port)):
        yield


AGENT = Agent(
    "OpenSMTPD",
    ("opensmtpd",),
    "SMTP",
    lambda root: root.output("smtpd", "-h").splitlines()[0].removeprefix("version: OpenSMTPD "),
    client,
    server,
)
