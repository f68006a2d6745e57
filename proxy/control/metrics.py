"""What is shown of reloads, and of the configuration that serves."""

from __future__ import annotations

from proxy.control.audit import Audit
from proxy.control.reload import Reloads
from proxy.observability.families import Combined, Families, counter, gauge
from proxy.snapshot import Live


def families(live: Live, reloads: Reloads, audit: Audit) -> Families:
    """Return what the metrics page shows of reloads, and of the audit."""
    return (
        counter(
            "segue_reloads",
            "Attempts to read the configuration and the mappings again, by result; after a"
            " `failure` the last good ones go on serving.",
            ("result",),
            lambda: [(("success",), reloads.succeeded), (("failure",), reloads.failed)],
        ),
        gauge(
            "segue_config_last_reload_successful",
            "1 if the newest attempt to read the configuration succeeded, or there was none since"
            " the start; 0 from a refused one until the mended files are read.",
            (),
            lambda: [((), reloads.last_succeeded)],
            over_processes=Combined.EACH,
        ),
        gauge(
            "segue_config_last_reload_success_timestamp_seconds",
            "When the configuration that serves was read, in Unix time.",
            (),
            lambda: [((), reloads.succeeded_at)],
            over_processes=Combined.EACH,
        ),
        gauge(
            "segue_config_info",
            "The digest of the configuration and mapping files that serve; always 1. Replicas of"
            " one configuration have one digest.",
            ("hash",),
            lambda: [((live.current.digest,), 1)],
            over_processes=Combined.EACH,
        ),
        counter(
            "segue_audit_lines",
            "Lines of the audit, by result: `written` are on the disk, `lost` are those that were"
            " given up because too many waited for it; what they said of who did what is in the log"
            " as `audit line lost`.",
            ("result",),
            lambda: [(("written",), audit.written), (("lost",), audit.lost)],
        ),
        counter(
            "segue_audit_failures",
            "Attempts to write to the audit that failed; what could not be written is tried again.",
            (),
            lambda: [((), audit.failures)],
        ),
        gauge(
            "segue_audit_waiting",
            "Lines of the audit that are not on the disk yet.",
            (),
            lambda: [((), audit.waiting)],
            over_processes=Combined.SUM,
        ),
        gauge(
            "segue_audit_head_behind_seconds",
            "For how long the store has not known of the last line of the audit; lines that are cut"
            " off meanwhile are not found to be missing.",
            (),
            lambda: [((), audit.head.behind)],
            over_processes=Combined.MAX,
        ),
    )
