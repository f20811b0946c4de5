"""Configuration of the pose encoder: the layout it was built for and the widths of its layers."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .pose_parts import parts_and_edges


@strict
class PoseEncoderConfig(PreTrainedConfig):
    """What a pose encoder's weights are.

    The layout is three plain lists (`parts`, `edges`, `anchors`) over landmark indices, so that any layout works and
    no landmark schema is needed to load a checkpoint. `PoseEncoderConfig(num_landmarks=75)` fills them for sizes that
    are common layouts (`pose_parts.PARTS_BY_SIZE`); another size becomes one part without edges.

    Args:
        num_landmarks: points of a frame, V.
        num_coordinates: values of a point, C; the last is the confidence, and 0 there means "not seen".
        layout: name of the landmark layout, for messages and the processor's check; the lists are what counts.
        parts: part name -> landmark indices. Points in no part are not read.
        edges: pairs of landmark indices; the graph convolution mixes along those whose ends lie in one part.
        anchors: part name -> landmark that is the origin of its own frame (the wrist); else the mean of the part.
        mirrored_parts: part -> part whose weights it shares with x mirrored, so that both hands are one hand.
        fps: frames per second the processor resamples to; velocities and rotary positions are in seconds.
        frame_encoder: "graph": graph convolutions over a part's points, for training from much data; "shape": a
            perceptron over the part's points as seen from its anchor, `shape_hidden_size` wide, for training from a
            few hundred clips.
        shape_inputs: with "shape", what is seen of a part: "points" from its anchor, "bones" as directions along
            `edges`, or both. Bones alone travel best to other cameras and people.
        anchor_places: with "shape", whether a part's place in the signing space counts, beside its shape and motion.
        graph_hops: graph distance up to which a layer mixes points; each distance has its own weights.
        chunk_frames: `None` sees `attention_window` on both sides. A number makes the encoder streamable: it sees the
            frames of its own chunk and the window before it, never later ones; `stride` itself is fully causal.
        stride: frames per output step.
        attention_window: steps an output attends to on each side; the cost grows linearly with length because of it.
        rope_frequency: radians per second of the fastest rotary pair.
        vocab_size: glosses or characters of the CTC head, `pad_token_id` being the blank; `None` without that head.
    """

    model_type = "slt_pose_encoder"
    base_config_key = "encoder_config"

    num_landmarks: int = 85
    num_coordinates: int = 3
    layout: str | None = None
    parts: dict | None = None
    edges: list | None = None
    anchors: dict | None = None
    mirrored_parts: dict | None = None
    fps: float | int = 25.0

    frame_encoder: str = "graph"
    shape_hidden_size: int = 192
    shape_inputs: list | None = None
    anchor_places: bool = True
    graph_hidden_size: int = 32
    num_graph_layers: int = 2
    graph_hops: int = 2
    point_hidden_size: int = 16
    part_hidden_size: int = 96

    hidden_size: int = 192
    num_hidden_layers: int = 4
    num_attention_heads: int = 6
    intermediate_size: int = 288
    conv_kernel_size: int = 15
    stride: int = 2
    attention_window: int = 64
    chunk_frames: int | None = None
    rope_theta: float | int = 1000.0
    rope_frequency: float | int = 12.5

    dropout: float | int = 0.1
    attention_dropout: float | int = 0.0
    rms_norm_eps: float = 1e-6
    initializer_range: float = 0.02

    vocab_size: int | None = None
    pad_token_id: int | None = None

    def __post_init__(self, **kwargs):
        parts, edges = parts_and_edges(self.num_landmarks)
        if self.parts is None:
            self.parts = parts
            self.edges = edges if self.edges is None else self.edges
        if self.edges is None:
            self.edges = []
        if self.shape_inputs is None:
            self.shape_inputs = ["points"]
        if self.layout is None and self.num_landmarks == 85 and self.parts == parts:
            self.layout = "signing_85"
        if self.mirrored_parts is None:
            self.mirrored_parts = self._mirrored_hands()
        if self.anchors is None:
            self.anchors = {name: indices[0] for name, indices in self.parts.items() if name.endswith("hand")}
            if self.layout == "signing_85":
                self.anchors["face"] = 68  # nose tip, iBUG 30
        super().__post_init__(**kwargs)

    def _mirrored_hands(self) -> dict[str, str]:
        """{"left_hand": "right_hand"} where both hands are there with the same number of points."""
        left, right = ((self.parts or {}).get(name, []) for name in ("left_hand", "right_hand"))
        return {"left_hand": "right_hand"} if len(left) == len(right) > 0 else {}

    def validate_architecture(self):
        """Called by `@strict` after construction.

        Raises:
            ValueError: if sizes contradict each other, or an index lies outside the layout.
        """
        if self.hidden_size % self.num_attention_heads or (self.hidden_size // self.num_attention_heads) % 2:
            raise ValueError(
                f"hidden_size {self.hidden_size} must give each of the {self.num_attention_heads} attention heads an "
                "even width; change hidden_size or num_attention_heads"
            )
        if self.frame_encoder not in ("graph", "shape"):
            raise ValueError(
                f"frame_encoder must be 'graph' or 'shape', found {self.frame_encoder!r}; correct the config"
            )
        if not self.shape_inputs or set(self.shape_inputs) - {"points", "bones"}:
            raise ValueError(
                f"shape_inputs must be 'points', 'bones' or both, found {self.shape_inputs}; correct the config"
            )
        if self.num_coordinates < 3:
            raise ValueError(
                f"num_coordinates must be at least 3 (x, y, confidence), found {self.num_coordinates}; the last "
                "coordinate is the confidence"
            )
        if self.chunk_frames is not None and (self.chunk_frames < self.stride or self.chunk_frames % self.stride):
            raise ValueError(
                f"chunk_frames must be a positive multiple of stride {self.stride}, found {self.chunk_frames}"
            )
        if self.chunk_frames is not None and self.attention_window % (self.chunk_frames // self.stride):
            raise ValueError(
                f"attention_window {self.attention_window} (in steps) must be a multiple of the chunk's "
                f"{self.chunk_frames // self.stride} steps, so that a window is a whole number of chunks"
            )
        if self.chunk_frames is None and self.conv_kernel_size % 2 == 0:
            raise ValueError(f"conv_kernel_size must be odd when not chunked, found {self.conv_kernel_size}")
        self._validate_layout()

    def _validate_layout(self):
        used = [i for indices in self.parts.values() for i in indices]
        used += [i for edge in self.edges for i in edge] + list(self.anchors.values())
        outside = sorted({i for i in used if not 0 <= i < self.num_landmarks})
        if outside or not used:
            raise ValueError(
                f"parts, edges and anchors must index the {self.num_landmarks} landmarks of the layout, found "
                f"{outside or 'no part at all'}; pass parts and edges that fit num_landmarks"
            )

    @property
    def num_positions(self) -> int:
        """Coordinates of a point without its confidence: 2 or 3."""
        return self.num_coordinates - 1

    @classmethod
    def from_layout(cls, layout, **kwargs) -> "PoseEncoderConfig":
        """A config for a `LandmarkLayout` (anything with name, num_points, parts and edges).

        Example:
            `PoseEncoderConfig.from_layout(get_layout("holistic_75"), hidden_size=256)`
        """
        return cls(
            num_landmarks=layout.num_points,
            layout=layout.name,
            parts={name: [int(i) for i in indices] for name, indices in layout.parts.items() if len(indices)},
            edges=[[int(a), int(b)] for a, b in layout.edges],
            **kwargs,
        )
