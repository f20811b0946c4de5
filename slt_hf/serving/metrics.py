"""What a service counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from slt_hf.serving.batching import Batcher

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)


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
        self.waiting = Gauge("slt_waiting_clips", "In the queue before a model", ["model"], registry=self.registry)
        self.batches = Histogram(
            "slt_batch_size", "Clips computed together", ["model"], registry=self.registry, buckets=BATCH_SIZES
        )

    def watch(self, model: str, batcher: Batcher) -> None:
        """Count what waits before a model, and what it computes together."""
        batcher.observe = self.batches.labels(model).observe
        self.waiting.labels(model).set_function(batcher.queue.qsize)
