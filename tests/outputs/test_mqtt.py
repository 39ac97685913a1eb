"""MQTT against a real broker, which is killed and brought back; `ERV_READINGS=10000` lengthens what is timed, `-s` shows the figures."""

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import Detection, Explanation, Face, Pose, Reading, Verdict
from edge.cli import main
from edge.outputs.mqtt import Broker, MqttSink, discovery

paho = pytest.importorskip("paho.mqtt.client", reason="MQTT needs paho-mqtt")
MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
real = pytest.mark.skipif(not MOSQUITTO, reason="needs a broker: Debian's package mosquitto")
LABELS = ("neutral", "happiness")


class Mosquitto:
    """A broker of our own on loopback."""

    def __init__(self, folder: Path, *more: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.settings = folder / "mosquitto.conf"
        # What it acknowledges it hands on at once, for what waits in its memory is lost when it is killed. It keeps its subscribers over a
        # kill, as they were when it was last stopped in order: else readings that come before they are back would be nobody's.
        lines = [
            f"listener {self.port} 127.0.0.1",
            "max_inflight_messages 0",
            "max_queued_messages 0",
            "queue_qos0_messages true",
            "user root",
        ]
        lines += ["persistence true", f"persistence_location {folder}/", "autosave_interval 0", *(more or ["allow_anonymous true"])]
        self.settings.write_text("\n".join(lines) + "\n")
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        self.process = subprocess.Popen([MOSQUITTO, "-c", str(self.settings)], stderr=subprocess.DEVNULL)
        wait_for(self._listens)

    def _listens(self) -> bool:
        with socket.socket() as trying:
            return trying.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def save(self) -> None:
        """Stop in order, and start again."""
        self.process.terminate()
        self.process.wait()
        self.start()

    def where(self, topic: str = "erv/hall", **more) -> Broker:
        return Broker("127.0.0.1", topic, self.port, **more)


class Listener:
    """A subscriber that keeps what comes, and comes back when the broker does.

    It sends no receipts: with some unread the killed broker's line would be reset, and what is still in it lost.
    """

    def __init__(self, broker: Mosquitto, **login: str) -> None:
        self.got: list[tuple[str, bytes, bool]] = []
        self.ready = 0
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=f"listener-{time.monotonic_ns()}", clean_session=False)
        self.client.on_connect = lambda client, *_: client.subscribe("#", qos=0)
        self.client.on_subscribe = lambda *_: setattr(self, "ready", self.ready + 1)
        self.client.on_message = lambda _client, _data, m: self.got.append((m.topic, m.payload, m.retain))
        self.client.reconnect_delay_set(1, 1)
        if login:
            self.client.username_pw_set(login["user"], login["password"])
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        wait_for(lambda: self.ready)

    def last(self, topic: str):
        found = [payload for name, payload, _ in self.got if name == topic]
        return found[-1].decode() if found else None

    def frames(self) -> list[int]:
        return [json.loads(payload)["frame"] for topic, payload, _ in list(self.got) if topic == "erv/hall/reading"]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def broker(tmp_path):
    found = Mosquitto(tmp_path)
    found.start()
    yield found
    found.kill()


@pytest.fixture
def listener(broker):
    found = Listener(broker)
    broker.save()
    wait_for(lambda: found.ready > 1)
    yield found
    found.close()


def wait_for(condition, seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def face(emotion: str = "happiness", confidence: float = 0.8, status: Verdict | None = Verdict.VERIFIED) -> Face:
    said = Explanation("A smile shows.", "happiness", status, 0.97, 1.0, (), 1) if status else None
    detection = Detection(np.array([64, 48, 192, 240], np.float32), np.zeros((5, 2), np.float32), 0.9)
    return Face(
        1, detection, emotion, confidence, {"neutral": 0.2, "happiness": 0.8}, {}, np.zeros((3, 2), np.float32), Pose(1, 2, 3), said
    )


def reading(frame: int, *faces: Face) -> Reading:
    return Reading("clip.avi", frame, frame * 40.0, 640, 480, faces, {"total": 5.0})


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("hub/erv", Broker("hub", "erv")),
        ("hub:1884/erv/hall", Broker("hub", "erv/hall", 1884)),
        ("mqtt://me@10.0.0.2/a b", Broker("10.0.0.2", "a b", user="me")),
        ("mqtts://[::1]/erv", Broker("::1", "erv", 8883, tls=True)),
    ],
)
def test_addresses_are_read(text, wanted):
    assert Broker.parse(text) == wanted


@pytest.mark.parametrize(
    "text", ["", "hub", "/t", "hub/", "hub:/t", "hub:99999/t", "http://hub/t", "me:word@hub/t", "hub/a/#", "hub/+/a", "hub//a",
             "hub/$SYS", "hub/a\n", "b\udcff/t", "b\udcff@hub/t", "hub/b\udcff", "hub/" + "a" * 201, "a..b/t", "[1::2/t", "hub/a/"],
)  # fmt: skip
def test_addresses_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match=r"expected|password|host"):
        Broker.parse(text)


@given(st.text(st.characters() | st.sampled_from("@:/[]#+.1"), max_size=12).map(lambda text: f"mqtt://{text}") | st.text(max_size=12))
def test_any_address_is_read_or_refused_in_a_sentence(text):
    try:
        found = Broker.parse(text)
    except UnicodeError as error:
        pytest.fail(f"no sentence: {error}")
    except ValueError:
        return
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.will_set(f"{found.topic}/status", "offline", qos=1, retain=True)
    client.username_pw_set(found.user or "me", b"\xff")
    client.connect_async(found.host, found.port)


@real
def test_readings_states_and_discovery_arrive(broker, listener):
    with MqttSink(broker.where(), LABELS) as sink:
        for item in (
            reading(0, face()),
            reading(1, face(confidence=0.85)),
            reading(2, face(confidence=0.95)),
            reading(3),
            reading(4, face("", 0, None)),
        ):
            sink.write(item)
        wait_for(lambda: len(listener.frames()) == 5)
    sink.write(reading(5))  # closed: nothing is sent, nothing fails
    sink.close()
    wait_for(lambda: listener.last("erv/hall/status") == "offline")
    readings = [json.loads(payload) for topic, payload, _ in listener.got if topic == "erv/hall/reading"]
    assert readings[0] == reading(0, face()).to_dict()
    states = [json.loads(payload) for topic, payload, _ in listener.got if topic == "erv/hall/state"]
    seen = {"faces": 1, "track": 1, "emotion": "happiness", "confidence": 0.8, "status": "verified", "text": "A smile shows."}
    nobody = {"faces": 0, "track": None, "emotion": None, "confidence": None, "status": None, "text": ""}
    unread = {**nobody, "faces": 1, "track": 1}
    assert states == [seen, {**seen, "confidence": 0.95}, nobody, unread, nobody]  # the last: nothing of anybody stays behind
    late = Listener(broker)
    try:
        wait_for(lambda: len(late.got) >= 3)
        assert {topic for topic, _, retained in late.got if retained} == {
            "homeassistant/device/erv_hall/config", "erv/hall/status", "erv/hall/state",
        }  # fmt: skip
    finally:
        late.close()


@real
def test_broker_says_offline_for_a_run_that_was_killed(broker, listener):
    code = f"""
import time
from edge.outputs import Broker, MqttSink

sink = MqttSink(Broker("127.0.0.1", "erv/hall", {broker.port}), ["neutral"])
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code]) as run:
        wait_for(lambda: listener.last("erv/hall/status") == "online")
        run.send_signal(signal.SIGKILL)
        wait_for(lambda: listener.last("erv/hall/status") == "offline")


@real
def test_ten_thousand_readings_survive_a_broker_that_is_killed_and_comes_back(broker, listener, caplog):
    caplog.set_level(logging.WARNING)
    count, took = 10_000, []
    with MqttSink(broker.where(), LABELS, room=20_000, patience_s=120) as sink:
        wait_for(lambda: listener.last("erv/hall/status") == "online")
        for i in range(count):
            item = reading(i, face(confidence=i % 10 / 10))
            if i < 3000 and not i % 100:
                wait_for(lambda least=i - 300: len(listener.got) > least)  # what the broker cannot hand on at once must fit into the line
            if i == 3000:
                broker.kill()
                assert len(listener.frames()) < 3000, "the broker must be killed while readings are on their way"
            if i == 6000:
                broker.start()
            start = time.perf_counter()
            sink.write(item)
            took.append(time.perf_counter() - start)
    wait_for(lambda: len(set(listener.frames())) == count)
    frames = listener.frames()
    assert sink.dropped == 0
    again = len(frames) - count
    assert again <= 20, "only what had no receipt is sent again"
    firsts = list(dict.fromkeys(frames))
    assert firsts == sorted(firsts)
    p50, p95, worst = (1000 * np.percentile(took, q) for q in (50, 95, 100))
    print(f"\n{count} readings, {again} of them twice; write: median {p50:.3f} ms, p95 {p95:.3f} ms, longest {worst:.1f} ms")
    assert p95 < 0.1 * 1000 / 30, "a frame of a camera with 30 a second takes at most a tenth longer"
    said = " ".join(caplog.messages)
    assert "is lost; readings wait" in said
    assert "connected to the broker" in said
    assert "dropped" not in said


@real
@pytest.mark.parametrize("frozen", [True, False])
def test_a_broker_that_stays_away_costs_the_oldest_readings_and_that_is_told(broker, listener, caplog, frozen):
    caplog.set_level(logging.WARNING)
    with MqttSink(broker.where(), LABELS, room=100, patience_s=60) as sink:
        sink.write(reading(0))
        wait_for(lambda: listener.frames() == [0])
        if frozen:
            broker.process.send_signal(signal.SIGSTOP)
        else:
            broker.kill()
        start = time.perf_counter()
        for i in range(1, 1001):
            sink.write(reading(i))
        assert time.perf_counter() - start < 1
        if frozen:
            broker.process.send_signal(signal.SIGCONT)
        else:
            broker.start()
        wait_for(lambda: listener.frames()[-1] == 1000)
    frames = set(listener.frames())
    assert 879 <= sink.dropped <= 900  # 100 wait, and at most 20 were on the way
    assert len(frames) + sink.dropped == 1001
    assert set(range(901, 1001)) <= frames
    said = " ".join(caplog.messages)
    assert "100 readings wait for the broker" in said
    assert f"{sink.dropped} readings were dropped" in said


@real
@pytest.mark.alone
def test_a_stream_is_as_fast_with_a_broker_that_comes_and_goes(broker):
    """Blocks of 20 pictures with and without the sink in turns; in every other one with it the broker is killed."""
    from edge import Pipeline
    from edge.cv import cv2
    from edge.sources.camera import demo_picture

    pytest.importorskip("skimage", reason="the demo extra")
    count, took = int(os.environ.get("ERV_READINGS", "120")), {True: [], False: []}
    image = cv2.imread(str(demo_picture()))
    with Pipeline.load(device="cpu", threads=1) as pipeline, MqttSink(broker.where(), LABELS) as sink:
        for _ in range(20):
            pipeline(image, explain=False)
        for i in range(0, count, 20):
            for sends in (False, True):
                killed = sends and i % 40 == 20
                if killed:
                    broker.kill()
                for _ in range(20):
                    start = time.perf_counter()
                    found = pipeline(image, explain=False)
                    if sends:
                        sink.write(found)
                    took[sends].append(time.perf_counter() - start)
                if killed:
                    broker.start()
                wait_for(lambda: not sink._queue and not sink._unanswered)
    (plain, sent) = (1000 * np.percentile(took[key], [50, 95]) for key in (False, True))
    said = f"median {plain[0]:.2f} ms, p95 {plain[1]:.2f} ms; with: {sent[0]:.2f}, {sent[1]:.2f}; p95 ratio {sent[1] / plain[1]:.3f}"
    print(f"\n{len(took[True])} readings; without: {said}")
    assert sent[0] < 1.5 * plain[0] + 1


@real
def test_a_password_is_needed_and_comes_from_the_environment(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.WARNING)
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "me", "open sesame"], check=True, capture_output=True)
    passwords.chmod(0o644)
    broker = Mosquitto(tmp_path, "allow_anonymous false", f"password_file {passwords}")
    broker.start()
    try:
        with MqttSink(broker.where(), LABELS, patience_s=0.1):
            wait_for(lambda: any("refuses the connection" in message for message in caplog.messages))
        monkeypatch.setenv("EDGE_MQTT_PASSWORD", "open sesame")
        listener = Listener(broker, user="me", password="open sesame")
        with MqttSink(broker.where(user="me"), LABELS) as sink:
            sink.write(reading(7))
            wait_for(lambda: listener.frames() == [7])
        listener.close()
    finally:
        broker.kill()


def test_a_broker_that_is_not_there_is_told_once_and_ends_no_run(caplog, capsys):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = time.monotonic()
    assert main(["--demo", "--json", "--no-display", "--explain", "off", "--mqtt", f"127.0.0.1:{port}/erv/hall"]) == 0
    assert time.monotonic() - start < 60
    assert json.loads(capsys.readouterr().out)["faces"]
    assert [message for message in caplog.messages if "cannot be reached; readings wait" in message] == caplog.messages[:1]
    assert "has not acknowledged the last 1 messages" in caplog.messages[-1]


def test_the_discovery_names_values_that_the_state_has():
    told = discovery("erv/hall", "erv_hall", LABELS)
    json.dumps(told)
    assert told["state_topic"] == "erv/hall/state"
    assert told["availability_topic"] == "erv/hall/status"
    assert told["components"]["emotion"]["options"] == list(LABELS)
    assert set(told["components"]["explanation"]["options"]) == {verdict.value for verdict in Verdict}
    for key, sensor in told["components"].items():
        assert sensor["platform"] == "sensor"
        assert sensor["unique_id"] == f"erv_hall_{key}"
        assert sensor["value_template"].startswith("{{ ")
