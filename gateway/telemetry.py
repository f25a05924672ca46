"""
Every metric and every log field, declared once; the formatter that lets no secret out; the text of `/metrics`.

Counters live in Redis (a worker has no port), so any web process serves all of them. A counter's field in Redis is its
name and its labels, `gateway_answers_total|connection=zendesk|outcome=accepted`; `counter()` builds it and `samples()`
reads it. What a script counts has a short name there, `deliveries` for `gateway_deliveries_total`. Label values come
from configuration or from words in our code, never from a request.

Longer than 400 lines because the two tables, metrics and log fields, are here whole.
"""

from __future__ import annotations

import logging
import re
import sys
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["json", "text"]
LEVELS: Final[tuple[Level, ...]] = ("debug", "info", "warning", "error")
FORMATS: Final[tuple[Format, ...]] = ("json", "text")


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as Prometheus knows it. `unit` is "" for a plain number."""

    name: str
    kind: Literal["counter", "gauge"]
    unit: str
    labels: tuple[str, ...]
    meaning: str


_ONE: Final = ("destination",)

METRICS: Final = (
    Metric(
        "gateway_answers_total",
        "counter",
        "",
        ("connection", "outcome"),
        "Webhook deliveries by how they were answered.",
    ),
    Metric("gateway_deliveries_total", "counter", "", (), "Deliveries stored in Redis."),
    Metric(
        "gateway_duplicates_total", "counter", "", (), "Deliveries that were stored before and had no second effect."
    ),
    Metric("gateway_changes_total", "counter", "", (), "Changes of tickets stored in Redis."),
    Metric("gateway_refused_total", "counter", "", ("connection", "reason"), "Deliveries answered 401, by reason."),
    Metric(
        "gateway_unknown_connection_total", "counter", "", (), "Requests for a connection that is not configured (404)."
    ),
    Metric(
        "gateway_adapter_errors_total",
        "counter",
        "",
        ("connection",),
        "Defects in a source adapter; the body was quarantined.",
    ),
    Metric("gateway_put_calls_total", "counter", "", (), "Calls that wrote deliveries to Redis; several share one."),
    Metric("gateway_calls_total", "counter", "", (), "Calls to Planhat, of every kind, however they ended."),
    Metric("gateway_calls_ack_all_total", "counter", "", (), "Bulk calls whose tickets were all taken."),
    Metric("gateway_calls_per_item_total", "counter", "", (), "Bulk calls that Planhat answered ticket by ticket."),
    Metric("gateway_calls_read_back_total", "counter", "", (), "Bulk calls that counted fewer tickets than were sent."),
    Metric(
        "gateway_calls_ambiguous_total",
        "counter",
        "",
        (),
        "Bulk calls without a clear answer.",
    ),
    Metric("gateway_calls_bisect_total", "counter", "", (), "Bulk calls that were refused because of some ticket."),
    Metric("gateway_calls_stop_total", "counter", "", (), "Bulk calls that were refused whatever they held."),
    Metric("gateway_calls_pause_total", "counter", "", (), "Bulk calls that Planhat answered 429."),
    Metric("gateway_calls_back_off_total", "counter", "", (), "Bulk calls that met an unavailable Planhat."),
    Metric("gateway_calls_list_total", "counter", "", (), "Listings of Planhat's tickets."),
    Metric("gateway_calls_companies_total", "counter", "", (), "Readings of Planhat's company list."),
    Metric("gateway_calls_delete_done_total", "counter", "", (), "Deletions carried out."),
    Metric("gateway_calls_delete_gone_total", "counter", "", (), "Deletions of what Planhat held no more."),
    Metric("gateway_calls_delete_ambiguous_total", "counter", "", (), "Deletions without a clear answer."),
    Metric("gateway_calls_delete_refused_total", "counter", "", (), "Deletions that Planhat refused."),
    Metric("gateway_items_sent_total", "counter", "", (), "Tickets sent in bulk calls."),
    Metric("gateway_left_alone_total", "counter", "", (), "Times a ticket was left alone: another release wrote it."),
    Metric("gateway_skipped_unchanged_total", "counter", "", (), "Tickets not sent because Planhat holds just that."),
    Metric(
        "gateway_unknown_company_total", "counter", "", (), "Times that a ticket waited for its company in Planhat."
    ),
    Metric("gateway_buried_total", "counter", "", (), "Tickets that became dead letters."),
    Metric("gateway_deleted_total", "counter", "", (), "Tickets deleted in Planhat."),
    Metric("gateway_drift_created_total", "counter", "", (), "Tickets created that Planhat was thought to hold."),
    Metric(
        "gateway_dead_letters_expired_total",
        "counter",
        "",
        (),
        "Dead letters removed by age.",
    ),
    Metric("gateway_compacted_total", "counter", "", (), "Tickets whose waiting changes were joined."),
    Metric("gateway_lookups_user_total", "counter", "", (), "People asked for at a helpdesk."),
    Metric("gateway_lookups_organization_total", "counter", "", (), "Organizations asked for at a helpdesk."),
    Metric("gateway_lookups_ticket_total", "counter", "", (), "Tickets read anew at a helpdesk."),
    Metric("gateway_lookups_failed_total", "counter", "", (), "Look-ups that failed and are tried again."),
    Metric("gateway_epochs_lost_total", "counter", "", (), "Times that Redis lost its data while a worker ran."),
    Metric("gateway_pending_tickets", "gauge", "", _ONE, "Tickets with something unsent."),
    Metric("gateway_leased_tickets", "gauge", "", _ONE, "Tickets that a worker holds."),
    Metric("gateway_parked_tickets", "gauge", "", _ONE, "Tickets snoozed until later."),
    Metric("gateway_dead_letters", "gauge", "", _ONE, "Tickets that could not be sent, kept with their reason."),
    Metric("gateway_quarantined_deliveries", "gauge", "", _ONE, "Authentic deliveries that could not be read."),
    Metric("gateway_oldest_due_seconds", "gauge", "seconds", _ONE, "How long the oldest due ticket has been due."),
    Metric("gateway_due_tickets", "gauge", "", _ONE, "Tickets that a worker may claim now."),
    Metric("gateway_suspect_tickets", "gauge", "", _ONE, "Tickets suspected of spoiling their batch."),
    Metric("gateway_planhat_calls_last_minute", "gauge", "", _ONE, "Calls to Planhat reserved in the last 60 s."),
    Metric("gateway_paused", "gauge", "", _ONE, "1 while the destination is paused, stopped or held."),
    Metric("gateway_redis_up", "gauge", "", (), "1 when Redis answered this scrape."),
)

LOG_FIELDS: Final[Mapping[str, str]] = {
    "at_ms": "when it was kept, Unix ms",
    "attempt": "number of this try, from 1",
    "batch_bytes": "size of a request body to Planhat, bytes",
    "believed_new": "tickets of a call that Planhat was thought not to hold",
    "cap": "the cap that was reached",
    "connection": "name of a configured connection",
    "count": "how many things the line is about",
    "created_count": "tickets that Planhat says it created",
    "delivery_id": "the sender's own id of a delivery",
    "destination": "name of a destination",
    "detail": "one sentence for a person",
    "duration_s": "how long it took, seconds",
    "items": "tickets in a batch",
    "job": "name of a background job",
    "kind": "class of a Redis failure, or of a dead letter",
    "method": "HTTP method",
    "outcome": "how it ended, one word",
    "pid": "process id",
    "quarantine_id": "id under which an unreadable delivery is kept",
    "reason": "short machine word",
    "request_id": "Planhat's id of a call",
    "setting": "name of a setting",
    "status": "HTTP status",
    "suppressed": "equal lines left out since the last one",
    "ticket": "sourceId of a ticket",
    "updated_count": "tickets that Planhat says it updated",
    "wait_s": "seconds until the next try",
}

MESSAGE_MAX: Final = 2_000
FIELD_MAX: Final = 500
TRACE_MAX: Final = 8_000
THROTTLE_LINES: Final = 5
THROTTLE_WINDOW_S: Final = 60.0


# Counters


def counter(name: str, **labels: str) -> str:
    """Give the field of a counter in Redis: its name, then its labels in alphabetical order."""
    return "|".join((name, *(f"{key}={value}" for key, value in sorted(labels.items()))))


class Sample(NamedTuple):
    """One number of `/metrics`."""

    name: str
    labels: dict[str, str]
    value: float


def samples(counters: Mapping[str, int]) -> Iterator[Sample]:
    """Read counters as they stand in Redis; one that this release does not declare is passed on all the same."""
    for field, value in counters.items():
        name, *pairs = field.split("|")
        if not name.startswith("gateway_"):
            name = f"gateway_{name}_total"
        yield Sample(name, dict(pair.split("=", 1) for pair in pairs if "=" in pair), value)


_METRIC_NAME: Final = re.compile(r"gateway_[a-z0-9_]{1,80}")


def exposition(found: Iterable[Sample]) -> bytes:
    """
    Write samples in Prometheus' text format, declared metrics with their meaning.

    Args:
        found: counters and gauges of one scrape; a name that is no metric name is left out.
    """
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415  workers never write metrics
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415
    from prometheus_client.registry import Collector  # noqa: PLC0415

    declared = {metric.name: metric for metric in METRICS}
    groups: dict[str, list[Sample]] = {}
    for sample in found:
        if _METRIC_NAME.fullmatch(sample.name):
            groups.setdefault(sample.name, []).append(sample)

    class Scrape(Collector):
        def collect(self) -> Iterator[Any]:
            for name, group in sorted(groups.items()):
                metric = declared.get(name) or Metric(
                    name, "counter", "", tuple(sorted(group[0].labels)), "Not described."
                )
                family = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
                lines = family(name, metric.meaning, labels=metric.labels)
                for sample in group:
                    lines.add_metric([sample.labels.get(label, "") for label in metric.labels], sample.value)
                yield lines

    registry = CollectorRegistry()
    registry.register(Scrape())
    return generate_latest(registry)


# Logs

_SECRET_PATTERNS: Final = (
    (re.compile(r"(?i)\b(token|secret|password|api[_-]?key)=[^&\s\"']+"), r"\1=[redacted]"),
    (
        re.compile(r"(?i)\b(authorization|x-webhook-secret|cookie)(\"?'?\s*[:=,]\s*\"?'?b?'?)[^\r\n\"']+"),
        r"\1\2[redacted]",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=_.~-]{6,}"), r"\1 [redacted]"),
    (re.compile(r"([a-z][a-z0-9+]{2,20}://)[^/@\s]*@"), r"\1[redacted]@"),
    # People's addresses stand in Planhat's words. Begun at a boundary and bounded, so that long words cost no time.
    (re.compile(r"(?i)(?<![\w.%+-])[\w.%+-]{1,64}(?:@|%40)[\w-]{1,63}(?:\.[\w-]{1,63})+"), "[e-mail]"),
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Redaction:
    """
    Takes secrets out of text: the configured ones wherever they stand, others by where they stand.

    Args:
        secrets: configured values; those under 6 characters are left, since they would hide ordinary words.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = sorted({one for one in secrets if len(one) >= 6}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        """Give the text without secrets."""
        if self._known is not None:
            text = self._known.sub("[redacted]", text)
        for pattern, instead in _SECRET_PATTERNS:
            text = pattern.sub(instead, text)
        return text


def _plain(text: str, limit: int) -> str:
    """Cap a text and escape what could forge a line or move a terminal's cursor."""
    if len(text) > limit:
        text = f"{text[:limit]}... ({len(text)} characters)"
    return _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


class LineFormatter(logging.Formatter):
    """One record, one line: JSON for machines, or text for a terminal. Only declared fields come out."""

    def __init__(self, form: Format, redact: Redaction) -> None:
        super().__init__()
        self._form = form
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """Give the line, without its end."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = str(record.msg)
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        line: dict[str, Any] = {
            "at": at,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._clean(message, MESSAGE_MAX),
        }
        for name in LOG_FIELDS.keys() & record.__dict__.keys():
            value = record.__dict__[name]
            line[name] = (
                value if isinstance(value, (bool, int, float)) or value is None else self._clean(str(value), FIELD_MAX)
            )
        if record.exc_info and record.exc_info[1] is not None:
            trace = "".join(traceback.format_exception(*record.exc_info, limit=-12))
            lines = [self._clean(one, MESSAGE_MAX) for one in trace[-TRACE_MAX:].splitlines()]
            line["trace"] = ("\n" if self._form == "json" else " | ").join(lines)  # JSON escapes the line ends itself
        if self._form == "json":
            return orjson.dumps(line, option=orjson.OPT_NON_STR_KEYS, default=str).decode()
        head = f"{line.pop('at')} {line.pop('level').upper():7} {line.pop('logger')}: {line.pop('message')}"
        return " ".join([head, *(f"{key}={value}" for key, value in line.items())])

    def _clean(self, text: str, limit: int) -> str:
        printable = text.encode("utf-8", "backslashreplace").decode()
        return _plain(self._redact(printable), limit)


class Throttle:
    """
    The first lines of a kind in each window pass, the rest are counted.

    Args:
        lines: how many pass in a window.
        window_s: length of a window, seconds.
        kinds: how many kinds are told apart; beyond it all share one.
    """

    def __init__(self, lines: int = THROTTLE_LINES, window_s: float = THROTTLE_WINDOW_S, kinds: int = 1_000) -> None:
        self._lines = lines
        self._window_s = window_s
        self._kinds = kinds
        self._seen: dict[str, tuple[float, int]] = {}

    def allow(self, kind: str, now_s: float) -> tuple[bool, int]:
        """
        Say whether a line may be written.

        Args:
            now_s: any clock that only goes forward, seconds.
        Returns:
            Whether to write it, and how many of its kind were left out in the window before (told once).
        """
        if kind not in self._seen and len(self._seen) >= self._kinds:
            kind = ""
        begun_s, count = self._seen.get(kind, (now_s, 0))
        left_out = 0
        if now_s - begun_s >= self._window_s:
            left_out = max(0, count - self._lines)
            begun_s, count = now_s, 0
        self._seen[kind] = (begun_s, count + 1)
        return count < self._lines, left_out


class ThrottleFilter(logging.Filter):
    """Keeps a flood of equal lines short; what was left out is told in `suppressed`."""

    def __init__(self, throttle: Throttle | None = None) -> None:
        super().__init__()
        self._throttle = throttle or Throttle()

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass, or count it."""
        kind = f"{record.name}|{record.msg}|{getattr(record, 'connection', '')}"
        passes, left_out = self._throttle.allow(kind, time.monotonic())
        if left_out:
            record.suppressed = left_out
        return passes


class _RedactArguments(logging.Filter):
    """For `uvicorn gateway.app:app`, whose access lines carry the query string."""

    def __init__(self, redact: Redaction) -> None:
        super().__init__()
        self._redact = redact

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                _plain(self._redact(arg), FIELD_MAX) if isinstance(arg, str) else arg for arg in record.args
            )
        return True


def configure_logging(level: Level = "info", form: Format = "json", secrets: Iterable[str] = ()) -> None:
    """
    Send every log line of this process to stderr through one formatter, uncaught exceptions and warnings too.

    Args:
        level: the least level written.
        form: `json` or `text`.
        secrets: configured values that must never appear.
    """
    redact = Redaction(secrets)
    out = logging.StreamHandler(sys.stderr)
    out.setFormatter(LineFormatter(form, redact))
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one.formatter, LineFormatter)]:
        root.removeHandler(handler)
    root.addHandler(out)
    root.setLevel(level.upper())
    access = logging.getLogger("uvicorn.access")
    for logger, flood in ((access, _RedactArguments(redact)), (logging.getLogger("uvicorn.error"), ThrottleFilter())):
        for old in [one for one in logger.filters if isinstance(one, (ThrottleFilter, _RedactArguments))]:
            logger.removeFilter(old)
        logger.addFilter(flood)
    for noisy in ("httpx", "httpcore", "asyncio", "arq"):
        logging.getLogger(noisy).setLevel("WARNING")
    logging.captureWarnings(capture=True)

    def last_resort(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        logging.getLogger("gateway").critical("the process ends on an error", exc_info=(kind, error, trace))

    sys.excepthook = last_resort
