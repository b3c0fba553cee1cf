"""Killed at random moments under load, over and over: what is kept is right, what is listed is served.

``LOAD_KILLS`` (10) says how often, ``LOAD_SEED`` repeats a run. Between two servers the data folder is read as it lies;
each new server is asked for everything that it lists before the load begins again.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from contextlib import closing, suppress

import pytest
from tests.e2e.server import JSON, Server, wait_for
from tests.fakes.pypi import Stream
from tests.fakes.sdists import pure_sdist
from tests.load.process import traceback_in

ROUNDS = int(os.environ.get("LOAD_KILLS", "10"))
SEED = int(os.environ.get("LOAD_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)
THREADS = 12
PROJECTS = 30
BUILT = 12
BROKEN = 3

pytestmark = [pytest.mark.load, pytest.mark.alone, pytest.mark.timeout(120 + ROUNDS * 30)]


def fill(pypi, dice):
    for number in range(PROJECTS):
        for minor in range(4):
            name = f"plain_{number}-1.{minor}-py3-none-any.whl"
            size = dice.choice((1, 5_000, 300_000, 4_000_000))
            pypi.add(f"plain-{number}", name, Stream(size=size, block=dice.randbytes(20_011)))
    for number in range(BUILT):
        sdist = pure_sdist(f"made{number}", "1.0")
        pypi.add(f"made{number}", sdist.filename, sdist.data)
    for number in range(BROKEN):
        pypi.add(f"broken{number}", f"broken{number}-1.0.tar.gz", Stream(size=50_000, block=dice.randbytes(20_011)))


class Load:
    """Threads that ask for anything; they mind no broken connection, only wrong bytes."""

    def __init__(self, server, pypi, agent, dice, *, pause):
        self.server, self.pypi, self.agent, self.pause = server, pypi, agent, pause
        self.url = server.url  # asked while it runs: a thread may come to run first when it is killed already
        self.seeds = [dice.random() for _ in range(THREADS)]
        self.wrong = []
        self.done = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(seed,), daemon=True) for seed in self.seeds]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        self._stop.set()
        for thread in self._threads:
            thread.join(90)

    def _run(self, seed):
        dice = random.Random(seed)
        while not self._stop.is_set():
            project = dice.choice(tuple(self.pypi.projects))
            try:
                self._one(project, dice)
                self.done += 1
                time.sleep(dice.uniform(0, self.pause))
            except (OSError, http.client.HTTPException):
                time.sleep(0.01)
            except AssertionError as fault:
                if "broke off" not in str(fault):
                    self.wrong.append(f"{project}: {fault}")
            except Exception:  # noqa: BLE001 - it would end this thread alone
                self.wrong.append(f"{project}: {traceback.format_exc()}")

    def _one(self, project, dice):
        url = self.url
        files = self.pypi.projects[project].files
        choice = dice.random()
        yanks = 0.01 if project.startswith("made") else 0.08
        if choice < yanks:
            name = dice.choice(tuple(files))
            if files[name].yanked:
                self.pypi.unyank(name)
            else:
                self.pypi.yank(name, f"reason {dice.random()}")  # another page to store
            return
        if choice < yanks + 0.02:
            body = {"project": f"made{dice.randrange(BUILT)}", "allow_rebuild": True}
            answer = self.server.ask(
                f"{url}/api/v1/purge", method="POST", body=body, timeout=60, Authorization=f"Bearer {self.server.token}"
            )
            assert answer.status in {200, 404, 409}, answer
            return
        if choice < 0.4:
            answer = self.server.ask(f"{url}/simple/{project}/", timeout=60, Accept=JSON)
            assert answer.status == 200, answer
            names = {file["filename"] for file in answer.json["files"]}
            assert names >= set(files), names
            return
        file = files[dice.choice(tuple(files))]
        answer = self.server.ask(f"{url}/files/{project}/{file.path}", timeout=60, User_Agent=self.agent)
        assert answer.status == 200, answer
        assert hashlib.sha256(answer.body).hexdigest() == file.sha256


def look_at_what_lies_there(data, copy):
    """Compare each kept file with its name, and check the catalog, while no server runs. Return how many files."""
    count = 0
    for store in ("files", "built", "logs"):
        for path in (data / store / "v1").glob("??/??/*"):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
            count += 1
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for path in data.glob("catalog.sqlite3*"):
        shutil.copy(path, copy)
    with closing(sqlite3.connect(copy / "catalog.sqlite3")) as catalog:
        assert catalog.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return count


def older(folder, began):
    """Return the files from before; what a build puts there meanwhile may go again while one looks."""
    found = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            found += [path] if path.stat().st_mtime < began else []
    return found


def ask_for_everything(server, pypi, began):
    """Ask a new server for all that it lists. Return how many built wheels there were."""
    for store in ("files", "built", "logs"):
        assert older(server.data / store / "v1" / "incoming", began) == []
    wheels = 0
    for project in pypi.projects.values():
        listed = server.listed(project.name)
        assert set(listed) >= set(project.files)
        for name, entry in listed.items():
            if name in project.files:
                assert entry["hashes"]["sha256"] == project.files[name].sha256
                continue
            answer = server.ask(entry["url"])
            if answer.status == 404 and name not in server.listed(project.name):
                continue  # a build that went on replaced it just now
            assert hashlib.sha256(answer.body).hexdigest() == entry["hashes"]["sha256"]
            metadata = server.ask(entry["url"] + ".metadata")
            if metadata.status == 404 and name not in server.listed(project.name):
                continue
            assert hashlib.sha256(metadata.body).hexdigest() == entry["core-metadata"]["sha256"]
            wheels += 1
    return wheels


def published(server):
    return max((build["id"] for build in server.builds() if build["state"] == "SUCCEEDED"), default=0)


def live(server, pypi, agent, dice, *, building):
    """Let a server live for a random while under load, as a builder past the next wheel, and kill it under way."""
    before = published(server)
    with Load(server, pypi, agent, dice, pause=0.2 if building else 0) as load:
        if building:
            wait_for(lambda: published(server) > before, "wheel that is published")
        time.sleep(dice.uniform(0.1, 1.5))
        server.kill()
    return load


def test_killed_at_random_moments(pypi, pip_agent, tmp_path):
    print(f"\nLOAD_SEED={SEED}")
    dice = random.Random(SEED)
    fill(pypi, dice)
    server = Server(pypi.simple, environment={"BUILDTHROUGH_UPSTREAM__PATIENCE_SECONDS": "100"})
    done = kept = wheels = 0
    try:
        for number in range(ROUNDS):
            began = time.time()
            server.start()
            wheels = max(wheels, ask_for_everything(server, pypi, began))
            load = live(server, pypi, pip_agent, dice, building=number % 3 == 1)
            assert (trace := traceback_in(server)) == "", f"LOAD_SEED={SEED}\n{trace}"
            assert load.wrong == [], f"LOAD_SEED={SEED}"
            done += load.done
            kept = look_at_what_lies_there(server.data, tmp_path / "copy")
        began = time.time()
        server.start()
        ask_for_everything(server, pypi, began)
        assert (trace := traceback_in(server)) == "", trace
        server.stop()
        command = [sys.executable, "-m", "buildthrough.proxy", "verify", "--data-dir", str(server.data)]
        verified = subprocess.run(command, env=server.environment, capture_output=True, text=True, timeout=120)
        assert verified.returncode == 0, verified.stdout + verified.stderr
        print(f"{ROUNDS} kills, {done} answers, {kept} files kept at the last, up to {wheels} built wheels listed")
    finally:
        server.close()
