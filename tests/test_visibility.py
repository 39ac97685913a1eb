"""Which cues are in sight: how the network is taught, how it enters a bundle, what the runtime makes of it."""

import numpy as np
import onnx
import pytest
import torch

from edge.bundle import SHIPPED, Bundle
from edge.cv import cv2
from edge.encoder import hidden_cues
from edge.pipeline import Pipeline
from edge.types import Verdict
from export.__main__ import main as export
from export.visibility import PREFIX, graft
from training.cues import CUE_NAMES, CUES, POINTS
from training.encoder import Targets
from training.visibility import Visibility, cover, load_visibility, view

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


def test_a_face_that_nothing_covers_has_every_cue_in_sight(generator):
    n = 32
    batch = Targets(
        torch.randint(0, 255, (n, 48, 48), dtype=torch.uint8, generator=generator), torch.zeros(n, 8), torch.zeros(n, len(CUE_NAMES)),
        torch.rand(n, len(POINTS), 2, generator=generator), torch.zeros(n, 3),
    )  # fmt: skip
    images, seen, clear = view(batch, torch.zeros(3, 48, 48), generator, 0.5)
    assert images.shape == (n, 1, 48, 48)
    assert (seen[clear] == 1).all()
    assert (seen[~clear] == 0).any()
    assert 0 < clear.sum() < n


@pytest.mark.parametrize("stored", [False, True])
def test_the_network_enters_a_graph_once_and_leaves_the_rest_alone(tmp_path, stored):
    path = tmp_path / "vision_encoder.onnx"
    path.write_bytes((SHIPPED / "vision_encoder.onnx").read_bytes())
    torch.manual_seed(0)
    graft(path, Visibility([4, 8], 8).eval(), stored=stored)
    own = [node for node in onnx.load(path).graph.node if not node.name.startswith(PREFIX)]
    assert own == [node for node in onnx.load(SHIPPED / "vision_encoder.onnx").graph.node if not node.name.startswith(PREFIX)]
    size = path.stat().st_size
    graft(path, Visibility([4, 8], 8).eval(), stored=stored)
    assert path.stat().st_size == pytest.approx(size, abs=2000), "the second network takes the place of the first"
    assert [value.name for value in onnx.load(path).graph.output].count("visible") == 1


def test_a_finished_bundle_takes_a_network_and_decides_the_same_on_faces_in_sight(bundle, runs, data, tmp_path, capsys):
    capsys.readouterr()
    assert export(["visibility", str(bundle), "--run", str(runs / "visibility"), "--out", str(tmp_path / "new"), "--data", str(data)]) == 0
    made = Bundle.load(tmp_path / "new")
    assert made.config.verdict.min_visible == pytest.approx(load_visibility(runs / "visibility")[1], abs=1e-4)
    assert made.config.provenance["runs"]["visibility"]["seed"] == 1
    assert "- visibility: `python -m training" in (tmp_path / "new" / "README.md").read_text()
    with Pipeline.load(bundle, device="cpu") as before, Pipeline.load(tmp_path / "new", device="cpu") as after:
        crops = np.random.default_rng(0).integers(0, 255, (3, 48, 48), np.uint8)
        old, new = before.encoder(crops), after.encoder(crops)
        assert (old.tokens == new.tokens).all()
        assert (old.probabilities == new.probabilities).all()
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


def test_a_bundle_that_does_not_tell_hides_nothing(pipeline):
    config = pipeline.bundle.config
    assert hidden_cues(np.ones(len(config.cues)), config) == ()
    assert len(hidden_cues(np.zeros(len(config.cues)), config)) == len(config.cues)
