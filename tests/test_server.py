import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import InputError, Reading, StreamStatus, UsageError

aiohttp = pytest.importorskip("aiohttp", reason="the server needs aiohttp")

from edge.server import Server, app  # noqa: E402
from edge.server.guard import Gate, host_name, token_for  # noqa: E402
from edge.server.wire import MAX_HEADER, decode_jpeg, jpeg_size, pack, unpack  # noqa: E402

HOME = Gate("127.0.0.1", None)


@pytest.fixture
def server(pipeline):
    with Server(pipeline.bundle.config, lambda: pipeline, port=0) as running:
        running._reader.close = lambda: None  # the session's pipeline outlives this server
        yield running


def _reading(frame: int) -> Reading:
    return Reading("test", frame, frame * 100.0, 320, 240, ())


def _jpeg(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image)[1].tobytes()


def _speak(server: Server, talk, **headers):
    """Run `talk(session, url)` as a client."""

    async def run():
        async with aiohttp.ClientSession(headers=headers) as session:
            return await asyncio.wait_for(talk(session, server.url.split("?")[0].rstrip("/")), 60)

    return asyncio.run(run())


def _status(server: Server, path: str, **headers) -> int:
    async def talk(session, url):
        async with session.get(url + path, allow_redirects=False) as answer:
            return answer.status

    return _speak(server, talk, **headers)


# who is let in


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:8000", "[::1]:8000", "127.8.8.8"])
def test_gate_knows_loopback_by_its_names(host):
    assert HOME.refusal(host, None, []) is None
    assert HOME.refusal(host, f"http://{host}", []) is None
    assert HOME.refusal(host, f"https://{host}", []) is None


@pytest.mark.parametrize(
    "host",
    [
        None, "", "evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example", "192.168.1.5", "localhost.",
        "user@localhost", "localhost/", "localhost:x", "[::1", "0.0.0.0", "127.0.0.1:8000:1", "localhost?", "localhost#", "2130706433",
    ],
)  # fmt: skip
def test_gate_refuses_other_names(host):
    assert HOME.refusal(host, None, [])[0] == 403


@pytest.mark.parametrize(
    "origin",
    [
        "null", "", "http://evil.example", "http://localhost:9999", "http://localhost", "file://", "http://localhost:8000.evil.example",
        "chrome-extension://localhost:8000", "http://localhost:8000/", "localhost:8000", "http://user@localhost:8000",
    ],
)  # fmt: skip
def test_gate_refuses_other_origins(origin):
    assert HOME.refusal("localhost:8000", origin, [])[0] == 403


def test_gate_asks_for_the_token():
    gate = Gate("0.0.0.0", "secret")
    assert gate.refusal("192.168.1.5:8000", None, ["guess", "secret"]) is None
    for tokens in ([], [""], ["Secret"], ["secret "], ["sécret"]):
        assert gate.refusal("192.168.1.5:8000", None, tokens)[0] == 401
    assert gate.refusal("evil.example", None, ["secret"])[0] == 403
    assert Gate("camera.lan", "secret").refusal("camera.lan:8000", "http://camera.lan:8000", ["secret"]) is None


def test_a_token_is_made_everywhere_but_on_loopback():
    assert [token_for(host, None) for host in ("127.0.0.1", "localhost", "::1", "LOCALHOST")] == [None] * 4
    made = {token_for(host, None) for host in ("0.0.0.0", "::", "192.168.1.5", "camera.lan", "128.0.0.1")}
    assert len(made) == 5
    assert min(map(len, made)) >= 32
    assert token_for("127.0.0.1", "mine") == "mine"


@given(st.text(max_size=40), st.text(max_size=40))
def test_gate_never_fails_and_knows_nobody_else(host, origin):
    refused = HOME.refusal(host, origin, [])
    assert refused is None or refused[0] == 403
    if refused is None:
        assert host_name(host) == "localhost" or host_name(host).startswith("127.") or host_name(host) == "::1"


@pytest.mark.parametrize("path", ["/", "/page.js", "/about", "/live", "/readings", "/camera"])
def test_a_foreign_page_gets_nothing(server, path):
    assert _status(server, path, Origin="http://evil.example") == 403
    assert _status(server, path, Host="evil.example") == 403
    assert _status(server, path) in (200, 426)


def test_a_foreign_page_cannot_open_a_socket(server):
    async def talk(session, url):
        for path in ("/live", "/readings", "/camera"):
            for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await session.ws_connect(url + path, headers=headers)
                assert refused.value.status == 403
            ws = await session.ws_connect(url + path, headers={"Origin": url})
            await ws.close()

    _speak(server, talk)


def test_a_token_opens_by_address_header_or_cookie_and_a_wrong_one_does_not(pipeline, monkeypatch):
    monkeypatch.setenv("EDGE_TOKEN", "correct horse")
    with Server(pipeline.bundle.config, port=0) as server:
        assert server.url.endswith("/?token=correct%20horse")
        assert [_status(server, path) for path in ("/", "/page.js", "/live", "/?token=wrong", "/about?token=")] == [401] * 5
        assert _status(server, "/about", Authorization="Bearer wrong") == 401
        assert _status(server, "/about", Authorization="Bearer correct horse") == 200

        async def talk(session, url):
            async with session.get(server.url, allow_redirects=False) as first:
                assert (first.status, first.headers["Location"]) == (303, "/")
                assert all(word in first.headers["Set-Cookie"] for word in ("HttpOnly", "SameSite=Strict"))
            session.cookie_jar.update_cookies({name: c.value for name, c in first.cookies.items()}, first.url)
            async with session.get(url) as page, session.ws_connect(url + "/readings") as ws:
                return page.status, ws.closed

        async def run():
            async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
                return await talk(session, server.url.split("/?")[0])

        assert asyncio.run(run()) == (200, False)
        assert _status(server, "/?token=wrong", Authorization="Bearer correct horse") == 303, "a wrong one beside a right one does no harm"


def test_the_page_is_sealed_and_whole(server):
    async def talk(session, url):
        found = {}
        for path in ("/", "/page.js", "/page.css", "/icon.svg", "/about"):
            async with session.get(url + path) as answer:
                found[path] = answer.status, answer.headers, await answer.text()
        for path in ("/../app.py", "/%2e%2e/app.py", "/page/index.html", "/app.py"):
            async with session.get(url + path) as answer:
                assert answer.status == 404
                assert "Content-Security-Policy" in answer.headers
        return found

    found = _speak(server, talk)
    assert {status for status, _, _ in found.values()} == {200}
    for _, headers, _ in found.values():
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
    assert "http" not in found["/"][2].replace("http-equiv", ""), "nothing comes from elsewhere"
    assert json.loads(found["/about"][2])["labels"][1] == "happiness"


# what is said


@given(st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=8), max_size=4), st.binary(max_size=64))
def test_packets_come_back_as_they_were(header, body):
    assert unpack(pack(header, body)) == (header, body)


@given(st.binary(max_size=80))
def test_no_bytes_break_the_parsers(data):
    for parse in (unpack, jpeg_size, decode_jpeg):
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
    data = bytearray(_jpeg(portrait))
    assert jpeg_size(bytes(data)) == (512, 512)
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = b"\xff\xdc\xff\xdc"
    with pytest.raises(InputError, match="65500×65500"):
        decode_jpeg(bytes(data))


def test_a_browsers_picture_is_read_and_explained(server, portrait):
    async def talk(session, url):
        readings = []
        async with session.ws_connect(url + "/camera") as ws:
            for t_ms in (0, 40.5, 81):
                await ws.send_bytes(pack({"t_ms": t_ms}, _jpeg(portrait)))
                readings.append(unpack_any((await ws.receive(30)).data))
        return readings

    answers = _speak(server, talk)
    assert [a["reading"]["t_ms"] for a in answers] == [0, 40.5, 81]
    assert [a["reading"]["frame"] for a in answers] == [0, 1, 2]
    for answer in answers:
        (face,) = answer["reading"]["faces"]
        assert (face["track"], face["emotion"], face["explanation"]["status"]) == (1, "happiness", "verified")
        x1, y1, x2, y2 = face["box"]
        assert all(x1 - 40 < x < x2 + 40 and y1 - 40 < y < y2 + 40 for x, y in answer["points"][0])


def unpack_any(data: bytes) -> dict:
    """A packet of the server, whose header may be longer than a client's."""
    return json.loads(data[4 : 4 + int.from_bytes(data[:4], "big")])


def test_a_browsers_time_must_rise(server, portrait):
    async def talk(session, url):
        async with session.ws_connect(url + "/camera") as ws:
            for _ in range(2):
                await ws.send_bytes(pack({"t_ms": 5}, _jpeg(portrait)))
            answers = [await ws.receive(30), await ws.receive(30)]
            return answers[0].type, ws.close_code

    assert _speak(server, talk) == (aiohttp.WSMsgType.BINARY, 1007)


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
            await ws.send_bytes(pack({"t_ms": 1}, _jpeg(portrait)))
            return closed, len(unpack_any((await ws.receive(30)).data)["reading"]["faces"])

    assert _speak(server, talk) == (code, 1)


def test_fifty_megabytes_are_refused_and_the_server_lives(server):
    async def talk(session, url):
        for path in ("/camera", "/live", "/readings"):
            async with session.ws_connect(url + path, max_msg_size=0) as ws:
                with pytest.raises((ConnectionError, aiohttp.ClientError)):
                    await asyncio.gather(*(ws.send_bytes(bytes(50_000_000)) for _ in range(2)))
        async with session.get(url + "/about") as answer:
            return answer.status

    assert _speak(server, talk) == 200


def test_a_client_that_talks_where_it_should_listen_is_sent_away(server):
    async def talk(session, url):
        async with session.ws_connect(url + "/readings") as ws:
            await ws.send_str("{}")
            while not ws.closed:
                await ws.receive(10)
            return ws.close_code

    assert _speak(server, talk) == 1003


class Watched:
    """A source that can be asked."""

    def __init__(self) -> None:
        self.asked: list[int | None] = []

    status = StreamStatus("reconnecting", 0.0, 5, 7, 2500.0, 1, "camera:0 was lost")

    def explain(self, track: int | None = None) -> None:
        self.asked.append(track)


def test_clients_hear_how_a_silent_source_is_doing_and_may_ask_for_explanations(server, monkeypatch):
    monkeypatch.setattr(app, "_QUIET_S", 0.1)
    watched = Watched()
    server.follow(watched)

    async def talk(session, url):
        async with session.ws_connect(url + "/live") as ws:
            quiet = unpack_any((await ws.receive(10)).data)
            for message in ('{"explain": 3}', '{"explain": null}'):
                await ws.send_str(message)
            server.write(_reading(0))
            while "reading" not in (packet := unpack_any((await ws.receive(10)).data)):
                pass
        return quiet, packet["status"]

    assert _speak(server, talk) == ({"status": watched.status.to_dict()}, watched.status.to_dict())
    _wait_for(lambda: watched.asked == [3, None])


@pytest.mark.parametrize(
    "message",
    ["", "{", "[]", "[" * 900, "{}", '{"explain": 0}', '{"explain": true}', '{"explain": "1"}', '{"explain": 1, "more": 2}', b"\0"],
)
def test_a_question_that_makes_no_sense_ends_the_conversation(server, message):
    watched = Watched()
    server.follow(watched)

    async def talk(session, url):
        async with session.ws_connect(url + "/live") as ws:
            await (ws.send_bytes(message) if isinstance(message, bytes) else ws.send_str(message))
            while not ws.closed:
                await ws.receive(10)
            return ws.close_code

    assert _speak(server, talk) == (1003 if isinstance(message, bytes) else 1007)
    assert watched.asked == []


# who is told


def test_a_client_that_comes_late_is_told_the_newest_reading(server, portrait):
    async def talk(session, url):
        for frame in range(5):
            server.write(_reading(frame), portrait)
        server.end()
        await asyncio.sleep(0.1)
        async with session.ws_connect(url + "/live") as live, session.ws_connect(url + "/readings") as plain:
            packet = (await live.receive(10)).data
            return unpack_any(packet), packet[-2:], json.loads((await plain.receive(10)).data)

    seen, tail, told = _speak(server, talk)
    assert (seen["live"], seen["reading"]["frame"], tail) == (False, 4, b"\xff\xd9")
    assert told == _reading(4).to_dict()


def test_a_slow_client_is_given_the_newest_reading(server):
    async def talk(session, url):
        async with session.ws_connect(url + "/readings") as ws:
            frames = []
            for frame in range(40):  # the loop of this client does not run meanwhile
                server.write(_reading(frame))
                time.sleep(0.002)
            big = "x" * 200_000
            for frame in range(40, 80):
                server.write(Reading(big, frame, 0.0, 1, 1, ()))
                time.sleep(0.002)
            while not frames or frames[-1] < 79:
                frames.append(json.loads((await ws.receive(10)).data)["frame"])
            return frames

    frames = _speak(server, talk)
    assert frames == sorted(set(frames))
    assert len(frames) < 80, "what could not be sent in time was left out"


@contextmanager
def _stalled(server: Server, count: int):
    """Clients that ask for pictures and then take nothing."""
    lines = []
    port = int(server.url.rsplit(":", 1)[1].strip("/"))
    for _ in range(count):
        line = socket.create_connection(("127.0.0.1", port))
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.sendall(
            f"GET /live HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        lines.append(line)
    try:
        yield
    finally:
        for line in lines:
            line.close()


def test_ten_clients_of_a_hundred_stall_and_the_others_are_not_delayed(server, monkeypatch):
    monkeypatch.setattr(app, "_PATIENCE_S", 1.5)
    picture = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    frames, spent = 30, []

    async def listen(session, url):
        seen = []
        async with session.ws_connect(url + "/live", max_msg_size=0) as ws:
            while not seen or seen[-1] < frames - 1:
                seen.append(unpack_any((await ws.receive(30)).data)["reading"]["frame"])
        return seen, time.perf_counter()

    def film() -> None:
        _wait_for(lambda: server.hub.places.taken == 100)
        for frame in range(frames):
            began = time.perf_counter()
            server.write(_reading(frame), picture)
            spent.append(time.perf_counter() - began)
            time.sleep(0.1)

    async def talk(url):
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            told = asyncio.gather(*(listen(session, url) for _ in range(90)))
            await asyncio.to_thread(film)
            return await told

    with _stalled(server, 10):
        told = asyncio.run(asyncio.wait_for(talk(server.url.rstrip("/")), 60))
        _wait_for(lambda: server.hub.places.taken == 0)  # those that took nothing were cut off
    counts, ends = sorted(len(seen) for seen, _ in told), [at for _, at in told]
    assert all(seen == sorted(set(seen)) for seen, _ in told)
    assert counts[0] >= 0.5 * frames, counts  # a busy machine leaves some out, for all alike
    assert max(ends) - min(ends) < 5.0
    assert float(np.median(spent)) < 0.05


def test_clients_are_counted_and_places_come_free(pipeline):
    async def talk(session, url):
        sockets = [await session.ws_connect(url + "/readings") for _ in range(3)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(url + "/live")
        assert refused.value.status == 503
        await sockets.pop().close()
        await asyncio.sleep(0.1)
        again = await session.ws_connect(url + "/live")
        for ws in (*sockets, again):
            await ws.close()

    with Server(pipeline.bundle.config, port=0, clients=3) as server:
        _speak(server, talk)


def test_a_fifth_camera_waits_outside(server):
    async def talk(session, url):
        sockets = [await session.ws_connect(url + "/camera") for _ in range(app.MAX_CAMERAS)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(url + "/camera")
        for ws in sockets:
            await ws.close()
        return refused.value.status

    assert _speak(server, talk) == 503


def test_a_server_without_a_reader_reads_no_camera(pipeline):
    with Server(pipeline.bundle.config, port=0) as server:
        assert _status(server, "/camera") == 404


# its life


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
    server.write(_reading(0))  # closed: nothing happens
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
        assert _speak(server, talk) == (aiohttp.WSMsgType.CLOSE, 1001)


def test_a_server_with_stalled_clients_closes_soon(pipeline):
    picture = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    with Server(pipeline.bundle.config, port=0) as server, _stalled(server, 5):
        _wait_for(lambda: server.hub.places.taken == 5)
        for frame in range(20):
            server.write(_reading(frame), picture)
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


def _wait_for(condition, seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)
