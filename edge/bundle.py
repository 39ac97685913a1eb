"""The bundle: one folder with graphs, tokenizers and a `config.json` that holds everything that belongs to the model.

`Bundle.load` reads and checks; nothing here needs ONNX Runtime.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from edge.errors import BundleError, InputError
from edge.files import read_bounded, read_json, sha256_of
from edge.ranges import Name, Range, Share, build

SCHEMA = 3
"""Version of `config.json` that is written."""
OLDEST = 2
"""Oldest one that is read: schema 3 added the action units."""

HASHES = "SHA256SUMS"
GRAPHS = ("face", "vision_encoder", "embed_tokens", "decoder_model_merged", "verifier")
FILES = (
    "config.json",
    *(f"{name}.onnx" for name in GRAPHS),
    "grammar.json",
    "tokenizer.json",
    "verifier_tokenizer.json",
    "README.md",
)
CALIBRATION = "calibration.png"
"""The model card's figure; a bundle may lack it."""
AUDIT = "audit.png"
"""The model card's picture of who is read; a bundle may lack it."""
TOWER = "policy_vision"
"""A sixth graph, of bundles whose policy has a vision tower of its own."""
SCREEN = "screen"
"""A small graph that tells which of the finder's finds are faces; a bundle may lack it, and then believes them all."""
MOVES = "moves.npz"
"""How a face moves when one of its cues is taken back to neutral; a bundle may lack it, and then tells no counterfactuals."""
OPTIONAL = (CALIBRATION, AUDIT, MOVES, f"{SCREEN}.onnx", f"{TOWER}.onnx")
_MAX_HASHES, _MAX_FILE = 64 * 1024, 8 * 1024**3
"""Longest list of hashes and longest file that are read, bytes."""
SHIPPED = Path(__file__).parent / "models"

TokenId = Annotated[int, Range(0, 2_000_000)]
Point = Annotated[list[Annotated[float, Range(-10_000, 10_000)]], Range(2, 2)]
Temperature = Annotated[float, Range(0.01, 100)]


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """How a face reaches the encoder."""

    size: Annotated[int, Range(16, 1024)]
    """Side of the square crop, pixels."""
    channels: Annotated[int, Range(1, 1)]
    """1: grey."""
    scale: Annotated[float, Range(1e-4, 1)]
    """Pixel values are multiplied by this."""
    template_xy: Annotated[list[Point], Range(5, 5)]
    """`[5][2]`: where the five points lie in the crop, pixels; the crop rule is the similarity that brings them there."""
    five: Annotated[list[list[Annotated[int, Range(0, 999)]]], Range(0, 5)] = field(default_factory=list)
    """Which of the encoder's points are the five, each the mean of some; empty: not known."""
    torn: Share = 0.0
    """A face whose two most probable labels lie closer together than this is read both ways round, and answered by the mean."""
    mirror: Annotated[list[Annotated[int, Range(0, 999)]], Range(0, 1000)] = field(default_factory=list)
    """Which of the encoder's points each is in a mirror image; a face is then read the way round in which its left half is the lighter, so
    that it and its mirror image are read alike. Empty: as it comes."""
    even: Annotated[float, Range(0, 255)] = 0.0
    """Where the halves differ by less than this, in grey levels, it is read both ways round, the more alike the more by both."""


@dataclass(frozen=True, slots=True)
class FaceSpec:
    """How the face finder is run."""

    long_side: Annotated[int, Range(64, 4096)]
    """Long side of the coarse look at a picture, pixels."""
    threshold: Annotated[float, Range(0.01, 1)]
    """Least score of a face."""
    overlap: Annotated[float, Range(0, 0.99)]
    """Boxes that overlap more than this are one face."""
    least_px: Annotated[float, Range(0, 1000)] = 0.0
    """Narrowest face that the graph finds well, pixels of what it sees; 0: not known, and the coarse look is all unless more is asked."""
    min_face: Annotated[float, Range(1e-4, 0.99)] = 0.025
    """Narrowest face that is looked for unless somebody asks for another, share of the picture's width."""
    channels: Annotated[int, Range(1, 3)] = 1
    """1: grey; 3: BGR."""
    yunet: bool = False
    """The graph is a YuNet as it is published: it gives twelve outputs, which the runtime decodes."""
    any_way: bool = False
    """The graph knows faces whichever way up they are, and its points tell which; else a face that it is not sure of is shown to it four
    times, a quarter turn further each."""
    rough: bool = False
    """Its points are rough: a found face is aligned again by where the encoder sees them (`ImageSpec.five`)."""
    screened: bool = False
    """`screen.onnx` tells which of the finds are faces."""
    least_sure: Annotated[float, Range(-10, 10)] = 0.0
    """What the log odds of a find's score and those that the screen gives it must come to together."""


@dataclass(frozen=True, slots=True)
class CueSpec:
    """One cue of the encoder's cue head."""

    name: Name
    action_unit: str
    formula: str
    mean: Annotated[float, Range(-100, 100)]
    """Raw measure of neutral faces: its middle, in outer-eye-corner distances."""
    std: Annotated[float, Range(1e-6, 100)]
    """And its spread."""
    points: list[Annotated[int, Range(0, 999)]]
    """Which of the encoder's points show it."""
    mirrored: bool = False
    """It tells the person's left from the right: a mirror image of the face has it the other way round."""


@dataclass(frozen=True, slots=True)
class UnitSpec:
    """One action unit, and where it is read."""

    name: Name
    """As OpenFace and py-feat write it: `AU12`."""
    meaning: Name
    """Its FACS name."""
    cue: Name
    """The cue that shows the same part of the face; where that is hidden, the unit is not told."""
    columns: Annotated[list[Annotated[int, Range(0, 999)]], Range(0, 2)]
    """Columns of the encoder's output `units`: one, or that of the subject's left and that of the right side; none: read from the cue."""
    full: Annotated[list[Annotated[float, Range(0.01, 1000)]], Range(1, 2)]
    """Value of each column, or of the cue, at an intensity of 1."""
    reliability: Share
    """Correlation with what its teacher measured, on faces that were held out."""


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """How the policy is prompted and decoded."""

    bos: TokenId
    eos: TokenId
    image: TokenId
    """Token id of the image placeholder; the visual tokens take its place."""
    tokens_per_frame: Annotated[int, Range(1, 4096)]
    max_frames: Annotated[int, Range(1, 64)]
    max_new_tokens: Annotated[int, Range(1, 1024)]
    layers: Annotated[int, Range(1, 256)]
    kv_heads: Annotated[int, Range(1, 256)]
    head_dim: Annotated[int, Range(1, 1024)]
    candidates: Annotated[int, Range(0, 64)]
    """Samples decoded together after the first rationale is rejected."""
    temperature: Temperature
    """Of those samples."""
    prefix: list[TokenId] = field(default_factory=list)
    """Token ids between `bos` and the visual tokens."""
    suffix: list[TokenId] = field(default_factory=list)
    """Token ids between the visual tokens and the completion."""
    constrained: bool = True
    """Decoding follows the grammar, each of whose phrases is a token; else the policy writes freely and is read afterwards."""
    tower: bool = False
    """The policy has eyes of its own: the bundle has a graph `policy_vision` that makes its visual tokens from the crop, and the encoder
    hands the crop on in place of visual tokens."""


@dataclass(frozen=True, slots=True)
class VerdictSpec:
    """Thresholds of the verdict, chosen on validation faces."""

    min_consistency: Share
    min_confidence: Share
    """Below this calibrated probability of the label the pipeline abstains."""
    claim_threshold: Share
    """Probability from which the verifier's claim head counts a cue as claimed, in a text outside the grammar."""
    min_covered: Annotated[float, Range(0, 2)]
    """And the verifier's least probability that a sentence of such a text says nothing beyond what is read in it; above 1, such a text is
    never shown."""
    prior: list[Share]
    """`[E]` mean emotion probabilities of the verifier over written sentences: what a sentence says that says nothing."""
    max_tokens: Annotated[int, Range(2, 4096)]
    """Longest sentence that the verifier reads, in its tokens."""
    min_visible: Share = 0.0
    """Below this probability of being in sight a cue is hidden, and a text may say so; 0 where the encoder does not tell."""
    min_said: Share = 0.0
    """Below this one it may well be, and no claim about it holds; no less than `min_visible`, if given."""
    min_rest: Share = 0.0
    """Below this one it is not said to be at rest, which is what a part that cannot be seen reads as; no less than `min_said`, if given."""


@dataclass(frozen=True, slots=True)
class BundleConfig:
    """`config.json`."""

    schema: Annotated[int, Range(OLDEST, SCHEMA)]
    labels: Annotated[list[Name], Range(2, 100)]
    """Emotions of the encoder and the policy."""
    verifier_labels: list[Name]
    cues: Annotated[list[CueSpec], Range(1, 200)]
    image: ImageSpec
    face: FaceSpec
    policy: PolicySpec
    verdict: VerdictSpec
    temperature: Temperature
    """Calibration: emotion logits are divided by this."""
    rigid_shape: list[Annotated[list[Annotated[float, Range(-100, 100)]], Range(3, 3)]]
    """`[R][3]` mean rigid face that cues are measured against; only measuring needs it."""
    provenance: dict[str, Any]
    """Data, seeds, commit, versions, commands."""
    metrics: dict[str, Any]
    """Figures measured when the bundle was made."""
    units: Annotated[list[UnitSpec], Range(0, 100)] = field(default_factory=list)
    """Action units that are read reliably; none in a bundle of schema 2."""
    movable: Annotated[list[Name], Range(0, 200)] = field(default_factory=list)
    """Cues that `moves.npz` can take back to neutral; none without that file."""


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
        check_schema(root)
        check_hashes(root)
        try:
            config = read_config(read_json(root / "config.json"))
        except InputError as error:
            raise BundleError(f"{error}; fetch or export the bundle again") from None
        except ValueError as error:
            raise BundleError(f"'{root / 'config.json'}' is not a bundle configuration: {error}") from None
        return cls(root, config)

    def graph(self, name: str) -> Path:
        """Path of one of `GRAPHS`."""
        return self.folder / f"{name}.onnx"


def read_config(values: dict[str, Any]) -> BundleConfig:
    """Build the configuration from parsed JSON.

    Raises:
        BundleError: another schema.
        ValueError: wrong keys, a value of the wrong kind or outside its range, or values that do not fit together.
    """
    found = values.get("schema") if isinstance(values, dict) else None
    if not isinstance(found, int) or not OLDEST <= found <= SCHEMA:
        raise BundleError(
            f"bundle schema {found!r}: this runtime reads schema {OLDEST} to {SCHEMA}; export it again with 'python -m export bundle'"
        )
    config = build(BundleConfig, values, "config")
    names = [cue.name for cue in config.cues]
    units = [unit.name for unit in config.units]
    if any(len({*group}) < len(group) for group in (config.verifier_labels, names, units)):
        raise ValueError("two labels, cues or action units have the same name")
    if odd := [unit.name for unit in config.units if len(unit.full) != max(1, len(unit.columns))]:
        raise ValueError(f"action unit {odd[0]} must have one full value for each of its columns")
    if unknown := {unit.cue for unit in config.units} - {*names}:
        raise ValueError(f"an action unit names the cue '{sorted(unknown)[0]}', which there is not")
    if unknown := {*config.movable} - {*names}:
        raise ValueError(f"the cue '{sorted(unknown)[0]}' is to be movable, and there is none of that name")
    if config.policy.image in (config.policy.bos, config.policy.eos):
        raise ValueError("the image placeholder must be a token of its own")
    if config.verifier_labels[: len(config.labels)] != config.labels or len(config.verdict.prior) != len(config.verifier_labels):
        raise ValueError("the verifier's labels must begin with the bundle's, and the prior must have one value for each")
    return config


def check_schema(folder: Path) -> None:
    """Raise `BundleError` for a whole bundle of another version: it has other files, and none of them is at fault."""
    try:
        values = read_json(folder / "config.json")
    except InputError:
        return  # the hashes tell what is wrong
    if isinstance(values, dict) and isinstance(found := values.get("schema"), int) and not OLDEST <= found <= SCHEMA:
        read_config(values)


def check_hashes(folder: Path) -> None:
    """Compare every file of a bundle with `SHA256SUMS`; raise `BundleError` at the first that is missing or differs.

    The list comes with the bundle and is believed as little: it may name only files that a bundle can have.
    """
    try:
        lines = read_bounded(folder / HASHES, _MAX_HASHES).decode("utf-8").split("\n")
    except (InputError, ValueError):
        raise BundleError(f"'{folder}' is not a bundle: {HASHES} is missing or not readable") from None
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines if line)}
    if foreign := sorted(set(sums) - {*FILES, *OPTIONAL}):
        raise BundleError(f"bundle '{folder}': {HASHES} names '{foreign[0]}', which is no file of a bundle")
    for name in dict.fromkeys((*FILES, *sums)):
        path = folder / name
        if not path.is_file():
            raise BundleError(f"bundle '{folder}': {name} is missing")
        if sums.get(name) != _digest(path):
            raise BundleError(f"bundle '{folder}': {name} does not match its SHA-256 in {HASHES}; fetch or export it again")


def _digest(path: Path) -> str:
    """SHA-256 of a file, read piece by piece.

    Raises:
        BundleError: it cannot be read, or is longer than any file of a bundle.
    """
    try:
        if path.stat().st_size > _MAX_FILE:
            raise BundleError(f"'{path}' is longer than any file of a bundle: {_MAX_FILE} bytes")
        return sha256_of(path)
    except OSError as error:
        raise BundleError(f"cannot read '{path}': {error.strerror or error}") from None


def write_hashes(folder: Path) -> None:
    """Write `SHA256SUMS` over every file of a bundle."""
    names = [*FILES, *(name for name in OPTIONAL if (folder / name).is_file())]
    lines = [f"{_digest(folder / name)}  {name}\n" for name in names]
    (folder / HASHES).write_text("".join(lines), encoding="utf-8")


def check_graph(name: str, expected: set[str], actual: tuple[str, ...]) -> None:
    """Raise `BundleError` when a graph's inputs are not the ones of the contract."""
    if set(actual) != expected:
        raise BundleError(f"graph '{name}' has the inputs {', '.join(sorted(actual))}: expected {', '.join(sorted(expected))}")
