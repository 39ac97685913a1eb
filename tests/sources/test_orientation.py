"""Pictures the way round that their files say, in every format that can say so."""

import time

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.sources.orientation import upright
from edge.sources.picture import read_image

image_module = pytest.importorskip("PIL.Image", reason="pictures with an orientation are written by Pillow")

_FORMATS = {"jpg": {"quality": 95}, "png": {}, "webp": {"lossless": True}, "tiff": {}, "avif": {"quality": 90}}
_CORNERS = np.zeros((32, 48, 3), np.uint8)
_CORNERS[:16, :24], _CORNERS[:16, 24:], _CORNERS[16:, :24], _CORNERS[16:, 24:] = (255, 0, 0), (0, 255, 0), (0, 0, 255), 255


def _shown(stored: np.ndarray, orientation: int) -> np.ndarray:
    """What a viewer shows (TIFF 6.0, page 36: which side of the stored picture is the top, which the left)."""
    flip, turns = {1: (0, 0), 2: (1, 0), 3: (0, 2), 4: (1, 2), 5: (1, 1), 6: (0, 3), 7: (1, 3), 8: (0, 1)}[orientation]
    return np.rot90(stored[:, ::-1] if flip else stored, turns)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", _FORMATS)
def test_a_picture_is_read_as_its_file_says_that_it_is_shown(tmp_path, suffix, orientation):
    exif, path = image_module.Exif(), tmp_path / f"picture.{suffix}"
    exif[0x112] = orientation
    try:
        image_module.fromarray(_CORNERS).save(path, exif=exif, **_FORMATS[suffix])
    except (OSError, KeyError, ValueError) as error:
        pytest.skip(f"this Pillow writes no .{suffix}: {error}")
    if cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) is None:
        pytest.skip(f"this OpenCV reads no .{suffix}")
    expected, read = _shown(_CORNERS, orientation)[:, :, ::-1], read_image(path)
    assert read.shape == expected.shape
    assert np.abs(read.astype(int) - expected).mean() < 12


@given(
    st.sampled_from([b"RIFF\0\0\0\0WEBPEXIF", b"\0\0\0\x1cftypavif\0\0\0\x20meta", b"\0\0\0\x08ftyp\0\0\0\x01meta"]), st.binary(max_size=80)
)
def test_whatever_a_broken_file_says_the_picture_stays_a_picture(head, rest):
    image = np.zeros((2, 3, 3), np.uint8)
    assert sorted(upright(head + rest, image).shape) == [2, 3, 3]


def _box(kind: bytes, body: bytes) -> bytes:
    return (8 + len(body)).to_bytes(4, "big") + kind + body


_TURNED = _box(b"iprp", _box(b"ipco", _box(b"irot", b"\1")) + _box(b"ipma", bytes(7) + b"\1" + (b"\0\1\xff" + b"\1" * 255) * 20_000))


@pytest.mark.parametrize(
    "data",
    [
        b"RIFF\0\0\0\0WEBP" + b"ABCD\0\0\0\0" * 3_000_000,
        b"\0\0\0\x08ftyp" + b"\0\0\0\x08free" * 3_000_000,
        b"\0\0\0\x08ftyp" + _box(b"meta", bytes(4) + b"\0\0\0\x08free" * 3_000_000),
        b"\0\0\0\x08ftyp" + _box(b"meta", bytes(4) + _box(b"pitm", bytes(5) + b"\1") + _TURNED),
    ],
    ids=["chunks", "boxes", "inner boxes", "turns"],
)
def test_a_picture_of_millions_of_parts_takes_no_time(data, monkeypatch):
    monkeypatch.setattr("edge.sources.orientation._turns", lambda _: False)
    began = time.thread_time()
    upright(data, np.zeros((2, 3, 3), np.uint8))
    assert time.thread_time() - began < 0.5
