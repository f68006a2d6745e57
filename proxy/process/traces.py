"""What a process needs for its traces, made from the section `tracing` of the configuration."""

from __future__ import annotations

from collections.abc import Callable

from proxy.configuration.reading import Config
from proxy.configuration.tracing import Tracing
from proxy.errors import ConfigError, Diagnostic
from proxy.http.traceparent import Sampling
from proxy.observability.access_log import AccessLog
from proxy.observability.decisions import DecisionLog
from proxy.observability.log import Log
from proxy.observability.metrics import Metrics
from proxy.observability.tracing import Exporter, SpanQueue, TracingAccessLog
from proxy.process.tls_files import load_authorities, trusting
from proxy.tokens.secret_paths import SecretPaths

_EXTRA = frozenset({"opentelemetry", "requests"})


def span_queue(tracing: Tracing, version: str, log: Log) -> SpanQueue | None:
    """Begin to send spans; None where there are none.

    Raises:
        ConfigError: they cannot be sent.
    """
    if not tracing.enabled:
        return None
    return SpanQueue(exporter(tracing, version), tracing.queue, log)


def exporter(tracing: Tracing, version: str) -> Exporter:
    """Return what sends spans. Nothing is connected to before there are some.

    Raises:
        ConfigError: the extra is not installed, or the CA file cannot be used.
    """
    try:
        # Only here: its packages are an extra, and take a while to be imported.
        from proxy.observability.otlp import OtlpExporter  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _EXTRA:
            raise
        message = "needs packages that are not installed: pip install 'segue-proxy[otel]'"
        raise ConfigError([Diagnostic("configuration", 0, 0, "tracing.enabled", message)]) from None
    if tracing.ca_file is not None:
        load_authorities(trusting, "tracing.ca_file", tracing.ca_file)
    return OtlpExporter(
        tracing.endpoint,
        token=tracing.token,
        ca_file=tracing.ca_file,
        service=tracing.service,
        version=version,
        timeout=tracing.timeout,
    )


def access_log(
    config: Config,
    metrics: Metrics,
    log: Log,
    decisions: DecisionLog,
    queue: SpanQueue | None,
    on_error: Callable[[str, str], None],
) -> AccessLog:
    """Return what counts requests, and makes spans of them where there are some."""
    subjects, secret_paths = config.log.subjects, SecretPaths(config.log.redact_paths)
    if queue is None:
        return AccessLog(
            metrics,
            log,
            decisions,
            subjects=subjects,
            secret_paths=secret_paths,
            on_error=on_error,
        )
    tracing = config.tracing
    return TracingAccessLog(
        metrics,
        log,
        decisions,
        queue,
        Sampling(tracing.ratio, tracing.follow_parent),
        "http" if config.listen.tls is None else "https",
        subjects=subjects,
        secret_paths=secret_paths,
        on_error=on_error,
    )
