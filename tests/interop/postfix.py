"""Postfix: as a client with `relayhost`, and as an upstream with virtual mailboxes."""

import contextlib
import re
from collections.abc import Iterator

from tests.interop.mta import JOERG, MAIL, USERS, Agent, Queue, listening, sendmail_command
from tests.interop.roots import HOST, Root
from tests.support.eventually import eventually

_COMMON = f"""\
compatibility_level = 3.6
myhostname = {HOST}
mydestination =
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
maillog_file = /var/log/postfix.log
smtputf8_enable = yes
"""
_CLIENT = """\
relayhost = [127.0.0.1]:{port}
smtp_tls_security_level = {level}
smtp_tls_CAfile = /etc/interop/ca.pem
"""
_LOGIN = """\
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = static:{user}:{password}
smtp_sasl_security_options = noanonymous
"""
_SERVER = f"""\
virtual_mailbox_domains = example.com
virtual_mailbox_maps = inline:{{ {{ {{users}} }} }}
virtual_mailbox_base = {MAIL}
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_minimum_uid = 1
smtpd_tls_security_level = may
smtpd_tls_cert_file = /etc/interop/cert.pem
smtpd_tls_key_file = /etc/interop/key.pem
smtpd_relay_restrictions = reject_unauth_destination
message_size_limit = 20480000
"""


@contextlib.contextmanager
def _running(root: Root, main: str, port: int | None) -> Iterator[None]:
    root.write("/etc/postfix/main.cf", main)
    root.run("sh", "-c", "cp /usr/share/postfix/master.cf.dist /etc/postfix/master.cf")
    root.run("postconf", "-MX", "smtp/inet")
    if port is not None:
        root.run("postconf", "-Me", f"{port}/inet={port} inet n - n - - smtpd")
    root.run("postfix", "start")
    try:
        yield
    finally:
        root.run("postfix", "stop", check=False)
        root.run("postsuper", "-d", "ALL", check=False)


def _reason(listing: str) -> str:
    """Return the text in the parentheses below a message."""
    found = re.search(r"^ *\((.+(?:\n.+)*?)\)$", listing, re.MULTILINE)
    return found[1] if found else ""


@contextlib.contextmanager
def client(root: Root, port: int, login: tuple[str, str] | None) -> Iterator[Queue]:
    """Run Postfix with the relay as `relayhost`."""
    main = _COMMON + _CLIENT.format(port=port, level="encrypt" if login else "may")
    if login:
        main += _LOGIN.format(user=login[0], password=login[1])
    with _running(root, main, None):
        yield Queue(
            sendmail_command(root),
            lambda: root.run("postqueue", "-f"),
            lambda: _reason(root.output("postqueue", "-p")),
        )


@contextlib.contextmanager
def server(root: Root, port: int) -> Iterator[None]:
    """Run Postfix on a port of loopback."""
    users = " }, { ".join(f"{user}@example.com = all/" for user in (*USERS, JOERG))
    root.run("install", "-d", "-o", "65534", "-g", "65534", MAIL)
    with _running(root, _COMMON + _SERVER.replace("{users}", users), port):
        eventually(lambda: listening(root, port), "Postfix listens")
        yield


AGENT = Agent(
    "Postfix",
    ("postfix", "libsasl2-modules"),
    "`sendmail`",
    lambda root: root.output("postconf", "-h", "mail_version").strip(),
    client,
    server,
)
