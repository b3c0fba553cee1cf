"""What can be measured from outside, in Prometheus' text form. Each metric is described in docs/operations.md."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from buildthrough.builders.pool_state import PoolState
    from buildthrough.builders.request import Build
    from buildthrough.builders.stages import Stages

CONTENT_TYPE = CONTENT_TYPE_LATEST
_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_WINDOW_SECONDS = 300.0
_STAGE = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
_SLOW = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600)


class Figures(Protocol):
    """What is known of the data folder."""

    @property
    def is_full(self) -> bool:
        """Whether upstream's files cannot be kept."""
        ...

    @property
    def free(self) -> int:
        """Free bytes of its disk."""
        ...

    def kept(self) -> Mapping[str, int]:
        """Return the bytes in it, by kind."""
        ...


class Lately:
    """The highest of some values in the last five to ten minutes, in constant memory; 0 where there was none."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._window = 0
        self._now = self._before = 0.0

    def note(self, value: float) -> None:
        """Take a value into account."""
        self._turn()
        self._now = max(self._now, value)

    def highest(self) -> float:
        """Return the highest value lately."""
        self._turn()
        return max(self._now, self._before)

    def _turn(self) -> None:
        window = int(self._clock() // _WINDOW_SECONDS)
        if window != self._window:
            self._before = self._now if window == self._window + 1 else 0.0
            self._now, self._window = 0.0, window


class Metrics:
    """One registry per server, so that several servers in one process do not share their figures."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "buildthrough_requests", "Requests answered.", ("route", "method", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "buildthrough_request_seconds",
            "Time to answer a request, downloads included.",
            ("route",),
            buckets=_FAST,
            registry=self.registry,
        )
        self._pages = Counter(
            "buildthrough_pages", "Project pages, by where they came from.", ("reason",), registry=self.registry
        )
        self._stale = Counter(
            "buildthrough_stale_pages", "Old pages served because upstream fails.", registry=self.registry
        )
        self._oldest = Lately()
        Gauge(
            "buildthrough_stale_page_oldest_seconds",
            "Age of the oldest page that was served in the last minutes because upstream fails.",
            registry=self.registry,
        ).set_function(self._oldest.highest)
        self._files = Counter(
            "buildthrough_files", "Upstream files, by where they came from.", ("reason",), registry=self.registry
        )
        self._upstream = Histogram(
            "buildthrough_upstream_seconds",
            "Time that upstream took to answer.",
            ("upstream", "kind", "outcome"),
            buckets=_FAST,
            registry=self.registry,
        )
        self._downloads = Counter(
            "buildthrough_sdist_downloads",
            "Downloads of files, by what followed for building.",
            ("verdict",),
            registry=self.registry,
        )
        self._builds = Counter(
            "buildthrough_builds", "Builds that changed their state.", ("state", "fault"), registry=self.registry
        )
        self._build_seconds = Histogram(
            "buildthrough_build_seconds",
            "Time that ended builds ran.",
            ("state",),
            buckets=_SLOW,
            registry=self.registry,
        )
        self._stage_seconds = Histogram(
            "buildthrough_build_stage_seconds",
            "Time that builds spent in a stage.",
            ("stage",),
            buckets=_STAGE,
            registry=self.registry,
        )
        self._queue = Gauge(
            "buildthrough_builds_now", "Builds that wait or run now.", ("state",), registry=self.registry
        )
        self._slots = Gauge("buildthrough_build_slots", "Builds that can run at once.", registry=self.registry)
        self._isolation = Gauge(
            "buildthrough_isolation",
            "1 for the level at which builds are isolated.",
            ("level",),
            registry=self.registry,
        )
        self._locked = Gauge(
            "buildthrough_pool_locked",
            "1 while faults of this machine keep builds from being started.",
            registry=self.registry,
        )
        self._away = Gauge(
            "buildthrough_builder_away",
            "1 while the builder on build.socket does not answer.",
            registry=self.registry,
        )
        self._draining = Gauge(
            "buildthrough_pool_draining", "1 while an operator lets no builds be started.", registry=self.registry
        )
        self._pool_memory = Gauge(
            "buildthrough_pool_memory_bytes", "Memory for all builds together.", ("share",), registry=self.registry
        )
        self._pool_cpus = Gauge(
            "buildthrough_pool_cpus", "Processors for all builds together.", ("share",), registry=self.registry
        )
        self.space: Figures | None = None
        """Where the figures of the data folder come from."""
        self._kept = Gauge("buildthrough_storage_bytes", "Bytes in the data folder.", ("kind",), registry=self.registry)
        self._free = Gauge("buildthrough_storage_free_bytes", "Free bytes of its disk.", registry=self.registry)
        self._full = Gauge(
            "buildthrough_storage_full", "1 while upstream's files cannot be kept.", registry=self.registry
        )
        self._evicted = Counter(
            "buildthrough_storage_evicted_files", "Files removed to make room.", ("kind",), registry=self.registry
        )
        self._evicted_bytes = Counter(
            "buildthrough_storage_evicted_bytes", "Bytes removed to make room.", ("kind",), registry=self.registry
        )
        self._damaged = Counter(
            "buildthrough_storage_damaged", "Damaged or missing bytes found.", ("kind",), registry=self.registry
        )
        # Finding a metric by its labels takes as long as a third of all that a cached page does here.
        self._answers: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._page_reasons: dict[str, Counter] = {}

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answer."""
        key = route, method, status
        found = self._answers.get(key)
        if found is None:
            found = self._requests.labels(route, method, status), self._seconds.labels(route)
            self._answers[key] = found
        found[0].inc()
        found[1].observe(seconds)

    def page(self, reason: str) -> None:
        """Count one look at a project page by its reason, as in docs/operations.md."""
        found = self._page_reasons.get(reason)
        if found is None:
            found = self._page_reasons[reason] = self._pages.labels(reason)
        found.inc()

    def stale(self, age: float) -> None:
        """Count an old page that is served because upstream fails, and note its age in seconds."""
        self._stale.inc()
        self._oldest.note(age)

    def file(self, reason: str) -> None:
        """Count what became of an upstream file, see `Downloads`."""
        self._files.labels(reason).inc()

    def upstream(self, name: str, kind: str, seconds: float, outcome: str) -> None:
        """Count one question to an upstream; the name is empty where there is one."""
        self._upstream.labels(name, kind, outcome).observe(seconds)

    def verdict(self, verdict: str) -> None:
        """Count one download of a file by what it meant for building."""
        self._downloads.labels(verdict).inc()

    def build(self, build: Build) -> None:
        """Count a build's change of state."""
        self._builds.labels(build.state.value, build.fault or "").inc()
        if build.started is not None and build.finished is not None:
            self._build_seconds.labels(build.state.value).observe((build.finished - build.started).total_seconds())

    def stages(self, stages: Stages) -> None:
        """Count how long each stage of a build took."""
        for stage, seconds in stages:
            self._stage_seconds.labels(stage).observe(seconds)

    def queue(self, *, queued: int, running: int, pool: PoolState) -> None:
        """Set what the queue and the pool hold now."""
        self._queue.labels("QUEUED").set(queued)
        self._queue.labels("RUNNING").set(running)
        self._slots.set(pool.slots)
        self._locked.set(pool.lock is not None)
        self._draining.set(pool.is_draining)
        self._away.set(pool.away is not None)
        for share, amount in (("total", pool.total), ("free", pool.free)):
            self._pool_memory.labels(share).set(amount.memory_bytes)
            self._pool_cpus.labels(share).set(amount.cpus)

    def isolation(self, level: str) -> None:
        """Set how builds are kept in here, see `buildthrough.builders.sandbox.Level`."""
        self._isolation.clear()
        self._isolation.labels(level).set(1)

    def evicted(self, kind: str, files: int, size: int) -> None:
        """Count files that were removed to make room."""
        self._evicted.labels(kind).inc(files)
        self._evicted_bytes.labels(kind).inc(size)

    def damaged(self, kind: str) -> None:
        """Count bytes that were found to be damaged or missing."""
        self._damaged.labels(kind).inc()

    def exposition(self) -> bytes:
        """Return all figures as Prometheus reads them."""
        if self.space is not None:
            for kind, size in self.space.kept().items():
                self._kept.labels(kind).set(size)
            self._free.set(self.space.free)
            self._full.set(self.space.is_full)
        return generate_latest(self.registry)
