"""What a study consists of: the recordings and pictures of a folder, or of a list that somebody made."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from edge.errors import InputError, UsageError
from edge.files import read_bounded

PICTURES = frozenset((".avif", ".bmp", ".jp2", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))
RECORDINGS = frozenset(
    (".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob",
     ".webm", ".wmv")
)  # fmt: skip
_MAX_LIST = 64 * 1024 * 1024
"""Longest list that is read, bytes."""
_LONGEST = 200  # bytes of a name, which has a suffix and a part's digits beside it


@dataclass(frozen=True, slots=True)
class Item:
    """One recording or picture."""

    name: str
    """What its table is called, without a suffix; may have folders before it, divided by `/`."""
    file: str
    """Its absolute path."""
    listed: str
    """As the folder or the list has it: what tables and messages call it."""
    size: int
    """Bytes when the study was listed; 0 where it could not be looked at."""
    told: dict[str, str] = field(default_factory=dict)
    """What else the list says of it: condition, person …"""

    @property
    def is_picture(self) -> bool:
        """Whether it is read as a picture; anything else is tried as a recording."""
        return Path(self.file).suffix.lower() in PICTURES


@dataclass(frozen=True, slots=True)
class Study:
    """Everything to be read, by name."""

    source: str
    items: list[Item]
    passed_over: list[str]
    """Files of the folder that are neither recordings nor pictures, judged by their suffix."""


def find_study(source: Path, out: Path) -> Study:
    """List what is to be read.

    Args:
        source: a folder, looked through with the folders in it; or a CSV file with the column `file` (beside it, or absolute), perhaps
            `name`, and whatever else is known of each.
        out: the folder of results, which is no part of the study.

    Raises:
        InputError: there is nothing to read, or the list is none.
        UsageError: two of them would have the same table.
    """
    if source.is_dir():
        study = _of_folder(source, out)
    elif source.suffix.lower() == ".csv":
        study = Study(str(source), _of_list(source), [])
    else:
        raise InputError(f"'{source}' is neither a folder nor a .csv list of recordings")
    _check_names(study.items)
    return study


def _of_folder(folder: Path, out: Path) -> Study:
    items, others = [], []
    results = os.path.realpath(out)
    for here, folders, files in os.walk(folder, onerror=_unreadable):
        folders[:] = sorted(name for name in folders if name[0] != "." and os.path.realpath(os.path.join(here, name)) != results)
        for name in sorted(files):
            path = Path(here, name)
            if name[0] == ".":
                continue
            relative = path.relative_to(folder)
            if path.suffix.lower() in PICTURES | RECORDINGS:
                items.append(_item(relative.with_suffix("").as_posix(), path, relative.as_posix()))
            else:
                others.append(relative.as_posix())
    if not items:
        raise InputError(f"'{folder}' holds neither recordings nor pictures: expected files such as .mp4, .avi, .mov, .jpg or .png")
    return Study(str(folder), items, others)


def _unreadable(error: OSError) -> None:
    raise InputError(f"cannot look into '{error.filename}': {error.strerror or error}")


def _of_list(path: Path) -> list[Item]:
    try:
        text = read_bounded(path, _MAX_LIST).decode("utf-8-sig")
    except UnicodeError:
        raise InputError(f"'{path}' is not UTF-8: save the list as CSV UTF-8") from None
    header = text.partition("\n")[0]
    reader = csv.DictReader(text.splitlines(), delimiter=";" if ";" in header and "," not in header else ",", strict=True)
    items = []
    try:
        for row in reader:
            where = f"'{path}', line {reader.line_num}"
            if None in row or None in row.values():
                raise InputError(f"{where}: it has not as many cells as the header")
            items.append(_listed({str(key).strip(): value for key, value in row.items()}, path.parent, where))
    except csv.Error as error:
        raise InputError(f"'{path}' is not a CSV list: {error}") from None
    if not items:
        raise InputError(f"'{path}' lists nothing: expected a line 'file', and a recording on every line after it")
    return items


def _listed(row: dict[str, str], folder: Path, where: str) -> Item:
    file = row.pop("file", "").strip()
    if not file:
        raise InputError(f"{where}: expected a column 'file' that names a recording or picture")
    given = Path(file)
    stem = given.stem if given.is_absolute() or ".." in given.parts else given.with_suffix("").as_posix()
    return _item(row.pop("name", "").strip() or stem, folder / given, file, row)


def _item(name: str, path: Path, listed: str, told: dict[str, str] | None = None) -> Item:
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or name.startswith("/") or "\\" in name or any(ord(c) < 32 for c in name):
        raise InputError(f"'{name}' cannot name a table: expected a name, perhaps with folders before it")
    if any(len(os.fsencode(part)) > _LONGEST or part[0] == "." for part in parts):
        raise InputError(f"'{name}' cannot name a table: at most {_LONGEST} bytes, and not beginning with a dot")
    try:
        size = path.stat().st_size
    except (OSError, ValueError):
        size = 0  # whoever reads it says what is wrong
    return Item("/".join(parts), os.path.abspath(path), listed, size, told or {})


def _check_names(items: Iterable[Item]) -> None:
    """Two recordings must not share a table, also where file names have no case."""
    seen: dict[str, Item] = {}
    for item in items:
        other = seen.setdefault(item.name.casefold(), item)
        if other is not item:
            raise UsageError(
                f"'{other.listed}' and '{item.listed}' would have the same table '{item.name}': "
                f"rename one of them, or give the list a column 'name'"
            )
