"""Other packages behind one small shape, each with the preprocessing that its authors document.

This file runs by itself, under whichever Python has the package: it imports numpy and nothing of ours, reads one JSON request a line from
stdin and answers one a line. The clock is read here, so that the way between the processes is not in the figures.

A face is `{"box": [x1, y1, x2, y2], "points": [[x, y] × 5] or null}` in pixels, points image left first: eyes, nose, mouth corners.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

Face = dict[str, Any]


class MissingError(Exception):
    """The rival is not here, or cannot be measured; the message says why."""


@dataclass
class Rival:
    """A face finder, a classifier of faces, or both."""

    package: str
    """Distribution whose version is reported."""
    note: str
    """How it is used, as its authors document."""
    labels: Sequence[str] = ()
    """In the order of `classify`; empty for a finder alone."""
    find: Callable[[np.ndarray], list[Face]] | None = None
    """BGR picture → faces, the largest first."""
    classify: Callable[[np.ndarray, Face], np.ndarray] | None = None
    """BGR picture, face → a value per label, the highest for the answer."""
    network: Callable[[], object] | None = None
    """The classifier's function alone, on a face that is already prepared."""
    both: Callable[[np.ndarray], tuple[Face | None, np.ndarray | None]] | None = None
    """BGR picture → the largest face and its values, where finding and classifying are one call."""

    def about(self) -> dict[str, Any]:
        """What is told of it; `stages` are the parts that can be timed apart."""
        version = next((found.version for found in metadata.distributions(name=self.package)), "")
        stages = [name for name in ("find", "classify", "network") if getattr(self, name)]
        return {"version": version, "note": self.note, "labels": list(self.labels), "stages": [*stages, "read"]}

    def read(self, image_bgr: np.ndarray, face: Face | None) -> tuple[Face | None, np.ndarray | None]:
        """Find (unless it cannot, then `face` is taken) and classify the largest face."""
        if self.both:
            return self.both(image_bgr)
        if self.find:
            face = next(iter(self.find(image_bgr)), None)
        return face, self.classify(image_bgr, face) if face and self.classify else None


def yunet(file: str) -> Rival:
    """OpenCV's face finder; the model file is given."""
    import cv2

    net = cv2.FaceDetectorYN.create(_file(file), "", (320, 320), score_threshold=0.6, nms_threshold=0.3)

    def find(image_bgr: np.ndarray) -> list[Face]:
        net.setInputSize(image_bgr.shape[1::-1])
        rows = net.detect(image_bgr)[1]
        return _faces((*row[:4], row[4:14].reshape(5, 2)) for row in (() if rows is None else rows))

    return Rival("opencv-python", "FaceDetectorYN, score 0.6, NMS 0.3, picture at full size", find=find)


def opencv_fer(file: str, yunet_file: str | None = None) -> Rival:
    """The expression model of OpenCV's model zoo; the model file is given."""
    import cv2

    net = cv2.dnn.readNet(_file(file))
    places = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])

    def classify(image_bgr: np.ndarray, face: Face) -> np.ndarray:
        if face["points"] is None:
            crop = cv2.resize(_crop(image_bgr, face["box"]), (112, 112))
        else:
            crop = cv2.warpAffine(image_bgr, _similarity(np.array(face["points"], float), places), (112, 112))
        net.setInput(cv2.dnn.blobFromImage(crop, 1 / 127.5, (112, 112), (127.5,) * 3, swapRB=True))
        return net.forward().ravel()

    labels = ("angry", "disgust", "fearful", "happy", "neutral", "sad", "surprised")
    find = yunet(yunet_file).find if yunet_file else None
    return Rival("opencv-python", "aligned by five points to 112×112, RGB, scaled to −1…1", labels, find, classify)


def fer(lite: bool = False) -> Rival:
    """The `fer` package: a Haar cascade and a Keras classifier (or its quantised TensorFlow Lite twin, the package's default)."""
    from fer.fer import FER

    own, labels = FER(mtcnn=False, use_tflite=lite), ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

    def classify(image_bgr: np.ndarray, face: Face) -> np.ndarray:
        x1, y1, x2, y2 = (round(v) for v in face["box"])
        found = own.detect_emotions(image_bgr, face_rectangles=[(x1, y1, x2 - x1, y2 - y1)])
        return np.array([found[0]["emotions"][name] for name in labels]) if found else np.zeros(len(labels))

    def network() -> object:
        return np.asarray(own._classify_emotions(np.zeros((1, 64, 64), np.float32)))

    note = f"its own Haar cascade and crop, {'TensorFlow Lite' if lite else 'TensorFlow function'}, 64×64 grey scaled to −1…1"
    return Rival("fer", note, labels, lambda image_bgr: _faces(own.find_faces(image_bgr)), classify, network)


def emotiefflib() -> Rival:
    """EmotiEffLib's ONNX engine; it finds no faces itself."""
    from emotiefflib.facial_analysis import EmotiEffLibRecognizer

    _weights(Path.home() / ".emotiefflib/enet_b0_8_best_vgaf.onnx")
    own = EmotiEffLibRecognizer(engine="onnx", model_name="enet_b0_8_best_vgaf")

    def classify(image_bgr: np.ndarray, face: Face) -> np.ndarray:
        return np.ravel(own.predict_emotions(np.ascontiguousarray(_crop(image_bgr, face["box"])[..., ::-1]))[1])

    labels = ("Anger", "Contempt", "Disgust", "Fear", "Happiness", "Neutral", "Sadness", "Surprise")
    return Rival("emotiefflib", "enet_b0_8_best_vgaf, the face's box cut out, RGB", labels, classify=classify)


def deepface() -> Rival:
    """DeepFace with its default detector."""
    from deepface import DeepFace

    folder = Path(os.environ.get("DEEPFACE_HOME", Path.home())) / ".deepface/weights"
    _weights(next(folder.glob("facial_expression_model_weights.*"), folder / "facial_expression_model_weights.*"))
    labels = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

    def find(image_bgr: np.ndarray) -> list[Face]:
        found = DeepFace.extract_faces(image_bgr, detector_backend="opencv", enforce_detection=False)
        return _faces([one["facial_area"][side] for side in "xywh"] for one in found if one["confidence"] > 0)

    def classify(image_bgr: np.ndarray, face: Face) -> np.ndarray:
        crop = _crop(image_bgr, face["box"])
        said = DeepFace.analyze(crop, actions=["emotion"], detector_backend="skip", enforce_detection=False, silent=True)
        return np.array([said[0]["emotion"][name] for name in labels])

    return Rival("deepface", "analyze(actions=['emotion']), its OpenCV detector, aligned by it", labels, find, classify)


def py_feat() -> Rival:
    """py-feat's detector; finding and classifying are one call."""
    import torch
    from feat import Detector

    detector = Detector(au_model=None, identity_model=None, gaze_model=None)
    labels = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
    sides = ["FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight"]

    def both(image_bgr: np.ndarray) -> tuple[Face | None, np.ndarray | None]:
        picture = torch.from_numpy(image_bgr[..., ::-1].transpose(2, 0, 1).copy())[None].float()
        said = detector.detect(picture, data_type="tensor", progress_bar=False)
        rows = [row for _, row in said.iterrows() if row["FaceRectWidth"] == row["FaceRectWidth"]]
        if not rows:
            return None, None
        row = max(rows, key=lambda r: r["FaceRectWidth"] * r["FaceRectHeight"])
        return _faces([[row[side] for side in sides]])[0], np.array([row[name] for name in labels], float)

    return Rival("py-feat", "Detector(retinaface, resmasknet).detect on the whole picture", labels, both=both)


def onnx_classifier(
    file: str,
    labels: str,
    size: str = "224",
    colour: str = "rgb",
    layout: str = "nchw",
    scale: str = "0.00392156862745098",
    mean: str = "0",
    std: str = "1",
    margin: str = "0",
    threads: int = 1,
) -> Rival:
    """Any ONNX classifier of face crops; every step of its preprocessing is an option."""
    import cv2
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = ort.InferenceSession(_file(file), options, providers=["CPUExecutionProvider"])
    side, by, widened, name = int(size), float(scale), float(margin), session.get_inputs()[0].name
    middle, spread = (np.array([float(v) for v in text.split(",")], np.float32) for text in (mean, std))

    def classify(image_bgr: np.ndarray, face: Face) -> np.ndarray:
        crop = cv2.resize(_crop(image_bgr, face["box"], widened), (side, side), interpolation=cv2.INTER_AREA)
        if colour == "grey":
            crop = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)[..., None]
        elif colour == "rgb":
            crop = crop[..., ::-1]
        values = ((crop.astype(np.float32) * by - middle) / spread)[None].astype(np.float32)
        return session.run(None, {name: values.transpose(0, 3, 1, 2) if layout == "nchw" else values})[0].ravel()

    note = f"{size}×{size} {colour}, {layout}, (x·{by:.5g} − {mean}) / {std}, box widened by {margin}"
    return Rival("onnxruntime", note, labels.split(","), classify=classify)


RIVALS: dict[str, Callable[..., Rival]] = {"yunet": yunet, "opencv-fer": opencv_fer, "fer": fer, "onnx": onnx_classifier}
RIVALS |= {"emotiefflib": emotiefflib, "deepface": deepface, "py-feat": py_feat}


def _file(path: str) -> str:
    if not Path(path).is_file():
        raise MissingError(f"no model file at '{path}'" if path else "no model file is given")
    return path


def _weights(path: Path) -> None:
    if not path.is_file():
        raise MissingError(f"weights not at hand: the package would fetch '{path.name}', and a benchmark fetches nothing")


def _faces(rows: Iterable[Sequence[Any]]) -> list[Face]:
    """Faces of rows of left, top, width, height and maybe five points, the largest first."""
    rows = sorted(rows, key=lambda row: -row[2] * row[3])
    return [{"box": [float(v) for v in (x, y, x + w, y + h)], "points": at[0].tolist() if at else None} for x, y, w, h, *at in rows]


def _crop(image: np.ndarray, box: list[float], margin: float = 0.0) -> np.ndarray:
    """The box, widened by a share of its size and cut off at the border; at least one pixel."""
    dx, dy = (box[2] - box[0]) * margin, (box[3] - box[1]) * margin
    x1, y1 = max(0, min(round(box[0] - dx), image.shape[1] - 1)), max(0, min(round(box[1] - dy), image.shape[0] - 1))
    return image[y1 : max(y1 + 1, round(box[3] + dy)), x1 : max(x1 + 1, round(box[2] + dx))]


def _similarity(points: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The `[2,3]` similarity that brings points nearest to their places (least squares)."""
    z, w = points @ [1, 1j], places @ [1, 1j]
    turn = ((z - z.mean()).conj() * (w - w.mean())).sum() / (np.abs(z - z.mean()) ** 2).sum()
    shift = w.mean() - turn * z.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def _serve(rival: Rival, request: dict[str, Any]) -> dict[str, Any]:
    """Call one part as often as is asked: milliseconds of every call, and what the last one found."""
    image, face = np.load(request["image"]), request["face"]
    work, given = getattr(rival, request["stage"]), {"find": (image,), "network": ()}.get(request["stage"], (image, face))
    spent, found = [], None
    for _ in range(request["calls"]):
        started = time.perf_counter()
        found = work(*given)
        spent.append((time.perf_counter() - started) * 1e3)
    return {"ms": spent, "found": found}


def main() -> None:
    """Serve one rival until stdin ends. Whatever a package does wrong is a reason, not our failure."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what packages print belongs to the log

    def say(answer: dict[str, Any]) -> None:
        print(json.dumps(answer, default=np.ndarray.tolist), file=answers)

    doing = "does not load"
    try:
        rival = RIVALS[sys.argv[1]](**json.loads(sys.argv[2]))
        say(rival.about())
        doing = "failed on a picture"
        for line in sys.stdin:
            say(_serve(rival, json.loads(line)))
    except MissingError as error:
        say({"missing": str(error)})
    except ModuleNotFoundError as error:
        say({"missing": f"the package '{error.name}' is not installed for this Python"})
    except Exception as error:
        say({"missing": f"it {doing}: {type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"})


if __name__ == "__main__":
    main()
