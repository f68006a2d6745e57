"""Logs: structlog, as JSON or for a console, written by a thread of its own.

A line is put into a bounded queue and written elsewhere, so that a full pipe stops no traffic;
where the queue is full the line is dropped and counted. A line that comes alone is written at once,
under load those of a twentieth of a second go out together: waking the thread costs more than a
line does. What other libraries log goes the same way, without their arguments and without the text
of exceptions: both can quote a request.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, MutableMapping
from typing import Any, Final, Literal, Protocol, TextIO

import msgspec
import structlog
from structlog.typing import FilteringBoundLogger, Processor

from proxy.observability.families import Families, counter

_QUEUE_LINES: Final = 10_000

_BATCH: Final = 1_000
"""Lines that are written at once at most."""

_PAUSE: Final = 0.05
"""Seconds between two writes; a process that is killed loses the lines of that time."""

Format = Literal["auto", "json", "console"]


class Log(FilteringBoundLogger, Protocol):
    """A logger of structlog, with a shorter way for lines that come with every request."""

    def line(
        self, event: str, fields: dict[str, object], level: Literal["info", "warning"] = "info"
    ) -> None:
        """Write what `info(event, **fields)` would; `fields` is the logger's from here on.

        As JSON it takes a third of the time: `info` copies the fields four times.
        """

    def detail(self, event: str, fields: dict[str, object]) -> None:
        """Write a line of the level `debug` that was asked for, whatever level is written else."""


class Writer:
    """Writes lines to a stream in a thread.

    Attributes:
        dropped: lines lost because the stream was too slow, or failed.
    """

    def __init__(self, stream: TextIO, lines: int = _QUEUE_LINES) -> None:
        self._stream = stream
        self._most = lines
        self._lines: deque[str] = deque()
        # Set by whoever brings a line while the thread waits for one, and by nobody else.
        self._wake = threading.Event()
        self._waits = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self.dropped = 0
        self._thread.start()

    def msg(self, line: str) -> None:
        """Take one line, without waiting."""
        if len(self._lines) >= self._most:
            self.dropped += 1
            return
        self._lines.append(line)
        if self._waits:
            self._waits = False
            self._wake.set()

    # structlog calls the method that is named like the level.
    debug = info = warning = error = critical = msg

    def close(self, timeout: float = 2.0) -> None:
        """Write what is queued and end the thread; a stream that is stuck is given up."""
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while self._next():
            self._write()
            self._closing.wait(_PAUSE)
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()

    def _next(self) -> bool:
        """Wait for a line; False where there is none and no other comes."""
        if self._lines:
            return True
        self._wake.clear()
        self._waits = True
        # Looked at once more: one that came before `_waits` was set has woken nobody.
        if not self._lines and not self._closing.is_set():
            self._wake.wait()
        self._waits = False
        return bool(self._lines)

    def _write(self) -> None:
        """Write what has come together, and let the stream have it."""
        lines = self._lines
        batch = [lines.popleft() for _ in range(min(len(lines), _BATCH))]
        batch.append("")
        try:
            self._stream.write("\n".join(batch))
            if not lines:
                self._stream.flush()
        except (OSError, ValueError):
            self.dropped += len(batch) - 1


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


def build(writer: Writer, level: str, form: Format, *, is_terminal: bool) -> Log:
    """Return a logger.

    Args:
        writer: where lines go.
        level: `debug`, `info`, `warning` or `error`.
        form: `auto` is `console` on a terminal and `json` elsewhere.
        is_terminal: whether the writer's stream is one.
    """
    console = form == "console" or (form == "auto" and is_terminal)
    as_json = _JsonLine()
    processors: list[Processor] = (
        [
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # Where there is rich, its own choice would print the values of variables: tokens.
            structlog.dev.ConsoleRenderer(
                colors=is_terminal, exception_formatter=structlog.dev.plain_traceback
            ),
        ]
        if console
        else [as_json]
    )
    threshold = logging.getLevelNamesMapping()[level.upper()]
    plain: Any = structlog.make_filtering_bound_logger(threshold)

    class Logger(plain):  # type: ignore[misc]  # structlog makes a class for each level.
        def line(
            self, event: str, fields: dict[str, object], level: Literal["info", "warning"] = "info"
        ) -> None:
            if console:
                getattr(self, level)(event, **fields)
            elif threshold <= (logging.INFO if level == "info" else logging.WARNING):
                fields["event"] = event
                writer.msg(as_json(writer, level, fields))

        def detail(self, event: str, fields: dict[str, object]) -> None:
            if console:
                self._proxy_to_logger("debug", event, **fields)
            else:
                writer.msg(as_json(writer, "debug", {**fields, "event": event}))

    # Bound, because the proxy that stands for a logger before makes a new one for every line.
    logger: Log = structlog.wrap_logger(
        writer, processors=processors, wrapper_class=Logger, cache_logger_on_first_use=True
    ).bind()
    return logger


class _JsonLine:
    """Makes the fields of a line JSON, with level and time; a processor of structlog's.

    The time is ISO 8601 in UTC with microseconds. The text of a second is made once.
    """

    __slots__ = ("_second",)

    def __init__(self) -> None:
        # One value, which is replaced whole: other threads log too.
        self._second = (-1, "")

    def __call__(self, _: object, level: str, fields: MutableMapping[str, Any]) -> str:
        microseconds = time.time_ns() // 1000
        second, text = self._second
        if second != microseconds // 1_000_000:
            second = microseconds // 1_000_000
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = (second, text)
        fields["level"] = level
        fields["timestamp"] = f"{text}.{microseconds % 1_000_000:06d}Z"
        return _to_json(fields)


def _to_json(line: MutableMapping[str, Any]) -> str:
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


def families(dropped: Callable[[], int]) -> Families:
    """What is shown of the log: what it has lost."""
    return (
        counter(
            "segue_log_lines_dropped",
            "Lines of the log that were lost because whoever reads it was too slow.",
            (),
            lambda: [((), dropped())],
        ),
    )
