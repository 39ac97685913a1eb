"""What the encoder is trained on and with: framing, augmentation, action units, composed emotions, calibration, earlier weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from moving import NAMES, drawn_mesh, drawn_picture, landmarks_of

from edge.errors import InputError
from edge.language.labels import EMOTIONS_8
from training import composed as composing
from training.augment import SIZE, Targets, augment, degrade, move, plain
from training.certainty import Answers, calibration_errors, fit_doubt, fit_world
from training.cues import CUE_NAMES, POINTS, fit_cue_model, mean_five_points
from training.data import MARGIN, Today, load_ferplus, load_today, resized, unlabelled
from training.encoder import Encoder, blend, class_offsets, grow
from training.intervene import POINT_INDEX, Mover
from training.levelled import levelled
from training.mesh import FaceMesh
from training.units import SHAPE_MIRROR, SHAPES, UNITS, fit_unit_model, unit_specs

SHAPE = ([8, 8, 8, 8, 16], [1, 1, 1, 1])


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def _spots(count: int, margin: float) -> Targets:
    """Black crops with a bright spot at each face's one point, which stands for all."""
    side = round(SIZE * margin)
    at = torch.rand(count, 2, generator=torch.Generator().manual_seed(1)) * 0.4 + 0.3
    axis = (torch.arange(side) + 0.5) / side
    place = (at - 0.5) / margin + 0.5
    far = (axis[None, None, :] - place[:, 0, None, None]) ** 2 + (axis[None, :, None] - place[:, 1, None, None]) ** 2
    images = (255 * torch.exp(-far * (0.5 * (side / 4) ** 2))).byte()
    unknown = torch.full((count, len(SHAPES)), torch.nan)
    return Targets(
        images,
        torch.zeros(count, 8),
        torch.zeros(count, len(CUE_NAMES)),
        at[:, None].repeat(1, len(POINTS), 1),
        torch.zeros(count, 3),
        unknown,
    )


@pytest.mark.parametrize("margin", [1.0, MARGIN])
def test_points_move_with_the_picture(generator, margin):
    batch = _spots(24, margin)
    moved = move(batch, generator, margin)
    assert moved.images.shape == (24, 1, SIZE, SIZE)
    seen = moved.images[:, 0].flatten(1).argmax(1)
    found = torch.stack([seen % SIZE, seen // SIZE], 1) + 0.5
    assert (found / SIZE - moved.points[:, 0]).abs().max() < 3 / SIZE
    still = plain(batch.images, margin)
    seen = still[:, 0].flatten(1).argmax(1)
    assert (torch.stack([seen % SIZE, seen // SIZE], 1) / SIZE - batch.points[:, 0]).abs().max() < 2 / SIZE


def test_a_mirror_image_has_the_units_of_the_other_side(generator):
    units = torch.arange(float(len(SHAPES))).repeat(40, 1)
    batch = replace(_spots(40, 1.0), units=units)
    turned = move(batch, generator).units
    swapped = (turned != units).any(1)
    assert 5 < swapped.sum() < 35
    assert (turned[swapped] == units[swapped][:, list(SHAPE_MIRROR)]).all()
    assert [SHAPES[SHAPE_MIRROR[SHAPES.index(s)]] for s in ("mouthSmileLeft", "jawOpen")] == ["mouthSmileRight", "jawOpen"]


def test_augmented_faces_keep_their_shape_and_stay_finite(generator):
    batch = _spots(32, MARGIN)
    seen = augment(batch, generator, MARGIN)
    assert seen.images.shape == (32, 1, SIZE, SIZE)
    assert seen.images.isfinite().all()
    images = torch.rand(16, 1, SIZE, SIZE, generator=generator)
    worse = degrade(images, generator)
    assert (worse != images).flatten(1).any(1).sum() >= 4
    assert ((worse - images).abs().mean((1, 2, 3)) < 0.35).all()


def test_a_tilted_face_is_levelled_onto_the_template(data):
    faces = load_ferplus(data, "train")
    flat = levelled(faces)
    template = mean_five_points(faces.landmarks, faces.point_index) * 2
    assert flat.images.shape[1] == 2 * faces.images.shape[1]
    known = np.isfinite(faces.landmarks).all((1, 2))
    columns = {int(n): i for i, n in enumerate(faces.point_index)}
    eyes = [flat.landmarks[known][:, [columns[i] for i in group], :2].mean(1) for group in ((33, 133, 159, 145), (362, 263, 386, 374))]
    assert np.abs(np.mean(eyes, 1) - template[:2]).max() < 1.0
    assert np.abs(eyes[1][:, 1] - eyes[0][:, 1]).mean() < 4
    assert (flat.images[~known] == resized(faces.images[~known], flat.images.shape[1])).all(), "one without landmarks is only enlarged"


def test_faces_of_today_are_held_out_by_their_number_and_framed_like_the_others(data):
    trained, held_out = load_today(data, held_out=False), load_today(data, held_out=True)
    assert len(trained) + len(held_out) == 96
    assert len(held_out) == 10
    faces = unlabelled(held_out, SIZE)
    assert faces.images.shape == (10, SIZE, SIZE)
    assert (faces.label == -1).all()
    assert faces.landmarks[..., :2].mean() == pytest.approx(load_ferplus(data, "train").at(SIZE).landmarks[1:, :, :2].mean(), rel=0.05)


def test_a_pack_of_today_that_is_cut_short_is_named(data, tmp_path):
    for name in ("faces_today.zip", "faces_today.npz"):
        (tmp_path / name).write_bytes((data / name).read_bytes())
    (tmp_path / "faces_today.zip").write_bytes((data / "faces_today.zip").read_bytes()[:4000])
    with pytest.raises(InputError, match=r"faces_today\.zip' is damaged"):
        load_today(tmp_path, held_out=True)
    (tmp_path / "faces_today.zip").unlink()
    with pytest.raises(InputError, match="no data pack"):
        load_today(tmp_path, held_out=True)


def test_unit_intensities_reach_from_0_to_1_and_only_reliable_ones_are_told():
    rng = np.random.default_rng(0)
    shapes = rng.uniform(0, 0.5, (500, len(SHAPES))).astype(np.float32)
    shapes[0] = 0
    model = fit_unit_model([(shapes, SHAPES)])
    truth = model.measure(shapes, SHAPES)
    assert np.isnan(truth[0]).all()
    assert truth[1:].min() >= 0
    assert 0.98 < truth[1:].max() <= 1
    scaled, cues = truth[1:] / model.spread, rng.normal(size=(499, len(CUE_NAMES)))
    read, noise = scaled.copy(), rng.normal(size=len(scaled))
    read[:, SHAPES.index("jawOpen")] = noise
    told = {spec.name: spec for spec in unit_specs(model, (read, scaled), (cues, cues))}
    assert set(told) == {unit.name for unit in UNITS} - {"AU26"}
    full = np.array(told["AU12"].full)
    assert (scaled[:, told["AU12"].columns] / full).max() <= 1 + 1e-5
    assert told["AU06"].columns == []


def test_composed_faces_have_the_emotion_they_were_given(monkeypatch):
    neutral, fields = drawn_mesh()
    landmarks = landmarks_of(neutral, 0)
    image = drawn_picture(landmarks)
    shapes = np.full((2, 1), 0.02, np.float32)
    today = Today(np.stack([image] * 2), np.stack([landmarks] * 2).astype(np.float32), np.array(POINT_INDEX), shapes, ("jawOpen",))
    monkeypatch.setattr(Mover, "load", lambda _: Mover(FaceMesh(NAMES, neutral, fields, POINT_INDEX)))
    monkeypatch.setattr(composing, "PROTOTYPES", {"happiness": {}})
    monkeypatch.setattr(Mover, "compose", lambda self, image, points, emotion, rng: self.move(image, points, {"mouthSmile_L": 1.0}))
    others = np.stack([landmarks + np.random.default_rng(i).normal(0, 0.3, landmarks.shape) for i in range(9)])
    model = fit_cue_model(others, today.point_index, np.ones(9, bool))
    made = composing.composed(None, today, model, 3, 0)
    smiles = made.emotion.argmax(1) == EMOTIONS_8.index("happiness")
    assert smiles.tolist() == [True] * 3 + [False] * 3
    assert torch.allclose(made.emotion.sum(1), torch.ones(6))
    corner = CUE_NAMES.index("lip_corners")
    assert made.cues[smiles, corner].min() > made.cues[~smiles, corner].max() + 1
    assert made.units.isnan().all()
    restless = replace(today, blendshapes=shapes + 0.9)
    with pytest.raises(InputError, match="at rest"):
        composing.composed(None, restless, model, 3, 0)


def _answers(count: int, sharpness: float, strange: float, seed: int) -> Answers:
    """Logits that are calibrated once they are divided by `sharpness`."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, 8, generator=generator) * 2
    label = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    return Answers(logits * sharpness, torch.full((count,), strange), label)


def test_each_world_gets_the_temperature_that_it_needs():
    sets = {"FER+": _answers(4000, 1.2, 0.0, 0), "elsewhere": _answers(4000, 1.44, 1.0, 1)}
    assert fit_doubt(sets).exp().tolist() == pytest.approx([1.2, 1.44], abs=0.1)
    errors = calibration_errors(sets)
    assert errors["ece.FER+"] < 0.03 < errors["ece_before.FER+"]
    assert errors["ece.elsewhere"] < 0.03 < errors["ece_before.elsewhere"]


def test_strangeness_tells_the_worlds_apart(generator):
    familiar, strange = torch.randn(300, 5, generator=generator), torch.randn(300, 5, generator=generator) + torch.tensor([0, 2.0, 0, 0, 0])
    weights = fit_world(familiar, strange)
    far = [(part @ weights[1:] + weights[0]).sigmoid() for part in (familiar, strange)]
    assert far[0].mean() < 0.3 < 0.7 < far[1].mean()


def test_a_strange_face_is_less_sure_and_a_new_encoder_is_not_tempered():
    torch.manual_seed(0)
    model = Encoder(*SHAPE).eval()
    faces = torch.rand(4, 1, SIZE, SIZE)
    with torch.no_grad():
        before = model(faces)
        model.doubt.copy_(torch.log(torch.tensor([1.0, 3.0])))
        model.world[0] = 20.0
        after = model(faces)
    assert (before["strangeness"] == 0.5).all()
    assert torch.allclose(after["emotion"] * 3, before["emotion"], atol=1e-5)


def test_an_encoder_of_half_the_size_reads_the_same_when_it_is_grown():
    torch.manual_seed(0)
    model = Encoder(*SHAPE).eval()
    small = {
        name: value
        for name, value in model.state_dict().items()
        if name.split(".")[0] not in ("moved", "units", "evidence", "world", "doubt")
    }
    small["stem.0.weight"] = torch.randn(8, 1, 3, 3)
    model.load_state_dict(grow(small, model))
    halves = torch.rand(2, 1, SIZE // 2, SIZE // 2)
    whole = halves.repeat_interleave(2, 2).repeat_interleave(2, 3)
    wanted = torch.nn.functional.conv2d(halves, small["stem.0.weight"], padding=1)
    assert torch.allclose(model.stem[0](whole), wanted, atol=1e-4)
    assert (model.evidence.weight == 0).all()
    with pytest.raises(InputError, match="does not fit"):
        grow({**small, "emotion.weight": torch.zeros(3, 3)}, model)


def test_blending_keeps_a_share_of_the_trunk_and_nothing_of_the_other_heads():
    first, second = Encoder(*SHAPE).state_dict(), Encoder(*SHAPE).state_dict()
    mixed = blend(first, second, 0.25)
    assert torch.allclose(mixed["stem.0.weight"], 0.75 * first["stem.0.weight"] + 0.25 * second["stem.0.weight"])
    assert (mixed["cues.weight"] == first["cues.weight"]).all()


def test_offsets_answer_only_what_a_set_has():
    logits = np.zeros((90, 8), np.float32)
    label = np.repeat([0, 1, 2], 30)
    logits[np.arange(90), label] = 1.0
    logits[:, 7] = 5.0  # an emotion that this set does not have
    logits[60:, 1] += 1.3
    offsets = class_offsets([(logits, label)])
    assert (np.where(np.arange(8) < 3, logits + offsets, -np.inf).argmax(1) == label).mean() > 0.95
