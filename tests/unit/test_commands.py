"""The parts of the command line that need no server, and what it asks of the one that it starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from buildthrough.config.load import load
from buildthrough.proxy.__main__ import COMMANDS, main, parser
from buildthrough.proxy.commands.builds import rows
from buildthrough.proxy.commands.options import address, connect, find_token
from buildthrough.proxy.commands.table import duration, moment, size, table
from buildthrough.proxy.folder import StartError

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(-1, "0.0s"), (1.44, "1.4s"), (59.97, "1m 00s"), (125, "2m 05s"), (3660, "1h 01m"), (100_000, "1d 3h")],
)
def test_durations(seconds, written):
    assert duration(seconds) == written


@pytest.mark.parametrize(
    ("count", "written"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 40, "5.0 TiB"), (None, "-")]
)
def test_sizes(count, written):
    assert size(count) == written


def test_times_are_read_as_utc_and_nonsense_is_none():
    assert moment("2026-01-31T12:00:00Z") == NOW
    assert moment("2026-01-31T12:00:00") == NOW
    assert moment("yesterday") is None
    assert moment(None) is None


def test_a_table_is_aligned_and_ends_its_lines():
    assert list(table(("A", "LONG"), [("wide one", "x"), ("a\nb", "")])) == ["A         LONG", "wide one  x", "a\\nb"]


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"waits": "slot", "position": 3, "estimate_seconds": 40.0}, "waits for its turn, number 3, in about 40.0s"),
        ({"waits": "budget", "position": 1}, "waits for memory or processors, number 1"),
        ({"waits": "drain", "position": 2}, "waits for `buildthrough resume`, number 2"),
        ({"waits": "requirement", "waits_for": 9}, "waits for build 9"),
        (
            {"waits": "back-off", "fault": "infra.disk", "line": "No space left."},
            "is tried again later, after infra.disk: No space left.",
        ),
    ],
)
def test_a_queued_build_says_what_it_waits_for(told, said):
    line = rows([{"id": 1, "state": "QUEUED"} | told], NOW)[1]
    assert line.endswith(f"  {said}")


def test_a_build_under_way_shows_its_age_and_what_it_waits_for():
    created, started = NOW - timedelta(minutes=2), NOW - timedelta(seconds=5)
    running = {"id": 1, "state": "RUNNING", "created": created.isoformat(), "started": started.isoformat()}
    waiting = {"id": 2, "state": "QUEUED", "created": created.isoformat(), "waits_for": 1}
    _, first, second = rows([running, waiting], NOW)
    assert first.split() == ["1", "RUNNING", "-", "-", "-", "2m", "00s", "5.0s", "-"]
    assert second.split() == ["2", "QUEUED", "-", "-", "-", "2m", "00s", "-", "waits", "for", "build", "1"]


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8018"),
        ("0.0.0.0", "http://127.0.0.1:8018"),
        ("::", "http://[::1]:8018"),
        ("::1", "http://[::1]:8018"),
        ("cache.example.org", "http://cache.example.org:8018"),
    ],
)
def test_the_address_of_a_server_is_one_that_can_be_called(tmp_path, host, url):
    assert address(load(folder=tmp_path, environment={"BUILDTHROUGH_SERVER__HOST": host}).settings.server) == url


def test_the_token_of_this_machine_is_not_told_to_another(tmp_path):
    (tmp_path / "admin.token").write_text("secret\n")
    settings = load(folder=tmp_path, environment={"BUILDTHROUGH_STORAGE__DIR": str(tmp_path)}).settings
    assert find_token(settings, is_here=True).text == "secret"
    elsewhere = find_token(settings, is_here=False)
    assert (elsewhere.text, elsewhere.place) == ("", "admin.token is not set, and the server is on another machine")
    assert "secret" not in repr(find_token(settings, is_here=True))


@pytest.mark.parametrize(
    ("announced", "flags", "is_sent"),
    [
        ("http://0.0.0.0:8018/", [], True),
        ("http://192.0.2.7:8018/", [], True),
        (None, [], True),
        (None, ["--server", "http://localhost:9/"], True),
        (None, ["--server", "http://192.0.2.7:8018"], False),
        (None, ["--server", "http://evil.example.org:8018"], False),
        ("http://127.0.0.1:8018/", ["--server", "http://evil.example.org:8018"], False),
    ],
)
def test_only_a_server_of_this_machine_gets_the_token_of_the_data_folder(tmp_path, announced, flags, is_sent):
    (tmp_path / "admin.token").write_text("secret\n")
    if announced:
        (tmp_path / "server.json").write_text(json.dumps({"url": announced, "pid": 1}))
    arguments = parser().parse_args(["targets", "--data-dir", str(tmp_path), *flags])
    assert (connect(arguments)._token().text == "secret") is is_sent


@pytest.fixture
def wiring(monkeypatch, tmp_path):
    """Stand in for the composition, which starts a whole server."""
    module = types.ModuleType("made up")
    for name in ("start", "server"):
        monkeypatch.setitem(sys.modules, f"buildthrough.proxy.{name}", module)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BUILDTHROUGH_")]:
        monkeypatch.delenv(name)
    return module


def test_serve_is_given_the_settings_of_its_flags(wiring, tmp_path):
    seen = []
    wiring.serve = lambda settings: seen.append(settings) or 0
    flags = ["--host", "0.0.0.0", "--port", "0", "--data-dir", "d", "--upstream", "http://example.org/simple/"]
    assert main(["serve", *flags]) == 0
    (found,) = seen
    assert (found.server.host, found.server.port) == ("0.0.0.0", 0)
    assert (found.storage.dir, found.upstream.url) == (tmp_path / "d", "http://example.org/simple/")


def test_a_server_that_cannot_start_says_so_in_one_line(wiring, capsys):
    def serve(_):
        raise StartError("The port is taken.")

    wiring.serve = serve
    assert main(["serve"]) == 1
    assert capsys.readouterr().err == "buildthrough: The port is taken.\n"


@pytest.mark.parametrize(("can_build", "code"), [(True, 0), (False, 1)])
def test_doctor_prints_and_fails_where_nothing_can_be_built(wiring, capsys, can_build, code):
    wiring.diagnose = lambda _: (["one", "two"], can_build)
    assert main(["doctor"]) == code
    assert capsys.readouterr().out == "one\ntwo\n"


def test_commands_start_without_the_server_and_the_database():
    code = (
        "import sys, buildthrough.proxy.__main__\n"
        "print([n for n in ('aiohttp', 'sqlalchemy', 'asyncio', 'packaging') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_each_command_is_in_the_help(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert [
        name for name, module in COMMANDS.items() if module.SUMMARY.split(":")[0] not in " ".join(shown.split())
    ] == []
    assert {path.stem for path in Path(sys.modules["buildthrough.proxy.commands"].__file__).parent.glob("*.py")} == {
        *COMMANDS,
        "__init__",
        "check",
        "story",
        "options",
        "table",
    }
