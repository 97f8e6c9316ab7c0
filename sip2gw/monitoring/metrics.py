"""What Prometheus sees (B67, C23, C74).

Counters are plain attributes and dictionaries that the event loop increments. For a scrape they are
handed over as numbers, and another process turns them into text (`web.exposition`, C130). Labels
come from closed sets.
"""

from __future__ import annotations

import gc
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Literal, TypeVar

import msgspec

from sip2gw import __version__

BUCKETS_S = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper edges of the latency histograms; the last bucket, +Inf, is implied."""


LOGIN_OUTCOMES = ("ok", "refused")
PAYMENT_OUTCOMES = ("booked", "replayed", "refused", "unknown")
RELATIONS = ("own", "head_of_family", "authorisation")
FRAME_REASONS = (
    "too_long",
    "stalled",
    "checksum",
    "unreadable",
    "unknown_message",
    "not_logged_in",
    "not_allowed",
)
RESEND_KINDS = ("requested_by_terminal", "requested_by_us", "replayed")
NEWCOMER_REASONS = ("total", "address", "strangers", "network", "proxy", "header")
HANDSHAKE_REASONS = (
    "not_tls",
    "version",
    "no_certificate",
    "bad_certificate",
    "client_aborted",
    "timeout",
)
WORKER_ENDS = ("crash", "stuck")
"""Why a worker was replaced: it ended by itself; it took no turns, or did not follow a reload."""
OTHER_CURRENCIES = "other"
"""The label for all but the library's own: terminals must not invent labels."""


L = TypeVar("L")


class Histogram:
    """Counts of durations per bucket, and their sum."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.sum_s += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """Buckets as Prometheus wants them: up to and including each edge."""
        total = 0.0
        rows: list[tuple[str, float]] = []
        edges = [*map(str, BUCKETS_S), "+Inf"]
        for edge, count in zip(edges, tuple(self.counts), strict=True):
            total += count
            rows.append((edge, total))
        return rows


class UpstreamNumbers:
    """What is counted of one account at a library system behind the gateway (B71)."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        """By message and outcome."""
        self.seconds = Histogram()
        self.idle = self.busy = self.opening = 0
        """Its lines."""
        self.breaker_open = False
        self.last_answer = 0.0
        """Seconds since 1970; 0.0 for never."""

    def lines(self) -> Iterable[tuple[str, int]]:
        """How many lines are in each state."""
        return (("idle", self.idle), ("busy", self.busy), ("opening", self.opening))


class Metrics:
    """All numbers of one process."""

    def __init__(self) -> None:
        self.connections: Counter[str] = Counter()
        self.requests: Counter[tuple[str, str, str]] = Counter()
        self.request_seconds: defaultdict[str, Histogram] = defaultdict(Histogram)
        """By message."""
        self.access_decisions: Counter[tuple[str, str, str, str]] = Counter()
        self.payments: Counter[tuple[str, str]] = Counter()
        self._payment_minor: Counter[tuple[str, str, int]] = Counter()
        self._refused_minor: Counter[tuple[str, int]] = Counter()
        self.fee_limit_lifted = 0
        self.frames_rejected: Counter[str] = Counter()
        self.resends: Counter[str] = Counter()
        self.unknown_fields = 0
        self.foreign_institution = 0
        self.logins: Counter[str] = Counter()
        self.connections_refused: Counter[str] = Counter()
        self.tls_handshake_failures: Counter[str] = Counter()
        self.terminal_replaced: Counter[str] = Counter()
        self.pin_locks = 0
        self.last_message: dict[str, float] = {}
        self.backend_seconds: dict[str, Histogram] = {}
        self.backend_errors: Counter[tuple[str, str]] = Counter()
        self.backend_up = True
        self.outcome_unknown = 0
        self.journal_open: Mapping[str, int] = {"loan": 0, "return": 0}
        """By kind: what was taken off line and has not gone up yet."""
        self.upstream: dict[str, UpstreamNumbers] = {}
        """By account."""
        self.patrons: int | None = None
        """None, like the next four: not known."""
        self.last_import: float | None = None
        """Seconds since 1970; 0.0 for never."""
        self.disk_free_bytes: int | None = None
        self.support_open: Mapping[str, int] = {}
        """By type, for every type of the library; empty as long as nobody has counted."""
        self.support_overdue: int | None = None
        self.outbox_waiting: int | None = None
        self.outbox_failed: int | None = None
        self.clock_steps = 0
        self.http_restarts = 0
        self.workers = 1
        """Of a parent: how many serve terminals now."""
        self.worker_restarts: Counter[str] = Counter()
        """Of a parent: by why."""
        self.reload_ok = True
        self.reloaded_at = 0.0
        self._terminals: tuple[str, ...] = ()
        self._per_profile: Mapping[str, int] = {}

    def configure(
        self, terminals: Mapping[str, str], profiles: Iterable[str], currency: str, digits: int
    ) -> None:
        """Declare the series that exist from the start, with nothing counted yet.

        Args:
            terminals: the profile of each terminal, by the terminal's name.
            profiles: all of them, even those without a terminal.
            currency: the library's own, which has so many decimal `digits`.
        """
        per_profile = Counter(dict.fromkeys(profiles, 0))
        per_profile.update(terminals.values())
        self._terminals, self._per_profile = tuple(terminals), per_profile
        self.payment_refused(0, currency, digits)
        self.payment_refused(0, OTHER_CURRENCIES, digits)

    def reloaded(self, at: float, *, ok: bool) -> None:
        """The configuration was read at `at` (seconds since 1970); if not `ok`, the one before
        stays in force."""
        self.reloaded_at, self.reload_ok = at, ok

    def per_terminal(self, numbers: Mapping[str, float]) -> Iterable[tuple[tuple[str], float]]:
        """`numbers` of the terminals that are configured now, 0 for those without."""
        return [((name,), numbers.get(name, 0)) for name in self._terminals]

    def per_profile(self) -> Iterable[tuple[tuple[str], float]]:
        """How many terminals each profile has."""
        return [((profile,), count) for profile, count in self._per_profile.items()]

    def backend_timer(self, operation: str) -> Histogram:
        """The latency histogram of one backend operation."""
        timer = self.backend_seconds.get(operation)
        if timer is None:
            timer = self.backend_seconds[operation] = Histogram()
        return timer

    def upstream_numbers(self, account: str) -> UpstreamNumbers:
        """The numbers of that account."""
        return self.upstream.setdefault(account, UpstreamNumbers())

    def payment_booked(self, minor: int, currency: str, digits: int, payment_type: str) -> None:
        """Add a booked amount."""
        self._payment_minor[currency, payment_type, digits] += minor

    def payment_refused(self, minor: int, currency: str, digits: int) -> None:
        """Add an amount that was refused; `currency` is the library's own or `other` (C104)."""
        self._refused_minor[currency, digits] += minor

    def _refused_amounts(self) -> Iterable[tuple[tuple[str], float]]:
        """By label only: other currencies have different decimals."""
        sums: defaultdict[str, float] = defaultdict(float)
        for (currency, digits), minor in list(self._refused_minor.items()):
            sums[currency] += minor / 10**digits
        return [((currency,), amount) for currency, amount in sums.items()]

    def _amounts(self) -> Iterable[tuple[tuple[str, str], float]]:
        for (currency, payment_type, digits), minor in list(self._payment_minor.items()):
            yield (currency, payment_type), minor / 10**digits


Row = tuple[tuple[str, ...], float]
"""The values of a series' labels, and its value."""

Sample = tuple[str, tuple[str, ...], float]
"""What stands behind the family's name, the values of the labels, the value."""

Together = Literal["sum", "max", "min", "latest"]
"""What a value of all workers is made of the value of each (B87): the `sum` of what each has for
itself, the `max` or `min` of what each sees of the same, the `latest` of moments, which never go
back."""


class Family(msgspec.Struct, frozen=True):
    """All series of one name, as numbers: what Prometheus calls a metric family.

    It contains everything for its text, so the process that makes the text need not know metrics.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram", "info"]
    text: str
    """The help text."""
    labels: tuple[str, ...]
    samples: list[Sample]
    """Each with values for the first of the `labels`, or for all of them."""
    together: Together = "sum"


def _counter(name: str, text: str, labels: tuple[str, ...], rows: Iterable[Row]) -> Family:
    samples = [("_total", values, float(value)) for values, value in rows]
    return Family(f"sip2gw_{name}", "counter", text, labels, samples)


def _gauge(
    name: str,
    text: str,
    labels: tuple[str, ...],
    rows: Iterable[Row],
    together: Together,
) -> Family:
    samples = [("", values, float(value)) for values, value in rows]
    return Family(f"sip2gw_{name}", "gauge", text, labels, samples, together)


def _histogram(name: str, text: str, label: str, timers: dict[str, Histogram]) -> Family:
    samples: list[Sample] = []
    for value, timer in timers.items():
        buckets = timer.cumulative()
        samples += [("_bucket", (value, edge), count) for edge, count in buckets]
        samples.append(("_count", (value,), buckets[-1][1]))
        samples.append(("_sum", (value,), timer.sum_s))
    return Family(f"sip2gw_{name}", "histogram", text, (label, "le"), samples)


def _one(name: str, text: str, value: float | None, together: Together = "max") -> Family:
    """A gauge without labels; it has no sample while its value is unknown.

    Such a gauge is mostly about the store, which all workers have in common.
    """
    return _gauge(name, text, (), [] if value is None else [((), value)], together)


def _with_zeros(counter: Counter[L], known: Iterable[L]) -> Iterable[tuple[L, float]]:
    """The counts, and 0 for each of the `known` labels that has not occurred yet: `increase()`
    misses the first event of a series that begins with that event."""
    return (dict.fromkeys(known, 0) | dict(list(counter.items()))).items()


def _single(
    counter: Counter[str], known: Iterable[str] = ()
) -> Iterable[tuple[tuple[str, ...], float]]:
    return [((label,), count) for label, count in _with_zeros(counter, known)]


def _collections() -> Iterator[Family]:
    """What Python's garbage collector did in this process, as prometheus_client names it."""
    generations = gc.get_stats()
    for name, text, key in (
        ("objects_collected", "Objects collected during gc", "collected"),
        ("objects_uncollectable", "Uncollectable objects found during GC", "uncollectable"),
        ("collections", "Number of times this generation was collected", "collections"),
    ):
        rows = [((str(number),), done[key]) for number, done in enumerate(generations)]
        samples: list[Sample] = [("_total", values, float(value)) for values, value in rows]
        yield Family(f"python_gc_{name}", "counter", text, ("generation",), samples)


class FamilyMaker:
    """Makes the families of a `Metrics`; every name is there from the start (C23)."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def families(self) -> list[Family]:
        """All of them, with the numbers of this moment."""
        return [
            *self._terminals(),
            *self._wire(),
            *self._decisions(),
            *self._backend(),
            *self._upstream(),
            *self._support(),
            *self._upkeep(),
            *_collections(),
        ]

    def _terminals(self) -> Iterator[Family]:
        m = self._metrics
        yield Family(
            "sip2gw_build",
            "info",
            "Version of the running program",
            ("version",),
            [("_info", (__version__,), 1.0)],
            "max",
        )
        yield _gauge("connections", "Open connections", ("profile",), _single(m.connections), "sum")
        yield _counter("logins", "Logins (93)", ("outcome",), _single(m.logins, LOGIN_OUTCOMES))
        yield _counter(
            "connections_refused",
            "Newcomers refused",
            ("reason",),
            _single(m.connections_refused, NEWCOMER_REASONS),
        )
        yield _counter(
            "tls_handshake_failures",
            "Terminals that were to speak TLS and failed",
            ("reason",),
            _single(m.tls_handshake_failures, HANDSHAKE_REASONS),
        )
        yield _counter(
            "terminal_replaced",
            "Lines in use that another login of the same terminal replaced",
            ("terminal",),
            m.per_terminal(m.terminal_replaced),
        )
        yield _gauge(
            "terminal_last_message_timestamp_seconds",
            "When the terminal last sent a message; 0: never since the start",
            ("terminal",),
            m.per_terminal(m.last_message),
            "latest",
        )
        yield _gauge(
            "terminals_configured",
            "Terminals that may log in",
            ("profile",),
            m.per_profile(),
            "max",
        )

    def _wire(self) -> Iterator[Family]:
        m = self._metrics
        yield _counter(
            "requests",
            "Answered requests",
            ("message", "profile", "outcome"),
            list(m.requests.items()),
        )
        yield _histogram(
            "request_seconds", "Time to answer a request", "message", m.request_seconds
        )
        yield _counter(
            "frames_rejected",
            "Frames not acted on",
            ("reason",),
            _single(m.frames_rejected, FRAME_REASONS),
        )
        yield _counter("resends", "Answers sent again", ("kind",), _single(m.resends, RESEND_KINDS))
        yield _counter("unknown_fields", "Fields not known", (), [((), m.unknown_fields)])
        yield _counter(
            "foreign_institution", "Requests with another AO", (), [((), m.foreign_institution)]
        )

    def _decisions(self) -> Iterator[Family]:
        m = self._metrics
        payments = _with_zeros(m.payments, product(PAYMENT_OUTCOMES, RELATIONS))
        yield _counter(
            "access_decisions",
            "Door decisions",
            ("branch", "decision", "reason", "mode"),
            list(m.access_decisions.items()),
        )
        yield _counter(
            "payments",
            "Payments (37)",
            ("outcome", "relation"),
            payments,
        )
        yield _counter(
            "payment_amount", "Booked amounts", ("currency", "payment_type"), list(m._amounts())
        )
        yield _counter(
            "payments_refused_amount",
            "Amounts of refused payments (37)",
            ("currency",),
            m._refused_amounts(),
        )
        yield _counter("fee_limit_lifted", "FW=B honoured", (), [((), m.fee_limit_lifted)])
        yield _counter("pin_locks", "PINs locked", (), [((), m.pin_locks)])

    def _backend(self) -> Iterator[Family]:
        m = self._metrics
        yield _histogram(
            "backend_seconds", "Time of a backend operation", "operation", m.backend_seconds
        )
        yield _counter(
            "backend_errors",
            "Failed backend operations",
            ("operation", "kind"),
            list(m.backend_errors.items()),
        )
        yield _one("backend_up", "Whether the store worked when last asked", m.backend_up, "min")
        yield _one(
            "outcome_unknown", "Payments and loans of unknown outcome", m.outcome_unknown, "sum"
        )

    def _upstream(self) -> Iterator[Family]:
        accounts = list(self._metrics.upstream.items())
        yield _gauge(
            "upstream_connections",
            "Lines to the library system behind the gateway",
            ("account", "state"),
            [((name, state), n) for name, numbers in accounts for state, n in numbers.lines()],
            "sum",
        )
        yield _counter(
            "upstream_requests",
            "Requests to the library system behind the gateway, by how they ended",
            ("account", "message", "outcome"),
            [
                ((name, *labels), count)
                for name, numbers in accounts
                for labels, count in list(numbers.requests.items())
            ],
        )
        yield _histogram(
            "upstream_seconds",
            "Time from sending a request to the library system to its answer",
            "account",
            {name: numbers.seconds for name, numbers in accounts},
        )
        yield _gauge(
            "upstream_breaker_open",
            "Whether the library system is not asked because it does not answer",
            ("account",),
            [((name,), numbers.breaker_open) for name, numbers in accounts],
            "max",
        )

        yield _gauge(
            "upstream_last_answer_timestamp_seconds",
            "When the library system last answered anything; 0: not since the start",
            ("account",),
            [((name,), numbers.last_answer) for name, numbers in accounts],
            "latest",
        )
        yield _gauge(
            "journal_open",
            "Loans and returns taken off line that the library system has yet to hear of",
            ("kind",),
            [((kind,), count) for kind, count in self._metrics.journal_open.items()],
            "max",
        )

    def _support(self) -> Iterator[Family]:
        m = self._metrics
        yield _gauge(
            "support_open",
            "Open messages of customer support",
            ("type",),
            [((code,), count) for code, count in m.support_open.items()],
            "max",
        )
        yield _one(
            "support_overdue",
            "Open messages of customer support that were due before today",
            m.support_overdue,
        )

    def _upkeep(self) -> Iterator[Family]:
        m = self._metrics
        yield _one(
            "config_last_reload_successful",
            "Whether the configuration that was read last is in force",
            m.reload_ok,
            "min",
        )
        yield _one(
            "config_last_reload_timestamp_seconds",
            "When the configuration was last read, at the start or by a reload, valid or not",
            m.reloaded_at,
            "latest",
        )
        yield _one("store_patrons", "Patrons in the store, counted once an hour", m.patrons)
        yield _one(
            "store_last_import_timestamp_seconds",
            "When library data was last imported; 0: never",
            m.last_import,
        )
        yield _one(
            "store_disk_free_bytes", "Free space of the SQLite file's disk", m.disk_free_bytes
        )
        yield _one("outbox_waiting", "Notices to patrons that wait to be sent", m.outbox_waiting)
        yield _one(
            "outbox_failed",
            "Notices to patrons that nobody took, until they are forgotten",
            m.outbox_failed,
        )
        yield _counter(
            "clock_steps", "Jumps of the wall clock by over a second", (), [((), m.clock_steps)]
        )
        yield _counter(
            "http_restarts",
            "Times that the process for HTTP ended and was started again",
            (),
            [((), m.http_restarts)],
        )
        yield _one("workers", "Processes that serve terminals", m.workers)
        yield _counter(
            "worker_restarts",
            "Workers that were replaced, by why",
            ("reason",),
            _single(m.worker_restarts, WORKER_ENDS),
        )
