"""Models: model input -> logits. Importing registers them with transformers' Auto classes."""
