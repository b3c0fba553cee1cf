"""The inner side of the dialogue with the host: one JSON object a line, and the bytes of the wheel."""

from __future__ import annotations

import errno
import json
import os
import sys
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from buildthrough.builders.inside.room import class_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

LONGEST_LINE = 300
"""Characters of a fault's telling line."""
_PIECE = 1 << 20
_LONGEST_MESSAGE = 200_000
"""Characters; the host takes no longer ones."""
_MACHINES = frozenset({
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE,
})  # fmt: skip
"""Errors that tell of the machine, not of the bytes that are read."""


class Fault(Exception):
    """The package is at fault; ``kind`` is one that `buildthrough.builders.messages` knows."""

    def __init__(self, kind: str, line: str) -> None:
        super().__init__(line)
        self.kind = kind
        self.line = line[:LONGEST_LINE]


class Refused(Exception):
    """The host does not want to go on; it knows why."""


@contextmanager
def blamed_on(kind: str, what: str) -> Iterator[None]:
    """Turn whatever is raised while a stranger's bytes are read into a `Fault` of this kind.

    What malformed bytes raise in the libraries is written down nowhere. It would count as our own failure otherwise,
    to be tried again. Errors of the machine pass.
    """
    try:
        yield
    except (Fault, Refused, MemoryError):
        raise
    except OSError as problem:
        if problem.errno in _MACHINES:
            raise
        raise Fault(kind, f"{what}: {problem}") from problem
    except Exception as problem:
        raise Fault(kind, f"{what}: {type(problem).__name__}: {problem}") from problem


class HostLine:
    """The two pipes to the host."""

    def __init__(self, answers: int, messages: int) -> None:
        """Take over the file descriptors; no child process inherits them."""
        os.set_inheritable(answers, False)  # noqa: FBT003 # the system's signature
        os.set_inheritable(messages, False)  # noqa: FBT003 # the system's signature
        self._answers = os.fdopen(answers, encoding="utf-8")
        self._messages = os.fdopen(messages, "wb")
        self.stage = "unpack"

    def enter(self, stage: str, sentence: str) -> None:
        """Tell the host and the log what begins now."""
        self.stage = stage
        print(f"==> {stage}: {sentence}", flush=True)
        self._say({"t": "stage", "stage": stage})

    def ask_for(self, requirements: Sequence[str]) -> None:
        """Ask for the wheels of these requirements. Raise `Refused` where the host has none."""
        if sum(len(str(each)) + 10 for each in requirements) > _LONGEST_MESSAGE:
            raise Fault("requires.refused", f"{len(requirements)} build requirements that are absurdly long together")
        self._say({"t": "requires", "list": list(requirements)})
        answer = json.loads(self._answers.readline() or "{}")
        if answer.get("ok") is not True:
            raise Refused

    def tell(self, **facts: object) -> None:
        """Tell the host what belongs into the record of the wheel, see `buildthrough.builders.messages.Told`."""
        self._say({"t": "told", **facts})

    def say(self, kind: str, **fields: object) -> None:
        """Send a message of a kind that has no verb of its own here."""
        self._say({"t": kind, **fields})

    def fault(self, kind: str, line: str) -> None:
        """Tell why there will be no wheel."""
        self._say({"t": "fault", "kind": kind, "stage": self.stage, "line": line[:LONGEST_LINE]})

    @contextmanager
    def told_of_faults(self) -> Iterator[None]:
        """Tell the host of whatever is raised inside, and end the process with exit code 1 then."""
        try:
            yield
        except Fault as fault:
            self.fault(fault.kind, fault.line)
        except Refused:
            print("==> the host ends the build", flush=True)
        except MemoryError:
            self.fault("limit.memory", "there is not enough memory to read it")
        except OSError as problem:
            traceback.print_exc()
            self.fault(class_of(problem.errno) or "driver", f"{problem.strerror}: {problem.filename}")
        except Exception as problem:  # noqa: BLE001 # told to the host, which blames itself for it
            traceback.print_exc()
            self.fault("driver", f"{type(problem).__name__}: {problem}")
        else:
            return
        sys.exit(1)

    def hand_out(self, name: str, file: BinaryIO) -> None:
        """Send the wheel: its name and size, then its bytes."""
        size = os.fstat(file.fileno()).st_size
        self._say({"t": "wheel", "name": name, "size": size})
        left = size
        while left:
            piece = file.read(min(left, _PIECE))
            if not piece:
                raise Fault("output.unsafe", "the wheel became shorter while it was read")
            self._messages.write(piece)
            left -= len(piece)
        self._messages.flush()

    def _say(self, message: dict[str, Any]) -> None:
        self._messages.write(json.dumps(message).encode() + b"\n")
        self._messages.flush()
