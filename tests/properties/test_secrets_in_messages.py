"""No message about settings shows a secret, wherever in the file or the environment it stands."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.commands.config import lines
from relay.settings import (
    CommonSettings,
    JudgingSettings,
    ServeSettings,
    SettingsError,
    env_name,
    every_setting,
    load,
    load_settings,
)

MARK = "Kx7-hunter2-marker"
"""The secret. Longer than any number or word that a setting may have."""

SETTINGS = tuple(every_setting())
TEXTS = {"campaign_id", "store", "hostname", "upstream", "listen", "http_listen", "allow_clients",
         "dns_servers", "dns.canaries", "trusted_domains", "role.allow",
         "auth.username", "blocklists.zones", "lists.suppressed_domains", "lists.role_allow",
         "lists.disposable", "lists.disposable_allow", "lists.trap_mx"}  # fmt: skip
"""Settings whose wrong values are shown, because they are names and never secrets."""
TABLES = ("auth", "tls", "policy", "limits", "pool", "log", "dns", "role", "syntax", "nothing")

URLS = (
    "smtps://u@h?password={}", "smtps://u:{}@h", "smtps://u@h#{}", "smtps://h/{}", "u:{}@h",
    "smtps://u:{},x@h", "smtps://u:x,{}@h", "smtps://u:x,{},y@h", "smtps://u@h?a=b@{}",
    "smtps://u@h:25/?x={}", "smtp://u:{}", "smtps://a@b:{}@h", "{}", "u:{}", "redis://:{}@h/0",
    "redis://u:{}@h:1/0", "rediss://h?password={}", "sqlite:///p?key={}", "sqlite://u:{}@h/p",
    "postgres://u:{}@h/p", "smtps://u?x={}@h", "smtps://u#{}@h", "SMTPS://u:{}%40@h:1",
    "sqlite:///p#{}", "smtps://u:{}@h,smtps://u:{}@h", "smtps://h:{}", "https://u:{}@h/list.csv",
    "https://h/list.csv?token={}", "/lists,https://h/?a=b,{}",
)  # fmt: skip
SHAPES = (
    json.dumps(MARK), f'["{MARK}"]', f'[["{MARK}"]]', f'{{password = "{MARK}"}}',
    f'{{a = {{b = ["{MARK}"]}}}}', f'[{{password = "{MARK}"}}]', f'["x", "{MARK}"]',
    f'"""\n{MARK}"""',
)  # fmt: skip
BROKEN = ('"{}', "{}", "['{}'", '"\\{}"', '"x" {}', "{{a = '{}'", "1979-99-{}")

url = st.sampled_from(URLS).map(lambda text: text.replace("{}", MARK))
secret = st.sampled_from([setting for setting in SETTINGS if setting.secret])
twin = secret.map(lambda setting: (*setting.path[:-1], f"{setting.path[-1]}_file"))
word = st.sampled_from([setting for setting in SETTINGS if setting.toml not in TEXTS])
structure = st.sampled_from([shape for shape in SHAPES if shape[0] in "[{" and shape[:2] != '["'])
unknown = st.sampled_from(["upstream_pasword", "auth.pasword", "secrets.esp", "tls.key.pem", "x"])
lines_of_toml = st.one_of(
    st.tuples(secret.map(lambda setting: setting.toml), st.sampled_from(SHAPES)),
    st.tuples(word.map(lambda setting: setting.toml), st.sampled_from(SHAPES)),
    st.tuples(st.sampled_from(SETTINGS).map(lambda setting: setting.toml), structure),
    st.tuples(st.sampled_from(TABLES), st.sampled_from(SHAPES)),
    st.tuples(unknown, st.sampled_from(SHAPES)),
    st.tuples(st.sampled_from(["upstream", "store", "listen", "dns_servers"]), url.map(json.dumps)),
    st.tuples(st.just("upstream"), url.map(lambda text: f'["smtp://h", {json.dumps(text)}]')),
    st.tuples(
        st.sampled_from(["tls.key_file", "auth.password_file", "upstream_password_file"]),
        st.just(json.dumps(f"-----BEGIN PRIVATE KEY-----\n{MARK}/x\n")),
    ),
    st.tuples(
        st.sampled_from(SETTINGS).map(lambda setting: setting.toml),
        st.sampled_from(BROKEN).map(lambda text: text.format(MARK)),
    ),
)
variables = st.one_of(
    st.tuples(word.map(lambda setting: setting.env), st.just(MARK)),
    st.tuples(secret.map(lambda setting: setting.env), st.just(MARK)),
    st.tuples(twin.map(env_name), st.just(MARK)),
    st.tuples(
        st.sampled_from(
            ["PRESEND_UPSTREAM", "PRESEND_STORE", "PRESEND_LISTEN", "PRESEND_SUPPRESSIONS__SOURCES"]
        ),
        url,
    ),
    st.tuples(
        st.sampled_from(TABLES).map(lambda name: f"PRESEND_{name.upper()}"),
        st.sampled_from([MARK, json.dumps({"password": MARK})]),
    ),
    st.tuples(st.sampled_from(["PRESEND_UPSTREAM_PASWORD", "PRESEND_AUTH__PASSWD"]), st.just(MARK)),
    st.just(("PRESEND_CONFIG", f"upstream_password = '{MARK}'\n")),
    st.just(("PRESEND_CONFIG", MARK)),
)


def said(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield what `presend config`, `serve` and `check` say about these settings."""
    with suppress(SettingsError):
        yield from lines(load(environ=environ))
    for command in (CommonSettings, JudgingSettings, ServeSettings):
        try:
            yield repr(load_settings(command, environ=environ))
        except SettingsError as error:
            yield str(error)
            yield repr(error)


@settings(deadline=None)
@given(
    st.lists(lines_of_toml, max_size=3, unique_by=lambda line: line[0].partition(".")[0]),
    st.lists(variables, max_size=2).map(dict),
)
@example([("auth", f'"{MARK}"')], {})
@example([("upstream", f'{{password = "{MARK}"}}')], {})
@example([("upstream", f'"smtps://u@h?password={MARK}"')], {})
@example([], {"PRESEND_UPSTREAM_PASSWORD_FILE": MARK})
@example([], {"PRESEND_SUPPRESSIONS__SOURCES": MARK})
@example([], {"PRESEND_SUPPRESSIONS__SOURCES": f"/lists/,https://h.example/list.csv?key=x,{MARK}"})
@example([], {"PRESEND_SUPPRESSIONS__SOURCES": f"https://u:{MARK}@h.example/list.csv?key={MARK}"})
def test_a_secret_is_in_no_message(
    tmp_path_factory: pytest.TempPathFactory,
    in_file: list[tuple[str, str]],
    in_environment: dict[str, str],
) -> None:
    file = tmp_path_factory.getbasetemp() / "secrets.toml"
    file.write_text("".join(f"{key} = {value}\n" for key, value in in_file))
    environ = {"PRESEND_CONFIG": str(file)} | in_environment
    for text in said(environ):
        assert MARK not in text
        assert "Kx7" not in text, "half of it is too much"
