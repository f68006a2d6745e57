"""Logs: structlog, as JSON or for a console, written by a thread of its own.

A line is put into a bounded queue and written elsewhere, so that a full pipe stops no traffic;
where the queue is full the line is dropped and counted. What other libraries log goes the same
way, without their arguments and without the text of exceptions: both can quote a request.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import sys
import threading
from typing import Any, Final, Literal, TextIO

import msgspec
import structlog
from structlog.typing import FilteringBoundLogger, Processor

_QUEUE_LINES: Final = 10_000

Format = Literal["auto", "json", "console"]


class Writer:
    """Writes lines to a stream in a thread.

    Attributes:
        dropped: lines lost because the stream was too slow.
    """

    def __init__(self, stream: TextIO, lines: int = _QUEUE_LINES) -> None:
        self._stream = stream
        self._queue: queue.Queue[str | None] = queue.Queue(lines)
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self.dropped = 0
        self._thread.start()

    def msg(self, line: str) -> None:
        """Take one line, without waiting."""
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            self.dropped += 1

    # structlog calls the method that is named like the level.
    debug = info = warning = error = critical = msg

    def close(self, timeout: float = 2.0) -> None:
        """Write what is queued and end the thread; a stream that is stuck is given up."""
        try:
            self._queue.put(None, timeout=timeout)
        except queue.Full:
            return
        self._thread.join(timeout)

    def _run(self) -> None:
        while (line := self._queue.get()) is not None:
            try:
                self._stream.write(line + "\n")
                if self._queue.empty():
                    self._stream.flush()
            except (OSError, ValueError):
                self.dropped += 1
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


class _Bridge(logging.Handler):
    """Takes over what libraries log: the fixed part of the message and the type of the error."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, without its arguments and without the text of its exception."""
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        text = record.msg if isinstance(record.msg, str) and record.args else "library message"
        # structlog knows the five standard levels only; libraries may define others in between.
        level = min(record.levelno // 10 * 10, logging.CRITICAL)
        self._log.log(level, text.split("\n", 1)[0], logger=record.name, exception=kind)


def build(writer: Writer, level: str, form: Format, *, is_terminal: bool) -> FilteringBoundLogger:
    """Return a logger.

    Args:
        writer: where lines go.
        level: `debug`, `info`, `warning` or `error`.
        form: `auto` is `console` on a terminal and `json` elsewhere.
        is_terminal: whether the writer's stream is one.
    """
    console = form == "console" or (form == "auto" and is_terminal)
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.dev.ConsoleRenderer(colors=is_terminal)
        if console
        else structlog.processors.JSONRenderer(_to_json),
    ]
    threshold = logging.getLevelNamesMapping()[level.upper()]
    logger: FilteringBoundLogger = structlog.wrap_logger(
        writer,
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        cache_logger_on_first_use=True,
    )
    return logger


def _to_json(line: dict[str, Any], **_: object) -> str:
    """Return a line as JSON in ASCII: nothing in it can be obeyed by a terminal.

    msgspec takes a fifth of the standard library's time, and writes what is beyond ASCII as it is.
    """
    try:
        # With a space behind commas and colons, as the standard library writes them.
        encoded = msgspec.json.format(msgspec.json.encode(line, enc_hook=repr), indent=0)
    except (UnicodeEncodeError, TypeError, OverflowError):
        return json.dumps(line, default=repr)  # Half a surrogate pair, or a key that is no text.
    return encoded.decode() if encoded.isascii() else json.dumps(line, default=repr)


def take_over_libraries(log: FilteringBoundLogger) -> None:
    """Send the records of the standard `logging` through this logger, from warnings up."""
    logging.basicConfig(handlers=[_Bridge(log)], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)


def to_stderr() -> Writer:
    """Return a writer to the standard error stream."""
    return Writer(sys.stderr)
