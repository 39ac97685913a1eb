"""Who the server tells what, however many they are and however slow."""

import asyncio
import json
import time

import numpy as np
import pytest

from edge import Reading

aiohttp = pytest.importorskip("aiohttp", reason="the server needs aiohttp")

from serving import reading, speak, stalled, status, unpack_any, wait_for  # noqa: E402

from edge.server import Server, app  # noqa: E402


def test_a_client_that_comes_late_is_told_the_newest_reading(server, portrait):
    async def talk(session, url):
        for frame in range(5):
            server.write(reading(frame), portrait)
        server.end()
        await asyncio.sleep(0.1)
        async with session.ws_connect(url + "/live") as live, session.ws_connect(url + "/readings") as plain:
            packet = (await live.receive(10)).data
            return unpack_any(packet), packet[-2:], json.loads((await plain.receive(10)).data)

    seen, tail, told = speak(server, talk)
    assert (seen["live"], seen["reading"]["frame"], tail) == (False, 4, b"\xff\xd9")
    assert told == reading(4).to_dict()


def test_the_end_is_shown_and_no_reading_is_told_twice(server, portrait):
    async def talk(session, url):
        async with session.ws_connect(url + "/live") as live, session.ws_connect(url + "/readings") as plain:
            server.write(reading(1), portrait)
            told = [json.loads((await plain.receive(10)).data)["frame"]]
            server.end()
            while unpack_any((await live.receive(10)).data)["live"]:
                pass
            server.write(reading(2), portrait)
            server.end()
            told.append(json.loads((await plain.receive(10)).data)["frame"])
            with pytest.raises(asyncio.TimeoutError):
                await plain.receive(0.3)
            return told

    assert speak(server, talk) == [1, 2]


def test_a_slow_client_is_given_the_newest_reading(server):
    async def talk(session, url):
        async with session.ws_connect(url + "/readings") as ws:
            frames = []
            for frame in range(40):  # the loop of this client does not run meanwhile
                server.write(reading(frame))
                time.sleep(0.002)
            big = "x" * 200_000
            for frame in range(40, 80):
                server.write(Reading(big, frame, 0.0, 1, 1, ()))
                time.sleep(0.002)
            while not frames or frames[-1] < 79:
                frames.append(json.loads((await ws.receive(10)).data)["frame"])
            return frames

    frames = speak(server, talk)
    assert frames == sorted(set(frames))
    assert len(frames) < 80, "what could not be sent in time was left out"


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
        wait_for(lambda: server.hub.places.taken == 100)
        for frame in range(frames):
            began = time.perf_counter()
            server.write(reading(frame), picture)
            spent.append(time.perf_counter() - began)
            time.sleep(0.1)

    async def talk(url):
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            told = asyncio.gather(*(listen(session, url) for _ in range(90)))
            await asyncio.to_thread(film)
            return await told

    with stalled(server, 10):
        told = asyncio.run(asyncio.wait_for(talk(server.url.rstrip("/")), 60))
        wait_for(lambda: server.hub.places.taken == 0)  # those that took nothing were cut off
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
        speak(server, talk)


def test_a_fifth_camera_waits_outside(server):
    async def talk(session, url):
        sockets = [await session.ws_connect(url + "/camera") for _ in range(app.MAX_CAMERAS)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(url + "/camera")
        for ws in sockets:
            await ws.close()
        return refused.value.status

    assert speak(server, talk) == 503


def test_a_server_without_a_reader_reads_no_camera(pipeline):
    with Server(pipeline.bundle.config, port=0) as server:
        assert status(server, "/camera") == 404
