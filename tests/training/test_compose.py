import numpy as np
import pytest
import torch
from yunets import drawn_yunet, with_teacher

from training import face
from training.compose import Composer, Scene, Turns, adorned, placed_face
from training.pieces import load_sources
from training.scenes import STRIDES, Scenes, draw_scene, turn, turned, with_landmarks
from training.teacher import Teacher


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


def _told(side, boxes):
    """Rows as the teacher would give them of faces: each in the cell of its middle, at every stride."""
    rows = []
    for stride in STRIDES:
        across = side // stride
        part = np.zeros((across * across, 15))
        for i, (x1, y1, x2, y2) in enumerate(boxes, 1):
            points = [[x1 + 2, y1 + 1], [x2 - 1, y1 + 1], [x1 + 5, y1 + 6], [x1 + 2, y2 - 1], [x2 - 1, y2 - 1]]
            part[int((y1 + y2) / 2 // stride) * across + int((x1 + x2) / 2 // stride)] = [i / 10, x1, y1, x2, y2, *np.ravel(points)]
        rows.append(part)
    return np.concatenate(rows)


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_what_is_told_of_a_picture_turns_with_it(quarters):
    side, box = 128, (70, 10, 86, 34)
    picture, rows = np.zeros((side, side)), turned(_told(side, [box]), side, turn(side, -90.0 * quarters))
    picture[10:34, 70:86] = 1
    picture[11, 72], picture[33, 85] = 5, 7  # the first eye, the last corner of the mouth
    there = np.rot90(picture, quarters)
    for stride, part in zip(STRIDES, np.split(rows, np.cumsum([(side // stride) ** 2 for stride in STRIDES])[:-1]), strict=True):
        (cell,) = np.flatnonzero(part[:, 0])
        _, x1, y1, x2, y2 = part[cell, :5]
        assert np.argwhere(there).min(0) == pytest.approx([y1, x1])
        assert np.argwhere(there).max(0) == pytest.approx([y2 - 1, x2 - 1])
        middle = np.array([(x1 + x2) / 2, (y1 + y2) / 2])
        assert (np.array([cell % (side // stride), cell // (side // stride)]) == middle // stride).all()
        for value, point in ((5, part[cell, 5:7]), (7, part[cell, 13:15])):
            row, column = np.argwhere(there == value)[0]
            assert np.abs(point - [column + 0.5, row + 0.5]).max() <= 0.5 + 1e-9


def test_what_is_told_of_a_picture_tilts_with_it():
    side, deg = 128, 30.0
    rows = turned(told := _told(side, [(50, 50, 74, 82)]), side, matrix := turn(side, deg))
    box, points = placed_face(np.array([50, 50, 74, 82]), told[told[:, 0] > 0][0, 5:].reshape(5, 2), matrix, deg)
    faces = rows[rows[:, 0] > 0]
    assert len(faces) >= 3
    assert faces[:, 1:5] == pytest.approx(np.tile(box, (len(faces), 1)))
    assert faces[:, 5:] == pytest.approx(np.tile(points.ravel(), (len(faces), 1)))
    for stride, part in zip(STRIDES, np.split(rows, np.cumsum([(side // stride) ** 2 for stride in STRIDES])[:-1]), strict=True):
        for cell in np.flatnonzero(part[:, 0]):  # where the box's middle has come to lie, or beside it
            there = (np.array([cell % (side // stride), cell // (side // stride)]) + 0.5) * stride
            assert np.linalg.norm(there - (box[:2] + box[2:]) / 2) < 1.5 * stride


def test_points_come_from_landmarks_where_they_are_known():
    rows = _told(128, [(70, 10, 86, 34), (10, 70, 26, 94)])
    known = np.array([[70.0, 11, 86, 35], [10, 70, 26, 94]]), np.stack([np.arange(10.0), np.full(10, np.nan)])
    moved = with_landmarks(rows, *known, np.full(5, 0.1 + 0j))
    first, second = moved[rows[:, 0] == 0.1], moved[rows[:, 0] == 0.2]
    assert (first[:, 5:] == np.arange(10.0)).all()
    eyes = np.tile([13.0, 0.0], 5)  # a tenth of the way from eye to eye, along it
    assert second[:, 5:] == pytest.approx(rows[rows[:, 0] == 0.2, 5:] + 0.1 * eyes)
    assert (moved[:, :5] == rows[:, :5]).all()


def test_a_finder_learns_what_it_is_told(data, tmp_path):
    config = face.configure(None, ["widths=[8,8,8,8,8]", "neck=8", "canvas=64", "batch=4"])
    composer, teacher = Composer(load_sources(data, tmp_path, "train"), Turns()), Teacher(drawn_yunet(tmp_path / "teacher.onnx"))
    picture, told = map(torch.from_numpy, Scenes(composer, teacher, config).batch(np.random.default_rng(3)))
    model = face.FaceFinder(config.widths, config.neck)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    course = []
    for _ in range(15):
        loss, _ = face.losses(model, picture.float(), told, config.point_weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        course.append(loss.item())
    assert min(course[-3:]) < 0.7 * course[0]


def test_a_run_goes_on_where_it_stopped(data, tmp_path, monkeypatch):
    data = with_teacher(data, tmp_path / "data")
    config = face.configure(None, ["widths=[8,8,8,8,8]", "neck=8", "canvas=64", "steps=6", "batch=2", "check_every=2"])
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
