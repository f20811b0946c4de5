"""Run a script with FSDP on CPUs: `torchrun tests/fsdp_on_cpu.py SCRIPT ARGUMENT …`.

accelerate reads FSDP settings for every kind of device but the CPU, where it would silently train whole copies. Torch
can shard over gloo, so here the kind of run is named FSDP after accelerate has looked; all that follows is theirs.
"""

import runpy
import sys
from typing import Any

from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType

plain_init = AcceleratorState.__init__


def init_with_fsdp(self: Any, *args: Any, fsdp_plugin: Any = None, **kwargs: Any) -> None:
    plain_init(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
    if fsdp_plugin is not None and self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, fsdp_plugin


AcceleratorState.__init__ = init_with_fsdp  # type: ignore[method-assign]
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
