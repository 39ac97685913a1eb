"""Where readings go besides the screen: files, Lab Streaming Layer, OSC, MQTT, and the local page with its WebSocket."""

from __future__ import annotations

from edge.outputs.files import CsvSink, JsonLinesSink
from edge.outputs.lsl import LslSink
from edge.outputs.mqtt import Broker, MqttSink
from edge.outputs.osc import OscSink
from edge.outputs.sink import Sink

__all__ = ["Broker", "CsvSink", "JsonLinesSink", "LslSink", "MqttSink", "OscSink", "Sink"]
