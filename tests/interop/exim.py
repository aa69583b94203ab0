"""Exim: as a client with a smarthost, and as an upstream with local users."""

import contextlib
import re
from collections.abc import Iterator

from tests.interop.mta import (
    JOERG,
    MAIL,
    USERS,
    Agent,
    Queue,
    daemon,
    listening,
    sendmail_command,
)
from tests.interop.roots import HOST, Root

_CONFIGURATION = "/etc/exim4/exim4.conf"
_CLIENT = f"""\
primary_hostname = {HOST}
qualify_domain = app.example
smtputf8_advertise_hosts = *
begin routers
smarthost:
  driver = manualroute
  transport = relay
  route_list = * 127.0.0.1 byname
  self = send
begin transports
relay:
  driver = smtp
  port = {{port}}
  tls_verify_certificates = /etc/interop/ca.pem
  {{require}}
begin retry
* * F,1h,1m
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  client_send = ^{{user}}^{{password}}
"""
_SERVER = f"""\
primary_hostname = {HOST}
tls_advertise_hosts = *
tls_certificate = /etc/interop/cert.pem
tls_privatekey = /etc/interop/key.pem
smtputf8_advertise_hosts = *
acl_smtp_rcpt = check_rcpt
acl_smtp_data = check_data
message_size_limit = 20M
begin acl
check_rcpt:
  accept domains = example.com
         verify = recipient
  deny message = Unknown user
check_data:
  accept
begin routers
known:
  driver = accept
  domains = example.com
  local_parts = {" : ".join((*USERS, JOERG))}
  transport = store
begin transports
store:
  driver = appendfile
  directory = {MAIL}/all
  maildir_format
  create_directory
  user = nobody
  group = nogroup
"""


def _reason(root: Root) -> str:
    """Return why the last delivery was deferred, unless the queue is empty."""
    if not root.output("exim4", "-bp").strip():
        return ""
    log = root.output("sh", "-c", "cat /var/log/exim4/mainlog")
    found = re.findall(r" == \S+ (?:R=\S+ T=\S+ )?(.*)", log)
    return found[-1] if found else ""


@contextlib.contextmanager
def client(root: Root, port: int, login: tuple[str, str] | None) -> Iterator[Queue]:
    """Configure Exim with the relay as smarthost; it delivers in the foreground."""
    user, password = login or ("", "")
    require = "hosts_require_auth = *\n  hosts_require_tls = *" if login else ""
    text = _CLIENT.format(port=port, user=user, password=password, require=require)
    root.write(_CONFIGURATION, text)
    root.run("rm", "-f", "/var/log/exim4/mainlog")
    yield Queue(
        sendmail_command(root, "-odf"),
        lambda: root.run("exim4", "-qff"),
        lambda: _reason(root),
    )
    root.run("sh", "-c", "exiqgrep -i | xargs -r exim4 -Mrm", check=False)


@contextlib.contextmanager
def server(root: Root, port: int) -> Iterator[None]:
    """Run Exim on a port of loopback."""
    root.write(_CONFIGURATION, _SERVER)
    root.run("install", "-d", "-o", "nobody", "-g", "nogroup", MAIL)
    root.run("sh", "-c", "chown -R Debian-exim /etc/interop")
    words = ("/usr/sbin/exim4", "-bdf", "-oX", f"127.0.0.1.{port}")
    with daemon(root, *words, until=lambda: listening(root, port)):
        yield


AGENT = Agent(
    "Exim",
    ("exim4-daemon-light",),
    "`sendmail`",
    lambda root: root.output("exim4", "-bV").split()[2],
    client,
    server,
)
