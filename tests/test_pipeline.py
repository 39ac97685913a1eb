import json

import cv2
import numpy as np
import pytest

from edge import InputError, UsageError, Verdict
from edge.pipeline import Pipeline


def test_the_portrait_is_read_as_happy_with_a_checked_explanation(pipeline, portrait):
    reading = pipeline(portrait)
    (face,) = reading.faces
    assert face.emotion == "happiness"
    assert face.explanation is not None
    assert face.explanation.status is Verdict.VERIFIED
    assert face.explanation.answer == "happiness"
    assert face.explanation.text
    assert face.explained_t_ms == reading.t_ms
    assert pipeline.explainer.grammar.parse(face.explanation.text)
    assert all(statement.holds for statement in face.explanation.statements)
    assert any(claim.direction for claim in face.explanation.claims)
    assert sum(face.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert set(reading.latency_ms) == {"face", "encode", "explain", "verify", "total"}


def test_a_reading_is_plain_json_with_the_documented_keys(pipeline, portrait):
    data = json.loads(json.dumps(pipeline(portrait).to_dict()))
    assert list(data) == ["schema", "source", "frame", "t_ms", "width", "height", "latency_ms", "faces"]
    assert list(data["faces"][0]) == [
        "track", "box", "score", "emotion", "confidence", "probabilities", "valence", "arousal", "cues", "action_units",
        "events", "blinks", "no_blinks", "pose", "explanation", "explained_t_ms", "unclear", "hidden", "baseline",
        "counterfactual",
    ]  # fmt: skip
    assert list(data["faces"][0]["explanation"]) == [
        "text", "answer", "status", "consistency", "grounding", "statements", "claims", "attempts",
    ]  # fmt: skip
    assert (data["width"], data["height"]) == (512, 512)


def test_the_same_picture_reads_the_same_twice(pipeline, portrait):
    first, second = (pipeline(portrait).to_dict()["faces"] for _ in range(2))
    assert first == second


def _variants(portrait: np.ndarray) -> dict[str, np.ndarray]:
    grey = cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY)
    return {
        "grey": grey,
        "grey with a channel axis": grey[:, :, None],
        "16-bit": portrait.astype(np.uint16) * 257,
        "with alpha": cv2.cvtColor(portrait, cv2.COLOR_BGR2BGRA),
        "not contiguous": np.flip(np.flip(portrait, 0).copy(), 0),
    }


@pytest.mark.parametrize("kind", ["grey", "grey with a channel axis", "16-bit", "with alpha", "not contiguous"])
def test_every_pixel_format_reads_the_same(pipeline, portrait, kind):
    face = pipeline(_variants(portrait)[kind]).faces[0]
    plain = pipeline(portrait).faces[0]
    assert face.emotion == plain.emotion
    assert face.confidence == pytest.approx(plain.confidence, abs=0.05)


def test_a_very_large_picture_reads_like_a_small_one(pipeline, portrait):
    large = np.full((6000, 8000, 3), 90, np.uint8)
    large[:5120, 1000:6120] = cv2.resize(portrait, (5120, 5120), interpolation=cv2.INTER_CUBIC)
    (face,) = pipeline(large, explain=False).faces
    assert face.emotion == "happiness"
    assert (face.points_xy.mean(0) > [1000, 0]).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 3), (2, 500), (48, 48, 3)])
def test_tiny_pictures_have_no_face(pipeline, shape):
    assert pipeline(np.full(shape, 128, np.uint8)).faces == ()


def test_an_empty_scene_has_no_face_and_no_explanation(pipeline):
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    for picture in (noise, np.zeros_like(noise), np.full_like(noise, 255)):
        assert pipeline(picture).faces == ()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((0, 0, 3), np.uint8),
        np.zeros((5, 5, 2), np.uint8),
        np.zeros((5, 5, 3), np.float32),
        np.zeros(5, np.uint8),
        None,
        "face.png",
    ],
)
def test_what_is_no_picture_is_refused_in_one_sentence(pipeline, image):
    with pytest.raises(InputError, match="image"):
        pipeline(image)


def test_many_faces_are_found_largest_first_and_each_explained(pipeline, portrait):
    face = portrait[0:256, 100:356]
    picture = np.full((512, 768, 3), 100, np.uint8)
    picture[:256, :256], picture[:256, 500:756] = face, face
    picture[300:492, 300:492] = cv2.resize(face, (192, 192), interpolation=cv2.INTER_AREA)
    faces = pipeline(picture).faces
    areas = [float(np.prod(f.detection.box_xyxy[2:] - f.detection.box_xyxy[:2])) for f in faces]
    assert len(faces) == 3
    assert areas == sorted(areas, reverse=True)
    assert sorted(f.track for f in faces) == [1, 2, 3]
    assert all(f.explanation and f.explanation.answer for f in faces)


def test_a_face_cut_by_the_border_is_read_without_failing(pipeline, portrait):
    for cut in (portrait[60:, :], portrait[:, 200:], portrait[:, :240]):
        for face in pipeline(cut).faces:
            assert np.isfinite(face.points_xy).all()
            assert face.explanation is not None
    assert pipeline(portrait[60:]).faces, "a face without its hair is still found"


def test_explanations_come_when_asked_for(pipeline, video):
    def explained(when):
        return [bool(f.explanation) for r in pipeline.stream(video, explain=when) for f in r.faces]

    assert not any(explained("off"))
    assert all(explained("every"))
    assert all(explained("change"))
    assert [r.latency_ms["explain"] > 0 for r in pipeline.stream(video, explain=0.5)] == [i % 5 == 0 for i in range(12)]
    with pytest.raises(UsageError, match="explain must be"):
        next(pipeline.stream(video, explain="sometimes"))


def test_a_stream_keeps_track_time_and_order(pipeline, video):
    readings = list(pipeline.stream(video, explain="off"))
    assert [r.frame for r in readings] == list(range(12))
    assert [r.t_ms for r in readings] == [i * 100 for i in range(12)]
    assert {f.track for r in readings for f in r.faces} == {1}


def test_a_closed_pipeline_holds_no_session():
    with Pipeline.load(device="cpu") as pipeline:
        assert len(pipeline.sessions) == 6
    assert pipeline.sessions == []


def test_a_pipeline_for_large_faces_loads_and_refuses_a_picture_that_is_smaller(portrait):
    with Pipeline.load(device="cpu", min_face=200) as pipeline:  # wider than the drawn picture of the rehearsal
        assert len(pipeline(portrait, explain=False).faces) == 1
        with pytest.raises(UsageError, match="only 180×180"):
            pipeline(cv2.resize(portrait, (180, 180)))
    with pytest.raises(UsageError, match="above 0"):
        Pipeline.load(min_face=-1)


@pytest.mark.parametrize("options", [{"min_face": "2%"}, {"min_face": [24]}, {"threads": "2"}, {"threads": 1.5}, {"threads": None}])
def test_options_of_another_type_are_refused_in_one_sentence(options):
    ((name, value),) = options.items()
    with pytest.raises(UsageError, match=f"{name}.*: expected ") as refused:
        Pipeline.load(**options)
    assert repr(value) in str(refused.value)
