"""Reading what a Jetson says of itself: tegrastats, nvpmodel, jetson_clocks, nv_tegra_release, the device tree.

Pure functions on text, in the formats of JetPack 5 to 7 (Orin Nano, Orin NX, AGX Orin, Thor). What a text does not say is absent from the
result: no parser raises, and none fills in a number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

_NUMBER = r"-?\d+(?:\.\d+)?"
_RAIL = re.compile(rf"(?<!\S)([A-Z][A-Z0-9_]*) ({_NUMBER})mW/({_NUMBER})mW(?:/{_NUMBER}mW)?(?!\S)")
_TEMPERATURE = re.compile(rf"(?<!\S)([A-Za-z][A-Za-z0-9_-]*)@({_NUMBER})C(?:/{_NUMBER}C)?(?!\S)")
_MEMORY = re.compile(r"(?<!\S)RAM (\d+)/(\d+)MB")
_CORE = re.compile(r"(\d+)%@(\d+)")
_GPU = re.compile(r"(?<!\S)GR3D_FREQ (?:(\d+)%)?(?:@\[?(\d+)(?:,\d+)*\]?)?(?=\s|$)")
_EMC = re.compile(r"(?<!\S)EMC_FREQ (\d+)%(?:@(\d+))?(?=\s|$)")
_SENSOR_OFF_C = -200.0
"""Tegra's drivers report −256 °C for a sensor whose part is powered down."""

TOTALS: tuple[tuple[str, ...], ...] = (("VDD_IN",), ("VIN",), ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"))
"""Rails that together are the input of the module: Orin Nano and NX; Thor; AGX Orin, whose other rail (VDDQ) is part of VIN_SYS_5V0.
The first set that is wholly there counts."""


@dataclass(frozen=True, slots=True)
class TegraSample:
    """One line of tegrastats; whatever the line lacks is `None` or missing."""

    ram_used_mb: int | None = None
    ram_total_mb: int | None = None
    cpu_load: list[int | None] = field(default_factory=list)
    """Percent of each core, `None` for one that is switched off."""
    cpu_mhz: list[int | None] = field(default_factory=list)
    gpu_load: int | None = None
    """Percent; Thor does not say."""
    gpu_mhz: int | None = None
    emc_load: int | None = None
    """Percent of the memory controller."""
    emc_mhz: int | None = None
    temperatures_c: dict[str, float] = field(default_factory=dict)
    """Sensor → °C; sensors that are off are left out."""
    rails_mw: dict[str, float] = field(default_factory=dict)
    """Rail → momentary milliwatts."""

    @property
    def _input(self) -> tuple[str, ...]:
        return next((rails for rails in TOTALS if all(rail in self.rails_mw for rail in rails)), ())

    @property
    def total_mw(self) -> float | None:
        """Input power of the module; `None` where the rails do not tell."""
        return sum(self.rails_mw[rail] for rail in self._input) if self._input else None

    @property
    def total_of(self) -> str | None:
        """The rails that `total_mw` adds up."""
        return " + ".join(self._input) or None


def parse_tegrastats(line: str) -> TegraSample | None:
    """Read one line; `None` when nothing in it is tegrastats'."""
    memory, cores, gpu, emc = _MEMORY.search(line), re.search(r"(?<!\S)CPU \[([^\]]*)\]", line), _GPU.search(line), _EMC.search(line)
    rails = {name: float(now) for name, now, _ in _RAIL.findall(line) if name != "NC"}
    temperatures = {name.lower(): float(value) for name, value in _TEMPERATURE.findall(line) if float(value) > _SENSOR_OFF_C}
    if not (memory or cores or rails or temperatures):
        return None
    each = [_CORE.fullmatch(part.strip()) for part in cores.group(1).split(",")] if cores else []
    return TegraSample(
        ram_used_mb=int(memory.group(1)) if memory else None,
        ram_total_mb=int(memory.group(2)) if memory else None,
        cpu_load=[int(core.group(1)) if core else None for core in each],
        cpu_mhz=[int(core.group(2)) if core else None for core in each],
        gpu_load=_whole(gpu, 1),
        gpu_mhz=_whole(gpu, 2),
        emc_load=_whole(emc, 1),
        emc_mhz=_whole(emc, 2),
        temperatures_c=temperatures,
        rails_mw=rails,
    )


def parse_nvpmodel(text: str) -> dict[str, Any]:
    """`nvpmodel -q` (with or without `--verbose`) → `power_mode` and `power_mode_id`, as far as said."""
    name = re.search(r"NV Power Mode:[ \t]*(\S+)", text)
    number = re.search(r"^\s*(\d+)\s*$", text[name.end() :] if name else text, re.MULTILINE)
    found: dict[str, Any] = {"power_mode": name.group(1)} if name else {}
    return found | ({"power_mode_id": int(number.group(1))} if number and name else {})


def parse_jetson_clocks(text: str) -> dict[str, Any]:
    """`jetson_clocks --show` → `clocks`: part → its least, most and present MHz; `clocks_locked`: whether no online core and no GPU may
    change its clock."""
    clocks: dict[str, dict[str, float]] = {}
    for line in text.splitlines():
        head = re.match(r"\s*(cpu\d+|GPU|EMC)\b", line)
        values = {key: float(value) for key, value in re.findall(r"(MinFreq|MaxFreq|CurrentFreq)=(\d+)", line)}
        if not head or len(values) < 3 or "Online=0" in line:
            continue
        scale = 1e3 if head.group(1).startswith("cpu") else 1e6  # kHz for cores, Hz for the others
        names = {"min_mhz": "MinFreq", "max_mhz": "MaxFreq", "current_mhz": "CurrentFreq"}
        clocks[head.group(1).lower()] = {name: values[key] / scale for name, key in names.items()}
    if not clocks:
        return {}
    # jetson_clocks pins the memory controller through an override, not through its least clock
    bound = [clock for part, clock in clocks.items() if part != "emc"]
    return {"clocks": clocks, "clocks_locked": all(c["min_mhz"] == c["max_mhz"] for c in bound)} if bound else {"clocks": clocks}


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


def _whole(found: re.Match[str] | None, group: int) -> int | None:
    return int(found.group(group)) if found and found.group(group) else None
