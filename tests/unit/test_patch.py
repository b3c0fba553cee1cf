"""Unified diffs are read strictly, and applied only where every line of context is there."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from buildthrough.builders.inside.patch import DoesNotApply, NotAPatch, apply_patch, parse_patch

OLD = b"".join(b"line %d\n" % number for number in range(30))


def diff(body: str, path: str = "f.txt") -> bytes:
    return f"--- a/{path}\n+++ b/{path}\n{body}".encode()


CHANGE = diff("@@ -10,3 +10,4 @@ heading\n line 9\n-line 10\n+line ten\n+and more\n line 11\n")


def patched(tmp_path, patch, content=OLD):
    (tmp_path / "f.txt").write_bytes(content)
    apply_patch(tmp_path, parse_patch(patch))
    return (tmp_path / "f.txt").read_bytes()


def test_a_change_is_made(tmp_path):
    assert patched(tmp_path, CHANGE) == OLD.replace(b"line 10\n", b"line ten\nand more\n")


def test_it_may_lie_elsewhere_when_there_is_one_place_only(tmp_path):
    moved = b"new\n" * 5 + OLD
    assert patched(tmp_path, CHANGE, moved) == moved.replace(b"line 10\n", b"line ten\nand more\n")


def test_two_places_are_none(tmp_path):
    with pytest.raises(DoesNotApply, match=r"f\.txt: change 1 "):
        patched(tmp_path, CHANGE, b"new\n" + OLD + OLD)


def test_other_context_is_refused_and_nothing_is_changed(tmp_path):
    other = OLD.replace(b"line 9\n", b"line nine\n")
    with pytest.raises(DoesNotApply):
        patched(tmp_path, CHANGE, other)
    assert (tmp_path / "f.txt").read_bytes() == other


def test_later_changes_follow_the_drift_of_earlier_ones(tmp_path):
    twice = b"same\n" * 3 + b"a\n" + b"same\n" * 3 + b"b\n" + b"same\n" * 3
    patch = diff("@@ -1,5 +1,5 @@\n same\n same\n same\n-a\n+A\n same\n@@ -7,3 +7,3 @@\n same\n-b\n+B\n same\n")
    assert patched(tmp_path, patch, b"first\n" + twice) == b"first\n" + twice.replace(b"a\n", b"A\n", 1).replace(
        b"b\n", b"B\n"
    ).replace(b"sAme", b"same")


def test_a_last_line_without_an_end(tmp_path):
    patch = diff("@@ -1 +1 @@\n-old\n\\ No newline at end of file\n+new\n\\ No newline at end of file\n")
    assert patched(tmp_path, patch, b"old") == b"new"
    with pytest.raises(DoesNotApply):
        patched(tmp_path, patch, b"old\n")


def test_carriage_returns_are_part_of_their_lines(tmp_path):
    patch = b"--- a/f.txt\n+++ b/f.txt\n@@ -1,2 +1,2 @@\n-one\r\n+1\r\n two\r\n"
    assert patched(tmp_path, patch, b"one\r\ntwo\r\n") == b"1\r\ntwo\r\n"


def test_files_are_made_and_removed(tmp_path):
    (tmp_path / "gone").write_bytes(b"x\n")
    text = b"--- /dev/null\n+++ b/new/one\n@@ -0,0 +1 @@\n+hello\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
    apply_patch(tmp_path, parse_patch(text))
    assert (tmp_path / "new/one").read_bytes() == b"hello\n"
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"nothing of the kind\n",
        CHANGE.replace(b"b/f.txt", b"b/g.txt"),
        CHANGE.replace(b"a/f.txt", b"f.txt").replace(b"b/f.txt", b"f.txt"),
        CHANGE.replace(b"/f.txt", b"/../f.txt"),
        CHANGE.replace(b"/f.txt", b"//etc/passwd"),
        CHANGE.replace(b",3 +10,4", b",3 +10,9"),
        CHANGE[:-10],
        b"--- a/f.txt\n+++ b/f.txt\n",
        b"@@ -1 +1 @@\n-a\n+b\n",
        b"diff --git a/f b/f\nnew file mode 120000\n--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+/etc/passwd\n",
    ],
)  # fmt: skip
def test_what_is_no_patch_is_refused(text):
    with pytest.raises(NotAPatch):
        parse_patch(text)


def test_a_link_that_leaves_the_sources_is_not_followed(tmp_path):
    outside = tmp_path / "outside"
    source = tmp_path / "source"
    outside.mkdir()
    source.mkdir()
    (outside / "f.txt").write_bytes(OLD)
    (source / "d").symlink_to(outside)
    (source / "l.txt").symlink_to(outside / "f.txt")
    for path in ("d/f.txt", "l.txt"):
        with pytest.raises(DoesNotApply):
            apply_patch(source, parse_patch(CHANGE.replace(b"f.txt", path.encode())))
    assert (outside / "f.txt").read_bytes() == OLD


@pytest.mark.skipif(shutil.which("diff") is None, reason="diffutils make the patch")
def test_what_diff_makes_is_understood(tmp_path):
    for name, content in (("a", OLD), ("b", OLD.replace(b"line 3\n", b"").replace(b"line 20\n", b"x\ny\n") + b"end")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f.txt").write_bytes(content)
    made = subprocess.run(["diff", "-u", "a/f.txt", "b/f.txt"], cwd=tmp_path, capture_output=True).stdout
    apply_patch(tmp_path / "a", parse_patch(made))
    assert (tmp_path / "a/f.txt").read_bytes() == (tmp_path / "b/f.txt").read_bytes()
