"""The clock, the log and the watchdog of a command."""

from __future__ import annotations

import asyncio
import os
import subprocess

import pytest

from buildthrough.builders.clock import Clock
from buildthrough.builders.isolation import what_to_do
from buildthrough.builders.log import FLOOD, Log
from buildthrough.builders.sandbox import Limits
from buildthrough.builders.watchdog import Use, Watchdog


class Time:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_the_clock_counts_the_commands_time_only():
    time = Time()
    clock = Clock(time)
    time.now += 30
    assert clock.elapsed == 0, "the sandbox is being set up"
    clock.begin()
    time.now += 3
    clock.stop()
    time.now += 50
    assert (clock.elapsed, clock.quiet) == (3, 3)
    with clock.commands_turn():
        time.now += 2
        clock.hear()
        time.now += 1
    time.now += 50
    assert (clock.elapsed, clock.quiet) == (6, 1)
    clock.start()
    clock.start()
    time.now += 4
    assert (clock.elapsed, clock.quiet) == (10, 5)


def test_a_command_that_begins_while_the_host_is_busy_waits_for_it_before_it_counts():
    time = Time()
    clock = Clock(time)
    with clock.commands_turn():
        time.now += 1
    clock.begin()
    time.now += 2
    assert clock.elapsed == 0
    clock.start()
    time.now += 4
    assert clock.elapsed == 4


async def test_the_clock_tells_time_from_silence():
    for limits, end in (
        (Limits(wall_seconds=0.05, silence_seconds=9), "time"),
        (Limits(wall_seconds=9, silence_seconds=0.05), "silence"),
    ):
        clock = Clock()
        clock.begin()
        assert await clock.overrun(limits) == end


@pytest.mark.parametrize("piece", [1, 3, 7, 1000])
def test_the_log_keeps_head_and_tail(piece):
    printed = bytes(range(256)) * 4
    log = Log(100, lambda: None)
    for start in range(0, len(printed), piece):
        log.data_received(printed[start : start + piece])
    assert log.text() == printed[:100] + b"\n[... 824 bytes left out ...]\n" + printed[-100:]


def test_a_short_log_is_whole():
    log = Log(100, lambda: None)
    log.data_received(b"x" * 150)
    log.data_received(b"y" * 50)
    assert log.text() == b"x" * 150 + b"y" * 50


async def test_a_flood_is_noticed():
    heard = []
    log = Log(10, lambda: heard.append(1))
    log.data_received(b"x" * 10 * FLOOD)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(log.overrun(), 0.01)
    log.data_received(b"x")
    assert await asyncio.wait_for(log.overrun(), 60) == "log"
    assert len(heard) == 2


def test_the_watchdog_adds_up_a_tree():
    inner = "held = b'x' * (30 << 20); print('up', flush=True); input()"
    script = f"held = b'x' * (30 << 20); import subprocess, sys; subprocess.call([sys.executable, '-c', {inner!r}])"
    with subprocess.Popen(["python3", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        measured = Watchdog(_none, Limits()).measure(process.pid)
        process.communicate(b"\n")
    assert 60 << 20 < measured.memory_bytes < 120 << 20
    assert measured.tasks == 2
    assert 0.01 <= measured.cpu_seconds < 5
    assert Watchdog(_none, Limits()).measure(process.pid) == Use()


async def test_the_watchdog_has_nothing_to_watch_without_a_tree():
    assert await Watchdog(_none, Limits()).overrun() is None


@pytest.mark.parametrize("limit", [{"memory_bytes": 1 << 20}, {"cpu_seconds": 0}], ids=["memory", "cpu"])
async def test_the_watchdog_strikes(limit, request):
    async def own():
        return os.getpid()

    watchdog = Watchdog(own, Limits(**limit))
    assert await asyncio.wait_for(watchdog.overrun(), 60) == request.node.callspec.id
    assert watchdog.peak_bytes > 1 << 20
    assert watchdog.peak_tasks >= 1
    assert watchdog.cpu_seconds > 0


def test_the_watchdog_counts_files_in_the_commands_own_file_systems():
    """Before the sandbox has turned its back on this machine's, it sees these: they count for nothing."""
    watchdog = Watchdog(_none, Limits(inodes=3), folders=("/dev/shm",))
    script = "echo >/dev/shm/1; echo >/dev/shm/2; echo >/dev/shm/3; echo $$; read held"
    argv = ("bwrap", "--dev-bind", "/", "/", "--tmpfs", "/dev/shm", "sh", "-c", script)
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        inside = int(process.stdout.readline())
        assert 3 < watchdog.inodes(inside) < 10
        assert watchdog.look(inside) == "inodes"
        process.communicate(b"\n")
    assert watchdog.inodes(os.getpid()) == 0


async def _none():
    return None


@pytest.mark.parametrize(
    ("path", "content", "advice"),
    [
        ("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n", "apparmor_restrict_unprivileged_userns=0"),
        ("proc/sys/kernel/unprivileged_userns_clone", "0\n", "unprivileged_userns_clone=1"),
        ("proc/sys/user/max_user_namespaces", "0\n", "max_user_namespaces=10000"),
        (".dockerenv", "", "docker run --security-opt"),
        ("proc/self/status", "Name:\tpython\nSeccomp:\t2\nSeccomp_filters:\t1\n", "docker run --security-opt"),
    ],
)
def test_what_refuses_namespaces_is_named(tmp_path, path, content, advice):
    assert what_to_do(tmp_path) == ()
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(content)
    (hint,) = what_to_do(tmp_path)
    assert advice in hint


def test_time_without_a_processor_is_forgiven_up_to_a_bound():
    time = Time()
    clock = Clock(time)
    clock.begin()
    limits = Limits(wall_seconds=10)
    time.now += 8
    clock.forgive(5, limits)
    assert (clock.elapsed, clock.quiet) == (3, 3)
    clock.stop()
    clock.forgive(2, limits)  # it is the host's turn: nothing is counted that could be forgiven
    assert clock.elapsed == 3
    clock.start()
    time.now += 40
    clock.forgive(35, limits)
    assert clock.elapsed == 8
    time.now += 5
    clock.forgive(5, limits)
    assert clock.elapsed == 13, "four times the limit is forgiven, no more"


async def test_a_process_that_waits_is_not_starved_and_one_that_spins_is_ready():
    spin = ["sh", "-c", "while :; do :; done"]
    with subprocess.Popen(["sleep", "60"]) as sleeping, subprocess.Popen(spin) as spinning:
        try:
            watchdog = Watchdog(lambda: asyncio.sleep(0), Limits())
            async with asyncio.timeout(20):
                while watchdog.is_ready(sleeping.pid):  # it has to start before it can wait
                    await asyncio.sleep(0.01)
                while not watchdog.is_ready(spinning.pid):
                    await asyncio.sleep(0.01)
        finally:
            sleeping.kill()
            spinning.kill()
    assert not watchdog.is_ready(spinning.pid)
