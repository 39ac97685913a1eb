"""What the server and its clients say to each other, and its life."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import InputError, StreamStatus, UsageError

aiohttp = pytest.importorskip("aiohttp", reason="the server needs aiohttp")

from serving import jpeg, reading, speak, stalled, unpack_any, wait_for  # noqa: E402

from edge.pipeline import Pipeline  # noqa: E402
from edge.server import Server, app  # noqa: E402
from edge.server.wire import MAX_HEADER, decode_jpeg, pack, unpack  # noqa: E402


@given(st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=8), max_size=4), st.binary(max_size=64))
def test_packets_come_back_as_they_were(header, body):
    assert unpack(pack(header, body)) == (header, body)


@given(st.binary(max_size=80))
def test_no_bytes_break_the_parsers(data):
    for parse in (unpack, decode_jpeg):
        for given_data in (data, b"\xff\xd8" + data, len(data).to_bytes(4, "big") + data):
            with suppress(InputError):
                parse(given_data)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\0\0\0\xff{}", pack({})[:3], b"\0\0\0\x02[]", b'\0\0\0\x09{"t_ms":1', b"\0\0\x0b\xb8" + b"[" * 3000,
        (MAX_HEADER + 1).to_bytes(4, "big") + b" " * (MAX_HEADER + 1),
    ],
)  # fmt: skip
def test_what_is_no_packet_is_refused(data):
    with pytest.raises(InputError, match="packet"):
        unpack(data)


def test_a_picture_is_measured_before_it_is_decoded(portrait):
    data = bytearray(jpeg(portrait))
    assert decode_jpeg(bytes(data)).shape == (512, 512, 3)
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = b"\xff\xdc\xff\xdc"
    with pytest.raises(InputError, match="65500×65500"):
        decode_jpeg(bytes(data))


def test_a_browsers_picture_is_read_and_explained(server, portrait):
    async def talk(session, url):
        readings = []
        async with session.ws_connect(url + "/camera") as ws:
            for t_ms in (0, 40.5, 81):
                await ws.send_bytes(pack({"t_ms": t_ms}, jpeg(portrait)))
                readings.append(unpack_any((await ws.receive(30)).data))
        return readings

    answers = speak(server, talk)
    assert [a["reading"]["t_ms"] for a in answers] == [0, 40.5, 81]
    assert [a["reading"]["frame"] for a in answers] == [0, 1, 2]
    for answer in answers:
        (face,) = answer["reading"]["faces"]
        assert (face["track"], face["emotion"], face["explanation"]["status"]) == (1, "happiness", "verified")
        x1, y1, x2, y2 = face["box"]
        assert len(answer["said"][0]) == len(face["explanation"]["statements"]) > 0
        assert all(x1 - 40 < x < x2 + 40 and y1 - 40 < y < y2 + 40 for x, y in answer["points"][0])


def test_a_browsers_time_must_rise(server, portrait):
    async def talk(session, url):
        async with session.ws_connect(url + "/camera") as ws:
            for _ in range(2):
                await ws.send_bytes(pack({"t_ms": 5}, jpeg(portrait)))
            answers = [await ws.receive(30), await ws.receive(30)]
            return answers[0].type, ws.close_code

    assert speak(server, talk) == (aiohttp.WSMsgType.BINARY, 1007)


NONSENSE = {
    "malformed JSON": (b"\0\0\0\x05{nope" + b"\xff\xd8", 1007),
    "a JSON list": (b"\0\0\0\x02[]", 1007),
    "no time": (pack({}, b"\xff\xd8"), 1007),
    "time that is none": (pack({"t_ms": "now"}, b"\xff\xd8"), 1007),
    "negative time": (pack({"t_ms": -1}, b"\xff\xd8"), 1007),
    "no picture": (pack({"t_ms": 1}), 1007),
    "no JPEG": (pack({"t_ms": 1}, b"GIF89a" + bytes(100)), 1007),
    "half a JPEG": (pack({"t_ms": 1}, b"\xff\xd8\xff\xc0\x00\x0b\x08\x00\x40\x00\x40\x01"), 1007),
    "text": ('{"t_ms": 1}', 1007),
}


@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense_is_refused_and_the_server_lives(server, portrait, kind):
    message, code = NONSENSE[kind]

    async def talk(session, url):
        async with session.ws_connect(url + "/camera") as ws:
            await (ws.send_str(message) if isinstance(message, str) else ws.send_bytes(message))
            while not ws.closed:
                await ws.receive(30)
            closed = ws.close_code
        async with session.ws_connect(url + "/camera") as ws:
            await ws.send_bytes(pack({"t_ms": 1}, jpeg(portrait)))
            return closed, len(unpack_any((await ws.receive(30)).data)["reading"]["faces"])

    assert speak(server, talk) == (code, 1)


def test_fifty_megabytes_are_refused_and_the_server_lives(server):
    async def talk(session, url):
        for path in ("/camera", "/live", "/readings"):
            async with session.ws_connect(url + path, max_msg_size=0) as ws:
                with pytest.raises((ConnectionError, aiohttp.ClientError)):
                    await asyncio.gather(*(ws.send_bytes(bytes(50_000_000)) for _ in range(2)))
        async with session.get(url + "/about") as answer:
            return answer.status

    assert speak(server, talk) == 200


def test_a_client_that_talks_where_it_should_listen_is_sent_away(server):
    async def talk(session, url):
        async with session.ws_connect(url + "/readings") as ws:
            await ws.send_str("{}")
            while not ws.closed:
                await ws.receive(10)
            return ws.close_code

    assert speak(server, talk) == 1003


class Watched:
    """A source that can be asked."""

    def __init__(self) -> None:
        self.asked: list[int | None] = []
        self.doubted: list[int | None] = []

    status = StreamStatus("reconnecting", 0.0, 5, 7, 2500.0, 1, "camera:0 was lost")

    def explain(self, track: int | None = None) -> None:
        self.asked.append(track)

    def counterfactual(self, track: int | None = None) -> None:
        self.doubted.append(track)


def test_clients_hear_how_a_silent_source_is_doing_and_may_ask_for_explanations(server, monkeypatch):
    monkeypatch.setattr(app, "_QUIET_S", 0.1)
    watched = Watched()
    server.follow(watched)

    async def talk(session, url):
        async with session.ws_connect(url + "/live") as ws:
            quiet = unpack_any((await ws.receive(10)).data)
            for message in ('{"explain": 3}', '{"counterfactual": 2}', '{"explain": null}'):
                await ws.send_str(message)
            server.write(reading(0))
            while "reading" not in (packet := unpack_any((await ws.receive(10)).data)):
                pass
        return quiet, packet["status"]

    assert speak(server, talk) == ({"status": watched.status.to_dict()}, watched.status.to_dict())
    wait_for(lambda: watched.asked == [3, None])
    assert watched.doubted == [2]


@pytest.mark.parametrize(
    "message",
    [
        "", "{", "[]", "[" * 900, "{}", '{"explain": 0}', '{"explain": true}', '{"explain": "1"}', '{"explain": 1, "more": 2}', b"\0",
        '{"counterfactual": 0}', '{"counterfactual": [1]}', '{"counterfactual": 1, "explain": 1}', '{"close": 1}',
    ],
)  # fmt: skip
def test_a_question_that_makes_no_sense_ends_the_conversation(server, message):
    watched = Watched()
    server.follow(watched)

    async def talk(session, url):
        async with session.ws_connect(url + "/live") as ws:
            await (ws.send_bytes(message) if isinstance(message, bytes) else ws.send_str(message))
            while not ws.closed:
                await ws.receive(10)
            return ws.close_code

    assert speak(server, talk) == (1003 if isinstance(message, bytes) else 1007)
    assert watched.asked == watched.doubted == []


def test_a_browser_is_told_what_became_of_the_answer_without_each_statement(movable, portrait):
    with Server(movable.config, lambda: movable, port=0) as server:
        server._reader.close = lambda: None  # the session's pipeline outlives this server

        async def talk(session, url):
            async with session.get(url + "/about") as answer:
                about = await answer.json()
            async with session.ws_connect(url + "/camera") as ws:
                told = []
                for t_ms in (0, 40, 80):
                    await ws.send_bytes(pack({"t_ms": t_ms}, jpeg(portrait)))
                    told.append(unpack_any((await ws.receive(60)).data))
                    if not t_ms:
                        await ws.send_str('{"counterfactual": 1}')
            return about, told

        about, (before, *after) = speak(server, talk)
    assert about["counterfactual"]
    assert before["reading"]["faces"][0]["counterfactual"] is None
    assert before["doubted"] == [[]]
    for packet in after:
        found = packet["reading"]["faces"][0]["counterfactual"]
        assert (found["answer"], found["t_ms"]) == ("happiness", 40)
        assert len(packet["doubted"][0]) == len(found["undone"]) > 0


def test_a_browser_that_asks_a_bundle_that_cannot_tell_is_sent_away_with_the_reason(server, portrait, monkeypatch):
    config = Pipeline.config.fget
    monkeypatch.setattr(Pipeline, "config", property(lambda self: replace(config(self), movable=[])))

    async def talk(session, url):
        async with session.ws_connect(url + "/camera") as ws:
            await ws.send_bytes(pack({"t_ms": 0}, jpeg(portrait)))
            await ws.receive(60)
            await ws.send_str('{"counterfactual": 1}')
            ended = await ws.receive(60)
            return ended.data, ended.extra

    code, reason = speak(server, talk)
    assert code == 1011
    assert reason.startswith("this bundle has no moves.npz and tells no counterfactuals")


def test_a_port_in_use_is_a_clear_error_and_a_closed_server_frees_it(pipeline):
    config = pipeline.bundle.config
    before = threading.active_count()
    with Server(config, port=0) as server:
        port = int(server.url.rsplit(":", 1)[1].strip("/"))
        with pytest.raises(UsageError, match=f"port {port}"):
            Server(config, port=port)
        with pytest.raises(UsageError, match="cannot listen"):
            Server(config, host="no host at all", port=0)
    server.close()
    server.write(reading(0))  # closed: nothing happens
    with Server(config, port=port):
        pass
    assert threading.active_count() == before


def test_clients_are_told_that_the_server_stops(pipeline):
    async def talk(session, url):
        async with session.ws_connect(url + "/readings") as ws:
            await asyncio.to_thread(server.close)
            message = await ws.receive(10)
            return message.type, message.data

    with Server(pipeline.bundle.config, port=0) as server:
        assert speak(server, talk) == (aiohttp.WSMsgType.CLOSE, 1001)


def test_a_server_with_stalled_clients_closes_soon(pipeline):
    picture = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    with Server(pipeline.bundle.config, port=0) as server, stalled(server, 5):
        wait_for(lambda: server.hub.places.taken == 5)
        for frame in range(20):
            server.write(reading(frame), picture)
            time.sleep(0.05)
        began = time.monotonic()
        server.close()
        assert time.monotonic() - began < app._PATIENCE_S / 2


def test_the_command_serves_until_it_is_interrupted(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "EDGE_TOKEN"}
    # a shell's background job inherits that interrupts are ignored
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from edge.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "--demo", "--serve", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            url = process.stderr.readline().split()[-1]
            line = json.loads(process.stdout.readline())

            async def hear():
                async with aiohttp.ClientSession() as session, session.ws_connect(url + "readings") as ws:
                    return json.loads((await ws.receive(20)).data)

            assert asyncio.run(hear()) == line
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
            assert "Traceback" not in process.stderr.read()
        finally:
            process.kill()
