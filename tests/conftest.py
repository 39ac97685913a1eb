from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import settings

from edge.pipeline import Pipeline
from edge.sources.camera import demo_picture
from edge.sources.picture import as_grey, read_image
from edge.types import Detection
from edge.vision.realign import realign

pytest_plugins = ["line", "phrasebook", "serving", "taking", "workers"]

settings.register_profile("shared machines", deadline=None)  # a slow moment is no failure
settings.load_profile("shared machines")


@pytest.fixture(scope="session")
def pipeline() -> Iterator[Pipeline]:
    """The shipped bundle, on the CPU."""
    with Pipeline.load(device="cpu", threads=1) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def portrait_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo picture's head and neck on a plain ground, everything where it is in the demo picture: in the badge, the shuttle's model and
    the helmet a finder may see a second face."""
    picture, shown = read_image(demo_picture()), np.zeros((512, 512), np.uint8)
    cv2.ellipse(shown, (226, 112), (100, 112), 0, 0, 360, 255, -1)
    cv2.ellipse(shown, (210, 200), (110, 110), 0, 0, 180, 255, -1)
    share = cv2.GaussianBlur(shown, (0, 0), 5)[..., None] / 255
    path = tmp_path_factory.mktemp("portrait") / "portrait.png"
    cv2.imwrite(str(path), (picture * share + 180 * (1 - share)).round().astype(np.uint8))
    return path


@pytest.fixture(scope="session")
def portrait(portrait_path: Path) -> np.ndarray:
    return read_image(portrait_path)


@pytest.fixture(scope="session")
def find(pipeline: Pipeline) -> Callable[[np.ndarray], list[Detection]]:
    """What the shipped bundle finds in a picture: its finder, and the second look at what that found."""

    def found(picture: np.ndarray) -> list[Detection]:
        grey = as_grey(picture) if picture.ndim == 3 else picture
        return [face.place for face in realign(grey, pipeline.finder(picture), pipeline.encoder, pipeline.config)]

    return found


@pytest.fixture
def video(tmp_path: Path, portrait: np.ndarray) -> Path:
    """Twelve frames of the portrait, slowly panned."""
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (320, 320))
    for i in range(12):
        writer.write(cv2.resize(portrait[0:480, i : i + 480], (320, 320), interpolation=cv2.INTER_AREA))
    writer.release()
    return path
