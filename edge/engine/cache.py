"""What TensorRT engines are kept under: the key that says what an engine was built from and for, and a cache that never hands out
another one's.

Engines are never shipped. Each lies beside a small JSON file with its full key and its hash; an engine whose key or hash is another is
stale or foreign: it is not loaded, and gives way to the one that is built in its place.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from edge.errors import BackendError
from edge.profiles import Profile
from edge.whole import write_whole

BUILDER = 1
"""Raised whenever this package builds engines in another way."""


@dataclass(frozen=True, slots=True)
class EngineKey:
    """All that an engine depends on."""

    graph: str
    """Name of the graph."""
    onnx: str
    """SHA-256 of its file."""
    tensorrt: str
    """TensorRT's version, to the last number."""
    capability: str
    """Compute capability of the GPU."""
    precision: str
    """`graph`: the types that the graph itself has (a strongly typed network), without TF32."""
    profiles: str
    """The shape profiles, as JSON."""
    builder: int = BUILDER

    @property
    def digest(self) -> str:
        """SHA-256 over all of it."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def engine_key(graph: str, onnx: Path, profiles: tuple[Profile, ...], *, tensorrt: str, capability: str) -> EngineKey:
    """The key of the engine that this machine builds of a graph."""
    shapes = json.dumps([asdict(profile) for profile in profiles], sort_keys=True)
    return EngineKey(graph, hashlib.sha256(onnx.read_bytes()).hexdigest(), tensorrt, capability, "graph", shapes)


def cache_folder() -> Path:
    """Where engines lie: `ERV_CACHE`, else `erv-edge/engines` in the user's cache folder."""
    given = os.environ.get("ERV_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else home / "erv-edge" / "engines"


class EngineCache:
    """Engines in a folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder()

    def path(self, key: EngineKey) -> Path:
        """Where the engine of that key lies, or would."""
        return self.folder / f"{key.graph}-{key.digest[:20]}.engine"

    def timing(self, key: EngineKey) -> Path:
        """The timing cache that all engines of this GPU and TensorRT share."""
        return self.folder / f"timing-{key.tensorrt}-{key.capability}.cache"

    def load(self, key: EngineKey) -> bytes | None:
        """The engine of exactly this key; `None` when there is none, or what lies there is stale, foreign or damaged."""
        path = self.path(key)
        try:
            data, note = path.read_bytes(), json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        same = isinstance(note, dict) and note.get("key") == asdict(key) and note.get("sha256") == hashlib.sha256(data).hexdigest()
        return data if same else None

    def store(self, key: EngineKey, engine: bytes) -> Path:
        """Keep an engine, and drop those that it replaces: of the same graph, for this GPU and TensorRT or for ones that are gone.

        Raises:
            BackendError: the folder cannot be written.
        """
        path = self.path(key)
        note = {"key": asdict(key), "sha256": hashlib.sha256(engine).hexdigest()}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, engine)
            write_whole(path.with_suffix(".json"), json.dumps(note, indent=1).encode())
            for other in self.folder.glob(f"{key.graph}-*"):
                if other.stem != path.stem and other.suffix in (".engine", ".json"):
                    other.unlink(missing_ok=True)
        except OSError as error:
            raise BackendError(f"cannot keep the engine in '{self.folder}': {error.strerror}; set ERV_CACHE to another folder") from None
        return path
