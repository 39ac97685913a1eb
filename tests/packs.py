"""Small data packs in the official layout, drawn on the spot: faces of a few strokes, with landmarks, votes, comments and photos."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np

from training.units import SHAPES

_POINTS = [
    0,
    1,
    2,
    4,
    5,
    6,
    9,
    10,
    13,
    14,
    17,
    33,
    37,
    48,
    54,
    55,
    61,
    63,
    64,
    70,
    82,
    84,
    87,
    105,
    107,
    127,
    133,
    144,
    145,
    148,
    151,
    152,
    153,
    158,
    159,
    160,
    168,
    195,
    197,
    205,
    234,
    263,
    267,
    278,
    284,
    285,
    291,
    293,
    294,
    300,
    312,
    314,
    317,
    334,
    336,
    356,
    362,
    373,
    374,
    377,
    380,
    385,
    386,
    387,
    425,
    454,
]
_VOTES = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "not_a_face"]


def draw_face(label: int, rng: np.random.Generator, size: int = 48) -> np.ndarray:
    """A grey face whose mouth depends on its label."""
    picture = np.full((size, size), 90, np.uint8)
    u = size / 48
    at = lambda x, y: (round((x + rng.normal(0, 0.5)) * u), round((y + rng.normal(0, 0.5)) * u))  # noqa: E731
    cv2.ellipse(picture, at(24, 26), (round(17 * u), round(21 * u)), 0, 0, 360, 190, -1)
    for x in (16, 32):
        cv2.circle(picture, at(x, 19), max(1, round(2.5 * u)), 30, -1)
    cv2.line(picture, at(24, 22), at(24, 29), 140, max(1, round(u)))
    bend = (label % 4) * 90
    cv2.ellipse(picture, at(24, 36), (round(7 * u), round((2 + label) * u)), bend, 0, 180, 40, max(1, round(1.5 * u)))
    return picture


def write_packs(folder: Path, count: int = 96) -> Path:
    """Write every pack that training reads into `folder`."""
    rng = np.random.default_rng(0)
    head = rng.normal(0, 6, (len(_POINTS), 3)) + np.array([24, 26, 0])
    for places, x, y in (((33, 133, 159, 145), 16, 19), ((362, 263, 386, 374), 32, 19), ((4,), 24, 29), ((61,), 17, 36), ((291,), 31, 36)):
        middle = head[[_POINTS.index(i) for i in places], :2].mean(0)  # eyes, nose and mouth lie where a face has them
        head[[_POINTS.index(i) for i in places], :2] += np.array([x, y]) - middle
    head[_POINTS.index(33), 0], head[_POINTS.index(263), 0] = 12, 36
    images, points = {"vote_columns": np.array(_VOTES)}, {"point_index": np.array(_POINTS, np.int16)}
    shapes: dict[str, np.ndarray] = {"blendshape_names": np.array(SHAPES)}
    for split, n in (("train", count), ("valid", count // 2), ("test", count // 2)):
        labels = np.arange(n) % 8
        votes = np.zeros((n, 10), np.uint8)
        votes[np.arange(n), labels] = 8
        votes[np.arange(n), (labels + 1) % 8] = 2
        images[f"{split}_images"] = np.stack([draw_face(int(label), rng) for label in labels])
        images[f"{split}_votes"] = votes
        images[f"{split}_names"] = np.array([f"{split}{i}.png" for i in range(n)])
        landmarks = head + rng.normal(0, 0.8, (n, *head.shape))
        landmarks[0] = np.nan
        points[f"{split}_landmarks"] = landmarks.astype(np.float16)
        shapes[f"{split}_blendshapes"] = _shapes(labels, rng)
    np.savez_compressed(folder / "ferplus_images.npz", **images)
    np.savez_compressed(folder / "ferplus_landmarks.npz", **points)
    np.savez_compressed(folder / "ferplus_blendshapes.npz", **shapes)
    _write_today(folder, head, rng, count)
    _write_comments(folder / "goemotions")
    _write_explanations(folder / "merr_explanations.jsonl")
    _write_photos(folder / "faces_in_context.zip", rng)
    _write_heads(folder, rng)
    write_audit(folder / "faces_audit.zip", [cv2.cvtColor(draw_face(i, rng, 224), cv2.COLOR_GRAY2BGR) for i in range(8)])
    return folder


def _shapes(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`[N,B]` coefficients × 255: hardly any for every eighth label, more for the others."""
    return np.round(rng.uniform(1, 20, (len(labels), len(SHAPES))) * np.where(labels == 0, 1, 8)[:, None]).astype(np.uint8)


def _write_today(folder: Path, head: np.ndarray, rng: np.random.Generator, count: int) -> None:
    """Unlabelled faces with a margin around them, as `faces_today` has them."""
    labels, margin = np.arange(count) % 8, 128 / 12
    with zipfile.ZipFile(folder / "faces_today.zip", "w") as pack:
        for i, label in enumerate(labels):
            picture = np.full((128, 128), 60, np.uint8)
            picture[11:117, 11:117] = draw_face(int(label), rng, 106)
            pack.writestr(f"{i}.jpg", cv2.imencode(".jpg", picture)[1].tobytes())
    places = (head + rng.normal(0, 0.8, (count, *head.shape))) * 128 / 1.2 / 48 + np.array([margin, margin, 0])
    np.savez_compressed(
        folder / "faces_today.npz", id=np.arange(count, dtype=np.int32), landmarks=np.round(places * 16).astype(np.int16),
        point_index=np.array(_POINTS, np.int16), blendshapes=_shapes(labels, rng), blendshape_names=np.array(SHAPES),
    )  # fmt: skip


def _write_comments(folder: Path) -> None:
    folder.mkdir()
    (folder / "labels.txt").write_text("joy\nanger\nneutral\nadmiration\n")
    rows = ["I am so happy today\t0\ta", "This makes me furious\t1\tb", "The bus leaves at nine\t2\tc", "What a job, and fun\t0,3\td"]
    for split in ("train", "dev", "test"):
        (folder / f"{split}.tsv").write_text("\n".join(rows * 8) + "\n")


def _write_explanations(path: Path) -> None:
    rows = [("happy", "The man smiles broadly. He is happy."), ("angry", "Her brow is furrowed, she is furious."), ("doubt", "He wonders.")]
    path.write_text("".join(json.dumps({"emotion": label, "explanation": text}) + "\n" for label, text in rows * 3))


def write_text_encoder(folder: Path) -> Path:
    """A small, randomly initialised BERT with its tokenizer, as a hub folder."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    words.train_from_iterator(["the lip corners are pulled up", "the brows are drawn together and the eyes are wide"], trainer)
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    BertModel(BertConfig(200, 32, 2, 2, 64, max_position_embeddings=80)).save_pretrained(folder)
    return folder


def _write_photos(path: Path, rng: np.random.Generator) -> None:
    index = []
    with zipfile.ZipFile(path, "w") as pack:
        for i in range(48):
            picture = rng.integers(0, 60, (120, 160), np.uint8)
            faces = []
            if i % 4:
                side = int(rng.integers(30, 90))
                x, y = int(rng.integers(0, 160 - side)), int(rng.integers(0, 120 - side))
                picture[y : y + side, x : x + side] = draw_face(i % 8, rng, side)
                spots = np.array([[16, 19], [32, 19], [24, 29], [17, 36], [31, 36]]) * side / 48 + [x, y]
                faces = [{"box": [x, y, side, side], "points": spots.ravel().tolist(), "score": 0.9}]
            name = f"{'scene' if faces else 'empty'}/{i}.jpg"
            pack.writestr(name, cv2.imencode(".jpg", picture)[1].tobytes())
            kind = "face_box" if faces else "no_face"
            row = {"file": name, "source": "drawn", "group": f"group{i % 12}", "width": 160, "height": 120, "kind": kind}
            index.append({**row, "given_boxes": [f["box"] for f in faces], "teacher_faces": faces})
        pack.writestr("index.json", json.dumps(index))


def _write_heads(folder: Path, rng: np.random.Generator) -> None:
    """Faces like those of `faces_today`: an oval of landmarks, the five points that are drawn, the rest anywhere."""
    count, number = 36, {mesh: i for i, mesh in enumerate(_POINTS)}
    marks = np.tile(np.float32([64, 64, 0]), (count, len(_POINTS), 1))
    oval = [mesh for mesh in (10, 284, 356, 454, 377, 152, 148, 234, 127, 54) if mesh in number]
    for i, mesh in enumerate(oval):
        turn = 2 * np.pi * i / len(oval)
        marks[:, number[mesh], :2] = 64 + 45 * np.sin(turn), 69 - 56 * np.cos(turn)
    eyes = {43: (33, 133, 159, 145), 85: (362, 263, 386, 374)}
    for x, corners in eyes.items():
        for mesh in corners:
            marks[:, number[mesh], :2] = x, 51
    for mesh, place in ((4, (64, 77)), (61, (45, 96)), (291, (83, 96))):
        marks[:, number[mesh], :2] = place
    marks[:, number[33], 0] -= 8
    marks[:, number[263], 0] += 8
    with zipfile.ZipFile(folder / "faces_today.zip", "w") as pack:
        for i in range(count):
            pack.writestr(f"{i}.jpg", cv2.imencode(".jpg", draw_face(i % 8, rng, 128))[1].tobytes())
    np.savez(folder / "faces_today.npz", id=np.arange(count), landmarks=(marks * 16).astype(np.int16), point_index=np.array(_POINTS))


def write_audit(path: Path, pictures: list[np.ndarray]) -> Path:
    """An audit pack of these photographs, Black and White, female and male in turn."""
    with zipfile.ZipFile(path, "w") as pack:
        rows = ["file,race,gender,age"]
        for i, picture in enumerate(pictures):
            pack.writestr(f"{i}.jpg", cv2.imencode(".jpg", picture)[1].tobytes())
            rows.append(f"{i}.jpg,{('Black', 'White')[i % 2]},{('Female', 'Male')[i // 2 % 2]},20-29")
        pack.writestr("labels.csv", "\n".join(rows) + "\n")
    return path
