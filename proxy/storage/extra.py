"""The client of Redis is an extra, which most installations do without."""

from __future__ import annotations

from proxy.errors import ConfigError, Diagnostic


def without_redis(error: ModuleNotFoundError) -> ConfigError:
    """What is said where the import of a module that needs it has failed.

    Raises:
        ModuleNotFoundError: it was something else that is missing.
    """
    if error.name is None or error.name.partition(".")[0] != "redis":
        raise error
    message = "needs a package that is not installed: pip install 'segue-proxy[redis]'"
    return ConfigError([Diagnostic("configuration", 0, 0, "store.url", message)])
