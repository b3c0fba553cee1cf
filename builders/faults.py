"""Why a build ended without a wheel: four families that are treated differently.

BuildEnded
├── PackageFault          the package's: recorded, remembered for a while
├── InfrastructureFault   ours: retried with back-off, never held against the package
│   └── SlotFault         the slot is not safe any longer: nothing else is built in it
├── Cancelled             nobody's: there is no longer anything to build
└── NeedsBuild            put off: a build requirement has to be built first
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from buildthrough.builders.build_log import plain_line

if TYPE_CHECKING:
    from pathlib import Path

Stage = Literal[
    "fetch", "unpack", "plan", "requires", "install", "metadata", "build", "collect", "repair", "check", "publish"
]
"""Where in a build something happened, in this order."""


class BuildEnded(Exception):
    """Base of all that ends a build without a wheel."""


class PackageFault(BuildEnded):
    """The package cannot be built here: asking again gives the same answer."""

    def __init__(self, stage: Stage, kind: str, line: str) -> None:
        self.line = plain_line(line)
        """The first telling line, one line of plain text of at most 500 characters, whatever was given."""
        super().__init__(f"{stage}: {kind}: {self.line}")
        self.stage: Stage = stage
        self.kind = kind
        """Dotted class such as ``syslib.header``, ``limit.time``, ``output.bad-record``."""
        self.wheel: Path | None = None
        """What was built all the same, in the build's own folder."""


class InfrastructureFault(BuildEnded):
    """We failed: no worker, no disk, no upstream. The package is not to blame."""

    def __init__(self, kind: str, line: str) -> None:
        self.line = plain_line(line)
        super().__init__(f"{kind}: {self.line}")
        self.kind = kind
        """Dotted class that begins with ``infra.``."""


class SlotFault(InfrastructureFault):
    """Something of a build may still be alive: its slot takes no other build until the server starts again."""


class Cancelled(BuildEnded):
    """Nothing to build any more: the sdist is yanked or gone, upstream has a wheel, or an operator said so."""

    def __init__(self, kind: str, line: str) -> None:
        super().__init__(f"{kind}: {line}")
        self.kind = kind
        """``cancelled.yanked``, ``.removed``, ``.superseded``, ``.denied``, ``.purged`` or ``.operator``."""
        self.line = line

    @property
    def is_upstreams(self) -> bool:
        """Whether upstream changed: what needs this wheel to be built may find another one there."""
        return self.kind in {"cancelled.yanked", "cancelled.removed", "cancelled.superseded"}


class NeedsBuild(BuildEnded):
    """A build requirement has no wheel: the build waits until that wheel is built, then starts again."""

    def __init__(self, project: str, version: str) -> None:
        super().__init__(f"the build requirement {project}=={version} has no wheel")
        self.project = project
        self.version = version
