"""The command line as a user runs it, against a server that speaks the interface."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time

import pytest
from tests.fakes.api import TOKEN, running

SUCCEEDED = {
    "id": 12,
    "project": "docopt",
    "version": "0.6.2",
    "target": "cp311-cp311-manylinux_2_36_x86_64",
    "state": "SUCCEEDED",
    "created": "2026-01-31T12:00:00+00:00",
    "started": "2026-01-31T12:00:01+00:00",
    "finished": "2026-01-31T12:02:06+00:00",
    "fault": None,
    "line": None,
    "wheel": "docopt-0.6.2-py2.py3-none-any.whl",
}
FAILED = SUCCEEDED | {
    "id": 7,
    "project": "x",
    "state": "FAILED",
    "wheel": None,
    "fault": "syslib.header",
    "line": "fatal: \x1b[2Jy.h",
}


@pytest.fixture
def api():
    with running() as server:
        yield server


@pytest.fixture
def home(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path


def environment(home, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "COVERAGE_PROCESS_START") if name in os.environ}
    # A proxy that is set must not be asked for what is on this machine.
    proxies = {"http_proxy": "http://127.0.0.1:9/", "HTTP_PROXY": "http://127.0.0.1:9/"}
    return kept | proxies | {"HOME": str(home), "BUILDTHROUGH_STORAGE__DIR": str(home / "data")} | more


def command(home, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "buildthrough.proxy", *arguments],
        capture_output=True,
        text=True,
        cwd=home,
        env=environment(home, **more),
        timeout=60,
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def made_by_the_server(home) -> None:
    (home / "data" / "admin.token").write_text(TOKEN + "\n")


def only_line(text: str) -> str:
    (line,) = text.splitlines()
    return line


def test_builds_are_listed_in_columns(home, api):
    api.answers["GET builds"] = {"builds": [SUCCEEDED, FAILED]}
    done = command(home, "builds", "--project", "docopt", "--state", "failed", "--limit", "5", "--server", api.url)
    assert (done.returncode, done.stderr) == (0, "")
    head, first, second = done.stdout.splitlines()
    assert head.split() == ["ID", "STATE", "PROJECT", "VERSION", "TARGET", "AGE", "TOOK", "RESULT"]
    assert first.split()[:5] == ["12", "SUCCEEDED", "docopt", "0.6.2", "cp311-cp311-manylinux_2_36_x86_64"]
    assert first.endswith("  2m 05s  docopt-0.6.2-py2.py3-none-any.whl")
    assert second.endswith(r"syslib.header: fatal: \x1b[2Jy.h")
    assert {line.index(word) for line, word in ((head, "STATE"), (first, "SUCC"), (second, "FAILED"))} == {4}
    assert api.asked[0].query == {"project": "docopt", "state": "FAILED", "limit": "5"}
    assert api.asked[0].authorization is None


def test_builds_as_json_are_the_servers_answer(home, api):
    api.answers["GET builds"] = {"builds": [SUCCEEDED]}
    done = command(home, "builds", "--json", "--server", api.url)
    assert json.loads(done.stdout) == {"builds": [SUCCEEDED]}


def test_no_builds_is_said(home, api):
    api.answers["GET builds"] = {"builds": []}
    assert command(home, "builds", "--server", api.url).stdout == "Nothing was built yet.\n"


def test_the_server_of_the_data_folder_is_found_where_it_listens(home, api):
    api.answers["GET builds"] = {"builds": []}
    (home / "data" / "server.json").write_text(json.dumps({"url": api.url, "pid": 1}))
    assert command(home, "builds").returncode == 0
    elsewhere = command(home, "builds", "--data-dir", str(home), BUILDTHROUGH_SERVER__PORT=str(free_port()))
    assert elsewhere.returncode == 1


def test_the_server_of_the_settings_is_asked(home, api):
    api.answers["GET builds"] = {"builds": []}
    port = api.url.rpartition(":")[2]
    (home / "buildthrough.toml").write_text(f'[server]\nhost = "0.0.0.0"\nport = {port}\n')
    assert command(home, "builds").returncode == 0
    other = home / "other.toml"
    other.write_text(f"[server]\nport = {free_port()}\n")
    assert command(home, "builds", "--config", str(other)).returncode == 1


def test_no_server_is_one_sentence_that_says_what_to_do(home):
    port = free_port()
    for arguments in (["builds"], ["log", "1"], ["targets"], ["purge", "x"], ["build", "x==1"]):
        done = command(home, *arguments, BUILDTHROUGH_SERVER__PORT=str(port))
        assert (done.returncode, done.stdout) == (1, "")
        assert f"No server runs at http://127.0.0.1:{port}" in only_line(done.stderr)
        assert "buildthrough serve" in done.stderr


def test_a_log_is_printed_as_it_is(home, api):
    api.answers["GET builds/3/log"] = "one\n\x1b[1mtwo ü\n"
    done = command(home, "log", "3", "--server", api.url, PYTHONIOENCODING="utf-8")
    assert (done.returncode, done.stdout) == (0, "one\n\x1b[1mtwo ü\n")


def test_a_log_cannot_play_with_the_terminal(home, api):
    api.answers["GET builds/3/log"] = "one\n\x1b]0;evil\x07"
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-m", "buildthrough.proxy", "log", "3", "--server", api.url]
    with subprocess.Popen(argv, stdout=theirs, cwd=home, env=environment(home)) as process:
        process.wait(60)
    os.close(theirs)
    shown = os.read(ours, 10_000)
    os.close(ours)
    assert shown == b"one\r\n\\x1b]0;evil\\x07\r\n"


def test_an_unknown_build_is_the_servers_sentence(home, api):
    api.answers["GET builds/9/log"] = (404, {"error": "There is no build 9."})
    done = command(home, "log", "9", "--server", api.url)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "buildthrough: There is no build 9.\n")


def test_a_pipe_that_is_closed_early_is_no_fault(home, api):
    api.answers["GET builds/3/log"] = "line\n" * 1_000_000
    line = f"{sys.executable} -m buildthrough.proxy log 3 --server {api.url} | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, cwd=home, env=environment(home), timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "line\n", "")


@pytest.mark.parametrize(("target", "code"), [(">/dev/full", 1), (">&-", 0)])
def test_output_that_cannot_be_written_is_no_traceback(home, api, target, code):
    api.answers["GET builds"] = {"builds": [SUCCEEDED]}
    line = f"{sys.executable} -m buildthrough.proxy builds --server {api.url} {target}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=home, env=environment(home))
    assert done.returncode == code
    sentence = "buildthrough: The output cannot be written (No space left on device).\n"
    assert done.stderr == (sentence if code else "")


def test_a_letter_that_the_terminal_lacks_is_no_traceback(home, api):
    api.answers["GET builds/3/log"] = "\u2713 done\n"
    done = command(home, "log", "3", "--server", api.url, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout, done.stderr) == (0, "\\u2713 done\n", "")


def test_ctrl_c_ends_without_a_traceback(home):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        # A shell that starts the tests in the background has them pass Ctrl-C by, and what they start as well.
        heed = ["env", "--default-signal=INT"]
        argv = [*heed, sys.executable, "-m", "buildthrough.proxy", "builds", "--server", url]
        with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, cwd=home, env=environment(home)) as process:
            connection, _ = silent.accept()
            with connection:
                connection.recv(100)
                time.sleep(0.1)
                process.send_signal(signal.SIGINT)
                _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")


def test_a_build_is_asked_for_with_the_token_of_the_data_folder(home, api):
    made_by_the_server(home)
    api.answers["POST builds"] = (202, SUCCEEDED | {"state": "QUEUED"})
    done = command(home, "build", "DocOpt==0.6.2", "--target", "cp311-x", "--server", api.url)
    assert done.returncode == 0
    assert "Build 12 of docopt 0.6.2" in only_line(done.stdout)
    assert "QUEUED" in done.stdout
    assert api.asked[0].body == {"name": "docopt", "version": "0.6.2", "target": "cp311-x"}
    assert api.asked[0].authorization == f"Bearer {TOKEN}"


def test_the_configured_token_comes_first(home, api):
    (home / "data" / "admin.token").write_text("an older one")
    api.answers["POST builds"] = (202, SUCCEEDED)
    done = command(home, "build", "x==1", "--server", api.url, BUILDTHROUGH_ADMIN__TOKEN=TOKEN)
    assert done.returncode == 0


def test_a_wrong_token_says_where_it_was_looked_for(home, api):
    file = home / "data" / "admin.token"
    absent = command(home, "purge", "x", "--server", api.url)
    file.write_text("wrong")
    wrong = command(home, "purge", "x", "--server", api.url)
    configured = command(home, "purge", "x", "--server", api.url, BUILDTHROUGH_ADMIN__TOKEN="other")
    assert [done.returncode for done in (absent, wrong, configured)] == [1, 1, 1]
    assert f"the file {file} cannot be read (No such file or directory)" in only_line(absent.stderr)
    assert f"does not take the operator's token of the file {file}" in only_line(wrong.stderr)
    assert "the setting admin.token" in only_line(configured.stderr)
    assert "other" not in configured.stderr


def test_a_dry_run_lists_and_says_that_nothing_was_removed(home, api):
    made_by_the_server(home)
    wheel = {
        "project": "docopt",
        "version": "0.6.2",
        "filename": SUCCEEDED["wheel"],
        "size": 13700,
        "target": "cp311-x",
    }
    api.answers["POST purge"] = {"dry_run": True, "purged": [wheel], "cancelled": [4, 5], "not_asked": ["six"]}
    done = command(home, "purge", "--yanked", "--dry-run", "--server", api.url)
    head, row, end, left = done.stdout.splitlines()
    assert head.split() == ["PROJECT", "VERSION", "FILE", "SIZE", "TARGET"]
    assert row.split() == ["docopt", "0.6.2", SUCCEEDED["wheel"], "13.4", "KiB", "cp311-x"]
    assert end == "1 wheel would be removed and 2 builds cancelled. This was a dry run: nothing was removed."
    assert left.endswith("left alone: six.")
    assert api.asked[0].body == {"yanked": True, "dry_run": True}


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        (["Docopt"], {"project": "docopt"}),
        (["docopt==0.6.2.0"], {"project": "docopt", "version": "0.6.2.0"}),
        (["--file", "a.whl", "--allow-rebuild"], {"file": "a.whl", "allow_rebuild": True}),
        (["docopt-0.6.2-py3-none-any.whl"], {"file": "docopt-0.6.2-py3-none-any.whl"}),
        (["docopt", "--yanked"], {"project": "docopt", "yanked": True}),
    ],
)
def test_what_is_purged_is_what_was_said(home, api, arguments, body):
    made_by_the_server(home)
    api.answers["POST purge"] = {"dry_run": False, "purged": [], "cancelled": []}
    done = command(home, "purge", *arguments, "--server", api.url)
    assert (done.returncode, done.stdout) == (0, "0 wheels removed, 0 builds cancelled.\n")
    assert api.asked[0].body == body


POOL = {
    "state": "open",
    "slots": 2,
    "running": 0,
    "total": {"memory_bytes": 4 << 30, "cpus": 2},
    "free": {"memory_bytes": 4 << 30, "cpus": 2},
    "mean_seconds": None,
    "lock": None,
}


@pytest.mark.parametrize(
    ("arguments", "body", "said"),
    [
        (["7"], {"build": 7}, "1 build cancelled: 7.\n"),
        (["--project", "x"], {"project": "x"}, "2 builds cancelled: 7, 8.\n"),
    ],
)
def test_what_is_cancelled_is_what_was_said(home, api, arguments, body, said):
    made_by_the_server(home)
    api.answers["POST cancel"] = {"cancelled": [7] if "build" in body else [7, 8]}
    done = command(home, "cancel", *arguments, "--server", api.url)
    assert (done.returncode, done.stdout) == (0, said)
    assert api.asked[0].body == body


def test_drain_and_resume_say_how_it_stands(home, api):
    made_by_the_server(home)
    api.answers["POST drain"] = POOL | {"state": "draining", "running": 1}
    api.answers["GET pool"] = POOL | {"state": "drained"}
    api.answers["POST resume"] = POOL
    done = command(home, "drain", "--server", api.url)
    assert (done.returncode, done.stdout) == (0, "No more builds are started; those that run now (1) go on.\n")
    done = command(home, "drain", "--wait", "--server", api.url)
    assert (done.returncode, done.stdout) == (0, "No more builds are started, and none runs.\n")
    done = command(home, "resume", "--server", api.url)
    assert (done.returncode, done.stdout) == (0, "Builds are started again; there are 2 slots.\n")


def test_a_wait_for_a_drain_ends_where_somebody_resumes(home, api):
    made_by_the_server(home)
    api.answers["POST drain"] = POOL | {"state": "draining", "running": 1}
    api.answers["GET pool"] = POOL | {"running": 1}
    done = command(home, "drain", "--wait", "--server", api.url)
    assert (done.returncode, done.stdout) == (1, "Builds were resumed meanwhile.\n")


def test_targets_and_isolation_are_listed(home, api):
    target = {"target": "cp311-x", "interpreter": "/opt/python", "has_headers": False}
    isolation = {"level": "unprivileged", "minimum": "container", "sentences": ["All holds."]}
    api.answers["GET targets"] = {"isolation": isolation, "targets": [target]}
    done = command(home, "targets", "--server", api.url)
    assert [" ".join(line.split()) for line in done.stdout.splitlines()] == [
        "TARGET INTERPRETER C HEADERS ROOT",
        "cp311-x /opt/python no -",
        "",
        "isolation level unprivileged; `buildthrough doctor` says what that holds",
    ]


def test_why_there_is_no_target_is_said(home, api):
    api.answers["GET targets"] = {"isolation": {"level": "none", "sentences": ["No bwrap."]}, "targets": []}
    done = command(home, "targets", "--server", api.url)
    assert done.stdout.splitlines()[0] == "There are no targets."
    assert done.stdout.splitlines()[-1] == "  - No bwrap."


@pytest.mark.parametrize(
    "answer",
    [
        "<html>hello</html>",
        "[]",
        "[" * 100_000,
        (500, "<html>no</html>"),
        (404, "[]"),
        (302, {}),
        b"garbage\r\n\r\n",
        b"",
    ],
    ids=str,
)
def test_something_else_behind_the_address_is_one_sentence(home, api, answer):
    api.answers["GET builds"] = answer
    done = command(home, "builds", "--server", api.url)
    assert (done.returncode, done.stdout) == (1, "")
    assert api.url in only_line(done.stderr)


def test_an_answer_that_breaks_off_is_one_sentence(home, api):
    api.answers["GET builds/3/log"] = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nbegun\n"
    api.answers["GET builds"] = b'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{"builds"'
    for arguments in (["log", "3"], ["builds"]):
        done = command(home, *arguments, "--server", api.url)
        assert done.returncode == 1
        assert api.url in only_line(done.stderr)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["brew"],
        ["purge"],
        ["build", "docopt"],
        ["build", "docopt==one two"],
        ["build", "../etc==1"],
        ["log", "first"],
        ["log", "0"],
        ["builds", "--state", "LOST"],
        ["builds", "--limit", "-1"],
        ["builds", "--server", "ftp://example.org"],
        ["config", "--port", "http"],
        ["serve", "--port", "70000"],
        ["builds", "--config", "absent.toml"],
    ],
    ids=" ".join,
)
def test_a_wrong_question_exits_with_2(home, arguments):
    done = command(home, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "buildthrough" in done.stderr
    assert "Traceback" not in done.stderr


def test_config_says_each_setting_and_its_place_and_no_secret(home):
    (home / "buildthrough.toml").write_text("[build]\nslots = 4\n")
    done = command(
        home,
        "config",
        "--port",
        "9000",
        BUILDTHROUGH_ADMIN__TOKEN="secret-one",
        BUILDTHROUGH_UPSTREAM__URL="https://me:secret-two@example.org/simple/",
    )
    assert done.returncode == 0
    lines = {line.partition(" = ")[0]: line.partition(" = ")[2] for line in done.stdout.splitlines() if " = " in line}
    assert lines["slots"].startswith("4 ")
    assert lines["slots"].endswith("buildthrough.toml:2")
    assert lines["port"].split(None, 1) == ["9000", "# flag --port"]
    assert lines["memory_bytes"].endswith("# default")
    assert lines["# token"].startswith("(set, not shown)")
    assert lines["# url"].startswith('"https://***@example.org/simple/"')
    assert "secret" not in done.stdout + done.stderr


def test_config_says_where_pip_finds_its_index(home):
    done = command(home, "config", PIP_INDEX_URL="https://me:secret@example.org/simple", PIP_CONFIG_FILE=os.devnull)
    end = done.stdout.splitlines()[-1]
    assert "https://***@example.org/simple is used, from environment variable PIP_INDEX_URL" in end


def test_the_version_is_printed(home):
    done = command(home, "--version")
    assert done.returncode == 0
    assert done.stdout.startswith("buildthrough ")


def test_root_file_systems_are_listed_and_removed(home):
    made = home / "data-targets" / "debian-x"
    (made / "usr" / "bin").mkdir(parents=True)
    (home / "data-targets" / ".half.part").mkdir()
    done = command(home, "target", "list", "--data-dir", str(home / "data"))
    assert (done.returncode, done.stdout) == (0, f"debian-x  {made}\n")
    done = command(home, "target", "remove", "debian-x", "--data-dir", str(home / "data"))
    assert (done.returncode, made.exists()) == (0, False)
    done = command(home, "target", "remove", "debian-x", "--data-dir", str(home / "data"))
    assert (done.returncode, done.stderr) == (1, f"buildthrough: There is no root file system {made}.\n")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--suite", "--x"), "expected one argument"),
        (("--suite", "no/suite"), "It cannot be made: 'no/suite' is no suite"),
        (("--suite", "x", "--arch", "z80"), "It cannot be made: 'z80' is none of"),
        (("--suite", "x", "--include", "a b"), "It cannot be made: 'a b' is no name of a Debian package"),
        (("--suite", "nobody-has-this"), "ended with 1; what it printed says why."),
    ],
)
def test_a_root_file_system_that_cannot_be_made_leaves_nothing(home, more, told):
    given = ("--mirror", "http://127.0.0.1:9/debian", "--data-dir", str(home / "data"))
    done = command(home, "target", "create", "x", *more, *given)
    assert done.returncode != 0
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(home.glob("*-targets/*"))
    assert not list(home.glob("*-targets/.*"))
