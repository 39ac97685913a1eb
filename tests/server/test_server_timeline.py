"""The timeline of a recording that has ended, as the server gives it out."""

import asyncio
import re
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

aiohttp = pytest.importorskip("aiohttp", reason="the server needs aiohttp")

from serving import reading, speak, unpack_any  # noqa: E402

from edge.clip import Clip, summarise  # noqa: E402
from edge.outputs.timeline import as_svg, in_a_sentence  # noqa: E402
from edge.server import Server  # noqa: E402

TIMELINES = {"/recording/timeline.svg": "image/svg+xml", "/recording/timeline.png": "image/png"}


def _clip() -> Clip:
    return replace(summarise(reading(i) for i in range(20)), source='a/<script>alert(1)</script> & "x".mp4')


def _ask(server, **headers):
    """Path → status, headers and body of each timeline."""

    async def talk(session, url):
        found = {}
        for path in TIMELINES:
            async with session.get(url + path) as answer:
                found[path] = answer.status, dict(answer.headers), await answer.read()
        return found

    return speak(server, talk, **headers)


def test_a_timeline_is_there_when_the_recording_has_ended_and_not_before(server):
    server.write(reading(0))
    for status, _, body in _ask(server).values():
        assert (status, b"before a recording has ended" in body) == (404, True)
    server.end()  # of what has no end there is none
    assert {status for status, _, _ in _ask(server).values()} == {404}
    server.end(_clip())
    found = _ask(server)
    for path, kind in TIMELINES.items():
        status, headers, body = found[path]
        assert (status, headers["Content-Type"]) == (200, kind)
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
    svg, png = (body for _, _, body in found.values())
    assert svg == as_svg(_clip()).encode()
    assert {part.tag.rpartition("}")[2] for part in ElementTree.fromstring(svg).iter()} == {"svg", "title", "rect", "text"}
    assert cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).shape[1] == 2400
    server.write(reading(21))  # the next one begins
    assert {status for status, _, _ in _ask(server).values()} == {404}


def test_who_looks_later_is_told_of_the_timeline_too(server):
    server.write(reading(0))
    server.end(_clip())

    async def talk(session, url):
        async with session.ws_connect(url + "/live") as ws:
            return unpack_any((await ws.receive(10)).data)

    told = speak(server, talk)
    assert (told["live"], told["recorded"]) == (False, in_a_sentence(_clip()))
    server.write(reading(1))
    for _ in range(100):
        told = speak(server, talk)
        if told["live"]:
            break
    assert (told["live"], told["recorded"]) == (True, "")


def test_a_timeline_is_for_whoever_may_see_the_page(pipeline, monkeypatch):
    monkeypatch.setenv("EDGE_TOKEN", "correct horse")
    with Server(pipeline.bundle.config, port=0) as server:
        server.write(reading(0))
        for end in (lambda: None, lambda: server.end(_clip())):  # nor is it told whether there is one
            end()
            for headers in ({}, {"Authorization": "Bearer wrong"}):
                assert {(status, b"token" in body) for status, _, body in _ask(server, **headers).values()} == {(401, True)}
            assert {status for status, _, _ in _ask(server, Origin="http://evil.example").values()} == {403}
        assert {status for status, _, _ in _ask(server, Authorization="Bearer correct horse").values()} == {200}


@pytest.mark.parametrize(
    ("source", "status"),
    [(["--video"], 200), (["--max-frames", "5", "--camera"], 200), (["--camera"], 404)],
)
def test_edge_run_serves_the_timeline_of_what_has_an_end(video, source, status):
    command = [
        sys.executable,
        "-m",
        "edge.cli",
        *source,
        str(video),
        "--explain",
        "off",
        "--serve",
        "0",
        "--device",
        "cpu",
        "--threads",
        "1",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            url = process.stderr.readline().split()[-1].rstrip("/")

            async def talk():
                async with aiohttp.ClientSession() as session, session.ws_connect(url + "/live") as ws:
                    while True:
                        packet = unpack_any((await ws.receive()).data)
                        if packet.get("recorded") or (status == 404 and packet.get("live") is False):
                            break
                    async with session.get(url + "/recording/timeline.svg") as answer:
                        return packet["recorded"], answer.status, await answer.text()

            said, found, text = asyncio.run(asyncio.wait_for(talk(), 60))
            assert found == status
            if status == 200:
                assert re.fullmatch(r"clip.avi, [\d.]+ s, 1 person. Person 1: happiness, \d+% pooled over all frames.", said)
                assert "Happiness" in list(ElementTree.fromstring(text).itertext())
        finally:
            process.kill()
