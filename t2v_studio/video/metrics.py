"""Automatic measures of a clip. A measure that cannot be taken is `unavailable`, never 0.

Report warp error and dynamic degree together: a clip in which nothing moves has a perfect warp error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from t2v_studio.errors import InputError
from t2v_studio.video import decode, ffmpeg
from t2v_studio.video.motion import UNRELIABLE_MASKED_SHARE, Frame, PairMotion, pair_motion, pair_speed

VERSION = "2"
CUT_THRESHOLD = 10.0
"""ffmpeg's own default of its scene change detector."""
LINES = 480
"""Shorter side at which pictures are measured; larger ones are scaled down."""
STILL_MAE = 0.25
"""Mean absolute difference (0 to 255) below which two neighbours are the same picture."""
MAX_PAIRS = 64
"""Pairs of frames whose flow is computed: all of a clip of seconds, evenly spaced ones of a longer clip."""
LIMIT_S = 120.0
"""Time that ffmpeg's filters get, with a second more for each frame: they are slow on a busy machine."""
CLIP_FRAMES = 8
CLIP_TOKENS = 77


@dataclass(frozen=True)
class Measure:
    """One measure of one clip, with what it rests on."""

    name: str
    value: float | None
    better: Literal["higher", "lower", "neither"]
    status: Literal["ok", "unavailable", "error"] = "ok"
    note: str = ""
    details: dict[str, float] = field(default_factory=dict)


def measure_clip(
    path: Path,
    *,
    text: str = "",
    clip_weights: Path | None = None,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """All measures of a video file. Pictures are scaled down to `LINES` lines first, frames are read once.

    text: topic and objective, for the CLIP score: the same text for both arms of a pair.
    clip_weights: folder of a transformers CLIPModel; without one its measures are unavailable.
    watch: called with frames done and their number; what it raises ends the measuring.
    Raises InputError where the file is no video.
    """
    probe = decode.probe(path)
    limit_s = LIMIT_S + probe.frames
    cuts = scene_cuts(path, probe.fps, limit_s)
    wanted = set(np.linspace(0, max(probe.frames - 1, 0), CLIP_FRAMES).round().astype(int).tolist())
    collector, kept = Collector(probe.fps, cuts, probe.frames), []
    for index, frame in enumerate(decode.frames(path)):
        watch(index, probe.frames)
        collector.add(_scaled(frame))
        if index in wanted:
            kept.append(frame)
    if not collector.frames:
        raise InputError("no_frames", f"{path} holds no frame.", "Name a video file.")
    measures = [*collector.measures(), Measure("cuts", float(len(cuts)), "neither"), *siti(path, limit_s)]
    measures += clip_measures(kept, text, clip_weights)
    return {
        "video": str(path),
        "sha256": _sha256(path),
        "frames": collector.frames,
        "fps": probe.fps,
        "width": probe.width,
        "height": probe.height,
        "version": VERSION,
        "weights_sha256": weights_hash(clip_weights),
        "measures": [asdict(measure) for measure in measures],
    }


def _scaled(frame: Frame) -> Frame:
    import cv2

    height, width = frame.shape[:2]
    scale = LINES / min(height, width)
    if scale >= 1:
        return frame
    size = (round(width * scale), round(height * scale))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


class Collector:
    """Takes frames one by one and keeps numbers only: motion, flicker, correlation, stillness, sharpness.

    Pairs that lie across a cut are left out of the motion measures. count: how many frames will come; of a clip
    that has more than `MAX_PAIRS` pairs, that many are taken, evenly spaced. Without it every pair is.
    """

    def __init__(self, fps: float, cuts: Iterable[int] = (), count: int = 0) -> None:
        self.frames = 0
        self._count = count
        self._stride = max(1, round(fps / 8))
        self._pairs = _spaced(count - 1)
        self._samples = _spaced((count - 1) // self._stride)
        self._cuts = sorted(set(cuts))
        self._last: Frame | None = None
        self._sampled: tuple[int, Frame] | None = None
        self._motions: list[PairMotion] = []
        self._speeds: list[tuple[float, float]] = []
        self._gaps: list[float] = []
        self._correlations: list[float] = []
        self._sharpness: list[float] = []
        self._short_side = 0

    def add(self, frame: Frame) -> None:
        """Take the next frame, uint8 (height, width, 3)."""
        import cv2

        index = self.frames
        self.frames += 1
        self._short_side = min(frame.shape[:2])
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        self._sharpness.append(float(cv2.Laplacian(grey, cv2.CV_64F).var()))
        motion = None
        if self._last is not None:
            self._gaps.append(float(cv2.absdiff(self._last, frame).mean()))
            self._correlations.append(_correlation(cv2.cvtColor(self._last, cv2.COLOR_RGB2GRAY), grey))
            if _taken(index, self._pairs) and not self._cut_between(index - 1, index):
                motion = pair_motion(self._last, frame)
                self._motions.append(motion)
        self._sample(index, frame, motion)
        self._last = frame

    def _sample(self, index: int, frame: Frame, motion: PairMotion | None) -> None:
        """Keep every stride-th frame for the dynamic degree, which is defined at about 8 frames a second."""
        if index % self._stride:
            return
        taken = _taken(index // self._stride, self._samples)
        if self._sampled is not None and taken and not self._cut_between(self._sampled[0], index):
            direct = motion if self._stride == 1 else None
            known = (direct.top_radius, direct.median_radius) if direct else None
            self._speeds.append(known or pair_speed(self._sampled[1], frame))
        self._sampled = (index, frame)

    def _cut_between(self, first: int, second: int) -> bool:
        return any(first < cut <= second for cut in self._cuts)

    def measures(self) -> list[Measure]:
        """What the frames so far show."""
        return [self._warp_error(), self._dynamic_degree(), *self._picture_measures()]

    def _warp_error(self) -> Measure:
        """Mean over pairs of the masked squared error of the warped next frame (Lai et al. 2018, see `motion`).

        Colours in 0 to 1, a mean over channels: a third of what a sum over them gives.
        """
        if not self._motions:
            return _none("warp_error", "lower", "the clip has no two neighbouring frames within a shot")
        masked = float(np.mean([motion.masked_share for motion in self._motions]))
        notes = ["more than half of the pixels are masked: unreliable"] if masked > UNRELIABLE_MASKED_SHARE else []
        return Measure(
            "warp_error",
            float(np.mean([motion.warp_error for motion in self._motions])),
            "lower",
            note="; ".join([*notes, *self._sampling(len(self._motions), self.frames - 1)]),
            details={"masked_share": masked, "pairs": float(len(self._motions))},
        )

    def _dynamic_degree(self) -> Measure:
        """Share of sampled pairs whose fastest 5 % move more than 6 min(h, w) / 256 pixels (VBench, Huang et al. 2024).

        VBench calls a clip of n sampled frames dynamic when at least round(4 n / 16) pairs do: `dynamic`. Its flow is
        RAFT's and its threshold meant for filmed motion, so the radii are kept too.
        """
        if not self._speeds:
            return _none("dynamic_degree", "neither", "the clip has no two samples within a shot")
        tops, medians = zip(*self._speeds, strict=True)
        moving = sum(top > 6 * self._short_side / 256 for top in tops)
        needed = max(round(4 * (len(tops) + 1) / 16), 1)
        return Measure(
            "dynamic_degree",
            moving / len(tops),
            "neither",
            note="".join(self._sampling(len(tops), (self.frames - 1) // self._stride)),
            details={
                "dynamic": float(moving >= needed),
                "median_radius_px": float(np.median(medians)),
                "top_radius_px": float(np.mean(tops)),
                "pairs": float(len(tops)),
            },
        )

    def _sampling(self, taken: int, pairs: int) -> list[str]:
        """What is said where not every pair was taken."""
        return [f"on {taken} of {pairs} pairs, evenly spaced"] if pairs > MAX_PAIRS and self._count else []

    def _picture_measures(self) -> list[Measure]:
        """Of every frame: variance of the Laplacian (Pech-Pacheco et al. 2000), flicker (255 - mean absolute difference
        of neighbours) / 255 (VBench, Huang et al. 2024), Pearson's r of neighbours, and the share of equal neighbours.
        """
        sharpness = float(np.mean(self._sharpness)) if self._sharpness else None
        found = [Measure("sharpness", sharpness, "neither", note="variance of the Laplacian of the grey picture")]
        if not self._gaps:
            names = ("flicker", "adjacent_correlation", "still_share")
            return [*found, *(_none(name, "neither", "the clip has one frame") for name in names)]
        flicker = (255 - float(np.mean(self._gaps))) / 255
        return [
            *found,
            Measure("flicker", flicker, "higher", note="comparable on clips without motion only"),
            Measure("adjacent_correlation", float(np.mean(self._correlations)), "neither"),
            Measure("still_share", float(np.mean([gap < STILL_MAE for gap in self._gaps])), "neither"),
        ]


def _spaced(pairs: int) -> frozenset[int] | None:
    """Numbers of the pairs that are taken, from 1; None: all."""
    if pairs <= MAX_PAIRS:
        return None
    return frozenset(np.linspace(1, pairs, MAX_PAIRS).round().astype(int).tolist())


def _taken(pair: int, wanted: frozenset[int] | None) -> bool:
    return wanted is None or pair in wanted


def _none(name: str, better: Literal["higher", "lower", "neither"], why: str) -> Measure:
    return Measure(name, None, better, "unavailable", why)


def _correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Pearson's r of two pictures; 1 for two equal flat ones."""
    x, y = a.ravel().astype(np.float32), b.ravel().astype(np.float32)
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale else float(np.array_equal(a, b))


def scene_cuts(path: Path, fps: float, limit_s: float = LIMIT_S) -> list[int]:
    """Indices of the frames that begin a new shot: ffmpeg's scdet filter at its default threshold, which sets the mean
    absolute difference of neighbours against its change (libavfilter/vf_scdet.c)."""
    argv = [ffmpeg.find_ffmpeg(), "-hide_banner", "-nostdin", "-i", ffmpeg.file_url(path)]
    argv += ["-vf", f"scdet=threshold={CUT_THRESHOLD:g}", "-an", "-f", "null", "-"]
    said = ffmpeg.run(argv, limit_s=limit_s).stderr.decode("utf-8", errors="replace")
    times = re.findall(r"lavfi\.scd\.time:\s*([\d.]+)", said)
    return sorted({round(float(time) * fps) for time in times})


def siti(path: Path, limit_s: float = LIMIT_S) -> list[Measure]:
    """Spatial and temporal information (ITU-T P.910), by ffmpeg's siti filter: means over the clip."""
    argv = [ffmpeg.find_ffmpeg(), "-hide_banner", "-nostdin", "-i", ffmpeg.file_url(path)]
    said = ffmpeg.run([*argv, "-vf", "siti=print_summary=1", "-an", "-f", "null", "-"], limit_s=limit_s).stderr.decode(
        errors="replace"
    )
    found = []
    for name, title in (("spatial_information", "Spatial"), ("temporal_information", "Temporal")):
        match = re.search(title + r" Information:\s*Average:\s*([\d.]+|nan)", said)
        value = float(match.group(1)) if match and match.group(1) != "nan" else None
        found.append(
            Measure(
                name,
                value,
                "neither",
                "ok" if value is not None else "error",
                "" if match else "ffmpeg printed no summary",
            )
        )
    return found


def clip_measures(frames: Sequence[Frame], text: str, weights: Path | None) -> list[Measure]:
    """CLIP text-video and frame-to-frame similarity, 100 times the cosine, over the frames given (evenly spaced ones).

    Text-video is CLIPScore (Hessel et al. 2021) without its weight of 2.5, averaged over frames as EvalCrafter does
    (Liu et al. 2024); frame-to-frame is the mean of neighbours, EvalCrafter's CLIP-Temp.
    Unavailable without weights; the text is cut at 77 tokens with its end token kept, and that is said.
    """
    if weights is None or not (weights / "config.json").is_file():
        reason = "no CLIP weights: name their folder with --clip-weights"
        if weights is not None:
            reason = f"no CLIP weights in {weights.name}: it holds no config.json"
        return [_none("clip_text", "higher", reason), _none("clip_frames", "neither", reason)]
    import torch
    from transformers import CLIPModel, CLIPProcessor

    model = CLIPModel.from_pretrained(weights, local_files_only=True, use_safetensors=True).eval()
    processor = CLIPProcessor.from_pretrained(weights, local_files_only=True)
    asked = len(processor.tokenizer(text)["input_ids"])
    inputs = processor(
        text=[text or " "],
        images=list(frames),
        return_tensors="pt",
        padding=True,
        truncation=True,
        max_length=CLIP_TOKENS,
    )
    with torch.inference_mode():
        output = model(**inputs)
    pictures, words = output.image_embeds, output.text_embeds
    similar = 100 * (pictures @ words.T).squeeze(-1)
    near = 100 * (pictures[1:] * pictures[:-1]).sum(dim=-1)
    note = f"the text has {asked} tokens and was cut to {CLIP_TOKENS}" if asked > CLIP_TOKENS else ""
    details = {"tokens": float(asked), "frames": float(len(frames))}
    first = Measure("clip_text", float(similar.mean()), "higher", note=note, details=details)
    if not text:
        first = _none("clip_text", "higher", "no text was given")
    if len(frames) < 2:
        return [first, _none("clip_frames", "neither", "the clip has one frame")]
    return [first, Measure("clip_frames", float(near.mean()), "neither", details={"frames": float(len(frames))})]


def weights_hash(folder: Path | None) -> str:
    """SHA-256 over the weight files of a model's folder; empty where there are none."""
    import hashlib

    files = sorted(folder.glob("*.safetensors")) if folder is not None else []
    return hashlib.sha256("".join(map(_sha256, files)).encode()).hexdigest() if files else ""


def _sha256(path: Path) -> str:
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
