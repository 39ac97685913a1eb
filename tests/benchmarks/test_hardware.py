import os
import stat
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.speed import hardware, power
from benchmarks.speed.jetson import (
    mean_mw,
    parse_device_tree,
    parse_jetson_clocks,
    parse_nvpmodel,
    parse_tegra_release,
    parse_tegrastats,
)
from edge.errors import BackendError

ORIN_NANO = (
    "05-09-2024 11:21:21 RAM 2425/7620MB (lfb 2x4MB) SWAP 0/3810MB (cached 0MB) CPU [4%@1510,1%@1510,0%@1510,0%@1510,off,off] "
    "EMC_FREQ 0%@2133 GR3D_FREQ 14%@[624] NVDEC off NVJPG off NVJPG1 off VIC off OFA off APE 200 cpu@44.593C soc2@43.437C soc0@44.75C "
    "gpu@44.937C tj@44.937C soc1@43.968C VDD_IN 4580mW/4512mW VDD_CPU_GPU_CV 480mW/470mW VDD_SOC 1440mW/1432mW"
)
ORIN_NX = (
    "RAM 5312/15523MB (lfb 7x4MB) SWAP 12/7762MB (cached 0MB) CPU [12%@1984,9%@1984,30%@1984,7%@1984,2%@1984,0%@1984,0%@1984,0%@1984] "
    "EMC_FREQ 3%@3199 GR3D_FREQ 97%@[918] VIC_FREQ 115 APE 174 CV0@-256C CPU@52.968C SOC2@51.25C SOC0@50.5C CV1@-256C GPU@54.062C "
    "tj@54.062C SOC1@52.937C CV2@-256C VDD_IN 14021mW/13320mW VDD_CPU_GPU_CV 6122mW/5871mW VDD_SOC 2551mW/2500mW"
)
AGX_ORIN = (
    "RAM 5456/30536MB (lfb 1x4MB) SWAP 0/15268MB (cached 0MB) CPU [0%@729,0%@729,0%@729,0%@729,off,off,off,off,off,off,off,off] "
    "EMC_FREQ 0%@2133 GR3D_FREQ 0%@[0,0] VIC_FREQ 729 APE 174 CV0@-256C CPU@43.968C Tboard@32C SOC2@40.062C Tdiode@34.75C SOC0@40.156C "
    "CV1@-256C GPU@-256C tj@43.968C SOC1@39.781C CV2@-256C VDD_GPU_SOC 1594mW/1594mW VDD_CPU_CV 398mW/398mW VIN_SYS_5V0 2318mW/2318mW "
    "NC 0mW/0mW VDDQ_VDD2_1V8AO 301mW/301mW NC 0mW/0mW"
)
AGX_ORIN_JETPACK7 = (
    "07-25-2026 09:08:28 RAM 20642/62817MB (lfb 1x2MB) CPU [23%@2201,10%@2201,4%@2201,14%@2201,30%@2201,18%@2201] EMC_FREQ 3%@3199 "
    "GR3D_FREQ 12%@[1300,1300] NVENC0 off NVDEC0 off APE 174 cpu@52.968C/53.1C soc2@48.406C/48.406C gpu@47.625C/47.625C "
    "VDD_GPU_SOC 5139mW/5100mW/5200mW VDD_CPU_CV 3268mW/3268mW/3268mW VIN_SYS_5V0 5500mW/5500mW/5500mW"
)
THOR = (
    "08-28-2025 10:02:11 RAM 4722/125772MB (lfb 24x4MB) SWAP 0/0MB (cached 0MB) CPU [1%@972,0%@972,0%@1242,3%@972] EMC_FREQ 2%@4266 "
    "GR3D_FREQ @[1000,1000,1000] APE 150 cpu@38.812C/39C tj@39.906C/40C soc012@39.9C/40C soc345@38.6C/39C "
    "VDD_GPU -392mW/12mW/2403mW VDD_CPU_SOC_MSS 6508mW/6500mW/6600mW VIN_SYS_5V0 6524mW/6500mW/6600mW VIN 22950mW/22800mW/23100mW"
)
CLOCKS = """SOC family:tegra234  Machine:NVIDIA Jetson Orin Nano Developer Kit
Online CPUs: 0-5
cpu0:  Online=1 Governor=schedutil MinFreq={low} MaxFreq=1728000 CurrentFreq=1728000 IdleStates: WFI=0 c7=0
cpu1:  Online=0 Governor=schedutil MinFreq=729600 MaxFreq=1728000 CurrentFreq=729600 IdleStates: WFI=1 c7=1
GPU MinFreq=1020000000 MaxFreq=1020000000 CurrentFreq=1020000000
EMC MinFreq=204000000 MaxFreq=3199000000 CurrentFreq=3199000000 FreqOverride=1
FAN Dynamic Speed Control=disabled hwmon0_pwm1=255
NV Power Mode: MAXN_SUPER
"""


@pytest.mark.parametrize(
    ("line", "total"),
    [
        (ORIN_NANO, 4580),
        (ORIN_NX, 14021),
        (AGX_ORIN, 1594 + 398 + 2318),
        (AGX_ORIN_JETPACK7, 5139 + 3268 + 5500),
        (THOR, 22950),
    ],
)
def test_tegrastats_of_each_module_is_read(line, total):
    assert parse_tegrastats(line)["total"] == total


def test_tegrastats_leaves_out_what_is_off():
    assert "NC" not in parse_tegrastats(AGX_ORIN)
    assert parse_tegrastats(THOR)["VDD_GPU"] == -392, "a meter near zero may read below it"


def test_tegrastats_makes_no_number_up_where_rails_are_missing():
    assert parse_tegrastats(ORIN_NANO.replace("VDD_IN 4580mW/4512mW ", "")) == {"VDD_CPU_GPU_CV": 480, "VDD_SOC": 1440}
    assert "total" not in parse_tegrastats(AGX_ORIN.replace("VDD_CPU_CV 398mW/398mW", ""))
    assert "total" not in parse_tegrastats(ORIN_NANO[: ORIN_NANO.index("/4512mW")]), "a torn line ends inside the reading"


@pytest.mark.parametrize("line", ["", "tegrastats: command not found", "cpu@44.593C", "VDD_IN mW/mW", "\x00\xff GR3D_FREQ"])
def test_lines_that_tell_no_power_are_empty(line):
    assert parse_tegrastats(line) == {}


def test_the_mean_of_a_rail_is_over_the_lines_that_tell_it():
    assert mean_mw([{"VDD_IN": 4.0, "total": 4.0}, {}, {"VDD_IN": 6.0}]) == {"VDD_IN": 5.0, "total": 4.0}


@given(st.integers(0, len(ORIN_NX)), st.integers(0, len(ORIN_NX)), st.text(max_size=20))
def test_a_damaged_line_never_crashes_and_only_gives_numbers_that_stand_in_it(low, high, noise):
    line = ORIN_NX[: min(low, high)] + noise + ORIN_NX[max(low, high) :]
    rails = parse_tegrastats(line)
    for value in (value for name, value in rails.items() if name != "total"):
        assert f"{value:.0f}mW" in line or f"{value}mW" in line


@given(st.text())
def test_parsers_take_any_text(text):
    parse_tegrastats(text)
    parse_nvpmodel(text)
    parse_jetson_clocks(text)
    parse_tegra_release(text)
    parse_device_tree(text)


def test_nvpmodel_is_read_plain_and_verbose():
    assert parse_nvpmodel("NV Power Mode: MAXN_SUPER\n2\n") == {"power_mode": "MAXN_SUPER"}
    verbose = "NVPM VERB: Config file: /etc/nvpmodel.conf\nNV Fan Mode:quiet\nNVPM VERB: Current mode: NV Power Mode: MODE_15W_6CORE\n2\n"
    assert parse_nvpmodel(verbose) == {"power_mode": "MODE_15W_6CORE"}
    assert parse_nvpmodel("NV Power Mode: 15W") == {"power_mode": "15W"}
    assert parse_nvpmodel("NVPM ERROR: Error opening /etc/nvpmodel.conf\n12\n") == {}


def test_jetson_clocks_tell_whether_they_are_locked():
    locked = parse_jetson_clocks(CLOCKS.format(low=1728000))
    assert locked["clocks_locked"] is True
    assert locked["clocks"]["gpu"] == {"min_mhz": 1020.0, "max_mhz": 1020.0, "current_mhz": 1020.0}
    assert "cpu1" not in locked["clocks"], "it is off"
    assert parse_jetson_clocks(CLOCKS.format(low=729600))["clocks_locked"] is False
    assert parse_jetson_clocks("Error: Run this script(jetson_clocks) as a root user") == {}


def test_release_and_device_tree_name_jetpack_and_module():
    orin = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025"
    thor = "# R38 (release), REVISION: 2.0, GCID: 41844464, BOARD: generic, EABI: aarch64, DATE: Fri Aug 22 00:55:42 UTC 2025"
    assert parse_tegra_release(orin) == {"l4t": "36.4.3", "jetpack": "6"}
    assert parse_tegra_release(thor) == {"l4t": "38.2.0", "jetpack": "7"}
    assert parse_tegra_release("# R99 (release), REVISION: 1.0") == {"l4t": "99.1.0"}, "a release that is not known yet"
    assert parse_device_tree("NVIDIA Jetson AGX Thor Developer Kit\0") == "NVIDIA Jetson AGX Thor Developer Kit"
    assert parse_device_tree("Raspberry Pi 5 Model B Rev 1.0\0") is None


def _machine(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_probe_reads_a_jetson(tmp_path):
    files = {
        "proc/device-tree/model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
        "proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd asimddp asimdhp\nCPU implementer\t: 0x41\nCPU part\t: 0xd42\n",
        "proc/meminfo": "MemTotal:        7802960 kB\n",
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 1\n",
        "etc/os-release": 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 22.04.5 LTS"\n',
        "usr/local/cuda/version.json": '{"cuda" : {"name" : "CUDA SDK", "version" : "12.6.11"}}',
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil\n",
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
        "sys/class/thermal/thermal_zone0/temp": "51250\n",
        "sys/class/thermal/thermal_zone1/type": "cv0-thermal\n",
        "sys/class/thermal/thermal_zone1/temp": "-256000\n",
        "sys/class/thermal/cooling_device0/type": "cpufreq-cpu0\n",
        "sys/class/thermal/cooling_device0/cur_state": "2\n",
        "sys/class/thermal/cooling_device1/type": "pwm-fan\n",
        "sys/class/thermal/cooling_device1/cur_state": "3\n",
    }
    found = hardware.probe(_machine(tmp_path, files))
    assert found["jetson"]["module"].startswith("NVIDIA Jetson Orin Nano")
    assert (found["jetson"]["l4t"], found["jetson"]["jetpack"], found["jetson"]["cuda"]) == ("36.4.3", "6", "12.6.11")
    assert (found["governor"], found["memory_mb"], found["cpu"]) == ("schedutil", 7620, "Arm implementer 0x41 part 0xd42")
    assert found["features"] == ["asimd", "asimddp", "asimdhp"]
    now = hardware.state(tmp_path)
    assert now["temperatures_c"] == {"cpu-thermal": 51.25}
    assert now["throttled"] == {"cpufreq-cpu0": 2.0}, "a fan that turns is no throttling"


def test_probe_of_an_empty_machine_guesses_nothing(tmp_path):
    found = hardware.probe(tmp_path)
    assert [found[name] for name in ("governor", "max_mhz", "memory_mb", "jetson", "features")] == [None, None, None, None, []]
    assert hardware.state(tmp_path) == {"load": None, "mhz": None, "temperatures_c": {}, "throttled": {}}


def _program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)


def test_energy_comes_from_tegrastats_where_it_runs(tmp_path, monkeypatch, pipeline):
    _program(tmp_path, "tegrastats", f'while true; do echo "{ORIN_NANO}"; echo torn; sleep 0.01; done')
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    figures = power.measure(pipeline, seconds=1.0)
    assert figures["meter"] == "tegrastats"
    assert figures["idle_w"] == pytest.approx(4.58)
    assert figures["frame"]["joules"] == pytest.approx(4.58 / figures["frame"]["count"])
    assert figures["frame"]["watts"]["VDD_SOC"] == pytest.approx(1.44)
    assert figures["explanation"]["joules_above_idle"] == pytest.approx(0, abs=1e-9)


def test_energy_without_a_total_stays_empty(tmp_path, monkeypatch, pipeline):
    _program(tmp_path, "tegrastats", 'while true; do echo "VDD_SOC 1440mW/1432mW"; sleep 0.01; done')
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    figures = power.measure(pipeline, seconds=1.0)
    assert (figures["idle_w"], figures["frame"]["joules"], figures["frame"]["joules_above_idle"]) == (None, None, None)
    assert figures["frame"]["watts"] == {"VDD_SOC": 1.44}


def test_rapl_counters_that_begin_anew_are_mended(tmp_path):
    package = tmp_path / "intel-rapl:0"
    _machine(package, {"max_energy_range_uj": "1000000", "energy_uj": "900000"})
    started = time.perf_counter()
    watts = power.rapl([package], lambda: (time.sleep(0.05), (package / "energy_uj").write_text("100000")))
    assert 0.2 / (time.perf_counter() - started) <= watts["total"] <= 0.2 / 0.05


def test_no_meter_is_said_and_gives_no_number(tmp_path, monkeypatch, pipeline):
    monkeypatch.setenv("PATH", str(tmp_path))
    figures = power.measure(pipeline, seconds=1.0, folder=tmp_path / "none")
    assert figures["meter"] is None
    assert "neither" in figures["reason"]
    assert figures["frame"] is None
    _machine(tmp_path / "rapl/intel-rapl:0", {"max_energy_range_uj": "1000000"})
    with pytest.raises(BackendError, match="energy_uj"):
        power.meter(tmp_path / "rapl")
