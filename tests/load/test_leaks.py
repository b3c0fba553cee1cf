"""Clients that vanish, a thousand of them, and a server without descriptors: it ends with what it began with."""

from __future__ import annotations

import random
import resource
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from tests.e2e.server import Server
from tests.fakes.faults import Fault
from tests.fakes.pypi import Stream
from tests.fakes.waiting import wait_until
from tests.load.process import descriptors, settled, traceback_in

pytestmark = [pytest.mark.load, pytest.mark.alone]

CLIENTS = 1000
RESET = struct.pack("ii", 1, 0)


@pytest.fixture
def server(pypi):
    for name, size in (("small", 3_000), ("large", 12_000_000), ("coming", 12_000_000)):
        pypi.add(name, f"{name}-1.0.zip", Stream(size=size, block=random.Random(name).randbytes(9_973)))
    running = Server(pypi.simple, environment={"BUILDTHROUGH_BUILD__ENABLED": "false"})
    try:
        yield running.start()
        running.stop()
    finally:
        running.close()


def connected(server):
    parts = urlsplit(server.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=60)


def request(path):
    return f"GET {path} HTTP/1.1\r\nHost: example.org\r\n\r\n".encode()


def vanish(server, paths, seed):
    """Send some of a request, take some of the answer, and go, with or without a word."""
    dice = random.Random(seed)
    whole = request(dice.choice(paths))
    with connected(server) as client:
        client.sendall(whole[: dice.choice((0, dice.randrange(len(whole)), len(whole), len(whole)))])
        client.settimeout(dice.choice((0.001, 0.05)))
        try:
            for _ in range(dice.randrange(4)):
                client.recv(100_000)
        except TimeoutError:
            pass
        if dice.random() < 0.5:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def test_a_thousand_clients_that_vanish(pypi, server):
    file = pypi.file("coming-1.0.zip")
    paths = ["/simple/small/", "/simple/", "/health/live", "/nowhere", f"/files/coming/{file.path}"]
    for name in ("small", "large"):
        path = f"/files/{name}/{pypi.file(f'{name}-1.0.zip').path}"
        assert server.ask(path).status == 200
        paths.append(path)
    before = settled(server.process.pid, 0, 3)
    pypi.fault(f"/{file.path}", Fault(dribble=(100_000, 0.01)))  # arrives for a second or more, while they come and go
    with ThreadPoolExecutor(50) as pool:
        list(pool.map(lambda seed: vanish(server, paths, seed), range(CLIENTS)))
    pypi.heal()
    assert len(server.ask(f"/files/coming/{file.path}").body) == file.size
    after = settled(server.process.pid, len(before) + 1)  # the one is upstream's connection, kept for a while
    assert len(after) <= len(before) + 1, sorted(set(after) - set(before))
    assert (trace := traceback_in(server)) == "", trace


def test_stampedes_of_which_all_leave(pypi, server):
    server.ask("/simple/small/")
    before = settled(server.process.pid, 0, 3)
    for number in range(5):
        name = f"gone-{number}"
        file = pypi.add(name, f"{name}-1.0.zip", Stream(size=3_000_000, block=random.Random(name).randbytes(9_973)))
        pypi.fault(f"/simple/{name}/", Fault(delay=0.3))
        clients = [connected(server) for _ in range(100)]
        for client in clients:
            client.sendall(request(f"/files/{name}/{file.path}"))
        time.sleep(0.1 * number)
        for client in clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            client.close()
        assert len(server.ask(f"/files/{name}/{file.path}").body) == file.size
        assert pypi.count(f"/{file.path}", "GET") == 1
    after = settled(server.process.pid, len(before) + 1)
    assert len(after) <= len(before) + 1, sorted(set(after) - set(before))


def test_a_server_without_descriptors_recovers(pypi, server):
    """Nobody gets wrong bytes, and what is asked once there are descriptors again is answered."""
    pid = server.process.pid
    path = f"/files/large/{pypi.file('large-1.0.zip').path}"
    wanted = server.ask(path).body
    before = settled(pid, 0, 3)
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(descriptors(pid)) + 12, limits[1]))
    idle = [connected(server) for _ in range(30)]  # the kernel takes them, the server cannot
    wait_until(lambda: "nothing left to take a connection with" in server.log.read_text())
    for client in idle[:6]:  # those whom it took
        client.sendall(request(path))
    for name in ("small", "coming"):
        idle[6].sendall(request(f"/files/{name}/{pypi.file(f'{name}-1.0.zip').path}"))
    time.sleep(1)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    for client in idle:
        client.close()
    assert server.ask(path).body == wanted
    assert server.ask(f"/files/coming/{pypi.file('coming-1.0.zip').path}").status == 200
    after = settled(pid, len(before) + 2)
    assert len(after) <= len(before) + 2, after
    log = server.log.read_text()
    assert (trace := traceback_in(server)) == "", trace
    assert log.count("nothing left to take a connection with") == 1
