"""`python -m benchmarks hardware`: what this machine is, and what state it is in.

Reads only. `state` changes while a benchmark runs (clocks, temperature, throttling), so a run takes it before and after; the rest does
not. What cannot be found out is `None`, never guessed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from benchmarks.command import Command, Figures, whole
from benchmarks.speed import jetson
from edge.errors import BackendError, UsageError

_FEATURES = (
    "sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_tile", "amx_int8",
    "asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve", "sve2",
)  # fmt: skip
_PACKAGES = ("numpy", "onnxruntime", "onnxruntime-gpu", "opencv-python", "opencv-python-headless")
_VERSION = ("dpkg-query", "-W", "-f=${Version}")
_CPU = Path("sys/devices/system/cpu/cpu0/cpufreq")


def probe(root: Path = Path("/")) -> Figures:
    """What this machine is.

    Args:
        root: of the file system that is read (`/proc`, `/sys`, `/etc`).
    """
    about, release = _read(root / "proc/cpuinfo"), _read(root / "etc/os-release")
    flags = set((_field(about, "flags") or _field(about, "Features") or "").split())
    memory = re.search(r"MemTotal:\s+(\d+) kB", _read(root / "proc/meminfo"))
    who, part = _field(about, "CPU implementer"), _field(about, "CPU part")
    arm = f"Arm implementer {who} part {part}" if who and part else None  # whose cores have numbers there, and no name
    pretty = re.search(r'^PRETTY_NAME="?([^"\n]*)', release, re.MULTILINE)
    return {
        "cpu": _field(about, "model name") or arm or platform.processor() or None,
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "features": [name for name in _FEATURES if name in flags],
        "governor": _read(root / _CPU / "scaling_governor").strip() or None,
        "max_mhz": _scaled(_read(root / _CPU / "cpuinfo_max_freq"), 1e-3),
        "virtual": "hypervisor" in flags,
        "memory_mb": int(memory.group(1)) // 1024 if memory else None,
        "os": pretty.group(1) if pretty else platform.system(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": _versions(),
        "gpu": _gpu(),
        "jetson": _jetson(root),
    }


def state(root: Path = Path("/")) -> Figures:
    """What changes: load, clocks, temperatures, throttling.

    Returns:
        `load` (runnable processes, one minute), `mhz`, `temperatures_c` per thermal zone, `throttled`: cooling devices that are at work;
        each `None` or empty where the machine does not say.
    """
    zones = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        value = _scaled(_read(zone / "temp"), 1e-3)
        if value is not None and value > -200:
            zones[_read(zone / "type").strip() or zone.name] = value
    cooling = {}
    for device in sorted((root / "sys/class/thermal").glob("cooling_device*")):
        now, kind = _scaled(_read(device / "cur_state"), 1), _read(device / "type").strip()
        if now and "fan" not in kind.lower():
            cooling[kind or device.name] = now
    load = _read(root / "proc/loadavg").split()
    return {
        "load": float(load[0]) if load else None,
        "mhz": _scaled(_read(root / _CPU / "scaling_cur_freq"), 1e-3),
        "temperatures_c": zones,
        "throttled": cooling,
    }


def measure() -> Figures:
    """What this machine is, and its `state`."""
    return {**probe(), "state": state()}


@contextlib.contextmanager
def jetson_mode(power_mode: int | None, lock_clocks: bool) -> Iterator[None]:
    """Set a Jetson's power mode and lock its clocks, and put both back at the end. Does nothing unless asked.

    Raises:
        BackendError: the tools are missing, or refuse (both need root; some modes need a restart, and are refused here).
    """
    with contextlib.ExitStack() as undo:
        if power_mode is not None:
            before = jetson.parse_nvpmodel(_must("nvpmodel", "-q")).get("power_mode_id")
            if before is None:
                raise BackendError("nvpmodel does not say which power mode is set: it would not be put back, so it is left as it is")
            undo.callback(_must, "nvpmodel", "-m", str(before))
            _must("nvpmodel", "-m", str(power_mode))
        if lock_clocks:
            stored = Path(undo.enter_context(tempfile.TemporaryDirectory())) / "clocks.conf"
            _must("jetson_clocks", "--store", str(stored))
            undo.callback(_must, "jetson_clocks", "--restore", str(stored))
            _must("jetson_clocks")
        yield


def _must(*command: str) -> str:
    """Run a Jetson tool; its answer to every question is no."""
    if not shutil.which(command[0]):
        raise BackendError(f"'{command[0]}' is not on this machine: power modes and clocks are set on a Jetson only")
    done = subprocess.run(command, capture_output=True, text=True, input="NO\n", check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise BackendError(f"'{' '.join(command)}' failed: {said}")
    return done.stdout


def _ask(*command: str) -> str:
    """What a program prints, empty when it is missing, fails or takes over five seconds."""
    if not shutil.which(command[0]):
        return ""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout
    except (subprocess.SubprocessError, OSError):
        return ""


def _jetson(root: Path) -> Figures | None:
    module = jetson.parse_device_tree(_read(root / "proc/device-tree/model"))
    if not module:
        return None
    cuda = re.search(r'"cuda"\s*:\s*{[^}]*"version"\s*:\s*"([\d.]+)', _read(root / "usr/local/cuda/version.json"))
    return {
        "module": module,
        **jetson.parse_tegra_release(_read(root / "etc/nv_tegra_release")),
        "cuda": cuda.group(1) if cuda else None,
        "tensorrt": next(filter(None, (_ask(*_VERSION, name).strip() for name in ("libnvinfer-bin", "libnvinfer10"))), None),
        **jetson.parse_nvpmodel(_ask("nvpmodel", "-q")),
        **jetson.parse_jetson_clocks(_ask("jetson_clocks", "--show")),
    }


def _gpu() -> list[Figures]:
    """NVIDIA GPUs that nvidia-smi lists (Jetson's own is not among them)."""
    fields = ("name", "memory.total", "driver_version", "compute_cap", "clocks.max.sm")
    rows = [line.split(", ") for line in _ask("nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader").splitlines()]
    return [dict(zip(fields, row, strict=True)) for row in rows if len(row) == len(fields)]


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _field(text: str, name: str) -> str | None:
    found = re.search(rf"^{re.escape(name)}\s*:[ \t]*(.*)$", text, re.MULTILINE)
    return found.group(1).strip() or None if found else None


def _scaled(text: str, scale: float) -> float | None:
    try:
        return float(text) * scale
    except ValueError:
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def mode_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags that change a Jetson's mode or clocks for the time of a command."""
    parser.add_argument("--power-mode", type=whole, metavar="N", help="set this nvpmodel mode, and put the old one back (Jetson, root)")
    parser.add_argument("--lock-clocks", action="store_true", help="lock the clocks with jetson_clocks, and free them again (Jetson, root)")


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tegrastats", type=Path, metavar="FILE", help="read a recorded tegrastats log instead")


def _run(args: argparse.Namespace) -> Figures:
    if args.tegrastats:
        return read_log(args.tegrastats)
    return measure()


def read_log(path: Path) -> Figures:
    """Means over a recorded tegrastats log, and how many of its lines could not be read.

    Raises:
        UsageError: no such file, or no line of it is tegrastats'.
    """
    try:
        lines = [line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    except OSError as error:
        raise UsageError(f"cannot read '{path}': {error.strerror}") from None
    samples = [sample for sample in map(jetson.parse_tegrastats, lines) if sample]
    if not samples:
        raise UsageError(f"'{path}' has no line that tegrastats could have printed")
    rails = jetson.mean_mw(samples)
    heat: dict[str, float] = {}
    for name, value in (pair for sample in samples for pair in sample.temperatures_c.items()):
        heat[name] = max(value, heat.get(name, value))
    return {
        "lines": len(lines),
        "unreadable": len(lines) - len(samples),
        "total_mw": rails.pop("total", None),
        "rails_mw": rails,
        "total_of": samples[0].total_of,
        "hottest_c": heat,
        "gpu_load": jetson.mean(s.gpu_load for s in samples),
    }


COMMAND = Command(_options, _run)
