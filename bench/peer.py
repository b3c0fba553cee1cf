"""What every peer can do: be installed, start before an upstream, say where its pages are, stop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from bench.process import Broken, Child

if TYPE_CHECKING:
    from types import TracebackType

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache" / "bench"
"""Where peers are installed and work; ignored by git."""


class Peer(ABC):
    """One of those side by side. Started in a folder of its own, which is emptied by whoever calls."""

    name: ClassVar[str]
    path: ClassVar[str] = "/simple/"
    """Where its index is."""
    alive: ClassVar[str] = "/"
    """What answers as soon as it serves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.child: Child | None = None
        self.started = 0.0
        """Seconds from its start until it answered."""

    @classmethod
    @abstractmethod
    def install(cls) -> None:
        """Install what is not there yet. Raise `Broken`."""

    @classmethod
    @abstractmethod
    def version(cls) -> str:
        """Return the version that is installed."""

    @abstractmethod
    def launch(self, upstream: str) -> Child:
        """Start the process on a port of its own, set `url`."""

    def prepare(self, upstream: str) -> None:  # noqa: B027 - most have nothing to do
        """Do what an operator does once, before the start."""

    def settle(self, upstream: str) -> None:  # noqa: B027 - most have nothing to do
        """Do what an operator does once, after the start."""

    def start(self, upstream: str) -> Self:
        """Start before an upstream (its address without a path), and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.prepare(upstream)
        self.restart(upstream)
        self.settle(upstream)
        return self

    def restart(self, upstream: str) -> None:
        """Start again on what the folder holds."""
        self.child = self.launch(upstream)
        self.started = self.child.ready(self.url + self.alive)

    @property
    def process(self) -> Child:
        """The process, while it runs. Raise `Broken` once it has ended."""
        if self.child is None or self.child.process.poll() is not None:
            raise Broken("has ended: " + (self.child.tail() if self.child else ""))
        return self.child

    @property
    def index(self) -> str:
        """The index URL to hand to a client."""
        return self.url + self.path

    def page(self, project: str) -> str:
        """Return the URL of a project page."""
        return f"{self.index}{project}/"

    def stop(self) -> None:
        """End it."""
        if self.child is not None:
            self.child.stop()
            self.child = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
