"""Which cues are in sight: how the network is taught, how it enters a bundle, what the runtime makes of it."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from floats import float_bundle

from edge.bundle import Bundle
from edge.cv import cv2
from edge.engine.backend import OrtSession
from edge.errors import BundleError
from edge.pipeline import Pipeline
from edge.types import Verdict
from edge.vision.encoder import FaceEncoder, hidden_cues
from export.__main__ import main as export
from export.strategies import Strategy, apply
from export.visibility import graft
from training.augment import Targets
from training.covers import _dark_glasses, cover, frames
from training.cues import CUE_NAMES, CUES, POINTS
from training.units import SHAPES
from training.visibility import Visibility, load_visibility, view

MOUTH = {"lip_corners", "mouth_width", "lip_fullness", "mouth_opening"}


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_covering_changes_what_lies_under_the_shape_and_tells_which_cues_are_hidden(generator):
    images, points = torch.rand(64, 1, 48, 48, generator=generator), torch.rand(64, len(POINTS), 2, generator=generator)
    covered, mask, share = cover(images, points, torch.zeros(3, 48, 48), generator)
    near = torch.nn.functional.max_pool2d(mask[:, None].float(), 3, 1, 1) > 0
    assert (covered == images)[~near].all(), "nothing beyond the soft edge changes"
    changed = (covered != images).float()
    assert changed[near].mean() > 0.9
    face, cue = 5, CUE_NAMES.index("lip_corners")
    under = [bool(mask[face, int(y * 48), int(x * 48)]) for x, y in points[face, [POINTS.index(p) for p in CUES[cue].points]]]
    assert share[face, cue] == np.mean(under)
    assert share.min() == 0
    assert share.max() == 1


def test_dark_glasses_hide_the_eyes_and_spectacles_nothing(generator):
    n, eyes = 40, [POINTS.index(point) for point in (33, 133, 159, 145, 362, 263, 386, 374)]
    points = torch.tensor([[0.3, 0.4], [0.7, 0.4]])[[0, 0, 0, 0, 1, 1, 1, 1]]
    places = torch.full((n, len(POINTS), 2), 0.8)
    places[:, eyes] = points
    dark, filling = _dark_glasses(places, generator)
    column, row = (points * 48).long().unbind(1)
    assert dark[:, row, column].all()
    assert not dark[:, 40:].any(), "the mouth is free"
    assert filling.mean() < 0.4
    bright = torch.full((n, 1, 48, 48), 0.7)
    changed = (frames(bright, places, generator) != bright).float().mean()
    assert 0.02 < changed < 0.5
    assert (frames(bright, places, generator)[:, 0, row, column] - 0.7).abs().max() < 0.2, "behind the glass they are seen"


def test_a_face_that_nothing_covers_has_every_cue_in_sight(generator):
    n = 32
    batch = Targets(
        torch.randint(0, 255, (n, 96, 96), dtype=torch.uint8, generator=generator), torch.zeros(n, 8), torch.zeros(n, len(CUE_NAMES)),
        torch.rand(n, len(POINTS), 2, generator=generator), torch.zeros(n, 3), torch.zeros(n, len(SHAPES)),
    )  # fmt: skip
    images, seen = view(batch, torch.zeros(3, 48, 48), generator, 1.0)
    assert images.shape == (n, 1, 48, 48)
    assert (seen == 1).all()
    _, seen = view(batch, torch.zeros(3, 48, 48), generator, 0.5)
    covered = (seen != 1).any(1)
    assert (seen[covered] == 0).any()
    assert 0 < covered.sum() < 0.75 * n


@pytest.mark.parametrize("strategy", [Strategy("float32"), Strategy("store", bits=12), Strategy("half")], ids=str)
def test_the_network_enters_a_graph_once_and_leaves_the_rest_alone(tmp_path, strategy):
    path, plain = tmp_path / "vision_encoder.onnx", float_bundle() / "vision_encoder.onnx"
    path.write_bytes(plain.read_bytes())
    torch.manual_seed(0)
    first, second = (Visibility([4, 8], 8).eval() for _ in range(2))
    graft(path, first)
    if strategy.kind != "float32":
        apply(strategy, path, path, [])
    before, crops = OrtSession(path), np.random.default_rng(0).random((2, 1, 96, 96), np.float32)
    graft(path, second, stored=True)
    graph = onnx.load(path).graph
    assert [value.name for value in graph.output].count("visible") == 1
    old, new = before.run({"pixel_values": crops}), OrtSession(path).run({"pixel_values": crops})
    assert all((old[name] == new[name]).all() for name in old if name != "visible")
    assert not np.allclose(old["visible"], new["visible"]), "the second network takes the place of the first"


def test_a_finished_bundle_takes_a_network_and_keeps_labels(bundle, runs, data, tmp_path, capsys):
    capsys.readouterr()
    assert export(["visibility", str(bundle), "--run", str(runs / "visibility"), "--out", str(tmp_path / "new"), "--data", str(data)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["agreement"]["labels"] == 1
    assert told["visibility"].keys() >= {"found", "false"}
    made = Bundle.load(tmp_path / "new")
    assert made.config.verdict.min_visible == pytest.approx(load_visibility(runs / "visibility").threshold)
    assert made.config.provenance["runs"]["visibility"]["seed"] == 1
    assert "- visibility: `python -m training" in (tmp_path / "new" / "README.md").read_text()
    missing = ["visibility", str(bundle), "--run", str(tmp_path / "none"), "--out", str(tmp_path / "x"), "--data", str(data)]
    assert export(missing) == 4
    assert not (tmp_path / "x").exists()


def _covered(portrait: np.ndarray, pipeline: Pipeline, part: set[str]) -> np.ndarray:
    """The portrait with a grey bar over a part of its face."""
    (face,) = pipeline(portrait, explain=False).faces
    shown = sorted({p for cue in pipeline.bundle.config.cues if cue.name in part for p in cue.points})
    low, high = face.points_xy[shown].min(0), face.points_xy[shown].max(0)
    middle, half = (low + high) / 2, (high - low) / 2 * [1.5, 2.0]
    picture = portrait.copy()
    (x1, y1), (x2, y2) = (middle - half).astype(int), (middle + half).astype(int)
    cv2.rectangle(picture, (int(x1), int(y1)), (int(x2), int(y2)), (128, 128, 128), -1)
    return picture


def test_nothing_is_said_about_a_mouth_that_is_covered(pipeline, portrait):
    (plain,) = pipeline(portrait).faces
    assert plain.hidden == ()
    assert {claim.cue for claim in plain.explanation.claims} & MOUTH
    (face,) = pipeline(_covered(portrait, pipeline, MOUTH)).faces
    assert set(face.hidden) >= MOUTH
    assert "inner_brow" not in face.hidden
    said = {claim.cue: claim for claim in face.explanation.claims}
    assert all(not said[cue].visible and not said[cue].supported for cue in set(said) & set(face.hidden))
    assert face.explanation.status is not Verdict.VERIFIED or not set(said) & set(face.hidden)
    assert face.to_dict()["hidden"] == list(face.hidden)


class _Untold:
    """An encoder's session without the output `visible`."""

    def __init__(self, session) -> None:
        self.session = session

    def run(self, inputs):
        return {name: value for name, value in self.session.run(inputs).items() if name != "visible"}


def test_a_bundle_that_does_not_tell_hides_nothing_and_must_not_be_asked(pipeline):
    crops, config = np.zeros((1, 96, 96), np.uint8), pipeline.bundle.config
    silent = replace(config, verdict=replace(config.verdict, min_visible=0.0))
    (row,) = FaceEncoder(_Untold(pipeline.encoder.session), silent)(crops).visible
    assert (row == 1).all()
    assert hidden_cues(row, silent) == ()
    with pytest.raises(BundleError, match="min_visible"):
        FaceEncoder(_Untold(pipeline.encoder.session), config)(crops)
    assert len(hidden_cues(np.full(len(config.cues), np.nan), config)) == len(config.cues), "what is not a number is not in sight"
