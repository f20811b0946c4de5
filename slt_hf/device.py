"""Where the arithmetic happens: the best device that is there, unless somebody names one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slt_hf.errors import RecipeError

if TYPE_CHECKING:
    import torch


def available_devices() -> list[str]:
    """Devices that torch can use here, best first; "cpu" is always the last. AMD's (ROCm) are called cuda, too."""
    import torch

    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    intel = [f"xpu:{index}" for index in range(torch.xpu.device_count())] if torch.xpu.is_available() else []
    metal = ["mps"] if torch.backends.mps.is_available() else []
    return [*cuda, *intel, *metal, "cpu"]


def pick_device(name: str | torch.device | None = None) -> torch.device:
    """The named device, or the best one available.

    Raises:
        RecipeError: if the named device does not exist here.
    """
    import torch

    available = available_devices()
    try:
        device = torch.device(name or available[0])
    except RuntimeError as error:
        raise RecipeError(
            f"expected a device such as {', '.join(available)}, found {name!r}; name one of these"
        ) from error
    if device.type not in {torch.device(known).type for known in available}:
        raise RecipeError(f"device {device} is not available here, only {', '.join(available)}; name one of these")
    return device
