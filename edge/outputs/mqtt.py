"""MQTT, for homes: every reading, what is seen now as a retained state, and Home Assistant's discovery of it."""

from __future__ import annotations

import json
import logging
import os
import re
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edge.errors import UsageError
from edge.library import load
from edge.outputs.sink import Sink
from edge.types import Reading, Verdict

log = logging.getLogger(__name__)

PASSWORD = "EDGE_MQTT_PASSWORD"
"""Environment variable with the user's password: a command's options can be read by everybody on the machine."""
_ADDRESS = re.compile(r"(?:(mqtts?)://)?(?:([^@/]+)@)?(\[[0-9A-Fa-f:.]+\]|[^\[\]@/:]+)(?::([0-9]{1,5}))?/(.+)")
_ON_THE_WAY = 20
_KEEPALIVE_S = 15
_SLOWEST_RETRY_S = 8
_MOVED = 0.1


@dataclass(frozen=True, slots=True)
class Broker:
    """Where readings are sent."""

    host: str
    topic: str
    """What every topic begins with, without a slash at its ends."""
    port: int = 1883
    user: str = ""
    """Empty: none. The password is in the environment."""
    tls: bool = False
    """Encrypted, with a certificate that the system trusts."""

    @classmethod
    def parse(cls, text: str) -> Broker:
        """Read `[mqtts://][USER@]HOST[:PORT]/TOPIC`; `ValueError` when it is none."""
        found = _ADDRESS.fullmatch(text)
        if not found:
            raise ValueError(f"expected [mqtts://][USER@]HOST[:PORT]/TOPIC, e.g. 127.0.0.1/erv/hall, got '{text}'")
        scheme, user, host, port, topic = found.groups("")
        if not user.isprintable() or len(user) > 200:
            raise ValueError("expected a user's name of at most 200 letters that can be printed")
        if ":" in user:
            raise ValueError(f"a password does not belong into an address: put it into the environment variable {PASSWORD}")
        if port and not 0 < int(port) < 65536:
            raise ValueError(f"expected a port from 1 to 65535, got {port}")
        if not topic.isprintable() or re.search(r"[+#]|^[$/]|/$", topic) or len(topic.encode("utf-8", "replace")) > 200:
            raise ValueError(f"expected a topic of at most 200 letters without '+' and '#', such as erv/hall, got '{topic[:80]}'")
        try:
            host.encode("idna")
        except UnicodeError:
            raise ValueError(f"'{host[:80]}' is no name of a host") from None
        tls = scheme == "mqtts"
        return cls(host.strip("[]"), topic, int(port or (8883 if tls else 1883)), user, tls)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class MqttSink(Sink):
    """Sends readings to a broker, each until the broker has acknowledged it (quality of service 1).

    | topic | content |
    |---|---|
    | `TOPIC/reading` | every reading, as `--json` writes it |
    | `TOPIC/state` | retained: `{"faces", "track", "emotion", "confidence", "status", "text"}` of the largest face, when it changes |
    | `TOPIC/status` | retained: `online` or `offline`; the broker says `offline` when the connection is lost |
    | `homeassistant/device/ID/config` | retained: the discovery of a device with the state's values |

    `write` only puts a reading into a queue, and a thread of its own does the rest. Readings wait while the broker is away; where there is
    no more room the oldest is dropped, and that is told.
    """

    def __init__(self, broker: Broker, labels: Sequence[str], *, room: int = 1000, patience_s: float = 3.0) -> None:
        """Begin to connect; a broker that is not there is no error, it may come later.

        Args:
            broker: where to.
            labels: the bundle's labels.
            room: most readings that wait.
            patience_s: how long `close` lets the broker take what is left.

        Raises:
            BackendError: paho-mqtt is missing.
            UsageError: nothing can be encrypted here.
        """
        paho = load(
            "paho.mqtt.client", name="paho-mqtt", holds="CallbackAPIVersion", get="pip install 'erv-edge[mqtt]'", remove="paho-mqtt"
        )
        self.broker, self.dropped = broker, 0
        self._labels, self._room, self._patience_s = tuple(labels), room, patience_s
        self._queue: deque[Reading] = deque()
        self._changed = threading.Condition()
        self._connected = self._closed = self._ended = self._warned = False
        self._unanswered = self._told = 0
        self._state: dict[str, Any] = {}
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.on_connect, self._client.on_disconnect = self._on_connect, self._on_disconnect
        self._client.on_connect_fail, self._client.on_publish = self._on_connect_fail, self._on_publish
        self._client.will_set(f"{broker.topic}/status", "offline", qos=1, retain=True)
        self._client.reconnect_delay_set(1, _SLOWEST_RETRY_S)
        if broker.user:
            password = os.environ.get(PASSWORD)
            self._client.username_pw_set(broker.user, password and password.encode("utf-8", "surrogateescape"))
        if broker.tls:
            try:
                self._client.tls_set()
            except (OSError, ValueError) as error:
                raise UsageError(f"--mqtt: no encrypted connection can be made here: {error}") from None
        self._client.connect_async(broker.host, broker.port, keepalive=_KEEPALIVE_S)
        self._client.loop_start()
        self._worker = threading.Thread(target=self._work, name="mqtt", daemon=True)
        self._worker.start()

    def write(self, reading: Reading) -> None:
        with self._changed:
            if self._closed:
                return
            full = len(self._queue) >= self._room
            if full:
                self._queue.popleft()
                self.dropped += 1
            self._queue.append(reading)
            self._changed.notify_all()
        if full and self.dropped == self._told + 1:
            log.warning("MQTT: %d readings wait for the broker at %s; the oldest are dropped from now on", self._room, self.broker)

    def close(self) -> None:
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.wait_for(lambda: not self._queue and not self._unanswered, self._patience_s)
            self._ended = True
            left = len(self._queue) + self._unanswered
            self._changed.notify_all()
        self._worker.join(self._patience_s)
        if self._connected:
            self._publish("state", _state_of(None), retain=True)
            self._publish("status", "offline", retain=True)
            with self._changed:
                self._changed.wait_for(lambda: not self._unanswered, 1.0)
        self._client.disconnect()
        ending = threading.Thread(target=self._client.loop_stop, daemon=True)  # it may still be looking for a host
        ending.start()
        ending.join(1.0)
        self._tell_dropped()
        if left:
            log.warning("MQTT: the broker at %s has not acknowledged the last %d messages", self.broker, left)

    def _work(self) -> None:
        while (reading := self._next()) is not None:
            self._publish("reading", reading.to_dict(), counted=True)
            state = _state_of(reading)
            if _differs(state, self._state):
                self._state = state
                self._publish("state", state, retain=True)

    def _next(self) -> Reading | None:
        """The oldest reading, once the broker can take it; `None` at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or (self._queue and self._connected and self._unanswered < _ON_THE_WAY))
            if self._ended:
                return None
            self._unanswered += 1
            return self._queue.popleft()

    def _publish(self, topic: str, content: Any, *, retain: bool = False, counted: bool = False) -> None:
        if not counted:
            with self._changed:
                self._unanswered += 1
        payload = content if isinstance(content, str) else json.dumps(content)
        name = topic if topic.startswith("homeassistant/") else f"{self.broker.topic}/{topic}"
        self._client.publish(name, payload, qos=1, retain=retain)  # never with our lock held: receipts come with the client's

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._warn(f"the broker at {self.broker} refuses the connection ({reason})")
            return
        own_id = re.sub(r"[^A-Za-z0-9_-]", "_", self.broker.topic)
        self._publish(f"homeassistant/device/{own_id}/config", discovery(self.broker.topic, own_id, self._labels), retain=True)
        self._publish("status", "online", retain=True)
        with self._changed:
            self._state = {}  # a broker that was started anew may have forgotten it
        if self._warned:
            log.warning("MQTT: connected to the broker at %s", self.broker)
        self._warned = False
        self._tell_dropped()

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, _reason: Any, _properties: Any) -> None:
        with self._changed:
            self._connected = False
        if not self._ended:
            self._warn(f"the connection to the broker at {self.broker} is lost; readings wait")

    def _on_connect_fail(self, _client: Any, _data: Any) -> None:
        certified = ", or its certificate is not trusted" if self.broker.tls else ""
        self._warn(f"the broker at {self.broker} cannot be reached{certified}; readings wait")

    def _on_publish(self, _client: Any, _data: Any, _number: int, _reason: Any, _properties: Any) -> None:
        with self._changed:
            self._connected = True  # from the first receipt on, when the client has sent again what had none: readings stay in their order
            self._unanswered -= 1
            self._changed.notify_all()

    def _warn(self, what: str) -> None:
        """Said once, until the connection is there again."""
        if not self._warned:
            log.warning("MQTT: %s", what)
        self._warned = True

    def _tell_dropped(self) -> None:
        if self.dropped > self._told:
            log.warning("MQTT: %d readings were dropped while the broker at %s did not take them", self.dropped - self._told, self.broker)
        self._told = self.dropped


def discovery(topic: str, own_id: str, labels: Sequence[str]) -> dict[str, Any]:
    """What Home Assistant is told of the device (2024.11 or newer).

    Args:
        topic: what the topics begin with.
        own_id: the device's id.
        labels: what the expression can be.
    """
    from edge import __version__

    def sensor(key: str, name: str, template: str, **more: Any) -> dict[str, Any]:
        return {"platform": "sensor", "unique_id": f"{own_id}_{key}", "name": name, "value_template": f"{{{{ {template} }}}}", **more}

    percent = "(value_json.confidence * 100) | round(0) if value_json.confidence is not none else none"
    verdicts = [verdict.value for verdict in Verdict]
    return {
        "device": {"identifiers": [own_id], "name": f"Expression {topic}", "sw_version": __version__},
        "origin": {"name": "erv-edge", "sw_version": __version__},
        "availability_topic": f"{topic}/status",
        "state_topic": f"{topic}/state",
        "qos": 1,
        "components": {
            "emotion": sensor("emotion", "Apparent expression", "value_json.emotion", device_class="enum", options=list(labels)),
            "confidence": sensor("confidence", "Confidence", percent, unit_of_measurement="%", state_class="measurement"),
            "faces": sensor("faces", "Faces", "value_json.faces", state_class="measurement"),
            "explanation": sensor(
                "explanation", "Explanation", "value_json.status", device_class="enum", options=verdicts,
                json_attributes_topic=f"{topic}/state", json_attributes_template="{{ {'text': value_json.text} | tojson }}",
            ),
        },
    }  # fmt: skip


def _state_of(reading: Reading | None) -> dict[str, Any]:
    face = reading.faces[0] if reading and reading.faces else None
    said = face.explanation if face else None
    return {
        "faces": len(reading.faces) if reading else 0,
        "track": face.track if face else None,
        "emotion": (face.emotion or None) if face else None,
        "confidence": round(face.confidence, 3) if face and face.emotion else None,
        "status": said.status.value if said else None,
        "text": said.text if said else "",
    }


def _differs(state: dict[str, Any], before: dict[str, Any]) -> bool:
    """Whether anything but a small move of the confidence is new."""
    if {**state, "confidence": None} != {**before, "confidence": None}:
        return True
    return bool(abs((state["confidence"] or 0.0) - (before["confidence"] or 0.0)) >= _MOVED)
