import dataclasses
import shutil
from pathlib import Path

import pytest

from edge.bundle import AUDIT, SHIPPED, Bundle, BundleConfig
from edge.errors import InputError
from export.__main__ import record
from export.card import write_card

FIRST = ["FER2013 images", "FER+ votes", "MediaPipe landmarks of them", "GoEmotions", "faces_in_context"]
LATER = [
    *FIRST[:2],
    "FairFace (CC BY 4.0)",
    "MediaPipe landmarks and blendshapes of both (Apache-2.0)",
    "ICT-FaceKit (MIT, USC ICT)",
    *FIRST[3:],
]


@pytest.fixture
def config() -> BundleConfig:
    return Bundle.load().config


def _card(folder: Path, config: BundleConfig, data: list[str]) -> str:
    shutil.copytree(SHIPPED, folder, dirs_exist_ok=True)
    write_card(folder, dataclasses.replace(config, provenance={**config.provenance, "data": data}))
    return (folder / "README.md").read_text(encoding="utf-8")


def test_card_names_all_data_that_its_bundle_was_trained_on_and_no_other(tmp_path, config):
    # what is taken back at run time uses ICT-FaceKit, whatever the bundle was trained on
    trained = {name: value for name, value in config.provenance.items() if name != "moves"}
    config = dataclasses.replace(config, movable=[], provenance=trained)
    first, later = (_card(tmp_path, config, data) for data in (FIRST, LATER))
    assert "FairFace faces, training part" not in first
    assert "ICT-FaceKit" not in first
    for name in ("FER2013", "FER+", "MediaPipe", "GoEmotions", "Udacity", "CC BY 4.0", "Apache-2.0"):
        assert name in first.partition("## Data")[2], name
    for name in ("FairFace faces, training part", "USC Institute for Creative Technologies; MIT"):
        assert name in later, name
    for card in (first, later):
        assert "the audit only" in card
        assert "not described" not in card


def test_card_tells_data_that_nobody_has_described(tmp_path, config):
    assert "| my own faces | training | not described |" in _card(tmp_path, config, [*FIRST, "my own faces"])


def test_card_points_to_the_audit_and_shows_its_picture_where_there_is_one(tmp_path, config):
    card = _card(tmp_path, config, FIRST)
    assert "`docs/fairness.md`" in card
    assert "no fairness audit" not in card
    assert ("audit.png" in card) == (SHIPPED / AUDIT).is_file()
    (tmp_path / AUDIT).unlink(missing_ok=True)
    write_card(tmp_path, config)
    assert "audit.png" not in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_measured_puts_the_audits_picture_into_a_bundle_that_is_still_whole(tmp_path):
    folder = tmp_path / "bundle"
    shutil.copytree(SHIPPED, folder)
    picture = tmp_path / "drawn.png"
    picture.write_bytes(b"\x89PNG drawn anew")
    record(folder, [], audit=picture)
    assert (folder / AUDIT).read_bytes() == picture.read_bytes()
    assert AUDIT in (folder / "SHA256SUMS").read_text(encoding="utf-8")
    Bundle.load(folder)
    picture.write_bytes(b"no picture")
    with pytest.raises(InputError, match="no PNG"):
        record(folder, [], audit=picture)
    Bundle.load(folder)
