"""Metrics, as a fold over the journal: nothing is counted on the hot path.

What a worker holds at the moment (connections, calls) it reports itself, once a second.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from abyssal.stores.records import Failed, Opened, Record, Settled

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_KINDS = ("prompt", "completion", "cached", "reasoning")


class WorkerGauges(Protocol):
    """What a worker reports."""

    @property
    def connections(self) -> int: ...
    @property
    def upstream_open(self) -> int: ...
    @property
    def upstream_idle(self) -> int: ...
    @property
    def resumable_streams(self) -> int: ...
    @property
    def resumable_bytes(self) -> int: ...


class Moment(msgspec.Struct, frozen=True):
    """The node at one moment: its workers' reports, and each engine as (ready, restarts)."""

    workers: Mapping[str, WorkerGauges]
    engines: Mapping[str, tuple[bool, int]]


class _Histogram:
    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(_BUCKETS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(_BUCKETS, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts, as Prometheus wants them."""
        rows: list[tuple[str, float]] = []
        running = 0
        for bound, count in zip([*map(str, _BUCKETS), "+Inf"], self.counts, strict=True):
            running += count
            rows.append((bound, running))
        return rows


class Metrics(Collector):
    """Takes records in, gives the Prometheus text out. Not thread-safe: one thread drains and renders."""

    def __init__(self, version: str, moment: Callable[[], Moment]) -> None:
        self._version = version
        self._moment = moment
        self._calls: defaultdict[tuple[str, str, int, bool], int] = defaultdict(int)
        self._tokens: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        self._refused: defaultdict[tuple[int, str], int] = defaultdict(int)
        self._seconds: defaultdict[str, _Histogram] = defaultdict(_Histogram)
        self._first: defaultdict[str, _Histogram] = defaultdict(_Histogram)
        self._failures: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.old_secrets = 0  # in use for longer than the operator wants
        self._opened = self._settled = 0
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def take(self, record: Record) -> None:
        """Fold one record in."""
        if isinstance(record, Settled):
            self._settled += 1
            self._calls[record.model, record.upstream, record.status, record.stream] += 1
            tokens = self._tokens[record.model, record.upstream]
            tokens[0] += record.prompt_tokens
            tokens[1] += record.completion_tokens
            tokens[2] += record.cached_tokens
            tokens[3] += record.reasoning_tokens
            self._seconds[record.upstream].add(record.total_us / 1e6)
            if record.first_byte_us:
                self._first[record.upstream].add(record.first_byte_us / 1e6)
        elif isinstance(record, Opened):
            self._opened += 1
        elif isinstance(record, Failed):
            self._failures[record.way, record.reason] += 1
        else:
            self._refused[record.status, record.code] += 1

    def render(self) -> bytes:
        """The Prometheus text exposition (version 0.0.4)."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Everything, once per scrape."""
        build = GaugeMetricFamily("abyssal_build_info", "The running version.", labels=["version"])
        build.add_metric([self._version], 1)
        yield build
        calls = CounterMetricFamily(
            "abyssal_requests",
            "Calls that reached an upstream.",
            labels=["model", "upstream", "status", "stream"],
        )
        for (model, upstream, status, stream), count in self._calls.items():
            calls.add_metric([model, upstream, str(status), str(stream).lower()], count)
        yield calls
        tokens = CounterMetricFamily("abyssal_tokens", "Tokens used.", labels=["model", "upstream", "kind"])
        for (model, upstream), counts in self._tokens.items():
            for kind, count in zip(_KINDS, counts, strict=True):
                tokens.add_metric([model, upstream, kind], count)
        yield tokens
        refused = CounterMetricFamily(
            "abyssal_refusals", "Calls turned away before any upstream.", labels=["status", "code"]
        )
        for (status, code), count in self._refused.items():
            refused.add_metric([str(status), code], count)
        yield refused
        failures = CounterMetricFamily(
            "abyssal_authentication_failures",
            "Attempts to prove who one is that failed.",
            labels=["way", "reason"],
        )
        for (way, reason), count in self._failures.items():
            failures.add_metric([way, reason], count)
        yield failures
        yield GaugeMetricFamily(
            "abyssal_secrets_old", "Secrets in use for longer than they should be.", value=self.old_secrets
        )
        yield _histogram(
            "abyssal_request_seconds", "From a request's last byte to its settlement.", self._seconds
        )
        yield _histogram(
            "abyssal_first_byte_seconds", "From a request's last byte to its answer's first.", self._first
        )
        yield GaugeMetricFamily(
            "abyssal_calls_in_flight", "Calls at an upstream now.", value=self._opened - self._settled
        )
        yield from self._now()

    def _now(self) -> Iterable[Metric]:
        moment = self._moment()
        clients = GaugeMetricFamily("abyssal_connections", "Client connections.", labels=["worker"])
        upstream = GaugeMetricFamily(
            "abyssal_upstream_connections", "Connections to upstreams.", labels=["worker", "state"]
        )
        streams = GaugeMetricFamily(
            "abyssal_resumable_streams", "Resumable streams that are kept.", labels=["worker"]
        )
        kept = GaugeMetricFamily(
            "abyssal_resumable_bytes", "Bytes kept of resumable streams, by estimate.", labels=["worker"]
        )
        for worker, gauges in moment.workers.items():
            streams.add_metric([worker], gauges.resumable_streams)
            kept.add_metric([worker], gauges.resumable_bytes)
            clients.add_metric([worker], gauges.connections)
            upstream.add_metric([worker, "idle"], gauges.upstream_idle)
            upstream.add_metric([worker, "busy"], gauges.upstream_open - gauges.upstream_idle)
        ready = GaugeMetricFamily("abyssal_engine_ready", "Whether an engine answers.", labels=["engine"])
        restarts = CounterMetricFamily("abyssal_engine_restarts", "Engine restarts.", labels=["engine"])
        for name, (is_ready, count) in moment.engines.items():
            ready.add_metric([name], is_ready)
            restarts.add_metric([name], count)
        return (clients, upstream, streams, kept, ready, restarts)


def _histogram(name: str, text: str, series: Mapping[str, _Histogram]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, text, labels=["upstream"])
    for upstream, histogram in series.items():
        family.add_metric([upstream], histogram.buckets(), histogram.total)
    return family
