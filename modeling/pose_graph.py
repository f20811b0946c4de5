"""From landmarks to one vector a frame: masked features, graph convolution inside each part, early pooling.

# B batch, T frames, V landmarks of a part, C coordinates, D positions (C without confidence), F features of a point,
# G graph width, K hops + 1
"""

import numpy as np
import torch
from torch import nn
from transformers import initialization as init

SMALLEST_PART = 1e-3  # in the input's unit (shoulder widths): below this a part counts as one point
POINTS_PER_UNIT = 4.0  # a hand is a quarter of a shoulder width: from there to about one
SECONDS_PER_VELOCITY = 0.1  # velocities are displacements in a tenth of a second, about the size of positions


def velocities(points: torch.Tensor, present: torch.Tensor, previous: tuple[torch.Tensor, torch.Tensor] | None):
    """Displacement from the frame before; zero where a point is missing in either frame. Looks back only.

    Args:
        points: (B, T, V, D), zero where missing.
        present: (B, T, V), boolean.
        previous: points (B, V, D) and presence (B, V) of the frame before the first, or `None` at a clip's start.
    """
    if previous is None:
        previous = (torch.zeros_like(points[:, 0]), torch.zeros_like(present[:, 0]))
    before = torch.cat([previous[0].unsqueeze(1), points[:, :-1]], dim=1)
    seen_before = torch.cat([previous[1].unsqueeze(1), present[:, :-1]], dim=1)
    return (points - before) * (present & seen_before).unsqueeze(-1)


def local_frame(points: torch.Tensor, present: torch.Tensor, anchor: int | None) -> torch.Tensor:
    """A part in its own frame: origin at its anchor (the wrist), mean distance from it one.

    Without an anchor, or where it is missing, the mean of what is seen is the origin. Frames are independent.

    Args:
        points: (B, T, V, D), zero where missing.
        present: (B, T, V), boolean.
        anchor: place of the anchor within the part.
    """
    weight = present.unsqueeze(-1).to(points.dtype)
    count = weight.sum(dim=-2, keepdim=True).clamp(min=1)
    origin = points.sum(dim=-2, keepdim=True) / count
    if anchor is not None:
        origin = torch.where(present[..., anchor, None, None], points[..., anchor : anchor + 1, :], origin)
    offsets = (points - origin) * weight
    distance = length(offsets).sum(dim=-2, keepdim=True) / count
    return offsets / distance.clamp(min=SMALLEST_PART)


def length(offsets: torch.Tensor) -> torch.Tensor:
    """(..., D) -> (..., 1)

    An anchor's own offset is always zero, where the root's gradient is NaN; the bound, far below any rounding, keeps
    gradients that reach the landmarks finite.
    """
    return offsets.square().sum(dim=-1, keepdim=True).clamp(min=1e-30).sqrt()


def hop_adjacency(num_points: int, edges: list[tuple[int, int]], hops: int) -> np.ndarray:
    """Row-normalised adjacency for each graph distance 1..hops, (hops, V, V); distance 0 needs no matrix.

    The distance partition of ST-GCN (Yan et al. 2018, arxiv:1801.07455), rows instead of D^-1/2 A D^-1/2.
    Numpy, because a tensor made while a checkpoint loads would be on the meta device.
    """
    one = np.eye(num_points)
    for a, b in edges:
        one[a, b] = one[b, a] = 1.0
    within = [np.eye(num_points)]
    for _ in range(hops):
        within.append((within[-1] @ one > 0).astype(float))
    exact = np.diff(np.stack(within), axis=0)
    return (exact / exact.sum(axis=-1, keepdims=True).clip(min=1)).astype(np.float32)


class GraphConvolution(nn.Module):
    """Each point takes in its neighbours at distance 1..hops, with weights for each distance and learned importance.

    Points come first, (V, N, G), so that mixing them is one matrix product over all frames.
    """

    edge_mask: torch.Tensor

    def __init__(self, width: int, adjacency: np.ndarray, eps: float):
        super().__init__()
        self.initial_adjacency = adjacency
        self.norm = nn.LayerNorm(width, eps=eps)  # RMSNorm has no fused kernel on CPU, and this is the widest tensor
        self.own = nn.Linear(width, width)
        self.neighbours = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in adjacency)
        self.adjacency = nn.Parameter(torch.from_numpy(adjacency).clone())
        # learning may reweigh edges but not invent them
        self.register_buffer("edge_mask", torch.from_numpy((adjacency > 0).astype(np.float32)), persistent=False)

    def init_buffers(self):
        """Set the graph: learned weights start at the normalised adjacency."""
        init.copy_(self.adjacency, torch.from_numpy(self.initial_adjacency))
        init.copy_(self.edge_mask, torch.from_numpy((self.initial_adjacency > 0).astype(np.float32)))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(V, N, G) -> (V, N, G)"""
        normed = self.norm(hidden)
        mixed = self.own(normed).flatten(1)
        adjacencies = (self.adjacency * self.edge_mask).to(mixed.dtype)  # autocast leaves parameters in float32
        for adjacency, neighbours in zip(adjacencies, self.neighbours, strict=True):
            mixed = torch.addmm(mixed, adjacency, neighbours(normed).flatten(1))
        return hidden + nn.functional.gelu(mixed).view_as(hidden)


class PartEncoder(nn.Module):
    """The points of one part -> one vector a frame.

    A missing point has all features zero but the last, whose weights are thereby the learned vector of a missing
    point; it never looks like a position. Each point keeps its own columns in the last projection, which pools the
    part without losing which finger is which.
    """

    def __init__(self, config, num_points: int, edges: list[tuple[int, int]]):
        super().__init__()
        width = config.graph_hidden_size
        adjacency = hop_adjacency(num_points, edges, config.graph_hops if edges else 0)
        self.embed = nn.Linear(num_features(config), width)
        self.point_embedding = nn.Parameter(torch.zeros(num_points, width))
        self.layers = nn.ModuleList(
            GraphConvolution(width, adjacency, config.rms_norm_eps) for _ in range(config.num_graph_layers)
        )
        self.norm = nn.LayerNorm(width, eps=config.rms_norm_eps)
        self.reduce = nn.Linear(width, config.point_hidden_size)
        self.pool = nn.Linear(num_points * config.point_hidden_size, config.part_hidden_size)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, V, F) -> (N, part_hidden_size)"""
        hidden = self.embed(features.transpose(0, 1)) + self.point_embedding.unsqueeze(1)
        for layer in self.layers:
            hidden = layer(hidden)
        points = nn.functional.gelu(self.reduce(self.norm(hidden)))
        return self.pool(points.transpose(0, 1).flatten(1))


class ShapeEncoder(nn.Module):
    """The points of one part -> one vector a frame, by a perceptron over all of them at once.

    It sees what `config.shape_inputs` names: the points from the anchor (a hand from its wrist) in the clip's unit, or
    the directions of the bones, which depend on neither sizes nor distance; beside it the anchor's motion and, where
    the config says so, its place. A graph learns which points belong together from many clips; from a few hundred
    letters this read left-out signers a little better (results/experiments_real.md: one seed, two alphabets).
    """

    def __init__(self, config, num_points: int, anchor: int, edges: list[tuple[int, int]]):
        super().__init__()
        self.anchor, self.num_positions, self.places = anchor, config.num_positions, config.anchor_places
        self.points = "points" in config.shape_inputs
        self.bones = edges if "bones" in config.shape_inputs else []
        seen = num_points * self.points + len(self.bones)
        width = (seen + 1 + self.places) * config.num_positions + 1
        self.expand = nn.Linear(width, config.shape_hidden_size)
        self.dropout = nn.Dropout(config.dropout)
        self.pool = nn.Linear(config.shape_hidden_size, config.part_hidden_size)
        self.norm = nn.LayerNorm(config.part_hidden_size, eps=config.rms_norm_eps)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, V, F) -> (N, part_hidden_size)"""
        size = self.num_positions
        places, motion = features[..., :size], features[:, self.anchor, size : 2 * size]
        missing, anchor = features[..., 2 * size + 1 : 2 * size + 2], places[:, self.anchor : self.anchor + 1]
        shape = (places - anchor) * (1 - missing) * (1 - missing[:, self.anchor : self.anchor + 1])
        seen = [POINTS_PER_UNIT * shape.flatten(1)] if self.points else []
        seen += [self._directions(places, missing)] if self.bones else []
        seen += [motion, missing[:, self.anchor]]
        seen += [anchor.flatten(1)] if self.places else []
        return self.norm(self.pool(self.dropout(nn.functional.gelu(self.expand(torch.cat(seen, dim=-1))))))

    def _directions(self, places: torch.Tensor, missing: torch.Tensor) -> torch.Tensor:
        """Unit vectors along the bones, zero where an end is missing: (N, V, D), (N, V, 1) -> (N, bones * D)"""
        starts, ends = ([bone[side] for bone in self.bones] for side in (0, 1))
        along = (places[:, ends] - places[:, starts]) * (1 - missing[:, ends]) * (1 - missing[:, starts])
        return (along / length(along).clamp(min=SMALLEST_PART)).flatten(1)


def num_features(config) -> int:
    """F: position, velocity and position in the part's own frame; confidence; whether the point is missing."""
    return 3 * config.num_positions + 2


class FrameEncoder(nn.Module):
    """Landmarks of a frame -> the vectors of its parts, side by side. Frames are independent but for velocities."""

    mirror_x: torch.Tensor

    def __init__(self, config):
        super().__init__()
        self.parts = sorted(config.parts)  # json sorts keys; the order decides which columns `merge` reads
        self.mirrored = {n: o for n, o in config.mirrored_parts.items() if n in self.parts and o in self.parts}
        self.num_positions = config.num_positions
        self.velocity_scale = float(config.fps) * SECONDS_PER_VELOCITY
        self.anchors = {n: config.parts[n].index(config.anchors[n]) for n in self.parts if n in config.anchors}
        self.indices = {n: list(config.parts[n]) for n in self.parts}
        owners = [n for n in self.parts if n not in self.mirrored]
        self.encoders = nn.ModuleDict({n: self._part_encoder(n, config) for n in owners})
        self.width = len(self.parts) * config.part_hidden_size
        for name in self.parts:
            self.register_buffer(f"{name}_indices", torch.tensor(self.indices[name]), persistent=False)
        self.register_buffer("mirror_x", self._mirror_x(), persistent=False)

    def _part_encoder(self, name: str, config) -> nn.Module:
        if config.frame_encoder == "shape":
            return ShapeEncoder(config, len(self.indices[name]), self.anchors.get(name, 0), self._edges(name, config))
        return PartEncoder(config, len(self.indices[name]), self._edges(name, config))

    def _edges(self, name: str, config) -> list[tuple[int, int]]:
        place = {index: i for i, index in enumerate(config.parts[name])}
        return [(place[a], place[b]) for a, b in config.edges if a in place and b in place]

    def _mirror_x(self) -> torch.Tensor:
        """-1 at the x of position, velocity and position in the part's own frame, (F,)."""
        signs = torch.ones(3 * self.num_positions + 2)
        signs[[0, self.num_positions, -self.num_positions]] = -1
        return signs

    def init_buffers(self):
        """Set what loading from a checkpoint leaves as uninitialised memory (non-persistent buffers)."""
        init.copy_(self.mirror_x, self._mirror_x())
        for name in self.parts:
            init.copy_(getattr(self, f"{name}_indices"), torch.tensor(self.indices[name]))

    def forward(
        self,
        pose_values: torch.Tensor,
        attention_mask: torch.Tensor,
        previous: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """Encode frames.

        Args:
            pose_values: (B, T, V, C), the last coordinate being the confidence; 0 there means not seen.
            attention_mask: (B, T), 1 for real frames.
            previous: state from the call before, `None` at a clip's start.

        Returns:
            Frame vectors (B, T, parts * part_hidden_size), zero where masked; and the state for the next call.
        """
        present = (pose_values[..., -1] > 0) & attention_mask.bool().unsqueeze(-1)
        seen = torch.where(present.unsqueeze(-1), pose_values, 0.0)  # `where` also stops NaN under a missing point
        points = seen[..., :-1]
        motion = velocities(points, present, previous) * self.velocity_scale
        missing = (~present).unsqueeze(-1).to(seen.dtype)
        shared = torch.cat([points, motion, seen[..., -1:], missing], dim=-1)
        vectors = self._encode_parts({name: self._part_features(name, shared, present) for name in self.parts})
        frames = torch.cat(vectors, dim=-1) * attention_mask.unsqueeze(-1).to(seen.dtype)
        return frames, (points[:, -1], present[:, -1])

    def _part_features(self, name: str, shared: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Features of all points (B, T, V, F - D) -> of a part with its own frame (B, T, points of the part, F)"""
        shared, present = self._select(name, shared), self._select(name, present)
        local = local_frame(shared[..., : self.num_positions], present, self.anchors.get(name))
        features = torch.cat([shared, local], dim=-1)
        return features * self.mirror_x if name in self.mirrored else features

    def _select(self, name: str, points: torch.Tensor) -> torch.Tensor:
        """The points of a part, (B, T, V, ...) -> (B, T, points of the part, ...); a view where they are neighbours."""
        first, count = self.indices[name][0], len(self.indices[name])
        if self.indices[name] == list(range(first, first + count)):
            return points[:, :, first : first + count]
        return points.index_select(2, getattr(self, f"{name}_indices"))

    def _encode_parts(self, features: dict[str, torch.Tensor]) -> list[torch.Tensor]:
        """Vectors of the parts in their order; parts that share weights go through them together."""
        vectors: dict[str, torch.Tensor] = {}
        for owner, encoder in self.encoders.items():
            names = [name for name in self.parts if self.mirrored.get(name, name) == owner]
            together = torch.cat([features[name] for name in names]) if len(names) > 1 else features[owner]
            encoded = encoder(together.flatten(0, 1)).unflatten(0, together.shape[:2])
            vectors.update(zip(names, encoded.chunk(len(names)), strict=True))
        return [vectors[name] for name in self.parts]
