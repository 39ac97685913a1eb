"""`python -m benchmarks hardware`: what this machine is, and what state it is in (clocks, temperature, throttling), which changes.

Reads only. What cannot be found out is `None`, never guessed.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

from benchmarks.command import Command, Figures
from benchmarks.speed import jetson

_FEATURES = (
    "sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_tile", "amx_int8",
    "asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve", "sve2",
)  # fmt: skip
_PACKAGES = ("numpy", "onnxruntime", "onnxruntime-gpu", "opencv-python", "opencv-python-headless")
_GPU = ("name", "memory.total", "driver_version", "compute_cap", "clocks.max.sm")
_CPU = Path("sys/devices/system/cpu/cpu0/cpufreq")


def probe(root: Path = Path("/")) -> Figures:
    """What this machine is; `root` is that of the file system that is read (`/proc`, `/sys`, `/etc`)."""
    about = dict(reversed(re.findall(r"^([^:\n]*?)\s*:[ \t]*(\S.*?)\s*$", _read(root / "proc/cpuinfo"), re.MULTILINE)))
    flags = set((about.get("flags") or about.get("Features") or "").split())
    memory = _found(r"MemTotal:\s+(\d+) kB", _read(root / "proc/meminfo"))
    arm = "Arm implementer {CPU implementer} part {CPU part}"  # whose cores have numbers there, and no name
    rows = [line.split(", ") for line in _ask("nvidia-smi", f"--query-gpu={','.join(_GPU)}", "--format=csv,noheader").splitlines()]
    return {
        "cpu": about.get("model name")
        or (arm.format(**about) if {"CPU implementer", "CPU part"} <= set(about) else platform.processor() or None),
        "architecture": platform.machine(),
        "cores": cores(),
        "features": [name for name in _FEATURES if name in flags],
        "governor": _read(root / _CPU / "scaling_governor").strip() or None,
        "max_mhz": _scaled(root / _CPU / "cpuinfo_max_freq"),
        "virtual": "hypervisor" in flags,
        "memory_mb": int(memory) // 1024 if memory else None,
        "os": _found(r'^PRETTY_NAME="?([^"\n]*)', _read(root / "etc/os-release")) or platform.system(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in _PACKAGES if any(metadata.distributions(name=name))},
        "gpu": [dict(zip(_GPU, row, strict=True)) for row in rows if len(row) == len(_GPU)],  # a Jetson's own is not among them
        "jetson": _jetson(root),
    }


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def state(root: Path = Path("/")) -> Figures:
    """What changes: `load` (runnable processes, one minute), `mhz`, `temperatures_c` per zone, and the cooling devices that are at work.

    Each `None` or empty where the machine does not say.
    """
    thermal = root / "sys/class/thermal"
    zones = [(_read(zone / "type").strip() or zone.name, _scaled(zone / "temp")) for zone in sorted(thermal.glob("thermal_zone*"))]
    coolers = sorted(thermal.glob("cooling_device*"))
    cooling = [(_read(device / "type").strip() or device.name, _scaled(device / "cur_state", 1)) for device in coolers]
    load = _read(root / "proc/loadavg").split()
    return {
        "load": float(load[0]) if load else None,
        "mhz": _scaled(root / _CPU / "scaling_cur_freq"),
        "temperatures_c": {name: heat for name, heat in zones if heat is not None and heat > jetson.SENSOR_OFF_C},
        "throttled": {name: now for name, now in cooling if now and "fan" not in name.lower()},
    }


def measure() -> Figures:
    """What this machine is, and its `state`."""
    return {**probe(), "state": state()}


def _ask(*command: str) -> str:
    """What a program prints, empty when it is missing, fails or takes over five seconds."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout
    except (subprocess.SubprocessError, OSError):
        return ""


def _jetson(root: Path) -> Figures | None:
    module = jetson.parse_device_tree(_read(root / "proc/device-tree/model"))
    if not module:
        return None
    versions = (_ask("dpkg-query", "-W", "-f=${Version}", name).strip() for name in ("libnvinfer-bin", "libnvinfer10"))
    return {
        "module": module,
        **jetson.parse_tegra_release(_read(root / "etc/nv_tegra_release")),
        "cuda": _found(r'"cuda"\s*:\s*{[^}]*"version"\s*:\s*"([\d.]+)', _read(root / "usr/local/cuda/version.json")),
        "tensorrt": next(filter(None, versions), None),
        **jetson.parse_nvpmodel(_ask("nvpmodel", "-q")),
        **jetson.parse_jetson_clocks(_ask("jetson_clocks", "--show")),
    }


def _found(pattern: str, text: str) -> str | None:
    found = re.search(pattern, text, re.MULTILINE)
    return found.group(1) if found else None


def _scaled(path: Path, scale: float = 1e-3) -> float | None:
    """The number in a file; the kernel writes thousandths."""
    try:
        return float(_read(path)) * scale
    except ValueError:
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


COMMAND = Command(lambda parser: None, lambda args: measure())
