"""Structured logs: a sentence and named values, as text for people or as one JSON object a line.

Only the wrapper `logger` is used in this package; a plain ``logging`` call with ``extra={"fields": {...}}`` means the
same, and the entries of libraries come out in the same form. Whoever logs never waits for standard error: entries go
through a bounded queue to a thread, and what does not fit is counted and said.
"""

from __future__ import annotations

import json
import logging
import queue
import sys
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["text", "json"]

ROOT = "buildthrough"
_QUEUE_ENTRIES = 10_000
_MAX_VALUE = 2_000
_MAX_TRACE = 20_000
_CLOSE_SECONDS = 2.0


class Log:
    """What a module logs with. The message is a constant sentence; what varies is a named value."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(f"{ROOT}.{name}")

    def debug(self, message: str, /, **fields: object) -> None:
        """Log what only a developer wants to know."""
        self._log(logging.DEBUG, message, fields)

    def info(self, message: str, /, **fields: object) -> None:
        """Log what went as it should."""
        self._log(logging.INFO, message, fields)

    def warning(self, message: str, /, **fields: object) -> None:
        """Log what an operator should look at when there is time."""
        self._log(logging.WARNING, message, fields)

    def error(self, message: str, /, **fields: object) -> None:
        """Log what failed."""
        self._log(logging.ERROR, message, fields)

    def exception(self, message: str, /, **fields: object) -> None:
        """Log what failed, with the exception that is being handled."""
        self._log(logging.ERROR, message, fields, with_exception=True)

    def _log(self, level: int, message: str, fields: Mapping[str, object], *, with_exception: bool = False) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(
                level, "%s", message, extra={"fields": dict(fields)}, exc_info=with_exception, stacklevel=3
            )


def logger(name: str) -> Log:
    """Return the log of a module."""
    return Log(name)


def escape(text: str, keep: str = "") -> str:
    r"""Write what is not printable (newlines, escape sequences, text direction) as ``\n``, ``\x1b``, ``\u202e``."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in keep else letter.encode("unicode_escape").decode()
        for letter in text
    )


class TextFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.000Z INFO web: a request failed path=/x status=503``, a traceback below, indented."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        values = "".join(f" {name}={_word(value)}" for name, value in _fields(record).items())
        name = record.name.removeprefix(f"{ROOT}.")
        line = f"{_moment(record)} {record.levelname} {name}: {escape(_cut(record.getMessage()))}{values}"
        trace = _trace(record)
        return line + "".join(f"\n    {escape(part)}" for part in trace.splitlines()) if trace else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time``, ``level``, ``logger``, ``message``, ``fields``, and perhaps ``traceback``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        entry: dict[str, object] = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _cut(record.getMessage()),
            "fields": {name: _plain(value) for name, value in _fields(record).items()},
        }
        trace = _trace(record)
        if trace:
            entry["traceback"] = trace
        return json.dumps(entry)


class Writer(logging.Handler):
    """Hands entries to a thread that writes them; drops and counts them while the thread is behind."""

    def __init__(self, stream: TextIO, formatter: logging.Formatter, entries: int = _QUEUE_ENTRIES) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._stream = stream
        self._queue: queue.Queue[str | None] = queue.Queue(entries)
        self._dropped = 0
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take an entry. It is formatted here, so that its values are those of this moment."""
        try:
            self._queue.put_nowait(self.format(record))
        except queue.Full:
            self._dropped += 1
        except Exception:  # noqa: BLE001 - a faulty entry must never end what was being logged; logging reports it
            self.handleError(record)

    def stop(self, seconds: float = _CLOSE_SECONDS) -> None:
        """Write what is left, for at most that long."""
        until = time.monotonic() + seconds
        try:
            self._queue.put(None, timeout=seconds)
        except queue.Full:
            return  # nobody reads standard error: the thread is a daemon and ends with the process
        self._thread.join(max(0.0, until - time.monotonic()))

    def close(self) -> None:
        """Write what is left; the standard library calls it when the process ends."""
        self.stop()
        super().close()

    def _write(self) -> None:
        while (line := self._queue.get()) is not None:
            dropped, self._dropped = self._dropped, 0
            try:
                if dropped:
                    self._stream.write(f"{dropped} log entries were dropped: standard error is read too slowly\n")
                self._stream.write(line + "\n")
                if self._queue.empty():
                    self._stream.flush()
            except (OSError, ValueError):
                continue  # standard error is closed: there is nowhere left to say so


class Logging:
    """The set-up of the process's logs, to be closed at its end."""

    def __init__(self, writer: Writer, previous: tuple[list[logging.Handler], int]) -> None:
        self._writer = writer
        self._previous = previous

    def close(self) -> None:
        """Write what is left, at most for two seconds, and put things back as they were."""
        root = logging.getLogger()
        logging.captureWarnings(capture=False)
        root.handlers[:], level = self._previous
        root.setLevel(level)
        self._writer.close()


def configure(level: Level, fmt: Format, stream: TextIO | None = None) -> Logging:
    """Send all logs of the process to standard error, or to the stream. Called once, by whoever starts the process."""
    formatter = JsonFormatter() if fmt == "json" else TextFormatter()
    root = logging.getLogger()
    writer = Writer(stream or sys.stderr, formatter)
    number = logging.getLevelNamesMapping()[level.upper()]
    opened = Logging(writer, (list(root.handlers), root.level))
    root.handlers[:] = [writer]
    root.setLevel(number)
    logging.captureWarnings(capture=True)
    return opened


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    fields = getattr(record, "fields", None)
    return fields if isinstance(fields, dict) else {}


def _moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}…"


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, bool | int | float) else _cut(str(value))


def _word(value: object) -> str:
    """Write a value so that it cannot be read as two."""
    text = _cut(str(value))
    if text and text.isprintable() and not set(text) & set(" \"'=\\"):
        return text
    return '"' + escape(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _trace(record: logging.LogRecord) -> str:
    if not record.exc_info or record.exc_info[0] is None:
        return ""
    trace = logging.Formatter().formatException(record.exc_info)
    return trace if len(trace) <= _MAX_TRACE else f"…{trace[-_MAX_TRACE:]}"
