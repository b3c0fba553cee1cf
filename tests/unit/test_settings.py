"""Settings: where they come from, which wins, and what is said about those that cannot be used."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from buildthrough.config.load import defaults_text, load
from buildthrough.config.pip import is_this_server
from buildthrough.config.schema import KEYS, SettingsError
from buildthrough.config.values import redact


def settings(tmp_path: Path, text: str = "", environment: dict[str, str] | None = None, **flags: str):
    (tmp_path / "buildthrough.toml").write_text(text)
    given = {name.replace("__", "."): (f"--{name.rpartition('__')[2]}", value) for name, value in flags.items()}
    return load(folder=tmp_path, environment=environment or {}, flags=given)


def refusal(tmp_path: Path, *arguments, **flags) -> str:
    with pytest.raises(SettingsError) as caught:
        settings(tmp_path, *arguments, **flags)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith((".", "?"))
    return sentence


def test_defaults_are_those_that_are_promised(tmp_path):
    loaded = load(folder=tmp_path, environment={})
    found = loaded.settings
    assert (found.upstream.url, found.upstream.page_ttl) == ("", 60)
    assert (found.server.host, found.server.port) == ("127.0.0.1", 8018)
    assert (found.build.enabled, found.build.slots, found.build.wall_seconds) == (True, 2, 900)
    assert found.upstream.max_page_bytes == 128 << 20
    assert found.storage.memory_bytes == 64 << 20
    assert found.admin.token == ""
    assert set(loaded.sources.values()) == {"default"}


def test_each_setting_stands_in_defaults_with_one_sentence_and_nothing_else_does():
    table = tomllib.loads(defaults_text())
    assert [f"{section}.{name}" for section, content in table.items() for name in content] == list(KEYS)
    blocks = re.findall(r"^((?:#[^\n]*\n)+)(\w+) = ", defaults_text(), re.MULTILINE)
    assert [name for _, name in blocks] == [key.name for key in KEYS.values()]
    for comment, name in blocks:
        assert re.fullmatch(r"# [A-Z][^\n]{10,}\.\n", comment), name


def test_a_later_place_wins_and_is_named(tmp_path):
    text = '[server]\nhost = "127.0.0.2"\nport = 1\n[log]\nlevel = "error"\n'
    environment = {"BUILDTHROUGH_SERVER__PORT": "2", "BUILDTHROUGH_SERVER__HOST": "127.0.0.3"}
    loaded = settings(tmp_path, text, environment, server__port="3")
    found = loaded.settings
    assert (found.server.port, found.server.host, found.log.level) == (3, "127.0.0.3", "error")
    assert loaded.sources["server.port"] == "flag --port"
    assert loaded.sources["server.host"] == "environment variable BUILDTHROUGH_SERVER__HOST"
    assert loaded.sources["log.level"] == f"{tmp_path / 'buildthrough.toml'}:5"


def test_a_named_file_is_read_instead_of_the_one_in_the_folder(tmp_path):
    (tmp_path / "buildthrough.toml").write_text("[server]\nport = 1\n")
    other = tmp_path / "other.toml"
    other.write_text("[server]\nshutdown_seconds = 5\n")
    found = load(file=other, folder=tmp_path, environment={}).settings.server
    assert (found.port, found.shutdown_seconds) == (8018, 5)


@pytest.mark.parametrize(
    ("variable", "text", "read"),
    [
        ("BUILD__ENABLED", "0", False),
        ("BUILD__ENABLED", "True", True),
        ("LOG__ACCESS", "on", True),
        ("BUILD__SLOTS", "7", 7),
        ("UPSTREAM__PAGE_TTL", "0", 0.0),
        ("UPSTREAM__PAGE_TTL", "1.5", 1.5),
        ("BUILD__MEMORY_BYTES", "1.5 GiB", 3 << 29),
        ("BUILD__MEMORY_BYTES", "2000000", 2_000_000),
        ("BUILD__INTERPRETERS", "/a/python, /b/python", ("/a/python", "/b/python")),
        ("BUILD__INTERPRETERS", '["/with, comma"]', ("/with, comma",)),
        ("BUILD__INTERPRETERS", "", ()),
        ("LOG__FORMAT", "json", "json"),
    ],
)
def test_the_environment_is_read_by_type(tmp_path, variable, text, read):
    loaded = settings(tmp_path, "", {f"BUILDTHROUGH_{variable}": text}).settings
    section, _, name = variable.lower().partition("__")
    assert getattr(getattr(loaded, section), name) == read


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[server]\n\nprot = 1", ["server.prot", "buildthrough.toml:3", "did you mean server.port"]),
        ("[serve]\nport = 1", ["'serve'", "buildthrough.toml:1", "did you mean server"]),
        ("port = 1", ["'port'", "buildthrough.toml:1", "did you mean server.port"]),
        ("server.port = 70000", ["server.port", "from 0 to 65535", "70000", "buildthrough.toml:1"]),
        ("[server]\nport = '80'", ["server.port", "whole number", "buildthrough.toml:2"]),
        ("[server]\nport = true", ["server.port", "whole number"]),
        ("server = 3", ["section", "[server]", "buildthrough.toml:1"]),
        ("[build]\nslots = 0", ["build.slots", "from 1"]),
        ("[build]\nenabled = 1", ["build.enabled", "true or false"]),
        ("[build]\ninterpreters = 'x'", ["build.interpreters", "list of texts"]),
        ("[build]\nmemory_bytes = '2 pounds'", ["build.memory_bytes", "128 MiB"]),
        ("[upstream]\npage_ttl = -1", ["upstream.page_ttl", "from 0"]),
        ("[upstream]\npage_ttl = nan", ["upstream.page_ttl", "number"]),
        ("[upstream]\nurl = 'example.org/simple'", ["upstream.url", "https://example.org/simple/"]),
        ("[upstream]\nurl = 'http://example.org:port/'", ["upstream.url"]),
        ('[upstream]\nuser_agent_contact = "a\\r\\nX-Evil: 1"', ["upstream.user_agent_contact", "one line"]),
        ("[log]\nlevel = 'loud'", ["log.level", "debug, info, warning, error", "'loud'"]),
        ('[storage]\ndir = "a\\u0000b"', ["storage.dir", "NUL"]),
        ("not toml at all", ["buildthrough.toml", "no TOML", "line 1"]),
    ],
)
def test_what_cannot_be_used_in_a_file_is_said_in_one_sentence(tmp_path, text, words):
    sentence = refusal(tmp_path, text)
    assert [word for word in words if word not in sentence] == []


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("BUILDTHROUGH_SERVER__PROT", ["BUILDTHROUGH_SERVER__PROT", "did you mean BUILDTHROUGH_SERVER__PORT"]),
        ("BUILDTHROUGH_SERVER_PORT", ["BUILDTHROUGH_SERVER_PORT", "did you mean BUILDTHROUGH_SERVER__PORT"]),
        ("BUILDTHROUGH_SERVER__PORT", ["server.port", "environment variable BUILDTHROUGH_SERVER__PORT", "'many'"]),
    ],
)
def test_what_cannot_be_used_in_the_environment_is_said(tmp_path, variable, words):
    sentence = refusal(tmp_path, "", {variable: "many"})
    assert [word for word in words if word not in sentence] == []


def test_variables_that_a_cluster_sets_for_a_service_of_our_name_are_left_alone(tmp_path):
    environment = {
        "BUILDTHROUGH_PORT": "tcp://10.0.0.1:8018",
        "BUILDTHROUGH_PORT_8018_TCP_ADDR": "10.0.0.1",
        "BUILDTHROUGH_SERVER_PORT": "tcp://10.0.0.1:8018",
        "BUILDTHROUGH_SERVICE_HOST": "10.0.0.1",
    }
    assert settings(tmp_path, "", environment).settings.server.port == 8018


def test_a_flag_that_cannot_be_used_is_named(tmp_path):
    assert "flag --port" in refusal(tmp_path, "", None, server__port="x")


def test_a_file_that_is_not_there_or_a_folder_is_said(tmp_path):
    for path in (tmp_path / "absent.toml", tmp_path):
        with pytest.raises(SettingsError, match=re.escape(str(path))):
            load(file=path, environment={})


def test_no_secret_is_shown(tmp_path):
    secret = "open-sesame"
    found = settings(
        tmp_path, f'[admin]\ntoken="{secret}"\n[upstream]\nurl="https://me:{secret}@example.org/"'
    ).settings
    assert secret not in repr(found)
    assert secret not in refusal(tmp_path, f'[admin]\ntoken = ["{secret}"]')
    assert secret not in refusal(tmp_path, f'[upstream]\nurl = "ftp://me:{secret}@example.org/"')
    assert secret not in refusal(tmp_path, "", {"BUILDTHROUGH_ADMIN__TOKEN": f"{secret}\n"})
    assert redact(f"https://me:{secret}@example.org:8/x/") == "https://***@example.org:8/x/"
    assert redact("https://example.org/@scope/") == "https://example.org/@scope/"


@pytest.mark.parametrize(
    ("user", "environment", "folder"),
    [
        (0, {}, "/var/lib/buildthrough"),
        (1000, {"XDG_DATA_HOME": "/data"}, "/data/buildthrough"),
        (1000, {"XDG_DATA_HOME": "relative"}, "/home/me/.local/share/buildthrough"),
        (1000, {}, "/home/me/.local/share/buildthrough"),
    ],
)
def test_the_data_folder_is_chosen_for_the_user(tmp_path, monkeypatch, user, environment, folder):
    monkeypatch.setattr("os.geteuid", lambda: user)
    monkeypatch.setenv("HOME", "/home/me")
    assert settings(tmp_path, "", environment).settings.storage.dir == Path(folder)


def test_the_data_folder_is_made_absolute(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.chdir(tmp_path)
    assert settings(tmp_path, '[storage]\ndir = "~/x"').settings.storage.dir == Path("/home/me/x")
    assert settings(tmp_path, '[storage]\ndir = "x"').settings.storage.dir == tmp_path / "x"


@pytest.mark.parametrize(
    ("url", "host", "port", "ours"),
    [
        ("http://127.0.0.1:8018/simple/", "127.0.0.1", 8018, True),
        ("http://localhost:8018/simple/", "0.0.0.0", 8018, True),
        ("http://0.0.0.0:8018/simple/", "localhost", 8018, True),
        ("http://[::1]:8018/simple/", "::", 8018, True),
        ("http://127.0.0.1/simple/", "127.0.0.1", 80, True),
        ("http://mirror.example.org:8018/simple/", "mirror.example.org", 8018, True),
        ("http://127.0.0.1:3141/simple/", "127.0.0.1", 8018, False),
        ("http://mirror.example.org:8018/simple/", "0.0.0.0", 8018, False),
        ("https://127.0.0.1/simple/", "127.0.0.1", 80, False),
    ],
)
def test_our_own_address_is_known(url, host, port, ours):
    assert is_this_server(url, host=host, port=port) is ours


def test_the_examples_load(tmp_path):
    examples = [item for item in files("buildthrough.config").iterdir() if item.name.startswith("example-")]
    assert len(examples) == 3
    for example in examples:
        changed = {
            place for place in load(file=Path(str(example)), environment={}).sources.values() if place != "default"
        }
        assert len(changed) > 3


TWO = '[upstreams.acme]\nurl = "https://packages.example.org/simple/"\n[upstreams.pypi]\nurl = ""\n'


def test_without_names_there_is_one_upstream(tmp_path):
    text = '[upstream]\nurl = "https://example.org/simple/"\ntoken = "t0ken"\nretries = 5\n'
    (only,) = settings(tmp_path, text).settings.upstreams
    assert (only.name, only.url, only.token, only.retries, only.projects) == (
        "", "https://example.org/simple/", "t0ken", 5, (),
    )  # fmt: skip


def test_upstreams_keep_their_order_and_take_over_what_is_not_their_own(tmp_path):
    text = (
        '[upstreams.zeta]\nurl = "https://z.example.org/"\nread_seconds = 7\nprojects = ["Zeta_*"]\n'
        "pinned_only = true\n"
        '[upstream]\nca_file = "/ca.pem"\nread_seconds = 3\n[upstreams.alpha-1]\nurl = ""\n'
    )
    environment = {"BUILDTHROUGH_UPSTREAMS__ALPHA_1__TOKEN": "t0ken", "BUILDTHROUGH_UPSTREAM__RETRIES": "9"}
    loaded = settings(tmp_path, text, environment)
    zeta, alpha = loaded.settings.upstreams
    assert (zeta.name, zeta.read_seconds, zeta.projects, zeta.pinned_only) == ("zeta", 7, ("Zeta_*",), True)
    assert (alpha.name, alpha.url, alpha.read_seconds, alpha.token, alpha.projects) == ("alpha-1", "", 3, "t0ken", ())
    assert {one.ca_file for one in (zeta, alpha)} == {"/ca.pem"}
    assert {one.retries for one in (zeta, alpha)} == {9}
    file = tmp_path / "buildthrough.toml"
    assert loaded.sources["upstreams.zeta.url"] == f"{file}:2"
    assert loaded.sources["upstreams.alpha-1.read_seconds"] == f"{file}:8"
    assert loaded.sources["upstreams.alpha-1.token"] == "environment variable BUILDTHROUGH_UPSTREAMS__ALPHA_1__TOKEN"
    assert loaded.sources["upstreams.alpha-1.projects"] == "default"
    assert "t0ken" not in repr(loaded.settings)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TWO + "urll = 'x'", ["upstreams.pypi.urll", "buildthrough.toml:5", "did you mean"]),
        (TWO + "page_ttl = 3", ["upstreams.pypi.page_ttl", "buildthrough.toml:5"]),
        (TWO + "retries = 'x'", ["upstreams.pypi.retries", "whole number", "buildthrough.toml:5"]),
        (TWO + "projects = ['a/b']", ["upstreams.pypi.projects", "acme-*"]),
        (TWO + "pinned_only = true", ["upstreams.pypi.pinned_only", "projects"]),
        (TWO + "[upstream]\nurl = 'https://example.org/'", ["upstream.url", "upstreams.acme", "buildthrough.toml:6"]),
        (TWO + "[upstream]\ntoken = 's3cret'", ["upstream.token", "upstreams.acme"]),
        ("[upstreams.acme]\nretries = 3", ["[upstreams.acme]", "url"]),
        ("[upstreams.'A B']\n", ["upstreams.A B", "lower-case"]),
        ("[upstreams]\nurl = 'https://example.org/'", ["upstreams.url", "[upstreams.url]"]),
        ("upstreams = 3", ["[upstreams.<name>]"]),
        ("[upstream]\nusername = 'a:s3cret'", ["upstream.username", "colon"]),
        ("[upstream]\npassword = 's3cret'", ["upstream.password", "upstream.username"]),
        ("[upstream]\npassword = 's3cret'\nusername = 'x'\ntoken = 's3cret'", ["upstream.token", "one or the other"]),
        ('[upstream]\ntoken = "s3cret\\n"', ["upstream.token", "one line"]),
        ("[upstream]\nurl = 'https://a:s3cret@example.org/'\ntoken = 's3cret'", ["upstream.url", "credentials"]),
        ("[upstream]\nurl = 'https://example.org/simple/?k=s3cret'", ["upstream.url", "query"]),
        ("[upstream]\nclient_key = '/key.pem'", ["upstream.client_key", "upstream.client_cert"]),
    ],
)
def test_what_contradicts_itself_about_upstreams_is_said_without_secrets(tmp_path, text, words):
    sentence = refusal(tmp_path, text)
    assert [word for word in words if word not in sentence] == []
    assert "s3cret" not in sentence


def test_an_upstream_that_only_the_environment_names_has_no_place_in_the_order(tmp_path):
    environment = {"BUILDTHROUGH_UPSTREAMS__ACME__URL": "https://example.org/"}
    assert "[upstreams.<name>]" in refusal(tmp_path, "", environment)
    sentence = refusal(tmp_path, TWO, {"BUILDTHROUGH_UPSTREAMS__ACNE__URL": "https://example.org/"})
    assert "did you mean BUILDTHROUGH_UPSTREAMS__ACME__URL" in sentence
