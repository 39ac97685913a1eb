"""The trunk that goes on learning: whose skin is changed, what is kept and what moves."""

import torch

from training.encoder import load_encoder
from training.steady import tone


def _drawn(count: int) -> torch.Tensor:
    """Faces of grey skin with dark eyes before a white ground."""
    faces = torch.ones(count, 1, 96, 96)
    faces[:, :, 16:90, 20:76] = 0.5
    faces[:, :, 36:42, 32:42] = 0.05
    return faces


def test_skin_gets_lighter_or_darker_and_nothing_else():
    generator, faces = torch.Generator().manual_seed(1), _drawn(64)
    toned = tone(faces, 1.0, 0.6, 1.5, generator)
    skin, eye, ground = toned[:, 0, 60, 48], toned[:, 0, 39, 37], toned[:, 0, 3, 3]
    assert skin.min() < 0.35
    assert skin.max() > 0.65
    assert ((skin - 0.5).abs() > 0.03).float().mean() > 0.7
    assert (eye - 0.05).abs().max() < 0.06
    assert (ground == 1).all()
    assert torch.equal(tone(faces, 0.0, 0.6, 1.5, generator), faces)


def test_the_trunk_moves_and_the_branch_reads_as_before(runs):
    before, after = (load_encoder(runs / name)[0] for name in ("encoder", "steady"))
    crops = torch.rand(16, 1, 96, 96, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        one, other = before(crops), after(crops)
    for name in ("cues", "units", "points", "pose"):
        torch.testing.assert_close(other[name], one[name], atol=2e-3, rtol=2e-3)
    assert (other["map"] - one["map"]).abs().max() > 1e-3
