"""Where this machine finds PyPI: asked of the real pip, with an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from buildthrough.config import pip
from buildthrough.config.pip import find_index
from buildthrough.config.schema import SettingsError

HOST, PORT = "127.0.0.1", 8018


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """Keep the configuration of the machine away from pip; PIP_CONFIG_FILE=/dev/null makes pip read no file at all."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "XDG_")) or name in {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


def built_in() -> str:
    code = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
    return subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_without_configuration_it_is_the_default_of_pip():
    found = find_index(host=HOST, port=PORT)
    assert (found.url, found.ca_file, found.source) == (built_in(), None, "pip's built-in default")


def test_the_environment_is_believed(monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:secret@mirror.example.org/simple/")
    monkeypatch.setenv("PIP_CERT", "/etc/mirror.pem")
    found = find_index(host=HOST, port=PORT)
    assert found.url == "https://me:secret@mirror.example.org/simple/"
    assert (found.ca_file, found.source) == ("/etc/mirror.pem", "environment variable PIP_INDEX_URL")
    assert "secret" not in repr(found)


@pytest.mark.parametrize("section", ["global", "install"])
def test_a_configuration_file_is_believed(tmp_path, monkeypatch, section):
    file = tmp_path / "pip.conf"
    file.write_text(f"[{section}]\nindex-url = http://mirror.example.org:3141/root/\ncert = /etc/mirror.pem\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    found = find_index(host=HOST, port=PORT)
    assert (found.url, found.ca_file) == ("http://mirror.example.org:3141/root/", "/etc/mirror.pem")
    assert found.source == "pip's configuration"


def test_the_users_own_configuration_is_believed(tmp_path, monkeypatch):
    monkeypatch.delenv("PIP_CONFIG_FILE")
    file = tmp_path / ".config" / "pip" / "pip.conf"
    file.parent.mkdir(parents=True)
    file.write_text("[global]\nindex-url = http://mirror.example.org/simple/\n")
    assert find_index(host=HOST, port=PORT).url == "http://mirror.example.org/simple/"


def test_who_made_us_the_index_of_pip_gets_no_loop(monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://localhost:8018/simple/")
    found = find_index(host="0.0.0.0", port=8018)
    assert found.url == built_in()
    assert found.source == "pip's built-in default, since environment variable PIP_INDEX_URL names this server"
    assert find_index(host="0.0.0.0", port=8019).url == "http://localhost:8018/simple/"


def test_the_certificates_that_requests_is_told_of_are_used(monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/company.pem")
    assert find_index(host=HOST, port=PORT).ca_file == "/etc/company.pem"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PIP_NO_INDEX", "1", "no-index"),
        ("PIP_INDEX_URL", "file:///srv/simple", "no web address"),
        ("PIP_INDEX_URL", "http://example.org:port/", "no web address"),
        ("PIP_NO_INDEX", "perhaps", "does not say"),
    ],
)
def test_what_is_no_answer_is_a_sentence_that_names_the_setting(monkeypatch, name, value, words):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=words) as caught:
        find_index(host=HOST, port=PORT)
    assert "upstream.url" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_pip_is_a_sentence(tmp_path, monkeypatch):
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')  # -S: no installed packages, so no pip
    bare.chmod(0o755)
    for executable in (bare, tmp_path / "absent"):
        monkeypatch.setattr(pip.sys, "executable", str(executable))
        with pytest.raises(SettingsError, match=r"upstream\.url"):
            find_index(host=HOST, port=PORT)


def test_a_file_called_pip_in_the_working_folder_is_not_run(tmp_path, monkeypatch):
    (tmp_path / "pip.py").write_text("raise SystemExit('taken')")
    (tmp_path / "json.py").write_text("raise SystemExit('taken')")
    monkeypatch.chdir(tmp_path)
    assert find_index(host=HOST, port=PORT).url == built_in()
