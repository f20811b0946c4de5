"""What a service counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class ServiceMetrics:
    """Of one server; two in one process do not share them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.seconds = Histogram(
            "slt_request_seconds", "From a whole request to its answer", ["protocol", "model"], registry=self.registry
        )
        self.errors = Counter("slt_request_errors", "Refused or failed", ["protocol", "status"], registry=self.registry)
        self.streams = Gauge("slt_open_streams", "WebSockets open now", registry=self.registry)
        self.dropped = Counter("slt_dropped_frames", "Frames of streams left out", registry=self.registry)
