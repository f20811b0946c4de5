"""Serving checkpoints: a service that knows no protocol, and thin protocols over it."""
