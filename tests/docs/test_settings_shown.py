"""The settings that pages show are settings, and `presend serve` starts with them."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from relay.settings import ServeSettings, every_setting, load_settings
from tests.docs import pages
from tests.support.certs import Certificates
from tests.support.presend import Presend

_BLOCK = re.compile(r"(?ms)^(?:<!-- ([^\n]*) -->\n)?```(env|toml)\n(.*?)^```$")
_NAME = re.compile(r"\bPRESEND_[A-Z_]*[A-Z]\b(?!_?[<…*])")
_SECRETS = re.compile(r"/(?:etc/presend|run)/secrets/")
PAGES = {page.name: page for page in pages.pages()}
PASSWORD = "a password"
NO_SETTINGS = {
    "PRESEND_CONFIG",  # names the file of settings
    "PRESEND_LIMITS__TAR_PIT",  # is added as an example in docs/extending.md
    "PRESEND_SERVICE_HOST",  # is set by Kubernetes
}
UPSTREAMS = ["Amazon SES", "SendGrid", "Mailgun", "Postmark", "A smarthost"]


def blocks(name: str) -> Iterator[tuple[str, str, str]]:
    """Yield mark, language and text of the blocks of settings on a page."""
    yield from _BLOCK.findall(PAGES[name].read_text())


def pairs(name: str) -> list[tuple[str, str]]:
    """The blocks of a page for serve: environment and TOML file with the same meaning."""
    shown = [
        (language, text)
        for mark, language, text in blocks(name)
        if name == "recipes.md" or mark == "settings"
    ]
    assert [language for language, _ in shown] == ["env", "toml"] * (len(shown) // 2)
    return [(shown[at][1], shown[at + 1][1]) for at in range(0, len(shown), 2)]


PAIRS = [pair for name in ("recipes.md", "migrating.md") for pair in pairs(name)]


def variables(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines())


@pytest.fixture
def secrets(tmp_path: Path) -> str:
    """A directory with the secrets that the pages mount, as the prefix of a path."""
    directory = tmp_path / "secrets"
    directory.mkdir()
    for name in ("upstream-password", "relayhost-password"):
        (directory / name).write_text(PASSWORD)
    (directory / "ca.pem").write_bytes(Certificates(tmp_path).ca_file.read_bytes())
    return f"{directory}/"


@pytest.mark.parametrize(("environment", "toml"), PAIRS, ids=lambda text: text.splitlines()[0])
def test_environment_and_file_mean_the_same(
    environment: str, toml: str, secrets: str, tmp_path: Path
) -> None:
    file = tmp_path / "presend.toml"
    file.write_text(_SECRETS.sub(secrets, toml))
    environ = variables(_SECRETS.sub(secrets, environment))
    first = load_settings(ServeSettings, environ=environ)
    assert first == load_settings(ServeSettings, environ={"PRESEND_CONFIG": str(file)})
    for upstream in first.upstream:
        assert (upstream.user is None) == (upstream.password is None)
        assert not upstream.password or upstream.password.get_secret_value() == PASSWORD
        assert upstream.user is None or upstream.scheme != "smtp"


@pytest.mark.parametrize(
    "environment", [it for it, _ in PAIRS], ids=lambda text: text.splitlines()[0]
)
def test_serve_starts(environment: str, secrets: str, tmp_path: Path) -> None:
    settings: Mapping[str, str] = variables(_SECRETS.sub(secrets, environment))
    with Presend(tmp_path, settings) as relay:
        assert relay.get("/readyz")[0] == 200


def test_there_is_a_recipe_for_each_upstream() -> None:
    headings = re.findall(r"^## (.*)$", PAGES["recipes.md"].read_text(), re.MULTILINE)
    assert headings == UPSTREAMS
    assert len(pairs("recipes.md")) == len(UPSTREAMS) + 1
    assert "https://" in PAGES["recipes.md"].read_text()


def test_the_additions_are_settings(secrets: str) -> None:
    base = variables(_SECRETS.sub(secrets, pairs("migrating.md")[0][0]))
    added = [text for mark, _, text in blocks("migrating.md") if mark == "settings: addition"]
    for text in added:
        changed = load_settings(ServeSettings, environ={**base, **variables(text)})
        assert changed != load_settings(ServeSettings, environ=base)


def test_every_toml_block_is_toml() -> None:
    for name in PAGES:
        for _, language, text in blocks(name):
            if language == "toml":
                tomllib.loads(text)


def test_pages_name_no_setting_that_does_not_exist() -> None:
    known = {setting.env for setting in every_setting()} | NO_SETTINGS
    found = {
        f"{name}: {setting}"
        for name, page in PAGES.items()
        for setting in _NAME.findall(page.read_text())
        if setting not in known
    }
    assert not found


def test_compose_file(tmp_path: Path) -> None:
    page = PAGES["migrating.md"].read_text()
    found = re.search(r"(?ms)^<!-- file: compose.yaml -->\n```yaml\n(.*?)^```$", page)
    assert found
    file = tmp_path / "compose.yaml"
    file.write_text(found[1])
    program = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [program, "--builtin-schema", "vendor.compose-spec", file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    secret = next(iter(yaml.safe_load(found[1])["secrets"]))
    assert f"/run/secrets/{secret}" in pairs("migrating.md")[0][0]
