"""Run a script with DeepSpeed on CPUs: `torchrun tests/deepspeed_on_cpu.py SCRIPT ARGUMENT …`, DS_ACCELERATOR=cpu.

accelerate knows DeepSpeed on every kind of device but the CPU, where it finds no backend and each process trains for
itself. DeepSpeed itself works over gloo, so here gloo is what accelerate finds; all that follows is theirs.
"""

import runpy
import sys
from typing import Any

from accelerate.state import PartialState
from accelerate.utils import DistributedType


def gloo(self: Any, *args: Any, **kwargs: Any) -> tuple[str, DistributedType]:
    return "gloo", DistributedType.MULTI_CPU


PartialState._prepare_backend = gloo  # type: ignore[method-assign]
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
