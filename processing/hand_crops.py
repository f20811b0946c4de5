"""Pictures of the hands, cut out where the landmarks say they are. Needs numpy; Pillow to scale, PyAV for videos.

    clip = with_hands(read_pose("talk.pose"), "talk.mp4")       # nothing is read yet
    crops, seen = clip.hands.cut(48)                            # (T, 2, 3, 48, 48), (T, 2)

A clip carries where its hands are to be seen, frame by frame: whoever cuts, mirrors or slows the clip does the same to
`clip.hands`, and frames are read when the processor knows which of them the model sees.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .landmarks import assign_hands, get_layout, select
from .pose_clip import PoseClip
from .pose_errors import ClipError
from .pose_normalization import measure_frame

try:
    from PIL import Image
except ImportError:  # only crops need it
    Image = None  # type: ignore[assignment]

# T frames, V landmarks, H and W pixels of a frame, P pixels of a crop's side

SIDES = ("left", "right")
HAND_BEYOND_WRIST = 0.3  # of the forearm: where the middle of a hand lies that only the arm tells of
CROP_IN_SHOULDERS = 0.9  # side of a crop in shoulder widths: a spread hand with some room
ROOM_TO_TURN = 1.5  # so much more is cut out of a frame where the crop is turned afterwards
EQUAL_RATES = 0.01  # rates that differ less are one, rounded: poses of 23.976 Hz say 24
LATE_MS = 500.0  # poses may last so much longer than their video
MOST_STORED = 512  # pixels of a stored crop's side
DARK = 6  # of 255: brighter than what JPEG makes of black
LEAST_PIXELS = 4.0  # of a crop in the video: below it, landmarks are no pixels


@dataclass(frozen=True)
class HandPictures:
    """Where the hands of a clip are to be seen, for each of its frames. The left hand is shown in a mirror, so that
    both look like right hands, and a mirrored signer's hands are the same pictures with their slots exchanged.

    Attributes:
        source: path, bytes or open file of a video, or frames (T', H, W, 3); with `stored`, a video of crops.
        middles: of the left and the right hand in pixels, (T, 2, 2); NaN where it is not seen.
        half: of a crop's side, in pixels.
        times_ms: of each frame in the source, (T,).
        numbers: of each frame in the source, (T,), which are gone by where its rate, or its number of frames, is that
            of the poses; None to go by time alone.
        rate, total: frames a second of the poses, and how many poses the whole source has, where known.
        begin_ms: where in the source the poses begin, for `numbers`.
        picture: width and height of the picture that `middles` are pixels of; None for the source's own.
        sides: which hand of the source each slot shows.
        turn: what augmentation did to the picture's plane, (2, 2).
        stored: the source's frames are both hands' crops side by side, as `cut` made them.
        budget: what the source may cost (`VideoBudget`).
    """

    source: Any
    middles: np.ndarray
    half: float
    times_ms: np.ndarray
    numbers: np.ndarray | None = None
    rate: float | None = None
    total: int | None = None
    begin_ms: float = 0.0
    picture: tuple[float, float] | None = None
    sides: tuple[int, int] = (0, 1)
    turn: np.ndarray | None = None
    stored: bool = False
    budget: Any = None

    def __len__(self) -> int:
        return len(self.middles)

    def take(self, frames: Any) -> HandPictures:
        """Of some of the clip's frames: a slice, or their numbers (T',)."""
        numbers = None if self.numbers is None else self.numbers[frames]
        return dataclasses.replace(self, middles=self.middles[frames], times_ms=self.times_ms[frames], numbers=numbers)

    def mirrored(self) -> HandPictures:
        """Of the signer in a mirror."""
        return dataclasses.replace(self, middles=self.middles[:, ::-1], sides=self.sides[::-1])

    def hidden(self, lost: np.ndarray) -> HandPictures:
        """Without the hands where `lost` (T, 2) is true."""
        return dataclasses.replace(self, middles=np.where(lost[..., None], np.nan, self.middles))

    def turned(self, matrix: np.ndarray) -> HandPictures:
        """With the picture's plane multiplied by a 2 x 2 matrix."""
        return dataclasses.replace(self, turn=matrix if self.turn is None else matrix @ self.turn)

    def cut(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Crops (T, 2, 3, P, P) uint8, left then right, and where hands are seen (T, 2) int64. Frames are read one at a
        time; one that the video has lost shows no hands.

        Raises:
            VideoError: if the source cannot be read.
            ClipError: if it is not the poses' own.
        """
        if 2 * self.half < LEAST_PIXELS and not self.stored:
            raise ClipError(
                f"expected landmarks in pixels of the video, found shoulders {2 * self.half / CROP_IN_SHOULDERS:.2g} "
                "apart; give the poses their width and height"
            )
        crops = np.zeros((len(self), 2, 3, size, size), np.uint8)
        seen = np.zeros((len(self), 2), np.int64)
        known = np.isfinite(self.middles).all(-1)
        for image, places in self._frames(np.flatnonzero(known.any(-1))):
            for place, slot in [(own, slot) for own in places for slot in (0, 1) if known[own, slot]]:
                crop = self._crop(image, place, slot, size)
                if crop is not None:
                    crops[place, slot], seen[place, slot] = crop.transpose(2, 0, 1), 1
        return crops, seen

    def _frames(self, places: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Each picture that is needed, once, and the frames of the clip, out of `places`, that show it."""
        if isinstance(self.source, np.ndarray):
            assert self.numbers is not None
            numbers = self.numbers[places]
            if (self.total or len(self.source)) != len(self.source) or (numbers >= len(self.source)).any():
                expected = self.total or int(numbers.max()) + 1
                raise ClipError(f"expected {expected} frames, one a pose, found {len(self.source)}; read them all")
            for number in np.unique(numbers):
                yield self.source[number], places[numbers == number]
            return
        if self.stored:
            yield from self._stored_frames(places)
            return
        from .video_frames import decode_at  # imports PyAV, which takes as long as a translation

        # of video_reading alone, as every reader of videos there: addresses are refused, errors typed
        from .video_reading import as_video_error, rewound

        shown: dict[float, list[int]] = {}

        def choose(times: np.ndarray) -> np.ndarray:
            found = self._numbers_in(times, places)
            for place, number in zip(places, found, strict=True):
                shown.setdefault(float(times[number]), []).append(place)
            return np.unique(found)

        empty = True
        with as_video_error(self.source):
            for frame in decode_at(rewound(self.source), choose, self.budget) if len(places) else ():
                empty = False
                yield frame.image, np.array(shown.get(frame.time_ms, []), int)
            if empty and len(places):
                raise ValueError("none of the frames that show the poses could be decoded")

    def _stored_frames(self, places: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """`_frames` of crops that were cut before: picture by picture, since each stands for itself."""
        from .video_frames import ToRGB, open_video
        from .video_reading import as_video_error, rewound

        assert self.numbers is not None
        numbers, number = self.numbers[places], -1
        with as_video_error(self.source), open_video(rewound(self.source)) as (container, stream):
            kind = stream.codec_context.name  # of others, what a packet gives need not be its own picture
            if kind != "mjpeg" or stream.width != 2 * stream.height or stream.height > MOST_STORED:
                raise ClipError(
                    f"expected JPEGs of both hands side by side, {MOST_STORED} pixels high at most, found {kind} of "
                    f"{stream.width} x {stream.height}; cut them with `slt-hf prepare --hand-crops`"
                )
            to_rgb = ToRGB()
            stream.thread_type = "NONE"
            for number, packet in enumerate(packet for packet in container.demux(stream) if packet.size):
                own = places[numbers == number]
                for frame in packet.decode() if len(own) else ():
                    yield to_rgb(frame), own
        if len(places) and numbers.max() > number:
            raise ClipError(f"expected crops of {self.total} frames, found {number + 1}; prepare the clip again")

    def _numbers_in(self, times: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Which frames of a video, at `times` (N,) ms, show the clip's frames at `places` (K,)."""
        last = self.times_ms[places].max()
        step = np.median(np.diff(times)) if len(times) > 1 else 1000.0
        end = times[-1] if len(times) else -np.inf
        if last > end + step + LATE_MS:
            raise ClipError(
                f"expected a video as long as its poses, found frames up to {end:.0f} ms and a pose at {last:.0f} ms; "
                "give poses and video of one recording, from the same beginning"
            )
        if self.numbers is not None:
            first = int(np.searchsorted(times, self.begin_ms - 1e-3))
            rate = 1000 * (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else None
            alike = rate is not None and self.rate is not None and abs(self.rate / rate - 1) < EQUAL_RATES
            if alike or (self.total is not None and abs(self.total - (len(times) - first)) <= 1):
                return np.minimum(first + self.numbers[places], len(times) - 1)
        after = np.searchsorted(times, self.times_ms[places]).clip(1, max(1, len(times) - 1))
        after = np.minimum(after, len(times) - 1)
        nearer = np.abs(times[after - 1] - self.times_ms[places]) <= np.abs(times[after] - self.times_ms[places])
        return np.where(nearer, after - 1, after)

    def _crop(self, image: np.ndarray, place: int, slot: int, size: int) -> np.ndarray | None:
        """One hand (P, P, 3), a left one in a mirror; None where it is out of the picture."""
        side = self.sides[slot]
        wide = size if self.turn is None else 2 * round(ROOM_TO_TURN * size / 2)
        if self.stored:
            own = image.shape[0]
            tile = image[:, own * side : own * (side + 1)]
            if tile.max() < DARK:  # was not seen when it was cut
                return None
            if own == size and self.turn is None:
                return tile
            found = cut(tile, np.full(2, own / 2), own / 2 * wide / size, wide)
        else:
            scale = np.ones(2)
            if self.picture is not None:
                scale = np.array([image.shape[1] / self.picture[0], image.shape[0] / self.picture[1]])
            middle = self.middles[place, slot] * scale
            if (middle < 0).any() or (middle >= [image.shape[1], image.shape[0]]).any():
                return None
            found = cut(image, middle, self.half * float(scale.mean()) * wide / size, wide)
            found = found[:, ::-1] if side == 0 else found
        if self.turn is None:
            return found
        mirror = np.diag([-1.0, 1.0])  # the left hand's picture is turned as the mirror shows it
        return turned(found, mirror @ self.turn @ mirror if slot == 0 else self.turn, size)


def with_hands(
    clip: PoseClip, video: Any, start_ms: float | None = None, whole: bool = True, times_ms: np.ndarray | None = None
) -> PoseClip:
    """The clip, which now knows where its hands are to be seen. No frame is read.

    Args:
        clip: landmarks in pixels of the video, as they were found (not normalised).
        video: of the same recording, from the same beginning: path, bytes, open file, frames (T, H, W, 3) or VideoClip,
            whose part then begins where the poses do.
        start_ms: where the clip was cut out of its poses; None for their beginning.
        whole: the clip has all poses from there on.
        times_ms: of each pose in the video, (T,), where that is known better than by the clip's rate.

    Raises:
        VideoError, ClipError: if it is nothing that shows pictures.
    """
    from .video_clip import to_video_clip

    shown = to_video_clip(video)
    if shown.box is not None or shown.mirrored:
        raise ClipError(f"{clip.name}: expected a video as it was recorded, found one cut or mirrored; leave that out")
    first = 0 if start_ms is None else int(np.floor(start_ms / 1000 * clip.fps + 1e-6))
    numbers = first + np.arange(clip.num_frames)
    begin_ms = shown.start_ms or 0.0
    middles, half = hand_middles(clip)
    return dataclasses.replace(
        clip,
        hands=HandPictures(
            source=shown.source,
            middles=middles,
            half=half,
            times_ms=begin_ms + 1000 * numbers / clip.fps if times_ms is None else np.asarray(times_ms, np.float64),
            numbers=numbers if times_ms is None or isinstance(shown.source, np.ndarray) else None,
            rate=clip.fps,
            total=first + clip.num_frames if whole else None,
            begin_ms=begin_ms,
            picture=(float(clip.width), float(clip.height)) if clip.width and clip.height else None,
            budget=shown.budget,
        ),
    )


def with_stored_hands(clip: PoseClip, crops: bytes) -> PoseClip:
    """The clip with hands that were cut out before: a video with a frame for each of its poses, both crops side by side
    as `HandPictures.cut` made them."""
    numbers = np.arange(clip.num_frames)
    middles, half = hand_middles(clip)
    pictures = HandPictures(
        crops, middles, half, 1000 * numbers / clip.fps, numbers, clip.fps, len(numbers), stored=True
    )
    return dataclasses.replace(clip, hands=pictures)


def hand_middles(clip: PoseClip) -> tuple[np.ndarray, float]:
    """Middle of each hand's box (T, 2, 2), and half the side of a crop, in the clip's unit. Where a hand's points are
    missing, its middle lies beyond the wrist as the forearm points; NaN where the arm is missing too, or the hand is
    out of the picture."""
    points, confidence = assign_hands(clip.points[..., :2], clip.confidence, clip.layout)
    points = np.where((confidence > 0)[..., None], points, np.nan)
    found = np.full((clip.num_frames, 2, 2), np.nan)
    frame = measure_frame(clip)
    if frame is None:  # nobody is seen
        return found, LEAST_PIXELS
    for hand, side in enumerate(SIDES):
        arm = [select(points, confidence, clip.layout, f"{side}_{joint}") for joint in ("wrist", "elbow")]
        if arm[0] is not None and arm[1] is not None:
            (wrist, _), (elbow, _) = arm  # type: ignore[misc]
            found[:, hand] = wrist + HAND_BEYOND_WRIST * (wrist - elbow)
        own = points[:, list(get_layout(clip.layout).parts.get(f"{side}_hand", ()))]
        there = np.isfinite(own).all(-1).sum(-1) > 1
        if there.any():
            found[there, hand] = (np.nanmin(own[there], 1) + np.nanmax(own[there], 1)) / 2
    if clip.width and clip.height:
        with np.errstate(invalid="ignore"):
            found[((found < 0) | (found >= [clip.width, clip.height])).any(-1)] = np.nan
    return found, CROP_IN_SHOULDERS * frame.scale / 2


def hide_lost(hands: HandPictures, before: np.ndarray, after: np.ndarray, layout: str) -> HandPictures:
    """Without the hands that augmentation hid: confidence (T, V) before and after. A hand that lost its points in every
    frame is hidden in all of them, also where only the arm told of it."""
    lost = np.repeat((before > 0).any(1, keepdims=True) & ~(after > 0).any(1, keepdims=True), 2, axis=1)
    for hand, side in enumerate(SIDES):
        own = list(get_layout(layout).parts.get(f"{side}_hand", ()))
        had, has = (before[:, own] > 0).any(1), (after[:, own] > 0).any(1)
        lost[:, hand] |= (had & ~has) | (had.any() and not has.any())
    return hands.hidden(lost) if lost.any() else hands


def cut(frame: np.ndarray, middle: np.ndarray, half: float, size: int) -> np.ndarray:
    """A square of a picture (H, W, 3) around a point at P x P; black beyond the picture's edge."""
    if Image is None:
        raise ModuleNotFoundError("cutting hands out needs Pillow: pip install pillow", name="PIL")
    low, high = np.floor(middle - half).astype(int), np.ceil(middle + half).astype(int)
    region = np.zeros((high[1] - low[1], high[0] - low[0], 3), np.uint8)
    inside = np.maximum(low, 0), np.minimum(high, [frame.shape[1], frame.shape[0]])
    (left, top), (right, bottom) = inside
    if left < right and top < bottom:
        region[top - low[1] : bottom - low[1], left - low[0] : right - low[0]] = frame[top:bottom, left:right]
    box = (*(middle - half - low), *(middle + half - low))
    return np.asarray(Image.fromarray(region).resize((size, size), Image.Resampling.BILINEAR, box=box))


def turned(picture: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """The middle of a picture (Q, Q, 3), its plane multiplied by a 2 x 2 matrix, at P x P; a pixel stays a pixel."""
    (a, b), (c, d) = np.linalg.inv(matrix)
    middle, own = size / 2, len(picture) / 2
    at = (a, b, own - (a + b) * middle, c, d, own - (c + d) * middle)
    shown = Image.fromarray(np.ascontiguousarray(picture))
    return np.asarray(shown.transform((size, size), Image.Transform.AFFINE, at, Image.Resampling.BILINEAR))
