"""What a Jetson says of itself, in the formats of JetPack 5 to 7 (Orin Nano, Orin NX, AGX Orin, Thor): pure functions on text.

What a text does not say is absent from the result: no parser raises, and none fills in a number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from statistics import fmean
from typing import Any

_NUMBER = r"-?\d+(?:\.\d+)?"
_RAIL = re.compile(rf"(?<!\S)([A-Z][A-Z0-9_]*) ({_NUMBER})mW/{_NUMBER}mW(?:/{_NUMBER}mW)?(?!\S)")
SENSOR_OFF_C = -200.0
"""Tegra's drivers report −256 °C for a sensor whose part is powered down."""

TOTALS: tuple[tuple[str, ...], ...] = (("VDD_IN",), ("VIN",), ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"))
"""Rails that together are the input of the module: Orin Nano and NX; Thor; AGX Orin, whose other rail (VDDQ) is part of VIN_SYS_5V0.
The first set that is wholly there counts."""


def parse_tegrastats(line: str) -> dict[str, float]:
    """One line → rail → momentary milliwatts, and `total`, the module's input, where the rails tell it."""
    rails = {name: float(now) for name, now in _RAIL.findall(line) if name != "NC"}
    given = next((each for each in TOTALS if set(each) <= set(rails)), None)
    return rails | ({"total": sum(rails[rail] for rail in given)} if given else {})


def mean_mw(samples: Iterable[dict[str, float]]) -> dict[str, float]:
    """The mean of each rail, and of `total`, over the lines that tell it."""
    told: dict[str, list[float]] = {}
    for sample in samples:
        for name, milliwatts in sample.items():
            told.setdefault(name, []).append(milliwatts)
    return {name: fmean(values) for name, values in told.items()}


def parse_nvpmodel(text: str) -> dict[str, Any]:
    """`nvpmodel -q` (with or without `--verbose`) → `power_mode`, if said."""
    name = re.search(r"NV Power Mode:[ \t]*(\S+)", text)
    return {"power_mode": name.group(1)} if name else {}


def parse_jetson_clocks(text: str) -> dict[str, Any]:
    """`jetson_clocks --show` → `clocks`: part → its least, most and present MHz; `clocks_locked`: whether no online core and no GPU may
    change its clock."""
    clocks: dict[str, dict[str, float]] = {}
    for line in text.splitlines():
        head = re.match(r"\s*(cpu\d+|GPU|EMC)\b", line)
        values = {key: float(value) for key, value in re.findall(r"(MinFreq|MaxFreq|CurrentFreq)=(\d+)", line)}
        if head and len(values) == 3 and "Online=0" not in line:
            scale = 1e3 if head.group(1).startswith("cpu") else 1e6  # kHz for cores, Hz for the others
            names = {"min_mhz": "MinFreq", "max_mhz": "MaxFreq", "current_mhz": "CurrentFreq"}
            clocks[head.group(1).lower()] = {name: values[key] / scale for name, key in names.items()}
    # jetson_clocks pins the memory controller through an override, not through its least clock
    free = [clock["min_mhz"] != clock["max_mhz"] for part, clock in clocks.items() if part != "emc"]
    return ({"clocks": clocks} if clocks else {}) | ({"clocks_locked": not any(free)} if free else {})


def parse_tegra_release(text: str) -> dict[str, str]:
    """`/etc/nv_tegra_release` → `l4t`, e.g. `36.4.3`, and `jetpack`, the generation that it belongs to."""
    found = re.search(r"R(\d+)\s*\(release\),\s*REVISION:\s*([\d.]+)", text)
    if not found:
        return {}
    generation = {"35": "5", "36": "6", "38": "7", "39": "7"}.get(found.group(1))
    return {"l4t": f"{found.group(1)}.{found.group(2)}"} | ({"jetpack": generation} if generation else {})


def parse_device_tree(model: str) -> str | None:
    """`/proc/device-tree/model` → the module's name, for NVIDIA Jetson modules only."""
    name = model.replace("\0", "").strip()
    return name if "jetson" in name.lower() else None
