"""What a service refuses, beside what a clip gets wrong."""

from __future__ import annotations

from slt_hf.errors import SignDataError


class OverloadedError(SignDataError):
    """More is asked than can wait: HTTP 429, gRPC RESOURCE_EXHAUSTED."""


class UnknownModelError(SignDataError):
    """A model of that name is not served: HTTP 404, gRPC NOT_FOUND."""


class TooLargeError(SignDataError):
    """A body is larger than its kind may be: HTTP 413."""
