"""The data folder."""

import json
import os
import stat
from pathlib import Path

import pytest

from buildthrough.proxy.folder import DataFolder, StartError


def test_a_second_server_on_the_same_folder_is_told_so(tmp_path: Path):
    with (
        DataFolder(tmp_path).held(),
        pytest.raises(StartError, match="Another buildthrough server uses"),
        DataFolder(tmp_path).held(),
    ):
        pass
    with DataFolder(tmp_path).held():
        pass  # free again


def test_a_file_in_the_way_is_one_sentence(tmp_path: Path):
    blocked = tmp_path / "data"
    blocked.write_text("not a folder")
    with pytest.raises(StartError, match=r"cannot be written .*--data-dir"), DataFolder(blocked / "x").held():
        pass


def test_the_first_start_makes_a_token_that_only_its_owner_can_read(tmp_path: Path):
    folder = DataFolder(tmp_path)
    token = folder.token("")
    assert len(token) >= 32
    assert stat.S_IMODE(folder.token_file.stat().st_mode) == 0o600
    assert folder.token("") == token
    assert folder.token("configured") == "configured"


def test_an_empty_token_file_is_no_token(tmp_path: Path):
    folder = DataFolder(tmp_path)
    folder.token_file.write_text("\n")
    folder.token_file.chmod(0o644)
    assert len(folder.token("")) >= 32
    assert stat.S_IMODE(folder.token_file.stat().st_mode) == 0o600


def test_the_address_is_there_while_the_server_listens(tmp_path: Path):
    folder = DataFolder(tmp_path)
    with folder.announced("http://127.0.0.1:8018/"):
        assert json.loads(folder.address_file.read_text()) == {"url": "http://127.0.0.1:8018/", "pid": os.getpid()}
    assert not folder.address_file.exists()


def test_the_work_folder_can_be_entered_by_other_users_and_goes_at_the_end(tmp_path: Path):
    with DataFolder(tmp_path).work(str(tmp_path)) as work:
        assert stat.S_IMODE(work.stat().st_mode) == 0o755
        (work / "build-1").mkdir()
    assert not work.exists()


def test_what_a_killed_server_left_is_removed_by_the_next(tmp_path: Path):
    left = tmp_path / "buildthrough-left"
    left.mkdir()
    (left / "sdist").write_text("x")
    (tmp_path / "work").write_text(f"{left}\n")
    with DataFolder(tmp_path).work(str(tmp_path)):
        assert not left.exists()


def test_a_note_that_names_something_else_is_not_obeyed(tmp_path: Path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (tmp_path / "work").write_text(f"{precious}\n")
    with DataFolder(tmp_path).work(str(tmp_path)):
        assert precious.exists()


def test_a_work_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path):
    with pytest.raises(StartError, match=r"build\.work_dir"), DataFolder(tmp_path).work(str(tmp_path / "absent")):
        pass
