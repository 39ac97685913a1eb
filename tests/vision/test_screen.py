"""The screen: of what the finder finds, the faces, the right way up."""

from dataclasses import replace

import cv2
import numpy as np
import onnx
import pytest

from edge.bundle import write_hashes
from edge.errors import BundleError
from edge.pipeline import Pipeline
from edge.types import Detection
from edge.vision.crop import align
from edge.vision.finder import box_overlap
from edge.vision.realign import realign
from edge.vision.screen import Screen, laid, laid_crops


@pytest.fixture(scope="module")
def grey(portrait):
    return cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY)


@pytest.fixture(scope="module")
def face(pipeline, grey):
    return max(pipeline.finder(grey), key=lambda face: face.score)


def _moved(face, shift_xy, score):
    return Detection(face.box_xyxy + np.tile(shift_xy, 2).astype(np.float32), face.points_xy + np.float32(shift_xy), score)


def test_what_shows_no_face_is_none(pipeline, grey, face):
    screen, curtain = pipeline.finder.screen, (-150.0, -20.0)
    (kept,) = screen(grey, [replace(face, score=0.5), _moved(face, curtain, 0.5)])
    assert box_overlap(kept.box_xyxy[None], face.box_xyxy[None])[0, 0] > 0.8
    assert kept.score > 0.65, "what is seen of it counts"
    assert screen(grey, []) == []
    assert len(Screen(screen.session, pipeline.config.image, -10.0)(grey, [face, _moved(face, curtain, 0.9)])) == 2


@pytest.mark.parametrize("larger", [0.75, 1.0, 1.4])
def test_a_face_gets_the_box_that_the_screen_sees(pipeline, grey, face, larger):
    middle, half = (face.box_xyxy[:2] + face.box_xyxy[2:]) / 2, (face.box_xyxy[2:] - face.box_xyxy[:2]) / 2
    given = replace(face, box_xyxy=np.concatenate([middle - larger * half, middle + larger * half]), score=0.8)
    (seen,) = pipeline.finder.screen(grey, [given])
    assert box_overlap(seen.box_xyxy[None], face.box_xyxy[None])[0, 0] > 0.8, "found again from what was found"
    assert (seen.box_xyxy[:2] < seen.points_xy.min(0)).all()
    assert (seen.points_xy.max(0) < seen.box_xyxy[2:]).all()


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_face_whose_points_tell_nothing_is_found_whichever_way_it_lies(pipeline, grey, face, quarters):
    x1, y1, x2, y2 = face.box_xyxy
    side, points = len(grey), face.points_xy
    for _ in range(quarters):
        x1, y1, x2, y2 = y1, side - x2, y2, side - x1
        points = np.column_stack([points[:, 1], side - points[:, 0]])
    box = np.array([x1, y1, x2, y2], np.float32)
    lost = Detection(box, np.tile((box[:2] + box[2:]) / 2, (5, 1)) + np.float32([[-2, -2], [2, -2], [0, 0], [-2, 2], [2, 2]]), 0.8)
    turned = np.ascontiguousarray(np.rot90(grey, quarters))
    (seen,) = pipeline.finder.screen(turned, [lost])
    (again,) = realign(turned, [seen], pipeline.encoder, pipeline.config)
    for place, least in ((seen, 0.3), (again.place, 0.25)):
        assert np.linalg.norm(place.points_xy - points, axis=1).max() < least * np.linalg.norm(points[0] - points[1])


@pytest.mark.parametrize(("other", "told"), [(None, r"screen\.onnx"), ("verifier.onnx", "graph 'screen' has the inputs")])
def test_a_bundle_that_asks_for_a_screen_and_has_none_is_refused(pipeline, tmp_path, other, told):
    folder = pipeline.bundle.folder
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "screen.onnx").unlink()
    if other:
        (tmp_path / "screen.onnx").write_bytes((folder / other).read_bytes())
    write_hashes(tmp_path)
    with pytest.raises(BundleError, match=told):
        Pipeline.load(tmp_path, device="cpu")


def test_the_four_ways_of_a_find_are_sampled_once(pipeline, grey, face):
    """They are what the crop rule makes of the points as they are laid."""
    spec = pipeline.finder.screen.image
    for quarters, crop in enumerate(laid_crops(grey, face, spec)):
        wanted, _ = align(grey, laid(face, quarters, spec), spec)
        assert crop.shape == wanted.shape
        assert np.abs(crop.astype(int) - wanted).mean() < 8
        assert np.corrcoef(crop.ravel(), wanted.ravel())[0, 1] > 0.98


def test_a_screen_that_places_no_points_is_refused(pipeline, tmp_path):
    """One of before: it gave the log odds alone."""
    for path in pipeline.bundle.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    model = onnx.load(tmp_path / "screen.onnx")
    kept = [value for value in model.graph.output if value.name == "log_odds"]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    onnx.save(model, str(tmp_path / "screen.onnx"))
    write_hashes(tmp_path)
    with pytest.raises(BundleError, match="graph 'screen' does not give at_all, boxes, points: export the bundle again"):
        Pipeline.load(tmp_path, device="cpu")


def test_a_face_and_its_mirror_image_lie_in_the_same_place(pipeline, grey, face):
    """Points and box, however the finder had them: it was a tenth of the eyes' distance off to one side."""
    side = np.linalg.norm(face.points_xy[1] - face.points_xy[0])
    width, given = grey.shape[1], _moved(face, (0.1 * side, 0.05 * side), 0.8)
    x1, y1, x2, y2 = given.box_xyxy
    swapped = (given.points_xy * (-1, 1) + (width, 0))[[1, 0, 2, 4, 3]]
    turned = Detection(np.array([width - x2, y1, width - x1, y2], np.float32), swapped.astype(np.float32), 0.8)
    (seen,), (other,) = pipeline.finder.screen(grey, [given]), pipeline.finder.screen(np.ascontiguousarray(grey[:, ::-1]), [turned])
    back = (other.points_xy * (-1, 1) + (width, 0))[[1, 0, 2, 4, 3]]
    assert np.abs(back - seen.points_xy).max() < 0.02 * side
    assert np.linalg.norm(seen.points_xy - face.points_xy, axis=1).mean() < 0.05 * side, "found again from what was found"
    assert seen.score == pytest.approx(other.score, abs=0.01)
