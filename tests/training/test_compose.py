import itertools

import numpy as np
import pytest

from training import face
from training.compose import Composer, Scene, Turns, adorned, placed_face
from training.face import STRIDES, assign, configure, draw_scene, unsure_cells
from training.pieces import load_sources


@pytest.fixture(scope="module")
def sources(data, tmp_path_factory):
    return load_sources(data, tmp_path_factory.mktemp("teacher"), "train")


def test_a_turned_face_keeps_its_points_and_gets_the_box_of_a_turned_ellipse():
    box, points = np.array([10.0, 20, 30, 60]), np.array([[15.0, 30], [25, 30], [20, 40], [16, 50], [24, 50]])
    half_turn = np.array([[-1.0, 0, 100], [0, -1, 100]])
    turned, moved = placed_face(box, points, half_turn, 180)
    assert turned == pytest.approx([70, 40, 90, 80])
    assert moved[0] == pytest.approx([85, 70]), "the eye that was on the left is on the right now, and still comes first"
    quarter = np.array([[0.0, -1, 100], [1, 0, 0]])
    assert np.ptp(placed_face(box, points, quarter, 90)[0].reshape(2, 2), axis=0) == pytest.approx([40, 20])


def test_a_mirrored_face_has_its_left_eye_first_again():
    points = np.array([[15.0, 30], [25, 30], [20, 40], [16, 50], [24, 50]])
    _, moved = placed_face(np.array([10.0, 20, 30, 60]), points, np.array([[-1.0, 0, 40], [0, 1, 0]]), 0)
    assert moved[0, 0] < moved[1, 0]
    assert moved[3, 0] < moved[4, 0]


def test_a_covered_face_is_gone_and_a_half_covered_one_is_unsure():
    scene = Scene(np.zeros((100, 100), np.uint8))
    for x in (0, 30, 60):
        scene.add(np.array([x, 0.0, x + 20, 20]), np.zeros((5, 2)), 0.0, "plain")
    scene.cover(np.array([0, 0]), np.array([40, 30]))
    assert [box[0] for box in scene.boxes] == [60]
    assert [box[0] for box in scene.unsure] == [30]
    scene.add(np.array([90.0, 0, 110, 20]), np.zeros((5, 2)), 0.0, "plain")
    scene.add(np.array([99.0, 0, 119, 20]), np.zeros((5, 2)), 0.0, "plain")
    assert [box[0] for box in scene.boxes] == [60, 90], "of the last one a twentieth is in the picture"


@pytest.mark.parametrize("kind", ["empty", "photo", "collage", "heads", "crowd"])
def test_every_kind_of_scene_knows_its_faces(sources, kind):
    composer = Composer(sources, Turns(any_share=0.3, down_share=0.3))
    counts = []
    for seed in range(6):
        scene = draw_scene(composer, np.random.default_rng(seed), 96, {kind: 1.0})
        assert (scene.picture.shape, scene.picture.dtype) == ((96, 96), np.uint8)
        assert len(scene.boxes) == len(scene.points) == len(scene.turns_deg) == len(scene.tags)
        for box, points in zip(scene.boxes, scene.points, strict=True):
            middle = (points[np.isfinite(points).all(1)]).mean(0)
            assert (box[:2] < middle).all()
            assert (middle < box[2:]).all()
        counts.append(len(scene.boxes))
    assert (max(counts) > 0) == (kind != "empty")


@pytest.mark.parametrize("kind", ["glasses", "masked", "hand"])
def test_what_is_worn_is_drawn_and_named(sources, kind):
    patch, tag = adorned(np.random.default_rng(0), sources.heads, 3, kind)
    assert tag == kind
    assert (patch != sources.heads.images[3]).mean() > 0.01


def test_every_face_is_learned_at_the_strides_of_its_size():
    boxes = np.array([[10.0, 10, 20, 22], [100, 100, 160, 170], [20, 20, 230, 240]])
    owner = assign(256, 256, boxes)
    cells = np.cumsum([0] + [(256 // stride) ** 2 for stride in STRIDES])
    seen = [set(owner[low:high]) - {-1} for low, high in itertools.pairwise(cells)]
    assert seen == [{0}, {1}, {2}]


def test_cells_of_unsure_boxes_are_told_at_every_stride():
    inside = unsure_cells(64, 64, np.array([[0.0, 0, 16, 16]]))
    assert inside.sum() == 4 + 1 + 1


def test_a_run_goes_on_where_it_stopped(data, tmp_path, monkeypatch):
    config = configure(None, ["widths=[8,8,8,8,8]", "neck=8", "canvas=64", "steps=6", "batch=2", "check_every=2"])
    monkeypatch.setattr(face.Run, "save", _stopping(face.Run.save, after=4))
    with pytest.raises(KeyboardInterrupt):
        face.train(data, tmp_path / "run", config)
    monkeypatch.undo()
    face.train(data, tmp_path / "run", config)
    steps = [line.split('"step": ')[1].split(",")[0] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert steps == ["2", "4", "6"]
    face.load_face(tmp_path / "run")


def _stopping(save, after):
    def stopping(self, **parts):
        save(self, **parts)
        if parts["step"] == after:
            raise KeyboardInterrupt

    return stopping
