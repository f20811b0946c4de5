"""Data: manifests, corpora, preparation and reading for training. Imports nothing heavy by itself."""

from slt_hf.data.loading import load_dataset

__all__ = ["load_dataset"]
