"""From a vector for every step to one for every sign that a CTC head reads.

# B batch, S encoder steps, R runs, D width
"""

import torch
from torch import nn


def compress_runs(states: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean state of each run of equal labels other than the blank 0, as CTC reads them (arxiv:2104.08191).

    Args:
        states: (B, S, D). mask: (B, S). labels: (B, S), the CTC head's best at each step.

    Returns:
        Means (B, R, D) and their mask (B, R), R the most runs in a clip; a clip without any keeps one zero vector.
    """
    labels = labels * mask.to(labels.dtype)
    before = nn.functional.pad(labels, (1, 0))[:, :-1]
    runs = ((labels != before) & (labels != 0)).long().cumsum(-1)  # number of the run a step is in, from 1
    runs = runs * (labels != 0)  # 0 collects the blanks
    count = runs.amax(-1)
    # a graph's sizes cannot follow from its data: it keeps room for as many runs as there are steps, masked
    longest = labels.shape[1] if torch.compiler.is_exporting() else int(count.max().clamp(min=1))
    number = torch.arange(1, longest + 1, device=mask.device)
    member = (runs.unsqueeze(-1) == number).to(states.dtype)  # (B, S, R)
    sums = member.transpose(1, 2) @ states
    means = sums / member.sum(1).unsqueeze(-1).clamp(min=1)
    present = number <= count.clamp(min=1)[:, None]
    return means, present.long()
