from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import settings

from edge.pipeline import Pipeline
from edge.sources.camera import demo_picture
from edge.sources.picture import read_image

pytest_plugins = ["line", "phrasebook", "serving", "taking", "workers"]

settings.register_profile("shared machines", deadline=None)  # a slow moment is no failure
settings.load_profile("shared machines")


@pytest.fixture(scope="session")
def pipeline() -> Iterator[Pipeline]:
    """The shipped bundle, on the CPU."""
    with Pipeline.load(device="cpu", threads=1) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def portrait_path() -> Path:
    return demo_picture()


@pytest.fixture(scope="session")
def portrait(portrait_path: Path) -> np.ndarray:
    return read_image(portrait_path)


@pytest.fixture
def video(tmp_path: Path, portrait: np.ndarray) -> Path:
    """Twelve frames of the portrait, slowly panned."""
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (320, 320))
    for i in range(12):
        writer.write(cv2.resize(portrait[0:480, i : i + 480], (320, 320), interpolation=cv2.INTER_AREA))
    writer.release()
    return path
