"""A child process on a port of its own: started, waited for by asking, measured, ended by its number."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from bench.asking import ask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

READY_SECONDS = 60
TICKS = os.sysconf("SC_CLK_TCK")


class Broken(Exception):
    """What a peer did that keeps it from being measured."""


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**more: str) -> dict[str, str]:
    """Return this environment without anything that sends Python clients through a proxy, and with some more."""
    kept = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    return {**kept, "PYTHONUNBUFFERED": "1", **more}


@dataclass(slots=True)
class Child:
    """A process and whatever it started."""

    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(cls, command: Sequence[str | Path], folder: Path, env: Mapping[str, str] | None = None) -> Self:
        """Start it in a folder and a session of its own, with a log there."""
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "log"
        with log.open("ab") as out:
            process = subprocess.Popen(
                [str(part) for part in command], cwd=folder, env=env or environment(), stdin=subprocess.DEVNULL,
                stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        return cls(process, log)

    def ready(self, url: str, seconds: float = READY_SECONDS) -> float:
        """Return the seconds until the URL is answered, with whatever status below 500. Raise `Broken` if it is not."""
        began = time.perf_counter()
        while (waited := time.perf_counter() - began) < seconds:
            if self.process.poll() is not None:
                raise Broken(f"ended with {self.process.returncode} at its start: {self.tail()}")
            with contextlib.suppress(OSError):
                if ask(url, timeout=seconds).status < 500:
                    return time.perf_counter() - began
            time.sleep(0.005)
        raise Broken(f"does not answer {url} after {waited:.0f} s: {self.tail()}")

    def tail(self) -> str:
        """Return the end of the log in one line."""
        return " ".join(self.log.read_text(errors="replace").split())[-400:]

    def family(self) -> list[int]:
        """Return the process and all below it."""
        below: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and (fields := _stat(int(entry.name))):
                below.setdefault(int(fields[1]), []).append(int(entry.name))
        found, todo = [], [self.process.pid]
        while todo:
            found.append(pid := todo.pop())
            todo.extend(below.get(pid, []))
        return found

    def resident(self) -> float:
        """Return megabytes (10^6) of resident memory, the sum over all processes of the family."""
        total = 0
        for pid in self.family():
            with contextlib.suppress(OSError, StopIteration):
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                total += int(next(line for line in lines if line.startswith("VmRSS:")).split()[1])
        return total * 1024 / 1e6

    def seconds_of_cpu(self) -> float:
        """Return the processor time that the family has used."""
        stats = [fields for pid in self.family() if (fields := _stat(pid))]
        return sum(int(fields[11]) + int(fields[12]) for fields in stats) / TICKS

    def stop(self) -> None:
        """End it and all below it."""
        family = self.family()
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
        for pid in family[1:]:
            with contextlib.suppress(ProcessLookupError):
                if _stat(pid) and os.getsid(pid) == self.process.pid:  # still the one that was started here
                    os.kill(pid, signal.SIGKILL)


def _stat(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
