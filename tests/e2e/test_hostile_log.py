"""Case 33 of docs/hostile-sdists.md, to its end: what people see of a build that prints to do harm."""

from __future__ import annotations

import unicodedata

from tests.sandbox.workbench import package

MOST_BYTES = 4 << 20
"""Head and tail of a log are 1 MiB each by default, and what is unsafe in them becomes longer."""
SCRIPT = "<script>alert(1)</script>"


def unsafe(text: str) -> set[str]:
    return {
        char for char in text if char not in "\n\t" and unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
    }


def test_a_log_that_means_harm_is_bounded_inert_text(pypi, server, pip_agent):
    sdist = package("prints-harm", project="harm")
    pypi.add("harm", sdist.filename, sdist.data)
    server.download("harm", sdist.filename, user_agent=pip_agent)
    build = server.wait_for_build("harm", "FAILED")

    answer = server.ask(f"/api/v1/builds/{build['id']}/log")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert len(answer.body) < MOST_BYTES
    log = answer.body.decode()  # UTF-8, whatever was printed
    assert unsafe(log) == set()
    assert "\\x1b]52;c;QUJD\\x07" in log
    assert "\\u202ereversed" in log
    assert "\\x00nul" in log
    assert "\nprogress 2 %\n" in log  # a carriage return hides nothing
    assert "bytes left out" in log
    assert SCRIPT in log  # it is text, as the header says, not a page

    printed = server.run("log", str(build["id"]))
    assert printed.returncode == 0, printed.stderr
    assert unsafe(printed.stdout) == set()
    assert printed.stdout.strip() == log.strip()

    assert build["line"].startswith("error: it failed")
    assert build["line"].isprintable()
    assert len(build["line"]) <= 500
    assert unsafe(build["line"]) == set()
    for arguments in (["builds"], ["builds", "--project", "harm"], ["builds", "--json"]):
        listed = server.run(*arguments)
        assert listed.returncode == 0, listed.stderr
        assert "it failed" in listed.stdout
        assert unsafe(listed.stdout) == set()
    assert unsafe(server.ask(f"/api/v1/builds/{build['id']}").body.decode()) == set()
    assert unsafe(server.tail(100_000)) == set()  # of the server's own log
