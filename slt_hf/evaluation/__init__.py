"""Evaluation: numbers that can be believed, from predictions or from a checkpoint and a split."""
