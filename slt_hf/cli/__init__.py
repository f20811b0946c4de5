"""The `slt-hf` command: one module a command, listed in `main.py`."""
