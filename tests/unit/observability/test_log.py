"""Logs that stop no traffic and quote no request."""

from __future__ import annotations

import io
import json
import logging
import re
import threading
import warnings
from collections.abc import Callable, Iterator

import pytest

from proxy.observability.log import Format, Log, Writer, build, take_over_libraries, to_stderr
from tests.support.waiting import PATIENCE

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2VjcmV0"


class Stuck(io.StringIO):
    """A stream whose reader has stopped reading, until it goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.is_writing = threading.Event()
        self.goes_on = threading.Event()

    def write(self, text: str) -> int:
        self.is_writing.set()
        assert self.goes_on.wait(30)
        return super().write(text)


def logged(use: Callable[[Log], object], level: str = "info") -> list[dict[str, str]]:
    """The lines that are written while a logger is used."""
    stream = io.StringIO()
    writer = Writer(stream)
    use(build(writer, level, "json", is_terminal=False))
    writer.close()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


# The writer.


def test_a_stream_that_blocks_stops_nobody_and_what_does_not_fit_is_counted() -> None:
    stream = Stuck()
    writer = Writer(stream, lines=2)
    writer.msg("0")
    assert stream.is_writing.wait(30)
    for number in range(1, 6):
        writer.msg(str(number))
    assert writer.dropped == 3
    stream.goes_on.set()
    writer.close()
    assert stream.getvalue() == "0\n1\n2\n"


def test_closing_gives_up_a_stream_that_is_stuck() -> None:
    stream = Stuck()
    writer = Writer(stream, lines=1)
    writer.msg("0")
    assert stream.is_writing.wait(30)
    writer.close(timeout=0.01)
    writer.close(timeout=0.01)
    stream.goes_on.set()


def test_lines_that_come_while_others_are_written_go_out_together() -> None:
    written: list[str] = []

    class Slow(Stuck):
        def write(self, text: str) -> int:
            super().write(text)
            written.append(text)
            return len(text)

    stream = Slow()
    writer = Writer(stream)
    writer.msg("0")
    assert stream.is_writing.wait(30)
    for number in range(1, 2500):
        writer.msg(str(number))
    stream.goes_on.set()
    writer.close()
    assert "".join(written) == "".join(f"{number}\n" for number in range(2500))
    assert [text.count("\n") for text in written] == [1, 1000, 1000, 499]
    assert writer.dropped == 0


def test_a_line_that_comes_alone_is_written_without_another_one() -> None:
    stream = Stuck()
    writer = Writer(stream)
    stream.goes_on.set()
    for line in ("first", "second"):
        stream.is_writing.clear()
        writer.msg(line)
        assert stream.is_writing.wait(30)
    writer.close()
    assert stream.getvalue() == "first\nsecond\n"


def test_no_line_of_several_threads_is_lost() -> None:
    stream = io.StringIO()
    writer = Writer(stream)

    def write(name: str) -> None:
        for number in range(500):
            writer.msg(f"{name}{number}")

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    writer.close()
    lines = stream.getvalue().splitlines()
    for name in "abcd":
        own = [line for line in lines if line.startswith(name)]
        assert own == [f"{name}{number}" for number in range(500)]
    assert len(lines) == 2000


def test_the_last_lines_are_flushed_when_the_writer_closes() -> None:
    goes_on = threading.Event()

    class Buffered(io.TextIOWrapper):
        def write(self, text: str) -> int:
            assert goes_on.wait(30)
            return super().write(text)

    written = io.BytesIO()
    writer = Writer(Buffered(written))
    writer.msg("only line")
    # The end is asked for before the line is written.
    writer.close(timeout=0.01)
    goes_on.set()
    writer.close()
    assert written.getvalue() == b"only line\n"


def test_a_broken_stream_loses_lines_but_not_the_thread() -> None:
    class Broken(io.StringIO):
        tried = threading.Semaphore(0)

        def write(self, text: str) -> int:
            self.tried.release()
            if text.startswith("bad"):
                raise BrokenPipeError
            return super().write(text)

    stream = Broken()
    writer = Writer(stream)
    for line in ("bad 1", "good", "bad 2"):
        writer.msg(line)
        assert stream.tried.acquire(timeout=PATIENCE)
    writer.close()
    assert stream.getvalue() == "good\n"
    assert writer.dropped == 2


def test_a_stream_that_was_closed_raises_nothing() -> None:
    stream = io.StringIO()
    writer = Writer(stream)
    stream.close()
    writer.msg("lost")
    writer.close()
    assert writer.dropped == 1


def test_lines_can_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    writer = to_stderr()
    writer.msg("a line")
    writer.close()
    assert capsys.readouterr().err == "a line\n"


# The logger.


def test_a_line_is_json_with_level_and_time() -> None:
    (line,) = logged(lambda log: log.warning("draining", websockets=3))
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "draining", "level": "warning", "websockets": 3}


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_lines_below_the_level_are_not_written(level: str, written: list[str]) -> None:
    def use(log: Log) -> None:
        for name in ("debug", "info", "warning", "error"):
            getattr(log, name)("line")

    assert [line["level"] for line in logged(use, level)] == written


@pytest.mark.parametrize(
    ("form", "is_terminal", "is_json"),
    [
        ("auto", False, True),
        ("auto", True, False),
        ("json", True, True),
        ("console", False, False),
    ],
)
def test_auto_is_for_people_on_a_terminal_and_json_elsewhere(
    form: Format, is_terminal: bool, is_json: bool
) -> None:
    stream = io.StringIO()
    writer = Writer(stream)
    build(writer, "info", form, is_terminal=is_terminal).info("request", status=200)
    writer.close()
    text = stream.getvalue()
    assert text.startswith("{") == is_json
    assert "request" in text
    assert ("\x1b[" in text) == (is_terminal and not is_json)


@pytest.mark.parametrize(
    "value",
    [
        "plain",
        'quotes " and \\',
        "gr\u00fc\u00df dich",
        "\x9b31m",
        "\x1b[31m",
        "\udc80",
        "\u2028",
        1e-05,
        None,
    ],
)
def test_any_value_is_ascii_json_that_says_the_same(value: object) -> None:
    stream = io.StringIO()
    writer = Writer(stream)
    build(writer, "info", "json", is_terminal=False).info("request", value=value)
    writer.close()
    text = stream.getvalue().removesuffix("\n")
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text)["value"] == value


@pytest.mark.parametrize(("level", "count"), [("debug", 1), ("info", 1), ("warning", 0)])
def test_the_short_way_writes_the_same_line_and_keeps_to_the_level(level: str, count: int) -> None:
    fields: dict[str, object] = {"path": "/gr\u00fc\u00df", "status": 200, "error": None}
    ways: list[Callable[[Log], object]] = [
        lambda log: log.info("request", **fields),
        lambda log: log.line("request", dict(fields)),
    ]
    texts = []
    for way in ways:
        stream = io.StringIO()
        writer = Writer(stream)
        way(build(writer, level, "json", is_terminal=False))
        writer.close()
        texts.append(re.sub(r"\d", "0", stream.getvalue()))
    assert texts[0] == texts[1]
    assert texts[0].count("\n") == count


def test_the_short_way_is_for_people_too() -> None:
    stream = io.StringIO()
    writer = Writer(stream)
    build(writer, "info", "console", is_terminal=False).line("request", {"status": 200})
    writer.close()
    assert re.fullmatch(r"\S+Z \[info +\] request +status=200\n", stream.getvalue())


def test_a_traceback_for_people_shows_no_values_of_variables() -> None:
    stream = io.StringIO()
    writer = Writer(stream)
    log = build(writer, "info", "console", is_terminal=True)
    token = "-".join(["a", "secret", "token"])  # noqa: FLY002 (not in the source as one word)
    try:
        raise ValueError(f"{len(token)} characters")
    except ValueError:
        log.exception("failed")
    writer.close()
    assert "14 characters" in stream.getvalue()
    assert token not in stream.getvalue()


def test_times_are_those_of_the_clock_across_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = [
        (1_700_000_000_999_999_999, "2023-11-14T22:13:20.999999Z"),
        (1_700_000_001_000_000_000, "2023-11-14T22:13:21.000000Z"),
        (1_700_000_001_000_123_456, "2023-11-14T22:13:21.000123Z"),
        (1_700_000_000_500_000_000, "2023-11-14T22:13:20.500000Z"),
    ]
    now = iter([nanoseconds for nanoseconds, _ in readings])
    monkeypatch.setattr("proxy.observability.log.time.time_ns", lambda: next(now))

    def use(log: Log) -> None:
        for _ in readings:
            log.info("line")

    assert [line["timestamp"] for line in logged(use)] == [text for _, text in readings]


def test_a_value_that_is_no_json_is_shown_as_python_does() -> None:
    lines = logged(lambda log: log.info("odd", value={1, 2}, other=object))
    assert lines[0]["other"] == "<class 'object'>"


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_line_break_in_a_value_starts_no_line_of_its_own(form: Format) -> None:
    stream = io.StringIO()
    writer = Writer(stream)
    build(writer, "info", form, is_terminal=False).info("request", path="/a\n{}")
    writer.close()
    assert stream.getvalue().count("\n") == 1


# Libraries.


@pytest.fixture
def _own_logging() -> Iterator[None]:
    """Give a test the root logger for itself: its handlers would be closed by the take-over."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = []
    yield
    logging.captureWarnings(capture=False)
    root.handlers = handlers
    root.setLevel(level)


def _from_library(use: Callable[[logging.Logger], object]) -> list[dict[str, str]]:
    def take_over(log: Log) -> None:
        take_over_libraries(log)
        use(logging.getLogger("some.library"))

    return logged(take_over)


@pytest.mark.usefixtures("_own_logging")
def test_a_librarys_record_comes_without_its_arguments() -> None:
    (line,) = _from_library(lambda log: log.warning("refused %s for %d", TOKEN, 7))
    line.pop("timestamp")
    assert line == {
        "event": "refused %s for %d",
        "exception": None,
        "level": "warning",
        "logger": "some.library",
    }


def _raise_and_log(log: logging.Logger) -> None:
    try:
        raise ValueError(f"cannot parse {TOKEN}")
    except ValueError:
        log.exception("could not read %s\nGET /?token=%s", "x", TOKEN)


@pytest.mark.usefixtures("_own_logging")
def test_a_librarys_exception_is_named_but_its_text_is_not_written() -> None:
    (line,) = _from_library(_raise_and_log)
    assert (line["exception"], line["level"]) == ("ValueError", "error")
    assert line["event"] == "could not read %s"
    assert TOKEN not in json.dumps(line)


@pytest.mark.usefixtures("_own_logging")
@pytest.mark.parametrize("message", [f"GET /?token={TOKEN}", ValueError(TOKEN), TOKEN.encode()])
def test_a_message_that_was_put_together_before_is_not_written(message: object) -> None:
    (line,) = _from_library(lambda log: log.error(message))
    assert line["event"] == "library message"
    assert TOKEN not in json.dumps(line)


@pytest.mark.usefixtures("_own_logging")
def test_a_librarys_chatter_below_warning_is_not_written() -> None:
    assert _from_library(lambda log: log.info("%s", "chatter")) == []


@pytest.mark.usefixtures("_own_logging")
@pytest.mark.parametrize(
    ("number", "level"), [(logging.WARNING + 5, "warning"), (logging.CRITICAL + 5, "critical")]
)
def test_a_level_of_a_librarys_own_raises_nothing_in_it(number: int, level: str) -> None:
    (line,) = _from_library(lambda log: log.log(number, "odd %s", "level"))
    assert (line["event"], line["level"]) == ("odd %s", level)


@pytest.mark.usefixtures("_own_logging")
def test_warnings_come_without_their_text() -> None:
    def warn(_: logging.Logger) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(capture=True)
            warnings.warn(f"deprecated {TOKEN}", DeprecationWarning, stacklevel=1)

    (line,) = _from_library(warn)
    assert line["logger"] == "py.warnings"
    assert TOKEN not in json.dumps(line)
