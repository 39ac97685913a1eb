"""The photographs of the audit pack, with the race, gender and age that their givers' raters saw."""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from edge.cv import cv2
from edge.errors import InputError

PACK = "faces_audit.zip"
LABELS = "labels.csv"
AXES = ("race", "gender", "age")


@dataclass(frozen=True, slots=True)
class Photographs:
    """N photographs of one face each, which lies in the middle."""

    names: np.ndarray
    """`[N]` str, their files."""
    jpegs: np.ndarray
    """`[N]` bytes."""
    race: np.ndarray
    """`[N]` str."""
    gender: np.ndarray
    """`[N]` str."""
    age: np.ndarray
    """`[N]` str, a range of years."""

    def __len__(self) -> int:
        return len(self.names)

    def picture(self, row: int) -> np.ndarray:
        """One photograph, `[H,W,3]` BGR uint8; `InputError` if it is no picture."""
        try:
            picture = cv2.imdecode(np.frombuffer(self.jpegs[row], np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:  # no bytes at all
            picture = None
        if picture is None:
            raise InputError(f"'{self.names[row]}' of the audit pack is no picture that can be read: fetch the pack again")
        return np.asarray(picture)

    def take(self, rows: np.ndarray) -> Photographs:
        """The chosen rows."""
        return Photographs(*(getattr(self, column.name)[rows] for column in fields(self)))

    def some(self, limit: int) -> np.ndarray:
        """`limit` rows of as many of each race and gender as there can be, in order; all of them for 0."""
        if not 0 < limit < len(self):
            return np.arange(len(self))
        sorted_ = np.lexsort((self.gender, self.race))
        return np.sort(sorted_[np.linspace(0, len(self) - 1, limit).astype(int)])


def load_photographs(path: Path) -> Photographs:
    """Read an audit pack (the zip, or its folder): JPEGs, and `labels.csv` with the columns file, race, gender, age.

    `InputError` where it is missing, cut short, or its table lacks something or names a file that is not there.
    """
    path = path / PACK if path.is_dir() else path
    if not path.is_file():
        raise InputError(f"no audit pack at '{path}': --data takes {PACK} or its folder")
    try:
        with zipfile.ZipFile(path) as pack:
            rows = list(csv.DictReader(io.StringIO(pack.read(LABELS).decode("utf-8-sig"))))
            names, *labels = ([(row.get(column) or "").strip() for row in rows] for column in ("file", *AXES))
            if not rows or not all(map(all, (names, *labels))):
                raise InputError(f"{LABELS} of audit pack '{path}' has to name a file, race, gender and age in every line: fetch it again")
            jpegs = [pack.read(name) for name in names]
    except KeyError as error:
        missing = str(error.args[0]).partition("'")[2].partition("'")[0]
        raise InputError(f"audit pack '{path}' lacks '{missing}': fetch it again") from None
    except (OSError, EOFError, NotImplementedError, RuntimeError, UnicodeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"audit pack '{path}' is damaged or cut short ({error}): fetch it again") from None
    return Photographs(np.array(names), np.array(jpegs, object), *map(np.array, labels))
