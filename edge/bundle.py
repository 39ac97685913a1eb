"""The bundle: one folder with graphs, tokenizers and a `config.json` that holds everything that belongs to the model.

`Bundle.load` reads and checks; nothing here needs ONNX Runtime.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.errors import BundleError

SCHEMA = 1
"""Version of `config.json` that this runtime reads."""

HASHES = "SHA256SUMS"
GRAPHS = ("face", "vision_encoder", "embed_tokens", "decoder_model_merged", "verifier")
FILES = (
    "config.json",
    *(f"{name}.onnx" for name in GRAPHS),
    "tokenizer.json",
    "verifier_tokenizer.json",
    "README.md",
)
CALIBRATION = "calibration.png"
"""The model card's figure; a bundle may lack it."""
TOWER = "policy_vision"
"""A sixth graph, of bundles whose policy has a vision tower of its own."""
SHIPPED = Path(__file__).parent / "models"


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """How a face reaches the encoder."""

    size: int
    """Side of the square crop, pixels."""
    channels: int
    """1: grey."""
    scale: float
    """Pixel values are multiplied by this."""
    template_xy: list[list[float]]
    """`[5][2]`: where the five points lie in the crop, pixels; the crop rule is the similarity that brings them there."""


@dataclass(frozen=True, slots=True)
class FaceSpec:
    """How the face finder is run."""

    long_side: int
    """Long side of the coarse look at a picture, pixels."""
    threshold: float
    """Least score of a face."""
    overlap: float
    """Boxes that overlap more than this are one face."""
    least_px: float = 0.0
    """Narrowest face that the graph finds well, pixels of what it sees; 0: not known, and the coarse look is all unless more is asked."""
    min_face: float = 0.025
    """Narrowest face that is looked for unless somebody asks for another, share of the picture's width."""
    channels: int = 1
    """1: grey; 3: BGR."""
    yunet: bool = False
    """The graph is a YuNet as it is published: it gives twelve outputs, which the runtime decodes."""


@dataclass(frozen=True, slots=True)
class CueSpec:
    """One cue of the encoder's cue head."""

    name: str
    action_unit: str
    formula: str
    mean: float
    """Raw measure of neutral faces: its middle, in outer-eye-corner distances."""
    std: float
    """And its spread."""
    points: list[int]
    """Which of the encoder's points show it."""


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """How the policy is prompted and decoded."""

    bos: int
    eos: int
    image: int
    """Token id of the image placeholder; the visual tokens take its place."""
    tokens_per_frame: int
    max_frames: int
    max_new_tokens: int
    layers: int
    kv_heads: int
    head_dim: int
    candidates: int
    """Samples decoded together after the first rationale is rejected."""
    temperature: float
    """Of those samples."""
    prefix: list[int] = field(default_factory=list)
    """Token ids between `bos` and the visual tokens."""
    suffix: list[int] = field(default_factory=list)
    """Token ids between the visual tokens and the completion."""
    tower: bool = False
    """The policy has eyes of its own: the bundle has a graph `policy_vision` that makes its visual tokens from the crop, and the encoder
    hands the crop on in place of visual tokens."""


@dataclass(frozen=True, slots=True)
class VerdictSpec:
    """Thresholds of the verdict, chosen on validation faces."""

    min_consistency: float
    min_grounding: float
    min_confidence: float
    """Below this calibrated probability of the label the pipeline abstains."""
    claim_threshold: float
    """Probability from which the verifier's claim head counts a cue as claimed."""
    prior: list[float]
    """`[E]` mean emotion probabilities of the verifier over written sentences: what a sentence says that says nothing."""
    max_tokens: int
    """Longest sentence that the verifier reads, in its tokens."""
    min_visible: float = 0.0
    """Below this probability of being in sight a cue is hidden, and no claim about it holds; 0 where the encoder does not tell."""


@dataclass(frozen=True, slots=True)
class BundleConfig:
    """`config.json`."""

    schema: int
    labels: list[str]
    """Emotions of the encoder and the policy."""
    verifier_labels: list[str]
    cues: list[CueSpec]
    image: ImageSpec
    face: FaceSpec
    policy: PolicySpec
    verdict: VerdictSpec
    temperature: float
    """Calibration: emotion logits are divided by this."""
    rigid_shape: list[list[float]]
    """`[R][3]` mean rigid face that cues are measured against; only measuring needs it."""
    provenance: dict[str, Any]
    """Data, seeds, commit, versions, commands."""
    metrics: dict[str, Any]
    """Figures measured when the bundle was made."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A checked bundle on disk."""

    folder: Path
    config: BundleConfig

    @classmethod
    def load(cls, folder: Path | str | None = None) -> Bundle:
        """Check a bundle and read its configuration.

        Args:
            folder: the bundle; the shipped one when `None`.

        Raises:
            BundleError: a file is missing or differs from its hash, another schema version, a malformed configuration.
        """
        root = Path(folder) if folder is not None else SHIPPED
        if not root.is_dir():
            raise BundleError(f"no bundle folder at '{root}'")
        check_hashes(root)
        try:
            config = read_config(json.loads((root / "config.json").read_text(encoding="utf-8")))
        except (ValueError, TypeError, KeyError) as error:
            raise BundleError(f"'{root / 'config.json'}' is not a bundle configuration: {error}") from None
        return cls(root, config)

    def graph(self, name: str) -> Path:
        """Path of one of `GRAPHS`."""
        return self.folder / f"{name}.onnx"


def read_config(values: dict[str, Any]) -> BundleConfig:
    """Build the configuration from parsed JSON; raises `BundleError` for another schema, `TypeError` for wrong keys."""
    found = values.get("schema") if isinstance(values, dict) else None
    if found != SCHEMA:
        raise BundleError(f"bundle schema {found!r}: this runtime reads schema {SCHEMA}; export the bundle again")
    parts = {"image": ImageSpec, "face": FaceSpec, "policy": PolicySpec, "verdict": VerdictSpec}
    built = {key: kind(**values[key]) for key, kind in parts.items()}
    cues = [CueSpec(**cue) for cue in values["cues"]]
    config = BundleConfig(**{**values, **built, "cues": cues})
    if config.verifier_labels[: len(config.labels)] != config.labels or len(config.verdict.prior) != len(config.verifier_labels):
        raise ValueError("the verifier's labels must begin with the bundle's, and the prior must have one value for each")
    return config


def check_hashes(folder: Path) -> None:
    """Compare every file of a bundle with `SHA256SUMS`; raise `BundleError` at the first that is missing or differs."""
    try:
        lines = (folder / HASHES).read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError):
        raise BundleError(f"'{folder}' is not a bundle: {HASHES} is missing or not readable") from None
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines if line)}
    for name in dict.fromkeys((*FILES, *sums)):
        path = folder / name
        if not path.is_file():
            raise BundleError(f"bundle '{folder}': {name} is missing")
        if sums.get(name) != hashlib.sha256(path.read_bytes()).hexdigest():
            raise BundleError(f"bundle '{folder}': {name} does not match its SHA-256 in {HASHES}; fetch or export it again")


def write_hashes(folder: Path) -> None:
    """Write `SHA256SUMS` over every file of a bundle."""
    names = [*FILES, *(name for name in (CALIBRATION, f"{TOWER}.onnx") if (folder / name).is_file())]
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / HASHES).write_text("".join(lines), encoding="utf-8")


def check_graph(name: str, expected: set[str], actual: tuple[str, ...]) -> None:
    """Raise `BundleError` when a graph's inputs are not the ones of the contract."""
    if set(actual) != expected:
        raise BundleError(f"graph '{name}' has the inputs {', '.join(sorted(actual))}: expected {', '.join(sorted(expected))}")
