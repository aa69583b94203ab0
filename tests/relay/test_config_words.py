"""Settings that are words, numbers with bounds, or files: what is accepted, and what is said."""

import enum
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import pytest

from relay import cli
from relay.settings import (
    CommonSettings,
    ServeSettings,
    SettingsError,
    dev_settings,
    env_name,
    every_setting,
    load,
    load_settings,
)
from relay.settings.catalogue import FIELDS, plain
from tests.support.certs import Certificates

UPSTREAM = {"PRESEND_UPSTREAM": "smtp://127.0.0.1:2526"}


def words_of(annotation: object) -> list[str]:
    """Return the words that a setting takes, if it takes words."""
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return [str(member.value) for member in annotation]
    found = get_args(annotation)
    if found and all(isinstance(word, str) for word in found):
        return list(found)
    return [word for inner in found for word in words_of(inner) if "null_mx" not in word]


WORDS = {
    env_name(path): words
    for path, info in FIELDS.items()
    if path[0] != "policy" and (words := words_of(info.annotation))
}
BOUNDED = [
    env_name(path)
    for path, info in FIELDS.items()
    if any(hasattr(rule, "ge") for rule in info.metadata)
]


def problems(environ: Mapping[str, str]) -> list[str]:
    """Return the message about wrong settings of `serve`."""
    with pytest.raises(SettingsError) as caught:
        load_settings(ServeSettings, environ=environ)
    return [str(problem) for problem in caught.value.problems]


def test_some_settings_are_words() -> None:
    assert {"PRESEND_LOG__LEVEL", "PRESEND_LOG__FORMAT", "PRESEND_ON_STORE_FAILURE"} <= {*WORDS}


@pytest.mark.parametrize("name", [*WORDS, "PRESEND_POLICY__ROLE_ACCOUNT"])
def test_a_word_may_be_written_in_any_case(name: str, tmp_path: Path) -> None:
    path = next(setting.path for setting in every_setting() if setting.env == name)
    for word in WORDS.get(name, ["reject", "defer", "observe", "off"]):
        wanted = load(environ={name: word}).settings
        for written in (word.upper(), word.title(), f" {word} "):
            assert load(environ={name: written}).settings == wanted
        file = tmp_path / "presend.toml"
        lines = [f"[{'.'.join(path[:-1])}]"] if path[1:] else []
        file.write_text("\n".join([*lines, f'{path[-1]} = "{word.upper()}"']))
        assert load(environ={"PRESEND_CONFIG": str(file)}).settings == wanted


@pytest.mark.parametrize("name", BOUNDED)
def test_a_bound_is_written_as_a_number_that_can_be_typed(name: str) -> None:
    (said,) = problems({**UPSTREAM, name: "1e99"})
    _, _, allowed = said.partition("': ")
    low, high = allowed.split(" from ")[1].split(" (")[0].split(" to ")
    for bound in (low, high):
        assert "e" not in bound
        load_settings(ServeSettings, environ={**UPSTREAM, name: bound})


def test_numbers_have_no_exponent() -> None:
    assert [plain(number) for number in (2.0**40, 0.0, 0.001, 1e-7, 30.0, 2.5)] == [
        "1099511627776", "0", "0.001", "0.0000001", "30", "2.5",
    ]  # fmt: skip


@pytest.mark.parametrize("text", [",", ",,", " , "])
def test_separators_alone_do_not_mean_no_canaries(text: str) -> None:
    (said,) = problems({**UPSTREAM, "PRESEND_DNS__CANARIES": text})
    assert said == f"PRESEND_DNS__CANARIES = {text!r}: a domain such as example.com, or none"


@pytest.mark.parametrize("text", ["dns.google", "dns.google:53", "192.0.2.53,dns.google"])
def test_a_name_server_is_an_address(text: str) -> None:
    (said,) = problems({**UPSTREAM, "PRESEND_DNS_SERVERS": text})
    wrong = text.rpartition(",")[2]
    assert said.startswith(f"PRESEND_DNS_SERVERS = {wrong!r}: an address, not a name, such as ")
    load(environ={"PRESEND_DNS_SERVERS": "localhost:5353,[2001:db8::53]:53,192.0.2.53"})


@pytest.mark.parametrize("name", ["PRESEND_CONFIG", "PRESEND_UPSTREAM_PASSWORD_FILE"])
def test_a_device_is_not_read(name: str) -> None:
    (said, *_) = problems({"PRESEND_UPSTREAM": "smtps://u@h.example", name: "/dev/zero"})
    assert said.startswith(f"{name} = '/dev/zero': a readable ")
    assert said.endswith("file (neither a regular file nor a pipe)")


def test_a_file_or_a_pipe_is_read_up_to_a_limit(tmp_path: Path) -> None:
    file, pipe = tmp_path / "presend.toml", tmp_path / "pipe"
    file.write_text("#" * 1_048_575 + "\n")
    load(environ={"PRESEND_CONFIG": str(file)})
    file.write_text("#" * 1_048_576 + "\n")
    (said,) = problems({**UPSTREAM, "PRESEND_CONFIG": str(file)})
    assert said.endswith("a readable TOML file (larger than 1,048,576 octets)")
    os.mkfifo(pipe)
    endless = threading.Thread(target=_write_for_ever, args=(pipe,))
    endless.start()
    (said,) = problems({**UPSTREAM, "PRESEND_CONFIG": str(pipe)})
    endless.join(30)
    assert said.endswith("(larger than 1,048,576 octets)")


def _write_for_ever(pipe: Path) -> None:
    with pipe.open("wb", buffering=0) as writer:
        try:
            while True:
                writer.write(b"#" * 65_536)
        except BrokenPipeError:
            return


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority and its certificates."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def files(certificates: Certificates, tmp_path: Path) -> dict[str, str]:
    """Some files, by what is in them."""
    (tmp_path / "text").write_text("no PEM\n")
    other = Certificates(tmp_path)
    return {
        "good": str(certificates.cert_file),
        "key": str(certificates.key_file),
        "other key": str(other.key_file),
        "ca": str(certificates.ca_file),
        "text": str(tmp_path / "text"),
        "nowhere": "/nowhere/cert.pem",
        "device": "/dev/zero",
    }


@pytest.mark.parametrize(
    ("cert", "key", "ca", "wrong"),
    [
        ("good", "key", "ca", None),
        ("text", "key", "ca", "PRESEND_TLS__CERT_FILE"),
        ("nowhere", "key", "ca", "PRESEND_TLS__CERT_FILE"),
        ("device", "key", "ca", "PRESEND_TLS__CERT_FILE"),
        ("good", "text", "ca", "PRESEND_TLS__KEY_FILE"),
        ("good", "ca", "ca", "PRESEND_TLS__KEY_FILE"),
        ("good", "other key", "ca", "PRESEND_TLS__KEY_FILE"),
        ("good", "key", "text", "PRESEND_UPSTREAM_TLS__CA_FILE"),
        ("good", "key", "nowhere", "PRESEND_UPSTREAM_TLS__CA_FILE"),
    ],
)
def test_certificate_files_are_settings(
    files: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    cert: str,
    key: str,
    ca: str,
    wrong: str | None,
) -> None:
    environ = {
        **UPSTREAM,
        "PRESEND_TLS__CERT_FILE": files[cert],
        "PRESEND_TLS__KEY_FILE": files[key],
        "PRESEND_UPSTREAM_TLS__CA_FILE": files[ca],
        "XDG_STATE_HOME": str(tmp_path),
    }
    if wrong is None:
        assert load_settings(ServeSettings, environ=environ).tls.cert_file
        assert dev_settings(environ=environ).tls.cert_file
        return
    (said,) = problems(environ)
    assert said.startswith(f"{wrong} = '{environ[wrong]}': a ")
    assert "PEM file" in said
    with pytest.raises(SettingsError, match=wrong):
        dev_settings(environ=environ)
    for name in os.environ:
        if name.startswith("PRESEND_"):
            monkeypatch.delenv(name)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert cli.main(["config"]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert f'key_file = "{environ["PRESEND_TLS__KEY_FILE"]}"' in shown.out


@pytest.mark.parametrize(
    "line",
    [
        'store = "sqlite:////tmp/a\\u0000b"',
        'upstream_tls = {ca_file = "/a\\u0000b"}',
        'tls = {cert_file = "/a\\u0000b", key_file = "/k"}',
        'suppressions = {sources = ["/a\\u0000b"]}',
        'suppressions = {sources = ["/a\\u001b[31m"]}',
        "last_scrape = true",
        "pool = {connections = true}",
    ],
)
def test_values_that_a_file_may_have_and_the_environment_may_not(tmp_path: Path, line: str) -> None:
    file = tmp_path / "presend.toml"
    file.write_text(f"{line}\n")
    with pytest.raises(SettingsError) as caught:
        load_settings(CommonSettings, environ={"PRESEND_CONFIG": str(file)})
    assert len(caught.value.problems) == 1
