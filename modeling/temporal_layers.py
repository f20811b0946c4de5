"""Layers over time: windowed attention with rotary positions, gated depthwise convolution, SwiGLU.

All are masked, normalise each step by itself, and cost the same per step however long the clip. Each can run over a
whole clip or over one chunk with the state of the chunks before; the two give the same result.

# B batch, S steps (frames / stride), W attention window in steps, H heads, D width, N blocks of W steps
"""

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

LayerState = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # keys (B,H,W,D/H), values (B,H,W,D/H), conv (B,k-1,D)


def eager_attention_forward(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
    weights = torch.matmul(query, key.transpose(2, 3)) * scaling + attention_mask
    weights = nn.functional.softmax(weights, dim=-1, dtype=torch.float32).to(query.dtype)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


def rotary_tables(config, length: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines for steps 0..length-1, (length, D/H). Angles grow with seconds, not with frames.

    Positions count from the start of what a block sees, so they stay small and a stream never outgrows them; only
    differences of positions reach the scores (arxiv:2104.09864).
    """
    half = config.hidden_size // config.num_attention_heads // 2
    exponents = torch.arange(half, device=device, dtype=torch.float32) / half
    radians_per_second = config.rope_frequency * config.rope_theta**-exponents
    seconds = torch.arange(length, device=device, dtype=torch.float32) * (config.stride / config.fps)
    angles = torch.outer(seconds, radians_per_second)
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos(), angles.sin()


def rotate(hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Apply rotary positions to (..., S, D/H)."""
    first, second = hidden.chunk(2, dim=-1)
    return hidden * cos.to(hidden.dtype) + torch.cat([-second, first], dim=-1) * sin.to(hidden.dtype)


def into_blocks(hidden: torch.Tensor, size: int) -> torch.Tensor:
    """(B, S, ...) -> (B, N, size, ...), zero-padded at the end."""
    batch, steps = hidden.shape[:2]
    padding = -steps % size
    if padding:
        hidden = nn.functional.pad(hidden, [0, 0] * (hidden.ndim - 2) + [0, padding])
    return hidden.unflatten(1, ((steps + padding) // size, size))


def with_neighbours(blocks: torch.Tensor, before: bool, after: bool) -> torch.Tensor:
    """Join each block with those beside it, zeros at the ends: (B, N, W, ...) -> (B, N, (before + 1 + after) W, ...)"""
    edge = [0, 0] * (blocks.ndim - 2)
    parts = [blocks]
    if before:
        parts.insert(0, nn.functional.pad(blocks, [*edge, 1, 0])[:, :-1])
    if after:
        parts.append(nn.functional.pad(blocks, [*edge, 0, 1])[:, 1:])
    return torch.cat(parts, dim=2)


class WindowedAttention(nn.Module):
    """Self-attention within a window. Queries come in blocks; keys are the block and its neighbours."""

    is_causal = False

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.num_heads = config.num_attention_heads
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.scaling = self.head_dim**-0.5
        self.qkv_proj = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=False)
        self.o_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)

    def forward(self, hidden, window, state=None, **kwargs):
        """(B, S, D) -> (B, S, D), weights or None, keys and values to keep.

        Args:
            window: what this call's queries may see, from `Window.offline` or `Window.chunk`.
            state: keys and values (B, H, W, D/H) of the window before this chunk; `None` for a whole clip.
        """
        heads = self.qkv_proj(hidden).unflatten(-1, (3, self.num_heads, self.head_dim))
        query, key, value = heads.unbind(2)  # (B, S, H, D/H)
        if state is None:
            query = self._blocks(query, window)
            key, value = self._blocks(key, window, with_context=True), self._blocks(value, window, with_context=True)
            kept = None
        else:
            query = query.transpose(1, 2)
            key = torch.cat([state[0], key.transpose(1, 2)], dim=2)
            value = torch.cat([state[1], value.transpose(1, 2)], dim=2)
            kept = (key[:, :, -state[0].shape[2] :], value[:, :, -state[1].shape[2] :])
        output, weights = self._attend(query, key, value, window, **kwargs)
        output = output.reshape(hidden.shape[0], -1, hidden.shape[2])[:, : hidden.shape[1]]
        return self.o_proj(output), weights, kept

    def _blocks(self, hidden, window, with_context: bool = False) -> torch.Tensor:
        """(B, S, H, D/H) -> (B N, H, W or, with context, the window's width, D/H)"""
        blocks = into_blocks(hidden, window.size)
        if with_context:
            blocks = with_neighbours(blocks, window.before, window.after)
        return blocks.flatten(0, 1).transpose(1, 2)

    def _attend(self, query, key, value, window, **kwargs):
        cos, sin = window.cos, window.sin
        first = window.query_offset
        query = rotate(query, cos[first : first + query.shape[2]], sin[first : first + query.shape[2]])
        key = rotate(key, cos[: key.shape[2]], sin[: key.shape[2]])
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(window.implementation, eager_attention_forward)
        dropout = self.config.attention_dropout if self.training else 0.0
        return attend(self, query, key, value, window.mask, dropout=dropout, scaling=self.scaling, **kwargs)


class Window:
    """Which keys each query may see: blocks, mask in the form the attention function takes, rotary tables."""

    def __init__(self, config, size: int, before: bool, after: bool, query_offset: int, allowed: torch.Tensor, dtype):
        self.size, self.before, self.after, self.query_offset = size, before, after, query_offset
        self.implementation = config._attn_implementation or "sdpa"
        if "flash" in self.implementation or "flex" in self.implementation:
            # flash kernels take no mask for each block, and flex's reads past it on CPU; small blocks need neither
            self.implementation = "sdpa"
        self.mask = allowed.unsqueeze(1)  # (B N, 1, queries, keys)
        if self.implementation != "sdpa":
            lowest = torch.finfo(dtype).min
            self.mask = torch.zeros_like(self.mask, dtype=dtype).masked_fill(~self.mask, lowest)
        self.cos, self.sin = rotary_tables(config, allowed.shape[-1], allowed.device)

    @classmethod
    def offline(cls, config, mask: torch.Tensor, dtype) -> "Window":
        """For a whole clip: mask (B, S), true for real steps."""
        chunked = config.chunk_frames is not None
        steps, size = mask.shape[1], config.attention_window
        before, after = True, not chunked
        if steps <= size and not torch.compiler.is_exporting():
            size, before, after = steps, False, False  # a short clip is one block without neighbours
        offset = size if before else 0
        width = size * (1 + before + after)
        seen = with_neighbours(into_blocks(mask.unsqueeze(-1).to(dtype), size), before, after)[..., 0] > 0
        query = torch.arange(size, device=mask.device)[:, None] + offset
        key = torch.arange(width, device=mask.device)[None, :]
        allowed = seen.flatten(0, 1)[:, None, :] & cls._within(config, query, key)
        return cls(config, size, before, after, offset, allowed | (query == key), dtype)

    @classmethod
    def chunk(cls, config, mask: torch.Tensor, past_mask: torch.Tensor, dtype) -> "Window":
        """For one chunk of a stream: mask (B, chunk steps), mask of the window before it (B, W)."""
        past = past_mask.shape[1]
        seen = torch.cat([past_mask, mask], dim=1)
        query = torch.arange(mask.shape[1], device=mask.device)[:, None] + past
        key = torch.arange(seen.shape[1], device=mask.device)[None, :]
        allowed = seen[:, None, :] & cls._within(config, query, key)
        return cls(config, mask.shape[1], True, False, past, allowed | (query == key), dtype)

    @staticmethod
    def _within(config, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        if config.chunk_frames is None:
            return (query - key).abs() <= config.attention_window
        # blocks are whole chunks, so counting chunks from a block's start is counting them from the clip's
        chunk = config.chunk_frames // config.stride
        query_chunk, key_chunk = query // chunk, key // chunk
        return (key_chunk <= query_chunk) & (key_chunk >= query_chunk - config.attention_window // chunk)


class GatedConvolution(nn.Module):
    """Conformer's convolution (arxiv:2005.08100) with the norm per step: gate, depthwise in time, project."""

    def __init__(self, config):
        super().__init__()
        self.kernel_size = config.conv_kernel_size
        self.causal = config.chunk_frames is not None
        width = config.hidden_size
        self.gate_proj = nn.Linear(width, 2 * width, bias=False)
        self.depthwise = nn.Conv1d(width, width, self.kernel_size, groups=width)
        self.norm = nn.RMSNorm(width, eps=config.rms_norm_eps)
        self.out_proj = nn.Linear(width, width, bias=False)

    def forward(self, hidden, mask, state=None):
        """(B, S, D), (B, S) -> (B, S, D), the last kernel - 1 inputs (B, k - 1, D)"""
        gated = nn.functional.glu(self.gate_proj(hidden), dim=-1) * mask.unsqueeze(-1).to(hidden.dtype)
        if state is not None:
            gated = torch.cat([state, gated], dim=1)
        elif self.causal:
            gated = nn.functional.pad(gated, (0, 0, self.kernel_size - 1, 0))
        else:
            gated = nn.functional.pad(gated, (0, 0, self.kernel_size // 2, self.kernel_size // 2))
        mixed = self.depthwise(gated.transpose(1, 2)).transpose(1, 2) if state is None else self._few_steps(gated)
        return self.out_proj(nn.functional.silu(self.norm(mixed))), gated[:, gated.shape[1] - self.kernel_size + 1 :]

    def _few_steps(self, gated: torch.Tensor) -> torch.Tensor:
        """The convolution of a chunk: a product and a sum, since a convolution's kernel spends its time on preparing"""
        windows = gated.unfold(1, self.kernel_size, 1)  # (B, S, D, k)
        return (windows * self.depthwise.weight[:, 0]).sum(-1) + self.depthwise.bias


class SwiGLU(nn.Module):
    """arxiv:2002.05202"""

    def __init__(self, config):
        super().__init__()
        self.gate_up_proj = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, hidden):
        gate, up = self.gate_up_proj(hidden).chunk(2, dim=-1)
        return self.down_proj(nn.functional.silu(gate) * up)


class TemporalLayer(GradientCheckpointingLayer):
    """Attention, convolution, feed-forward, each with a pre-norm and a residual."""

    def __init__(self, config):
        super().__init__()
        self.attention_norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.attention = WindowedAttention(config)
        self.conv_norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.conv = GatedConvolution(config)
        self.mlp_norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.mlp = SwiGLU(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden, mask, window, state: LayerState | None = None, **kwargs):
        """(B, S, D) -> (B, S, D), attention weights or None, state for the next chunk or None"""
        past, past_conv = (state[:2], state[2]) if state is not None else (None, None)
        attended, weights, kept = self.attention(self.attention_norm(hidden), window, past, **kwargs)
        hidden = hidden + self.dropout(attended)
        mixed, kept_conv = self.conv(self.conv_norm(hidden), mask, past_conv)
        hidden = hidden + self.dropout(mixed)
        hidden = hidden + self.dropout(self.mlp(self.mlp_norm(hidden)))
        return hidden, weights, None if kept is None else (*kept, kept_conv)
