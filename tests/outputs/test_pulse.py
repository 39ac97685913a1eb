"""A service's pulse, and the unit that asks for it: checked by systemd's own tools, its command run under the unit's restrictions."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge import Reading
from edge.outputs.pulse import Pulse

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "systemd" / "erv-edge.service"
pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """What systemd listens with; `WATCHDOG_USEC` asks for a beat every quarter of a second."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "1000000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        yield listening


def heard(listening, seconds: float) -> list[str]:
    """What is told within a time."""
    found, until = [], time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        listening.settimeout(left)
        try:
            found.append(listening.recv(4096).decode())
        except (TimeoutError, BlockingIOError):
            break
    return found


def stream(state: str):
    return SimpleNamespace(status=SimpleNamespace(state=state, fps=12.34))


def reading() -> Reading:
    return Reading("0", 0, 0.0, 640, 480, (), {"total": 5.0})


def test_it_is_ready_at_once_and_ends_with_a_word(manager):
    with Pulse():
        assert manager.recv(4096) == b"READY=1"
    assert heard(manager, 0.2)[-1] == "STOPPING=1"


def test_readings_are_signs_of_life_but_not_each_of_them(manager):
    with Pulse() as pulse:
        pulse.follow(stream("live"))
        for _ in range(100):
            pulse.write(reading())
        assert heard(manager, 0.2) == ["READY=1", "WATCHDOG=1\nSTATUS=12.3 readings a second, 0 faces in view"]
        time.sleep(0.2)
        pulse.write(reading())
        assert len(heard(manager, 0.1)) == 1


def test_a_run_that_hangs_while_its_camera_is_there_gets_silent(manager):
    with Pulse() as pulse:
        pulse.follow(stream("live"))
        assert heard(manager, 1.2) == ["READY=1"]


@pytest.mark.parametrize("state", ["opening", "reconnecting", "ended"])
def test_a_run_whose_camera_is_lost_is_alive(manager, state):
    with Pulse() as pulse:
        pulse.follow(stream(state))
        found = heard(manager, 1.2)
    assert found.count(f"WATCHDOG=1\nSTATUS={state}") >= 3


def test_without_a_manager_nothing_is_sent_and_one_that_is_gone_is_no_error(monkeypatch, tmp_path):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    before = threading.active_count()
    with Pulse() as pulse:
        pulse.write(reading())
        assert threading.active_count() == before
    for address in ("nowhere", str(tmp_path / "gone"), "@erv-edge-gone"):
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        monkeypatch.setenv("WATCHDOG_USEC", "soon")
        with Pulse() as pulse:
            pulse.write(reading())


def test_a_watchdog_of_another_process_is_not_ours(monkeypatch, manager):
    monkeypatch.setenv("WATCHDOG_PID", "1")
    with Pulse() as pulse:
        pulse.follow(stream("ended"))
        assert heard(manager, 0.6) == ["READY=1"]


def values(key: str) -> list[str]:
    """What the unit says of a key, in its order."""
    return re.findall(rf"^{key}=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_unit_asks_for_what_is_promised():
    assert values("Type") == ["notify"]
    assert values("Restart") == ["always"]
    assert int(values("WatchdogSec")[0]) >= 10
    assert values("NoNewPrivileges") == values("DynamicUser") == ["yes"]
    assert values("ProtectSystem") == ["strict"]
    assert "video" in values("SupplementaryGroups")[0].split()
    assert values("CapabilityBoundingSet") == [""]
    assert values("StandardOutput") == ["null"], "the journal would keep what people's faces show"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_understands_the_unit_and_finds_little_exposed(tmp_path):
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text(encoding="utf-8").replace("/opt/erv-edge/bin/edge-run", "/bin/true"), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    rated = ["systemd-analyze", "security", "--offline=yes", "--threshold=25", "--no-pager", str(unit)]
    done = subprocess.run(rated, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-400:]
    unit.write_text(unit.read_text(encoding="utf-8").replace("ProtectSystem", "ProtectSistem"), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert "ProtectSistem" in done.stderr, "this systemd finds no mistakes"


_SHUT_IN = """
set -e
mount --make-rprivate /
mount --bind "$STATE" "$STATE"
for place in $(awk '{print $5}' /proc/self/mountinfo); do
  case $place in /proc*|/dev*|/sys*|"$STATE") ;; *) mount -o remount,bind,ro "$place" ;; esac
done
cd "$STATE"
exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all --clear-groups "$@"
"""
"""A read-only system but for the state's folder, and neither capabilities nor a way to get some."""


def shut_in(state: Path, *command: str) -> list[str]:
    return ["unshare", "--mount", "env", f"STATE={state}", f"PYTHONPATH={ROOT}", "bash", "-c", _SHUT_IN, "service", *command]


def _can_be_shut_in(folder: Path) -> bool:
    tools = all(map(shutil.which, ("unshare", "setpriv", "mount", "awk")))
    return tools and subprocess.run(shut_in(folder, "true"), capture_output=True, check=False).returncode == 0


def test_the_units_command_runs_without_privileges_on_a_read_only_system(manager, video, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    if not _can_be_shut_in(state):
        pytest.skip("needs root, and a machine on which it may make mounts of its own")
    probe = """
import os
for name in ("/usr/new", "/etc/new", os.path.expanduser("~/new"), "/tmp/new", "new"):
    try:
        open(name, "w").close()
        print(name)
    except OSError:
        pass
print(*[line for line in open("/proc/self/status") if line.startswith(("CapEff", "CapPrm", "NoNewPrivs"))])
"""
    said = subprocess.run(shut_in(state, sys.executable, "-c", probe), capture_output=True, text=True, check=True).stdout.split()
    assert said == ["new", "CapPrm:", "0" * 16, "CapEff:", "0" * 16, "NoNewPrivs:", "1"], "the restrictions do not hold"

    words = values("ExecStart")[0].replace("$ERV_OPTIONS", "--explain change --realtime").split()
    words = [word.replace("--camera", "--video").replace("${ERV_SOURCE}", str(video)) for word in words]
    command = shut_in(state, sys.executable, "-m", "edge.cli", *words[1:])
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "ERV_CACHE": str(state)}, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("happiness") >= 1
    told = heard(manager, 0.2)
    assert told[0] == "READY=1"
    assert told[-1] == "STOPPING=1"
    assert any("readings a second, 1 faces in view" in message for message in told)


def test_the_command_ends_in_order_when_the_service_is_stopped(manager, video):
    """SIGTERM, as systemd sends it: the code is one that the unit takes for success."""
    code = f"from edge.cli import main; import sys; sys.exit(main(['--video', {str(video)!r}, '--serve', '0', '--explain', 'off']))"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        assert manager.recv(4096) == b"READY=1"
        assert any("ended" in manager.recv(4096).decode() for _ in range(100)), "with the page open the run stays alive after its source"
        run.send_signal(signal.SIGTERM)
        run.wait(60)
    assert str(run.returncode) in values("SuccessExitStatus")
    assert heard(manager, 0.2)[-1] == "STOPPING=1"
