"""What the encoder is trained on and with: framing, augmentation, action units, composed and moved faces, calibration, earlier weights."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from moving import NAMES, drawn_mesh, drawn_picture, landmarks_of
from packs import write_packs

from edge.errors import InputError
from edge.language.labels import EMOTIONS_8
from training import composed as composing
from training import temperatures
from training.augment import SIZE, Targets, augment, degrade, move, plain
from training.certainty import Answers, calibration_errors, class_offsets, fit_doubt, fit_evidence, fit_world
from training.cues import CUE_NAMES, POINTS, CueModel, fit_cue_model, mean_five_points
from training.data import MARGIN, Today, load_ferplus, load_today, resized, unlabelled
from training.encoder import configure, grow, load_encoder, losses
from training.intervene import POINT_INDEX, Mover
from training.levelled import levelled
from training.mesh import FaceMesh
from training.network import Encoder, standardise, thaw
from training.nudged import nudged
from training.run import Run, load_checkpoint, read_record
from training.units import SHAPE_MIRROR, SHAPES, UNITS, fit_unit_model, unit_specs

SHAPE = ([8, 8, 8, 8, 16], [1, 1, 1, 1], [8, 8, 8, 8])


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
    today = _drawn_today(2)
    monkeypatch.setattr(Mover, "load", lambda _: Mover(FaceMesh(NAMES, *drawn_mesh(), POINT_INDEX)))
    monkeypatch.setattr(composing, "PROTOTYPES", {"happiness": {}})
    monkeypatch.setattr(Mover, "compose", lambda self, image, points, emotion, rng: self.move(image, points, {"mouthSmile_L": 1.0}))
    model = _measures(today)
    made = composing.composed(None, today, model, 3, 0)
    smiles = made.emotion.argmax(1) == EMOTIONS_8.index("happiness")
    assert smiles.tolist() == [True] * 3 + [False] * 3
    assert torch.allclose(made.emotion.sum(1), torch.ones(6))
    corner = CUE_NAMES.index("lip_corners")
    assert made.cues[smiles, corner].min() > made.cues[~smiles, corner].max() + 1
    assert made.units.isnan().all()
    restless = replace(today, blendshapes=today.blendshapes + 0.9)
    with pytest.raises(InputError, match="at rest"):
        composing.composed(None, restless, model, 3, 0)


def _answers(count: int, sharpness: float, strange: float, seed: int) -> Answers:
    """Logits that are calibrated once they are divided by `sharpness`."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, 8, generator=generator) * 2
    label = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    both = (logits * sharpness)[:, None].expand(-1, 2, -1)  # who looks the same in the mirror
    return Answers(both, torch.full((count, 2), strange), label)


def test_each_world_gets_the_temperature_that_it_needs():
    sets = {"FER+": _answers(4000, 1.2, 0.0, 0), "elsewhere": _answers(4000, 1.44, 1.0, 1)}
    assert fit_doubt(sets).exp().tolist() == pytest.approx([1.2, 1.44], abs=0.1)
    errors = calibration_errors(sets)
    assert errors["ece.FER+"] < 0.03 < errors["ece_before.FER+"]
    assert errors["ece.elsewhere"] < 0.03 < errors["ece_before.elsewhere"]


def test_who_is_torn_is_answered_by_both_views_and_nobody_else():
    sure, torn, other = torch.tensor([4.0, 0.0]), torch.tensor([0.2, 0.0]), torch.tensor([0.0, 1.0])
    logits = torch.full((2, 2, 8), -9.0)
    logits[:, :, :2] = torch.stack([torch.stack([sure, other]), torch.stack([torn, other])])
    found = Answers(logits, torch.zeros(2, 2), torch.zeros(2, dtype=torch.long)).answered(torch.zeros(2))
    assert torch.allclose(found[0], logits[0, 0].softmax(0))
    assert torch.allclose(found[1], logits[1].softmax(1).mean(0))
    assert found.argmax(1).tolist() == [0, 1]


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
    small = {name: value for name, value in model.state_dict().items() if name.split(".")[0] in ("stem", "stages", "emotion")}
    small["stem.0.weight"] = torch.randn(8, 1, 3, 3)
    model.load_state_dict(grow(small, model))
    halves = torch.rand(2, 1, SIZE // 2, SIZE // 2)
    whole = halves.repeat_interleave(2, 2).repeat_interleave(2, 3)
    wanted = torch.nn.functional.conv2d(halves, small["stem.0.weight"], padding=1)
    assert torch.allclose(model.stem[0](whole), wanted, atol=1e-4)
    assert (model.evidence.weight == 0).all()
    with pytest.raises(InputError, match="does not fit"):
        grow({**small, "emotion.weight": torch.zeros(3, 3)}, model)


def test_a_branch_of_the_same_shape_is_gone_on_with():
    first, second = Encoder(*SHAPE), Encoder(*SHAPE)
    grown = grow(first.state_dict(), second)
    assert (grown["motion.cues.weight"] == first.motion.cues.weight).all()
    other = Encoder(*SHAPE[:2], [8, 8, 8, 16])
    assert (grow(first.state_dict(), other)["motion.cues.weight"] == other.motion.cues.weight).all()


def _drawn_today(count: int) -> Today:
    landmarks = landmarks_of(drawn_mesh()[0], 0)
    images = np.stack([drawn_picture(landmarks)] * count)
    shapes = np.full((count, 1), 0.02, np.float32)
    return Today(images, np.stack([landmarks] * count).astype(np.float32), np.array(POINT_INDEX), shapes, ("jawOpen",))


def _measures(today: Today):
    others = np.stack([today.landmarks[0] + np.random.default_rng(i).normal(0, 0.3, today.landmarks[0].shape) for i in range(9)])
    return fit_cue_model(others, today.point_index, np.ones(9, bool))


def test_moved_faces_know_which_face_they_were_and_differ_from_it_by_what_has_moved(monkeypatch):
    today = _drawn_today(3)
    monkeypatch.setattr(Mover, "load", lambda *_: Mover(FaceMesh(NAMES, *drawn_mesh(), POINT_INDEX)))
    today.landmarks[2, 0, 0] = np.nan  # cannot be moved
    model = _measures(today)
    made = nudged(None, today, model, 12, 0)
    assert 4 <= len(made) < 12
    assert set(made.origin.tolist()) == {0, 1}
    apart = (made.faces.cues - Targets.of(today, model).cues[made.origin]).abs()
    assert apart.max(1).values.median() > 0.5
    changed = (made.faces.images.float() - torch.from_numpy(today.images)[made.origin].float()).abs().flatten(1).amax(1)
    assert (changed > 10).float().mean() > 0.8
    assert made.faces.emotion.isnan().all()


def test_a_pair_is_judged_by_its_difference():
    batch, pairs = _spots(4, 1.0), torch.tensor([[0, 1], [2, 3]])
    batch.cues[2:] += 1.0
    config = configure(None, ["cue_weight=1", "unit_weight=0", "point_weight=0", "pose_weight=0"])
    batch = replace(batch, units=torch.zeros(4, len(SHAPES)))
    known = {"units": batch.units, "points": batch.points, "pose": batch.pose}
    # both are wrong by as much: of one face too high, or of one low and the other high
    along, against = batch.cues + 0.5, batch.cues + torch.tensor([-0.5, -0.5, 0.5, 0.5])[:, None]
    alone = [losses({"cues": cues, **known}, batch, torch.zeros(2, 0, dtype=torch.long), config) for cues in (along, against)]
    paired = [losses({"cues": cues, **known}, batch, pairs, config) for cues in (along, against)]
    assert alone[0] == pytest.approx(float(alone[1]))
    assert float(paired[0]) == pytest.approx(float(alone[0]))
    assert float(paired[1]) > float(alone[1]) + 0.1


def test_the_trunk_learns_only_from_faces_whose_emotion_is_known():
    torch.manual_seed(0)
    model, batch = Encoder(*SHAPE), _spots(6, 1.0)
    batch.emotion[:] = torch.nan
    batch.emotion[1] = torch.eye(8)[2]
    config, none = configure(None, []), torch.zeros(2, 0, dtype=torch.long)
    whole = replace(batch, units=torch.zeros(6, len(SHAPES)))
    with torch.no_grad():
        read = model(batch.images[:, None].float() / 255)
    wanted = -torch.log_softmax(read["emotion"], 1)[1, 2]
    rest = {name: value for name, value in read.items() if name != "emotion"}
    assert float(losses(read, whole, none, config) - losses(rest, whole, none, config)) == pytest.approx(float(wanted), abs=1e-4)


def test_the_motion_branch_alone_reads_what_the_whole_reads():
    torch.manual_seed(0)
    model, faces = Encoder(*SHAPE).eval(), torch.rand(2, 1, SIZE, SIZE)
    with torch.no_grad():
        assert torch.equal(model.motion(standardise(faces))["cues"], model(faces)["cues"])


def test_evidence_corrects_what_the_logits_miss(generator):
    label = torch.randint(8, (800,), generator=generator)
    features = torch.nn.functional.one_hot(label, 8).float() + 0.3 * torch.randn(800, 8, generator=generator)
    logits = torch.nn.functional.one_hot(label % 4, 8).float() * 3  # tells only four kinds
    weights = fit_evidence(features, logits, torch.eye(8)[label])
    assert (logits.argmax(1) == label).float().mean() < 0.6
    assert ((logits + features @ weights.T).argmax(1) == label).float().mean() > 0.9


def test_offsets_answer_only_what_a_set_has():
    logits = np.zeros((90, 8), np.float32)
    label = np.repeat([0, 1, 2], 30)
    logits[np.arange(90), label] = 1.0
    logits[:, 7] = 5.0  # an emotion that this set does not have
    logits[60:, 1] += 1.3
    offsets, _ = class_offsets([(logits, label)])
    assert (np.where(np.arange(8) < 3, logits + offsets, -np.inf).argmax(1) == label).mean() > 0.95


def _folded(model: Encoder) -> Encoder:
    """As it comes back out of a bundle: normalisations that only add, weights and all as they fell."""
    for norm in model.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(norm.bias, 0.2, 0.3)
            norm.running_var.fill_(1 - norm.eps)
    return model.eval()


@torch.no_grad()
def test_folded_normalisations_get_the_statistics_of_what_they_see_back():
    torch.manual_seed(0)
    model, pixels = _folded(Encoder(*SHAPE)), torch.rand(64, 1, SIZE, SIZE)
    before, deaf = model(pixels), deepcopy(model).train()(pixels)
    thaw(model, pixels)
    after, learning = model(pixels), model.train()(pixels)
    for name in ("emotion", "cues", "points"):
        torch.testing.assert_close(after[name], before[name], atol=1e-4, rtol=1e-3)
        assert (learning[name] - before[name]).abs().max() < 0.05 * (deaf[name] - before[name]).abs().max()


def test_temperatures_are_fitted_anew_and_everything_else_is_kept(tmp_path):
    torch.manual_seed(0)
    model, packs = Encoder(*SHAPE), tmp_path / "packs"
    config = replace(configure(None, []), widths=SHAPE[0], depths=SHAPE[1], motion=SHAPE[2])
    run = Run(tmp_path / "encoder", config, seed=3)
    run.save(
        state=model.state_dict(), cue_model=CueModel(np.zeros((4, 3)), np.ones(2), np.ones(2)), units=[], offsets=np.zeros(8, np.float32)
    )
    packs.mkdir()
    write_packs(packs)
    temperatures.train(packs, tmp_path / "tempered", configure(None, []), encoder=str(tmp_path / "encoder"))
    before, after = (load_checkpoint(tmp_path / name) for name in ("encoder", "tempered"))
    assert all(torch.equal(after["state"][name], value) for name, value in before["state"].items() if name != "doubt")
    assert after["record"]["config"] == before["record"]["config"]
    assert after["record"]["after"] == before["record"] == read_record(tmp_path / "tempered")["after"]
    assert load_encoder(tmp_path / "tempered")[0].doubt.tolist() == after["state"]["doubt"].tolist()
