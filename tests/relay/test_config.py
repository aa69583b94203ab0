"""Settings: their sources, and the messages about wrong ones."""

import os
import threading
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from relay.settings import (
    CommonSettings,
    Endpoint,
    JudgingSettings,
    ServeSettings,
    Settings,
    SettingsError,
    dev_directory,
    dev_settings,
    every_setting,
    load,
    load_settings,
)
from validators.verdict import Action, Reason

UPSTREAM = "smtp://127.0.0.1:2526"


def loaded(**environ: str) -> Settings:
    """Return the settings loaded from these variables."""
    return load(environ=environ).settings


def problems(**environ: str) -> list[str]:
    """Return the message about wrong settings."""
    with pytest.raises(SettingsError) as caught:
        loaded(**environ)
    return [str(problem) for problem in caught.value.problems]


def problems_of_serve(**environ: str) -> list[str]:
    """Return the message about wrong settings of `serve`, which needs an upstream."""
    with pytest.raises(SettingsError) as caught:
        load_settings(ServeSettings, environ=environ)
    return [str(problem) for problem in caught.value.problems]


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], str]:
    """Write a settings file; return its path."""

    def write(text: str) -> str:
        (tmp_path / "presend.toml").write_text(text)
        return str(tmp_path / "presend.toml")

    return write


def test_the_defaults() -> None:
    settings = loaded()
    assert settings.campaign_id == "default"
    assert settings.listen == (Endpoint("localhost", 25),)
    assert settings.listen[0].addresses == ("127.0.0.1", "::1")
    assert list(map(str, settings.http_listen)) == ["0.0.0.0:9100"]
    assert settings.store == "sqlite:///var/lib/presend/presend.db"
    assert (settings.allow_clients, settings.upstream, settings.trusted_domains) == ((), (), ())
    assert (settings.grace, settings.limits.message_size) == (30.0, 67_108_864)
    assert settings == Settings(hostname=settings.hostname)


@pytest.mark.parametrize(
    ("text", "canaries"),
    [
        ("none", ()),
        (" None ", ()),
        ("Corp.Example.", ("corp.example",)),
        ("a.example, b\u00fccher.example", ("a.example", "xn--bcher-kva.example")),
        ("", ("gmail.com", "outlook.com", "yahoo.com", "icloud.com")),
    ],
)
def test_canaries(text: str, canaries: tuple[str, ...]) -> None:
    assert loaded(PRESEND_DNS__CANARIES=text).dns.canaries == canaries


@pytest.mark.parametrize("text", ["com", "ann@example.com", "exa mple.com", "none,a.example"])
def test_a_canary_is_a_domain(text: str) -> None:
    with pytest.raises(SettingsError, match=r"PRESEND_DNS__CANARIES.*a domain such as"):
        loaded(PRESEND_DNS__CANARIES=text)


def test_an_empty_list_of_canaries_in_the_file(written: Callable[[str], str]) -> None:
    path = written("[dns]\ncanaries = []\n")
    assert loaded(PRESEND_CONFIG=path).dns.canaries == ()


def test_building_settings_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESEND_GRACE", "7")
    assert Settings().grace == 30.0
    assert load().settings.grace == 7.0


def test_the_environment() -> None:
    settings = loaded(
        CAMPAIGN_ID="spring",
        PRESEND_LISTEN="[::1]:2525, 127.0.0.1:0",
        PRESEND_TRUSTED_DOMAINS="a.example,b.example,",
        PRESEND_DNS_SERVERS="192.0.2.53,[2001:db8::53]:5353",
        PRESEND_LIMITS__MESSAGE_SIZE="1000",
        PRESEND_UPSTREAM_TIMEOUTS__CONNECT="1.5",
        PRESEND_UPSTREAM_TLS__VERIFY="false",
        PRESEND_POLICY__NULL_MX="observe",
        presend_log__level="debug",
        PRESEND_GRACE="",
    )
    assert settings.campaign_id == "spring"
    assert [str(endpoint) for endpoint in settings.listen] == ["[::1]:2525", "127.0.0.1:0"]
    assert settings.trusted_domains == ("a.example", "b.example")
    assert settings.dns_servers == (("192.0.2.53", 53), ("2001:db8::53", 5353))
    assert settings.limits.message_size == 1000
    assert settings.limits.recipients == 1000
    assert settings.upstream_timeouts.connect == 1.5
    assert settings.upstream_tls.verify is False
    assert settings.policy == {Reason.NULL_MX: Action.OBSERVE}
    assert settings.log.level == "debug"
    assert settings.grace == 30.0


def test_the_file_and_the_environment_over_it(written: Callable[[str], str]) -> None:
    path = written("""
        campaign_id = "from-file"
        listen = ["localhost:2525"]
        trusted_domains = "a.example, b.example"
        [limits]
        recipients = 5
        idle = 6
    """)
    result = load(environ={"PRESEND_CONFIG": path, "PRESEND_LIMITS__IDLE": "7"})
    settings = result.settings
    assert settings.campaign_id == "from-file"
    assert settings.trusted_domains == ("a.example", "b.example")
    assert (settings.limits.recipients, settings.limits.idle) == (5, 7.0)
    assert result.origin(("limits", "recipients")) == "file"
    assert result.origin(("limits", "idle")) == "environment"
    assert result.origin(("grace",)) == "default"


def test_a_file_that_is_none(tmp_path: Path, written: Callable[[str], str]) -> None:
    assert "a readable TOML file" in problems(PRESEND_CONFIG=str(tmp_path / "none.toml"))[0]
    assert "a readable TOML file" in problems(PRESEND_CONFIG=str(tmp_path))[0]
    assert "end of document" in problems(PRESEND_CONFIG=written("listen ="))[0]
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    assert "in UTF-8" in problems(PRESEND_CONFIG=str(tmp_path / "binary.toml"))[0]


def test_names_that_do_not_exist(written: Callable[[str], str]) -> None:
    assert problems(PRESEND_LISTNE="x") == [
        "PRESEND_LISTNE: no such setting; did you mean PRESEND_LISTEN?"
    ]
    assert problems(PRESEND_LIMITS="{}") != []
    assert "did you mean CAMPAIGN_ID?" in problems(PRESEND_CAMPAIGN_ID="x")[0]
    said = problems(PRESEND_CONFIG=written("[limits]\nconections = 4\n[nothing]\nlike = 1"))
    assert "limits.conections: no such setting; did you mean limits.connections?" in said
    assert any(line.startswith("nothing") for line in said)
    assert "hunter2" not in str(problems(PRESEND_UPSTREAM_PASWORD="hunter2"))


def test_what_kubernetes_puts_into_the_environment_is_passed_over() -> None:
    loaded(
        PRESEND_SERVICE_HOST="10.0.0.1",
        PRESEND_SERVICE_PORT="25",
        PRESEND_SERVICE_PORT_SMTP="25",
        PRESEND_PORT="tcp://10.0.0.1:25",
        PRESEND_PORT_25_TCP="tcp://10.0.0.1:25",
        PRESEND_PORT_25_TCP_PROTO="tcp",
        PRESEND_FEEDBACK_SERVICE_HOST="10.0.0.2",
        PRESEND_FEEDBACK_PORT_8080_TCP_ADDR="10.0.0.2",
    )


def test_every_problem_is_named_at_once() -> None:
    assert problems(
        PRESEND_GRACE="soon",
        PRESEND_LIMITS__CONNECTIONS="0",
        PRESEND_LOG__MASK="perhaps",
        PRESEND_LOG__LEVEL="loud",
        PRESEND_POLICY__NULL_MX="explode",
        PRESEND_DNS__TIMEOUT="nan",
    ) == [
        "PRESEND_LOG__LEVEL = 'loud': allowed is 'debug', 'info', 'warning' or 'error'",
        "PRESEND_LOG__MASK = 'perhaps': true or false",
        "PRESEND_GRACE = 'soon': a number from 0 to 3600 (s)",
        "PRESEND_POLICY__NULL_MX = 'explode': allowed is 'reject', 'defer', 'observe' or 'off'",
        "PRESEND_DNS__TIMEOUT = 'nan': a number from 0.001 to 120 (s)",
        "PRESEND_LIMITS__CONNECTIONS = '0': a whole number from 1 to 100000 (connections)",
    ]


def test_a_value_where_a_table_belongs(written: Callable[[str], str]) -> None:
    said = problems(PRESEND_CONFIG=written("limits = 5"), PRESEND_LIMITS__IDLE="7")
    assert [line.split(":")[0] for line in said] == ["limits = '5'"]


def test_an_empty_table_changes_nothing(written: Callable[[str], str], tmp_path: Path) -> None:
    environ = {"PRESEND_CONFIG": written("[log]\n[limits]\n"), "PRESEND_LIMITS__IDLE": "7"}
    settings = dev_settings(environ={**environ, "XDG_STATE_HOME": str(tmp_path)})
    assert (settings.log.format, settings.limits.idle) == ("text", 7.0)
    (said,) = problems(PRESEND_CONFIG=written("[nothing]\n"))
    assert said.startswith("nothing: no such setting")


def test_a_key_of_the_file_is_not_folded(written: Callable[[str], str]) -> None:
    assert problems(PRESEND_CONFIG=written('Listen = "[::1]:25"')) == [
        "Listen: no such setting; did you mean listen?"
    ]


def test_a_key_of_the_file_is_named_as_in_the_file(written: Callable[[str], str]) -> None:
    (said,) = problems(PRESEND_CONFIG=written("[limits]\nidle = -1"))
    assert said.startswith("limits.idle = '-1': a number from 0.001")


@pytest.mark.parametrize("name", ["all", "", "a b", "a/b", "x" * 64, "ä", "a\n"])
def test_a_campaign_is_a_bounded_label(name: str) -> None:
    with pytest.raises(ValidationError, match="metrics label"):
        Settings(campaign_id=name)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("LISTEN", "25", "host:port"),
        ("LISTEN", ",", "at least one host:port"),
        ("LISTEN", "localhost:99999", "a port from 0 to 65535"),
        ("HTTP_LISTEN", "::1:9100", "in brackets"),
        ("UPSTREAM", "http://x", "smtp://, smtp+starttls:// or smtps://"),
        ("UPSTREAM", "smtp://h:0", "a port from 1 to 65535"),
        ("DNS_SERVERS", "a b", "a host name or an address"),
        ("ALLOW_CLIENTS", "10.0.0.1/8", "without host bits: 10.0.0.0/8"),
        ("ALLOW_CLIENTS", "corp", "CIDR"),
        ("ALLOW_CLIENTS", "::ffff:10.0.0.0/104", "not mapped into IPv6"),
        ("STORE", "sqlite://relative.db", "sqlite:///PATH"),
        ("STORE", "mysql://x", "memory:"),
        ("HOSTNAME", "two words", "a host name"),
        ("ON_STORE_FAILURE", "ignore", "'defer' or 'accept'"),
        ("TLS__CERT_FILE", "/x.pem", "together with cert_file"),
        ("TLS__KEY_FILE", "/x.pem", "together with key_file"),
        ("TLS__REQUIRED", "true", "only together with cert_file"),
        ("AUTH__USERNAME", "app", "needed together with username"),
        ("AUTH__PASSWORD", "secret", "needed together with password"),
        ("POLICY__DNS_UNAVAILABLE", "reject", "unknown is never no"),
        ("POLICY__STORE_UNAVAILABLE", "reject", "unknown is never no"),
    ],
)
def test_wrong_values_are_told_what_is_allowed(name: str, value: str, allowed: str) -> None:
    (said,) = problems(**{f"PRESEND_{name}": value})
    assert allowed in said


@pytest.mark.parametrize("command", [CommonSettings, JudgingSettings, ServeSettings])
def test_a_command_gets_its_own_settings_and_checks_those_of_all(
    command: type[CommonSettings],
) -> None:
    environ = {"CAMPAIGN_ID": "spring", "PRESEND_UPSTREAM": UPSTREAM, "PRESEND_GRACE": "5"}
    assert load_settings(command, environ=environ).campaign_id == "spring"
    for wrong in ({"PRESEND_GRACE": "soon"}, {"PRESEND_GRCE": "5"}, {"PRESEND_DNS__CACHE": "0"}):
        with pytest.raises(SettingsError):
            load_settings(command, environ=environ | wrong)


def test_only_serve_needs_what_serve_needs() -> None:
    pem = {"PRESEND_TLS__CERT_FILE": "/nowhere.pem", "PRESEND_TLS__KEY_FILE": "/nowhere.pem"}
    for command in (CommonSettings, JudgingSettings):
        load_settings(command, environ=pem)


def test_serve_needs_an_upstream() -> None:
    assert problems_of_serve()[0].startswith("PRESEND_UPSTREAM: needed")
    assert load_settings(ServeSettings, environ={"PRESEND_UPSTREAM": UPSTREAM}).upstream


def test_a_user_needs_a_password_and_a_password_a_user() -> None:
    url = "smtps://news@corp.example@smtp.esp.example"
    assert problems_of_serve(PRESEND_UPSTREAM=url)[0].startswith("PRESEND_UPSTREAM_PASSWORD: ")
    said = problems_of_serve(PRESEND_UPSTREAM=UPSTREAM, PRESEND_UPSTREAM_PASSWORD="hunter2")
    assert "used only by an upstream with a user" in said[0]
    assert "hunter2" not in said[0]
    environ = {"PRESEND_UPSTREAM": f"{url},{UPSTREAM}", "PRESEND_UPSTREAM_PASSWORD": "hunter2"}
    first, second = load_settings(ServeSettings, environ=environ).upstream
    assert first.user == "news@corp.example"
    assert first.password is not None
    assert first.password.get_secret_value() == "hunter2"
    assert second.password is None
    assert "hunter2" not in repr(load(environ=environ))


def test_a_password_never_crosses_a_network_in_clear() -> None:
    (said,) = problems(
        PRESEND_UPSTREAM="smtp://news@smtp.esp.example", PRESEND_UPSTREAM_PASSWORD="hunter2"
    )
    assert "in clear" in said
    assert loaded(
        PRESEND_UPSTREAM="smtp://news@127.0.0.1:25", PRESEND_UPSTREAM_PASSWORD="hunter2"
    ).upstream


@pytest.mark.parametrize(
    "url",
    [
        "smtps://news:hunter2@h",
        "smtps://news:hun,ter2@h",
        "smtps://a@b:hunter2@h",
        "news:hunter2@h",
    ],
)
def test_a_password_in_the_url_is_refused_and_not_shown(url: str) -> None:
    said = " ".join(problems(PRESEND_UPSTREAM=url))
    assert "hun" not in said
    assert "ter2" not in said


def test_a_secret_of_the_wrong_type_is_not_shown(written: Callable[[str], str]) -> None:
    (said,) = problems(PRESEND_CONFIG=written("upstream_password = 12345"))
    assert said.startswith("upstream_password = '**********': ")


def test_secrets_from_files(tmp_path: Path, written: Callable[[str], str]) -> None:
    (tmp_path / "secret").write_text("s3cret \n")
    path = str(tmp_path / "secret")

    def password(**environ: str) -> str:
        found = loaded(**environ).upstream_password
        assert found is not None
        return found.get_secret_value()

    assert password(PRESEND_UPSTREAM_PASSWORD_FILE=path) == "s3cret "
    toml = written(f'upstream_password_file = "{path}"')
    assert password(PRESEND_CONFIG=toml) == "s3cret "
    assert password(PRESEND_CONFIG=toml, PRESEND_UPSTREAM_PASSWORD="other") == "other"
    auth = loaded(PRESEND_AUTH__USERNAME="app", PRESEND_AUTH__PASSWORD_FILE=path).auth
    assert auth.password is not None
    assert auth.password.get_secret_value() == "s3cret "


def test_secrets_from_files_that_do_not_work(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\xff")
    path = str(tmp_path / "secret")
    (said,) = problems(PRESEND_UPSTREAM_PASSWORD_FILE=path, PRESEND_UPSTREAM_PASSWORD="hunter2")
    assert "either this or PRESEND_UPSTREAM_PASSWORD, not both" in said
    assert "hunter2" not in said
    assert "in UTF-8" in problems(PRESEND_UPSTREAM_PASSWORD_FILE=path)[0]
    (said,) = problems(PRESEND_UPSTREAM_PASSWORD_FILE="/nowhere/secret")
    assert said == (
        "PRESEND_UPSTREAM_PASSWORD_FILE = '/nowhere/secret': a readable file "
        "(No such file or directory)"
    )


def test_serve_needs_readable_certificates(tmp_path: Path) -> None:
    pem = str(tmp_path / "x.pem")
    files = {"PRESEND_TLS__CERT_FILE": pem, "PRESEND_TLS__KEY_FILE": pem}
    said = problems_of_serve(PRESEND_UPSTREAM=UPSTREAM, **files)
    assert [line.split(" = ")[0] for line in said] == list(files)
    assert loaded(**files).tls.cert_file == Path(pem)


def test_dev_settings(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path), "PRESEND_UPSTREAM": UPSTREAM}
    settings = dev_settings(environ=environ)
    assert list(map(str, settings.listen)) == ["127.0.0.1:2525"]
    assert list(map(str, settings.http_listen)) == ["127.0.0.1:9100"]
    assert settings.upstream == ()
    assert settings.store == f"sqlite://{tmp_path}/presend/presend.db"
    assert dev_directory(environ=environ) == tmp_path / "presend"
    assert (tmp_path / "presend").is_dir()
    assert dev_settings(environ={**environ, "PRESEND_LISTEN": "[::1]:26"}).listen == (("::1", 26),)
    assert dev_directory(environ={}) == Path("var")


def test_dev_settings_without_a_place(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="--dev"):
        dev_settings(environ={"XDG_STATE_HOME": str(tmp_path / "file")})


def test_every_setting_says_what_it_is() -> None:
    settings = list(every_setting())
    assert len({setting.env for setting in settings}) == len(settings)
    for setting in settings:
        assert setting.meaning.endswith("."), setting
        secrets = {"upstream_password", "auth.password", "blocklists.key"}
        assert setting.secret == (setting.toml in secrets)
        default = setting.default
        if default.replace(".", "").isdigit():
            assert setting.unit, setting


PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_says_what_the_code_says() -> None:
    rows = [
        line for line in PAGE.read_text().splitlines() if line.startswith(("| `PRESEND", "| `CA"))
    ]
    expected = []
    for setting in every_setting():
        cells = [
            f"`{setting.env}`",
            f"`{setting.toml}`",
            f"`{setting.default}`" if setting.default else "",
            setting.unit,
            setting.meaning + (" Secret." if setting.secret else ""),
        ]
        expected.append(f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |"))
    assert sorted(rows) == sorted(expected)


def test_the_pages_example_is_valid(tmp_path: Path, written: Callable[[str], str]) -> None:
    example = PAGE.read_text().split("```toml\n")[1].split("```")[0]
    (tmp_path / "secret").write_text("s3cret\n")
    secret = str(tmp_path / "secret")
    example = example.replace(tomllib.loads(example)["upstream_password_file"], secret)
    settings = load_settings(ServeSettings, environ={"PRESEND_CONFIG": written(example)})
    assert [upstream.host for upstream in settings.upstream] == [
        "smtp.esp.example",
        "backup.esp.example",
    ]


def test_the_settings_file_may_be_a_pipe(tmp_path: Path) -> None:
    """The settings file is a pipe, as with `PRESEND_CONFIG=<(sops --decrypt ...)`."""
    pipe = tmp_path / "settings"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("[pool]\nwait = 17.0\n",))
    writer.start()
    assert load(environ={"PRESEND_CONFIG": str(pipe)}).settings.pool.wait == 17.0
    writer.join()


def test_the_key_of_a_blocklist_is_put_in_front_of_each_zone(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("abc123\n")
    given = load_settings(
        JudgingSettings,
        environ={
            "PRESEND_BLOCKLISTS__ZONES": "dbl.example.org,b.example",
            "PRESEND_BLOCKLISTS__KEY_FILE": str(tmp_path / "key"),
        },
    )
    assert given.blocklists.questions == ("abc123.dbl.example.org", "abc123.b.example")
    assert "abc123" not in repr(given)
    with pytest.raises(SettingsError, match="PRESEND_BLOCKLISTS__KEY"):
        load_settings(JudgingSettings, environ={"PRESEND_BLOCKLISTS__KEY": "abc"})
    with pytest.raises(SettingsError, match="letters, digits and hyphens"):
        load_settings(
            JudgingSettings,
            environ={"PRESEND_BLOCKLISTS__ZONES": "b.example", "PRESEND_BLOCKLISTS__KEY": "a.b"},
        )
