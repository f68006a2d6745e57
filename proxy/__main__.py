"""The command `segue`, which `python -m proxy` is too: what has to be settled before all imports.

They take half a second, in which a supervisor may already ask for a reload. And structlog would
import what it can draw tracebacks with, rich, which no server has a use for.
"""

import signal
import sys


def main() -> int:
    """Run the command line of this process; return its exit code."""
    starts = sys.argv[1:2] == ["run"]
    if starts:
        # One that comes before the server can take it waits, instead of ending the process.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    # Ctrl-C ends the process as it ends others, not with a traceback from some import; a server
    # that starts until it takes the signal itself. One that is to be ignored stays so.
    by_python = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if by_python:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    _import_structlog_alone()
    from proxy.cli import main as cli  # noqa: PLC0415 (only now)

    if by_python and not starts:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return cli.main()
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _import_structlog_alone() -> None:
    """Have structlog find no rich: it imports all of it, a tenth of a second, and needs none.

    `None` among the modules is how Python is told that there is no such module. Commands that draw
    something import rich by themselves, later.
    """
    if "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog  # noqa: F401, PLC0415
    finally:
        del sys.modules["rich"]


if __name__ == "__main__":
    sys.exit(main())
