"""`presend suppress load`: sources of every kind, and servers that fail in every way."""

import contextlib
import gzip
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from relay import cli
from relay.commands.suppress import download
from relay.commands.suppress.sources import load
from relay.commands.tables import CHUNK
from relay.settings import env_name, every_setting
from relay.stores import BlockingStore, open_store
from tests.support.certs import Certificates

pytestmark = pytest.mark.may_block("a command may wait for what it reads")

SOURCES = "PRESEND_SUPPRESSIONS__SOURCES"
LIST = b"ann@example.com\nbob@example.com\n"
QUICK = download.Limits(stall=0.3, total=1.5, size=100_000, pause=0.05, retry=0.5)
SECRET = "hunter2"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("PRESEND_") or name in {"CAMPAIGN_ID", "http_proxy", "https_proxy"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("PRESEND_STORE", f"sqlite://{tmp_path}/presend.db")


Load = Callable[..., tuple[int, str]]


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Load:
    """Run the command with these sources; return the exit code and what it says."""

    def run(*sources: object) -> tuple[int, str]:
        monkeypatch.setenv(SOURCES, ",".join(map(str, sources)))
        code = cli.main(["suppress", "load"])
        said = capsys.readouterr()
        assert said.out == ""
        return code, said.err

    return run


@pytest.fixture
def entries(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[tuple[str, str]]]:
    """Return the entries on the list, each with its source."""

    def listed() -> list[tuple[str, str]]:
        assert cli.main(["suppress", "list"]) == 0
        rows = map(json.loads, capsys.readouterr().out.splitlines())
        return sorted((row["value"], row["source"]) for row in rows)

    return listed


class Handler(BaseHTTPRequestHandler):
    """Answers by the path of the URL; see the table at the end of this class."""

    seen: ClassVar[list[str]] = []
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer a request, or fail to."""
        self.seen.append(f"{self.path} {self.headers.get('Authorization', '-')}")
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.ANSWERS[self.path.partition("?")[0]](self)

    def send(self, body: bytes, status: int = 200, **headers: str) -> None:
        """Send a status, some headers and a body."""
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def chunked(self, *pieces: bytes, end: bool = True) -> None:
        """Send a body in chunks."""
        framed = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
        self.send(framed + b"0\r\n\r\n" * end, Content_Length="", Transfer_Encoding="chunked")

    def greet(self, octets: bytes) -> None:
        """Send octets that are no HTTP."""
        self.wfile.write(octets)

    def stall(self) -> None:
        """Send the beginning of a list, then nothing."""
        self.send(LIST, Content_Length="1000")
        time.sleep(1)

    def drip(self) -> None:
        """Send an octet now and then, for longer than is allowed."""
        self.send(b"", Content_Length="1000")
        for _ in range(200):
            self.wfile.write(b"a")
            self.wfile.flush()
            time.sleep(0.05)

    def second_time(self) -> None:
        """Fail at the first request."""
        if self.seen.count("/second -") < 2:
            self.send(b"", 503)
        else:
            self.send(LIST)

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    ANSWERS: ClassVar[dict[str, Callable[["Handler"], None]]] = {
        "/list": lambda it: it.send(LIST),
        "/packed": lambda it: it.send(gzip.compress(LIST)),
        "/encoded": lambda it: it.send(gzip.compress(LIST), Content_Encoding="gzip"),
        "/chunked": lambda it: it.chunked(LIST[:20], LIST[20:]),
        "/no-length": lambda it: it.send(LIST, Content_Length=""),
        "/missing": lambda it: it.send(b"ann@example.com", 404),
        "/forbidden": lambda it: it.send(b"", 403),
        "/empty": lambda it: it.send(b"", 204),
        "/busy": lambda it: it.send(b"", 503),
        "/moved": lambda it: it.send(b"", 302, Location="http://u:hunter2@other.example/?hunter2"),
        "/nowhere": lambda it: it.send(b"", 301, Location="http://[::1"),
        "/cut": lambda it: it.send(LIST, Content_Length="1000"),
        "/cut-chunk": lambda it: it.chunked(LIST, end=False),
        "/cut-gzip": lambda it: it.send(gzip.compress(LIST)[:-4]),
        "/large": lambda it: it.send(b"", Content_Length="100001"),
        "/endless": lambda it: it.send(LIST * 10_000, Content_Length=""),
        "/bomb": lambda it: it.send(gzip.compress(LIST * 10_000)),
        "/one-line-bomb": lambda it: it.send(gzip.compress(bytes(90_000))),
        "/page": lambda it: it.send(b"<!DOCTYPE html><title>Log in</title>"),
        "/stall": stall,
        "/drip": drip,
        "/second": second_time,
        "/no-http": lambda it: it.greet(b"220 mail.example ESMTP hunter2\r\n"),
        "/silent": lambda it: time.sleep(1),  # noqa: ARG005
    }


@pytest.fixture
def server() -> Iterator[str]:
    """A server on loopback; its URL without a path."""
    Handler.seen.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        httpd.daemon_threads = True
        httpd.block_on_close = False
        thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


def test_the_setting_has_this_name() -> None:
    assert SOURCES in {setting.env for setting in every_setting()}
    assert env_name(("suppressions", "sources")) == SOURCES


def test_no_sources(monkeypatch: pytest.MonkeyPatch, loaded: Load) -> None:
    monkeypatch.setenv("PRESEND_STORE", "sqlite:////nowhere/presend.db")
    assert loaded() == (0, f"{SOURCES} names no source: nothing to load\n")


def test_files_and_directories(
    loaded: Load, entries: Callable[[], list[tuple[str, str]]], tmp_path: Path
) -> None:
    mounted = tmp_path / "lists"  # as the kubelet mounts a ConfigMap
    data = mounted / "..2026_11_24"
    data.mkdir(parents=True)
    (data / "b.csv").write_text("email,source\nbob@example.com,crm\n")
    (data / "a.csv.gz").write_bytes(gzip.compress(b"ann@example.com\n"))
    (mounted / "..data").symlink_to(data.name)
    for name in ("b.csv", "a.csv.gz"):
        (mounted / name).symlink_to(f"..data/{name}")
    single = tmp_path / "single"
    single.write_text("carl@example.com\nann@example.com\n")
    code, said = loaded(mounted, single)
    assert code == 0
    assert said.splitlines() == [
        f"{mounted}/a.csv.gz: 1 read, 1 added, 0 last longer, 0 already on the list",
        f"{mounted}/b.csv: 1 read, 1 added, 0 last longer, 0 already on the list",
        f"{single}: 2 read, 1 added, 0 last longer, 1 already on the list",
        "total: 4 read, 3 added, 0 last longer, 1 already on the list",
    ]
    assert entries() == [
        ("ann@example.com", f"{mounted}/a.csv.gz"),
        ("bob@example.com", "crm"),
        ("carl@example.com", str(single)),
    ]
    code, said = loaded(mounted, single)
    assert (code, said.splitlines()[-1]) == (
        0,
        "total: 4 read, 0 added, 0 last longer, 4 already on the list",
    )


def test_directories_that_are_empty_or_not_there(loaded: Load, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, said = loaded(tmp_path / "empty", f"{tmp_path}/nowhere/")
    assert code == 0
    assert said.splitlines() == [
        f"{tmp_path}/empty: no file in this directory",
        f"{tmp_path}/nowhere/: no such directory",
        "total: 0 read, 0 added, 0 last longer, 0 already on the list",
    ]


@pytest.mark.parametrize("name", ["nowhere", "nowhere/list", "dangling", "bad", "binary"])
def test_a_list_that_fails_does_not_keep_the_others_out(
    loaded: Load, entries: Callable[[], list[tuple[str, str]]], tmp_path: Path, name: str
) -> None:
    (tmp_path / "good").write_bytes(LIST)
    (tmp_path / "bad").write_text("carl@example.com\n@@\n")
    (tmp_path / "binary").write_bytes(b"\x7fELF\x00\xff")
    (tmp_path / "dangling").symlink_to("nowhere")
    code, said = loaded(tmp_path / name, tmp_path / "good")
    assert code == 1
    first, *_, last = said.splitlines()
    assert first.startswith(f"{tmp_path / name}: ")
    assert first.endswith(". Nothing of it was imported.")
    assert last == "presend: 1 of 2 lists were not imported"
    assert [value for value, _ in entries()] == ["ann@example.com", "bob@example.com"]


@pytest.mark.parametrize(
    "source",
    [
        f"ftp://u:{SECRET}@h.example/list",
        f"https://u:{SECRET}@/list",
        f"https://u:{SECRET}@h.example:99999/list?{SECRET}",
        f"https://[::1/{SECRET}@x?{SECRET}",
        f"https://u:{SECRET}@h.example/a list",
        f"https://u:{SECRET}@h.example/\N{LATIN SMALL LETTER U WITH DIAERESIS}",
        f"http://u:{SECRET}@h.example/list",
        f"https://u:x{SECRET}/{SECRET}@h.example/list",
        f"https://u/{SECRET}@h.example/list",
        f"https://u:{SECRET}?{SECRET}@h.example/list",
        f"https://u:{SECRET}#{SECRET}@h.example/list",
        f"file:///{SECRET}?{SECRET}",
        f"https://u:80?{SECRET}@h.example/list",
        f"https://u:80#{SECRET}@h.example/list",
        f"https:/u:{SECRET}@h.example/list?{SECRET}",
        f"u:{SECRET}@h.example/list",
    ],
)
def test_a_wrong_url_is_a_wrong_setting(loaded: Load, source: str) -> None:
    code, said = loaded(source)
    assert code == 2
    assert said.startswith(f"presend: settings are wrong:\n  {SOURCES} = '")
    assert SECRET not in said


def test_every_command_refuses_a_wrong_url(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(SOURCES, "ftp://h.example/list")
    for words in (["config"], ["check", "--no-dns", "/dev/null"], ["suppress", "list"], ["serve"]):
        assert cli.main(words) == 2
        assert f"{SOURCES} = '" in capsys.readouterr().err


def test_a_source_that_cannot_be_read_is_not_blamed_on_the_store(
    loaded: Load, entries: Callable[[], list[tuple[str, str]]], tmp_path: Path
) -> None:
    good, pipe = tmp_path / "good", tmp_path / "pipe"
    good.write_bytes(LIST)
    os.mkfifo(pipe)  # nobody writes to it
    code, said = loaded("/proc/self/mem", pipe, good)
    assert code == 1
    assert said.splitlines()[:2] == [
        "/proc/self/mem: Input/output error. Nothing of it was imported.",
        f"{pipe}: not a regular file. Nothing of it was imported.",
    ]
    assert [value for value, _ in entries()] == ["ann@example.com", "bob@example.com"]


def test_a_password_for_this_machine_goes_to_no_proxy(
    loaded: Load, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server)
    code, said = loaded(f"http://user:{SECRET}@127.0.0.1:1/list")
    assert (code, SECRET in said) == (1, False)
    assert not Handler.seen


@pytest.mark.parametrize("path", ["/list", "/packed", "/encoded", "/chunked", "/no-length"])
def test_urls(
    loaded: Load, entries: Callable[[], list[tuple[str, str]]], server: str, path: str
) -> None:
    url = f"{server.replace('//', f'//user:{SECRET}%40@')}{path}?token={SECRET}#part"
    code, said = loaded(url)
    assert (code, SECRET in said) == (0, False)
    assert said.splitlines()[0] == (
        f"{server}{path}: 2 read, 2 added, 0 last longer, 0 already on the list"
    )
    assert entries() == [
        ("ann@example.com", f"{server}{path}"),
        ("bob@example.com", f"{server}{path}"),
    ]
    assert Handler.seen == [f"{path}?token={SECRET} Basic dXNlcjpodW50ZXIyQA=="]


@pytest.mark.parametrize(
    ("path", "requests", "said"),
    [
        ("/missing", 1, "the server answered 404"),
        ("/forbidden", 1, "the server answered 403"),
        ("/empty", 1, "the server answered 204"),
        ("/busy", 4, "the server answered 503"),
        ("/moved", 1, "answered 302, a redirect to other.example, which is not followed"),
        ("/nowhere", 1, "answered 301, a redirect, which is not followed"),
        ("/cut", 4, "the connection ended after 32 of 1,000 octets"),
        ("/cut-chunk", 4, "no valid HTTP (IncompleteRead)"),
        ("/cut-gzip", 1, "gzip that ends early"),
        ("/large", 1, "larger than 100,000 octets"),
        ("/endless", 1, "larger than 100,000 octets"),
        ("/bomb", 1, "gzip that unpacks to more than 100,000 octets"),
        ("/one-line-bomb", 1, "no end of line in 65,536 characters"),
        ("/page", 1, "line 1: '<!DOCTYPE html><title>Log in</title>': "),
        ("/stall", 2, "the server sent nothing for 0.3 s"),
        ("/silent", 2, "the server sent nothing for 0.3 s"),
        ("/drip", 1, "not received in 1.5 s"),
        ("/no-http", 4, "no valid HTTP (BadStatusLine)"),
    ],
)
def test_a_server_that_fails(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    server: str,
    path: str,
    requests: int,
    said: str,
) -> None:
    assert QUICK.size > CHUNK
    with BlockingStore(open_store(f"sqlite://{tmp_path}/presend.db", campaign="default")) as store:
        assert load([server + path], store, time.time(), QUICK) == 1
        assert list(store.entries()) == []
    lines = capsys.readouterr().err.splitlines()
    assert said in lines[-3]
    assert lines[-3].startswith(f"{server}{path}: ")
    assert lines[-3].endswith("Nothing of it was imported.")
    assert not any(SECRET in line for line in lines)
    assert 1 <= len(Handler.seen) <= requests
    assert (len(Handler.seen) > 1) == (requests > 1)


def test_another_attempt(capsys: pytest.CaptureFixture[str], tmp_path: Path, server: str) -> None:
    with BlockingStore(open_store(f"sqlite://{tmp_path}/presend.db", campaign="default")) as store:
        assert load([f"{server}/second"], store, time.time(), QUICK) == 0
    said = capsys.readouterr().err
    assert said.splitlines()[0] == (
        f"{server}/second: the server answered 503; the next attempt follows in 0.05 s"
    )
    assert "2 read, 2 added" in said


def test_nobody_listens(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with BlockingStore(open_store(f"sqlite://{tmp_path}/presend.db", campaign="default")) as store:
        assert load([f"http://127.0.0.1:{port}/"], store, time.time(), QUICK) == 1
    assert f"http://127.0.0.1:{port}/: Connection refused. Nothing" in capsys.readouterr().err


def test_certificates_are_checked(
    loaded: Load, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server
    certificates = Certificates(tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        httpd.socket = certificates.server().wrap_socket(httpd.socket, server_side=True)
        thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
        thread.start()
        try:
            url = f"https://localhost:{httpd.server_address[1]}/list"
            code, said = loaded(url)
            assert code == 1
            assert f"{url}: the certificate was refused: " in said
            assert len(said.splitlines()) == 3  # no other attempt
            monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca_file))
            assert loaded(url)[0] == 0
        finally:
            httpd.shutdown()
            thread.join()
