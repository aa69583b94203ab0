"""Two campaigns under load: one with a good list; one with a bad list and a small pool."""

import contextlib
import itertools
import smtplib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.deploy.prometheus import Prometheus
from tests.support import dns
from tests.support.presend import Presend
from tests.support.upstream import Upstream

GOOD, BAD = "newsletter", "spring-sale"
ZONES = {
    "google.test": "@ IN MX 10 aspmx.l.google.com.",
    "yahoo.test": "@ IN MX 10 mta5.am0.yahoodns.net.",
    "nullmx.test": "@ IN MX 0 .",
    "broken.test": dns.SERVFAIL,
    ".": "",
}
PROVIDERS = {
    "google.com": "aspmx.l IN A 8.8.8.8",
    "yahoodns.net": "mta5.am0 IN A 9.9.9.9",
}
GOOD_DOMAINS = ("google.test", "yahoo.test", "example.com")
BAD_RECIPIENTS = (
    "550-gone@google.test",
    "550-gone@yahoo.test",
    "451-later@yahoo.test",
    "unsubscribed@google.test",
    "somebody@nullmx.test",
    "somebody@nowhere.test",
    "somebody@broken.test",
    "postmaster@yahoo.test",
    "two@@google.test",
)


class Watched(NamedTuple):
    """The relays by campaign, their load, and the Prometheus that scrapes them."""

    relays: dict[str, Presend]
    campaigns: dict[str, list["Campaign"]]
    upstream: Upstream
    prometheus: Prometheus


class Campaign:
    """A thread that repeatedly sends messages to 20 recipients each."""

    def __init__(self, port: int, bad: int) -> None:
        self.bad = bad
        self._port = port
        self._recipients = itertools.count(1)
        self._bad_ones = itertools.cycle(BAD_RECIPIENTS)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop sending, and wait for the thread."""
        self._stopped.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._stopped.wait(0.02):
            # After any SMTP error the application tries again later.
            with (
                contextlib.suppress(smtplib.SMTPException),
                smtplib.SMTP("127.0.0.1", self._port, timeout=20) as session,
            ):
                for _ in range(20):
                    self._send(session)
                    if self._stopped.wait(0.02):
                        return

    def _send(self, session: smtplib.SMTP) -> None:
        good = [
            f"customer{number}@{GOOD_DOMAINS[number % len(GOOD_DOMAINS)]}"
            for number in itertools.islice(self._recipients, 20 - self.bad)
        ]
        bad = list(itertools.islice(self._bad_ones, self.bad))
        session.sendmail("news@app.example", good + bad, b"Subject: Sale\r\n\r\nCome in.\r\n")


@contextlib.contextmanager
def watched(folder: Path, *, interval: str = "1s") -> Iterator[Watched]:
    """Run relays, upstream, name server, applications and Prometheus."""
    with contextlib.ExitStack() as stack:
        (folder / "dns").mkdir()
        address = stack.enter_context(dns.serve(ZONES | PROVIDERS, folder / "dns"))
        upstream = stack.enter_context(Upstream())
        relays = {}
        for campaign in (GOOD, BAD):
            (folder / campaign).mkdir()
            settings = {
                "CAMPAIGN_ID": campaign,
                "PRESEND_UPSTREAM": upstream.url(),
                "PRESEND_DNS_SERVERS": f"{address[0]}:{address[1]}",
                "PRESEND_POLICY__ROLE_ACCOUNT": "observe",
                "PRESEND_POOL__CONNECTIONS": "20" if campaign == GOOD else "1",
            }
            relays[campaign] = stack.enter_context(Presend(folder / campaign, settings))
        for relay in relays.values():
            done = relay.command(
                "suppress", "add", "unsubscribed@google.test", "--reason", "unsubscribe"
            )
            assert done.returncode == 0, done.stderr
        ports = {campaign: relay.http_port for campaign, relay in relays.items()}
        (folder / "prometheus").mkdir()
        prometheus = stack.enter_context(
            Prometheus(folder / "prometheus", ports, interval=interval)
        )
        campaigns = {
            GOOD: [Campaign(relays[GOOD].smtp_port, bad=0)],
            BAD: [Campaign(relays[BAD].smtp_port, bad=3) for _ in range(3)],
        }
        for application in itertools.chain(*campaigns.values()):
            stack.callback(application.stop)
        yield Watched(relays, campaigns, upstream, prometheus)
