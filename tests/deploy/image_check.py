"""The image, built from the Dockerfile, in a two-container pod made from the manifests.

Not part of `make test`: it takes three minutes on a fresh machine, and needs root and Debian's
podman, runc, catatonit and debootstrap, which `make image` installs before it runs this file. The
directory IMAGE_CHECK (default: /var/tmp/presend-image-check) keeps the stand-in base between runs.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.deploy.manifests import DEPLOY, HERE, ROOT
from tests.deploy.podman import Podman, pod
from tests.support.eventually import eventually

pytestmark = pytest.mark.timeout(600)
FOLDER = Path(os.environ.get("IMAGE_CHECK", "/var/tmp/presend-image-check"))  # noqa: S108
BASE = "docker.io/library/python:3.13-slim"
IMAGE = "localhost/presend:0.1.0"
POD = "newsletter-application"
RELAY, APPLICATION = f"{POD}-presend", f"{POD}-application"
SCRAPE = "import urllib.request as u; print(u.urlopen('http://localhost:9100{}').read().decode())"
IN_FLIGHT = """
import smtplib, sys
session = smtplib.SMTP("localhost", 25, timeout=20)
session.ehlo("app.shop.example")
assert session.mail("news@shop.example")[0] == 250
assert session.rcpt("customer@customers.example")[0] == 250
assert session.docmd("DATA")[0] == 354
print("in flight", flush=True)
sys.stdin.readline()
session.send(b"Subject: the last one\\r\\n\\r\\nHello.\\r\\n.\\r\\n")
print(*session.getreply())
"""


@pytest.fixture(scope="module")
def podman() -> Podman:
    """Build the image once."""
    run = Podman(FOLDER)
    subprocess.run([HERE / "image/stand-in", FOLDER], env=run.environment, check=True)
    run("build", "--pull=never", "--network=host", "--tag", IMAGE, str(ROOT))
    return run


@pytest.fixture
def running(podman: Podman) -> Iterator[Podman]:
    """Run the pod with its two containers, and a sink on the same loopback interface."""
    podman("pod", "rm", "--force", "--ignore", POD)
    upstream = {"PRESEND_UPSTREAM": "smtp://127.0.0.1:2525"}
    manifest = FOLDER / "pod.yaml"
    manifest.write_text(pod("quickstart", POD, upstream), encoding="utf-8")
    podman("kube", "play", "--network=none", manifest)
    sink = DEPLOY / "quickstart/demo/sink"
    podman(
        *("run", "--detach", "--pod", POD, "--name", f"{POD}-sink", "--entrypoint", "python"),
        *("--volume", f"{sink}:/app:ro", IMAGE, "-u", "/app/sink.py"),
    )
    eventually(lambda: '"event":"listening"' in podman.logs(RELAY), "the relay listens")
    yield podman
    podman("pod", "rm", "--force", POD)


def relayed(podman: Podman) -> float:
    metrics = podman("exec", APPLICATION, "python", "-c", SCRAPE.format("/metrics"))
    found = re.search(r"presend_messages_total\{.*\"relayed\".*\} (\S+)", metrics)
    return float(found[1]) if found else 0.0


def test_mail_goes_through_localhost_25_to_the_upstream(running: Podman) -> None:
    eventually(lambda: relayed(running) >= 2, "the application's mail is at the upstream")
    eventually(
        lambda: "550 5.1.1" in running.logs(APPLICATION),
        "the application is told of the recipient that the upstream does not know",
    )
    eventually(
        lambda: "unsubscribed@customers.example: 550 5.7.1" in running.logs(APPLICATION),
        "the init container has loaded the suppression list from its ConfigMap",
    )
    assert '"campaign":"newsletter"' in running.logs(RELAY)
    ready = running("exec", APPLICATION, "python", "-c", SCRAPE.format("/readyz"))
    assert json.loads(ready)["ready"] is True


def test_the_mail_path_is_compiled(running: Podman) -> None:
    """Without compiled modules the relay would still run, about a quarter slower."""
    where = running(
        "exec", RELAY, "python", "-c", "from relay.smtp.server import session; print(session)"
    )
    assert re.search(r"relay/smtp/server/session\.[\w-]+\.so", where), where


def test_it_runs_without_privileges_on_a_read_only_root(running: Podman) -> None:
    status = running("exec", RELAY, "cat", "/proc/1/status")
    assert re.search(r"^Uid:\s+65532\s+65532\s+65532\s+65532$", status, re.MULTILINE)
    assert re.search(r"^Gid:\s+65532\s+65532\s+65532\s+65532$", status, re.MULTILINE)
    for kind in ("CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert re.search(rf"^{kind}:\s+0+$", status, re.MULTILINE), status
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)
    for place, writable in (("/", False), ("/opt/presend", False), ("/var/lib/presend", True)):
        test = f"import os; print(os.access({place!r}, os.W_OK))"
        assert running("exec", RELAY, "python", "-c", test).strip() == str(writable), place


def test_sigterm_lets_the_message_in_flight_finish(running: Podman) -> None:
    eventually(lambda: relayed(running) >= 1, "the sink is there")
    client = subprocess.Popen(
        ["podman", "exec", "-i", APPLICATION, "python", "-c", IN_FLIGHT],
        env=running.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert client.stdin is not None
    assert client.stdout is not None
    assert client.stdout.readline() == "in flight\n"
    running("kill", "--signal", "TERM", RELAY)
    eventually(lambda: "Draining" in running.logs(RELAY), "it drains")
    answer, _ = client.communicate("go on\n", timeout=20)
    assert answer.startswith("250"), answer
    assert running("wait", RELAY).strip() == "0"
    assert "drain_cut" not in running.logs(RELAY)


def test_size_and_start(running: Podman) -> None:
    """The image size and start time that docs/operations.md states, within a margin."""
    own = running.inspect("image", IMAGE)["Size"] - running.inspect("image", BASE)["Size"]
    first = next(line for line in running.logs(RELAY).splitlines() if "listening" in line)
    listening = datetime.fromisoformat(json.loads(first)["ts"])
    started = re.sub(
        r"(\.\d{6})\d*", r"\1", running.inspect("container", RELAY)["State"]["StartedAt"]
    )
    seconds = (listening - datetime.fromisoformat(started)).total_seconds()
    print(f"\nimage: {own / 1e6:.0f} MB over its base; start: {seconds:.2f} s")  # noqa: T201
    assert own < 80e6
    assert seconds < 10
