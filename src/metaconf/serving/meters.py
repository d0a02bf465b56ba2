"""What `GET /metrics` counts, for Prometheus."""

from __future__ import annotations

from dataclasses import dataclass, field

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from metaconf.serving.reply import Served

LEVELS = tuple(k / 10 for k in range(11))
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(f"metaconf_{name}", text, labels, registry=None)


@dataclass(frozen=True, slots=True)
class Meters:
    """Counters of one server, in a registry of its own."""

    confidence: Histogram = field(
        default_factory=lambda: Histogram(
            "metaconf_confidence", "Confidence of replies", buckets=LEVELS, registry=None
        )
    )
    latency: Histogram = field(
        default_factory=lambda: Histogram(
            "metaconf_latency_seconds", "Seconds to a reply", buckets=SECONDS, registry=None
        )
    )
    decisions: Counter = field(
        default_factory=lambda: _counter("decisions", "Replies by decision", "action")
    )
    unparsed: Counter = field(
        default_factory=lambda: _counter("unparsed", "Replies without an answer or a confidence")
    )
    escalations: Counter = field(
        default_factory=lambda: _counter("escalations", "Questions asked of a further model")
    )
    tokens: Counter = field(
        default_factory=lambda: _counter("tokens", "Tokens, read and written", "kind")
    )
    cost: Counter = field(default_factory=lambda: _counter("cost", "Cost, where prices are known"))
    refused: Counter = field(
        default_factory=lambda: _counter("refused", "Requests refused, by status", "status")
    )
    left: Counter = field(
        default_factory=lambda: _counter("client_left", "Requests whose client went away")
    )
    labels: Counter = field(default_factory=lambda: _counter("labels", "Feedback, kept"))
    in_flight: Gauge = field(
        default_factory=lambda: Gauge("metaconf_in_flight", "Requests in flight", registry=None)
    )
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if name != "registry":
                self.registry.register(getattr(self, name))
        ProcessCollector(registry=self.registry)

    def reply(self, served: Served, seconds: float) -> None:
        """Count one reply."""
        value = served.object["confidence"]["value"]
        if value is not None:
            self.confidence.observe(value)
        if not served.object["parsed"]:
            self.unparsed.inc()
        self.latency.observe(seconds)
        self.decisions.labels(served.action).inc()
        self.escalations.inc(len(served.attempts) - 1)
        self.tokens.labels("read").inc(sum(one.tokens_in for one in served.attempts))
        self.tokens.labels("written").inc(sum(one.tokens_out for one in served.attempts))

    def text(self) -> bytes:
        return generate_latest(self.registry)
