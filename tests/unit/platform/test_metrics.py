"""Metrics are a fold over the journal's records, in Prometheus' text."""

from __future__ import annotations

import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

from abyssal.gateway.link import Gauges
from abyssal.platform.metrics import Metrics, Moment
from abyssal.stores.records import Opened, Refused, Settled


def settled(model: str = "m", status: int = 200, first_us: int = 20_000, total_us: int = 300_000) -> Settled:
    return Settled("id", 0, "k", model, "up", True, status, "", 10, 5, 4, 2, False, first_us, total_us)


class Scrape:
    """Samples of one rendering by name and labels."""

    def __init__(self, *records: Opened | Settled | Refused, moment: Moment | None = None) -> None:
        metrics = Metrics("1.2.3", lambda: moment or Moment({}, {}))
        for record in records:
            metrics.take(record)
        self.text = metrics.render().decode()
        self.samples = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(self.text)
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        return self.samples[name, tuple(sorted(labels.items()))]


def test_calls_and_tokens_are_added_up() -> None:
    scrape = Scrape(settled(), settled(), settled(status=502), settled("other"))
    calls = {"upstream": "up", "stream": "true"}
    assert scrape("abyssal_requests_total", model="m", status="200", **calls) == 2
    assert scrape("abyssal_requests_total", model="m", status="502", **calls) == 1
    assert scrape("abyssal_requests_total", model="other", status="200", **calls) == 1
    tokens = [
        scrape("abyssal_tokens_total", model="m", upstream="up", kind=kind)
        for kind in ("prompt", "completion", "cached", "reasoning")
    ]
    assert tokens == [30, 15, 12, 6]


def test_refusals_are_counted_by_reason() -> None:
    refused = Refused(0, "", "", 401, "invalid_api_key")
    scrape = Scrape(refused, refused, Refused(0, "k", "m", 429, "concurrency_exceeded"))
    assert scrape("abyssal_refusals_total", status="401", code="invalid_api_key") == 2
    assert scrape("abyssal_refusals_total", status="429", code="concurrency_exceeded") == 1


def test_durations_are_histograms() -> None:
    scrape = Scrape(settled(total_us=4_000), settled(total_us=300_000), settled(total_us=10**10, first_us=0))
    buckets = [
        (float(dict(labels)["le"]), value)
        for (name, labels), value in scrape.samples.items()
        if name == "abyssal_request_seconds_bucket"
    ]
    assert buckets == sorted(buckets)
    assert [value for _, value in buckets] == sorted(value for _, value in buckets)
    assert dict(buckets)[0.005] == 1
    assert dict(buckets)[0.5] == 2
    assert dict(buckets)[math.inf] == 3
    assert scrape("abyssal_request_seconds_count", upstream="up") == 3
    assert scrape("abyssal_request_seconds_sum", upstream="up") == pytest.approx(10_000.304)
    assert scrape("abyssal_first_byte_seconds_count", upstream="up") == 2


def test_a_bound_belongs_to_its_own_bucket() -> None:
    scrape = Scrape(settled(total_us=5_000))
    assert scrape("abyssal_request_seconds_bucket", upstream="up", le="0.005") == 1


def test_calls_in_flight() -> None:
    opening = Opened("id", 0, "k", "m", "up", True)
    assert Scrape(opening, opening, settled())("abyssal_calls_in_flight") == 1


def test_the_moment() -> None:
    moment = Moment({"0": Gauges(5, 2, 4, 1, 6, 7)}, {"engine": (True, 3), "other": (False, 0)})
    scrape = Scrape(moment=moment)
    assert scrape("abyssal_connections", worker="0") == 5
    assert scrape("abyssal_upstream_connections", worker="0", state="idle") == 1
    assert scrape("abyssal_resumable_streams", worker="0") == 6
    assert scrape("abyssal_resumable_bytes", worker="0") == 7
    assert scrape("abyssal_upstream_connections", worker="0", state="busy") == 3
    assert scrape("abyssal_engine_ready", engine="engine") == 1
    assert scrape("abyssal_engine_ready", engine="other") == 0
    assert scrape("abyssal_engine_restarts_total", engine="engine") == 3
    assert scrape("abyssal_build_info", version="1.2.3") == 1


def test_names_of_any_kind_are_escaped() -> None:
    scrape = Scrape(settled('quo"te\\back\nline 模型'))
    assert scrape("abyssal_tokens_total", model='quo"te\\back\nline 模型', upstream="up", kind="prompt") == 10


def test_every_metric_has_a_text() -> None:
    scrape = Scrape(
        settled(), Refused(0, "", "", 401, "x"), moment=Moment({"0": Gauges(1, 1, 1, 1)}, {"e": (True, 0)})
    )
    families = list(text_string_to_metric_families(scrape.text))
    assert len(families) >= 10
    assert all(family.documentation.endswith(".") for family in families)
