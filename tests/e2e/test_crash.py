"""Killed, stopped, started twice, started where it cannot write."""

from __future__ import annotations

import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.e2e.server import run_to_end, wait_for
from tests.fakes.faults import Fault, Gate
from tests.fakes.pypi import Stream
from tests.fakes.sdists import held_sdist, pure_sdist, slow_sdist

BIG = "big-1.0.tar.gz"


def stored(server):
    return sum(path.stat().st_size for path in server.data.rglob("*") if path.is_file() and path.stat().st_size > 2**20)


def test_killed_in_the_middle_of_a_download(pypi, servers):
    content = Stream(size=8 * 2**20 + 5, block=b"0123456789abcdef" * 1000)
    file = pypi.add("big", BIG, content)
    gate = Gate()
    pypi.fault("/packages/*", Fault(gate=gate, gate_at=4 * 2**20, times=1))
    server = servers().start()
    url = server.listed("big")[BIG]["url"]
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(server.ask, url)
        gate.wait_until_reached()
        server.kill()
        with pytest.raises((OSError, AssertionError), match=r"broke off|reset|refused|Remote end"):
            asked.result()
    gate.open()
    server.start()
    assert stored(server) == 0
    assert list((server.data / "files" / "v1" / "incoming").iterdir()) == []
    got = server.ask(server.listed("big")[BIG]["url"]).body
    assert len(got) == file.size
    assert pypi.count("/packages/*", "GET") == 2


def test_killed_in_the_middle_of_a_build(pypi, servers, pip_agent):
    pypi.add("slow", "slow-1.0.tar.gz", held_sdist("slow").data)
    server = servers().start()
    server.download("slow", "slow-1.0.tar.gz", user_agent=pip_agent)
    build = server.wait_for_build("slow", "RUNNING")
    server.kill()  # waits until nothing of it runs any more
    server.start()
    again = server.let_go("slow")
    assert again["id"] == build["id"]
    assert len(server.builds()) == 1


def test_stopped_in_the_middle_of_a_build(pypi, servers, pip_agent):
    pypi.add("slow", "slow-1.0.tar.gz", held_sdist("slow").data)
    server = servers().start()
    server.download("slow", "slow-1.0.tar.gz", user_agent=pip_agent)
    server.wait_for_build("slow", "RUNNING")
    server.stop()  # asserts that it is clean
    server.start()
    server.let_go("slow")


def test_stopped_in_the_middle_of_a_download(pypi, servers):
    file = pypi.add("big", BIG, Stream(size=3 * 2**20, block=b"ab" * 5000))
    gate = Gate()
    pypi.fault("/packages/*", Fault(gate=gate, gate_at=2**20, times=1))
    server = servers().start()
    url = server.listed("big")[BIG]["url"]
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(server.ask, url)
        gate.wait_until_reached()
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        gate.open()
        assert len(asked.result().body) == file.size
        stopping.join()
    assert server.process is None


def test_fifty_clients_at_once_are_one_download_and_one_build(pypi, server, pip_agent):
    pypi.add("slow", "slow-1.0.tar.gz", slow_sdist(1).data)
    url = server.listed("slow")["slow-1.0.tar.gz"]["url"]
    gate = Gate()
    pypi.fault("/packages/*", Fault(gate=gate, gate_at=100))
    with ThreadPoolExecutor(50) as pool:
        asked = [pool.submit(server.ask, url, User_Agent=pip_agent) for _ in range(50)]
        gate.wait_until_reached()
        gate.open()
        bodies = {answer.result().body for answer in asked}
    assert bodies == {slow_sdist(1).data}
    assert pypi.count("/packages/*", "GET") == 1
    server.wait_for_build("slow", "SUCCEEDED")
    assert len(server.builds()) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(body=b"wrong bytes"),
        Fault(short=7),
        Fault(short=7, length=False),
        Fault(cut_at=100),
    ],
    ids=["wrong", "short", "short-chunked", "cut"],
)
def test_bad_bytes_are_never_delivered_nor_kept(pypi, server, fault):
    data = pure_sdist("pure", "1.0").data
    pypi.add("pure", "pure-1.0.tar.gz", data)
    url = server.listed("pure")["pure-1.0.tar.gz"]["url"]
    pypi.fault("/packages/*", fault)
    try:
        answer = server.ask(url)
    except OSError:
        pass  # cut: the client sees that it has not got all
    else:
        assert answer.status >= 500
    pypi.heal()
    assert server.ask(url).body == data


def test_a_second_server_on_the_same_data_folder(servers):
    first = servers().start()
    second = servers()
    second.data = first.data
    done = run_to_end(second)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert str(first.data) in done.stderr
    assert first.ask("/health/live").status == 200
    second.data = second.folder / "data"


def test_a_file_in_place_of_the_data_folder(servers):
    server = servers()
    server.data.write_text("I am a file")
    done = run_to_end(server)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert str(server.data) in done.stderr


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root to become another user")
def test_a_data_folder_that_may_not_be_written(servers):
    import sys

    server = servers()
    server.data.mkdir(mode=0o555)
    command = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    probe = [*command, sys.executable, "-c", "import buildthrough.proxy"]
    import subprocess

    if subprocess.run(probe, capture_output=True).returncode != 0:
        pytest.skip("another user may not read this interpreter or source folder")
    done = run_to_end(server, prefix=command)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert str(server.data) in done.stderr


def test_nothing_is_left_by_a_server_that_did_nothing(servers):
    server = servers().start()
    wait_for(lambda: server.ask("/health/ready").status == 200, "ready server")
    server.stop()
    assert not (server.data / "server.json").exists()
