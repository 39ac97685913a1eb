"""Every extra of the runtime, once, for an environment with the lowest versions that pyproject.toml allows: `make test-lowest`.

It needs pytest and nothing of what the other tests need; `.ci/lowest` makes the environment.
"""

from __future__ import annotations

import asyncio
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from edge import Frame, Pipeline
from edge.batch.command import main as study
from edge.cli import main
from edge.cv import cv2
from edge.sources.camera import demo_picture, find_feed, recorded


@pytest.fixture(scope="module")
def pipeline():
    with Pipeline.load(device="cpu") as loaded:
        yield loaded


def test_numpy_opencv_onnxruntime_and_scikit_image(capsys):
    assert main(["--demo", "--json", "--no-display"]) == 0
    (face,) = json.loads(capsys.readouterr().out)["faces"]
    assert face["emotion"] == "happiness"
    assert face["explanation"]["status"] == "verified"


def test_opencv_reads_and_writes_videos(tmp_path, capsys):
    path, portrait = tmp_path / "a.avi", cv2.imread(str(demo_picture()))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (256, 256))
    for i in range(5):
        writer.write(cv2.resize(portrait[:480, i : i + 480], (256, 256)))
    writer.release()
    saved, told = tmp_path / "b.mp4", tmp_path / "b.png"
    assert main(["--video", str(path), "--json", "--no-display", "--explain", "off", "--save", str(saved), "--summary", str(told)]) == 0
    assert cv2.imread(str(told)).shape[1] == 2400
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["faces"][0]["emotion"] for line in lines] == ["happiness"] * 5
    assert len(list(recorded(find_feed(saved)))) == 5
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert main(["--video", str(path), "--json", "--no-display", "--explain", "off"]) == 4
    assert "is truncated" in capsys.readouterr().err


def test_av_reads_interlaced_videos(tmp_path):
    av = pytest.importorskip("av", reason="the video extra")
    from edge.sources.deinterlace import AvDecoder

    path = tmp_path / "fields.mpg"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", 25, options={"flags": "+ildct+ilme"})
        stream.width, stream.height, stream.pix_fmt = 96, 96, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(1, 1)
        for i in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((96, 96, 3), 100 + 20 * i, np.uint8), format="bgr24")))
        container.mux(stream.encode())
    decoder, levels = AvDecoder(str(path)), []
    while decoder.grab():
        levels.append(decoder.retrieve().mean())
    decoder.release()
    assert levels == pytest.approx([100, 120, 140, 160, 180], abs=6)
    assert [frame.image_bgr.mean() for frame in recorded(find_feed(path))] == pytest.approx(levels, abs=3)


def test_python_osc_sends(capsys):
    pytest.importorskip("pythonosc", reason="the osc extra")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        assert main(["--demo", "--json", "--no-display", "--osc", f"127.0.0.1:{receiver.getsockname()[1]}"]) == 0
        assert receiver.recv(4096).startswith(b"/edge/frame")


def test_paho_mqtt_connects_and_publishes(capsys):
    pytest.importorskip("paho.mqtt.client", reason="the mqtt extra")
    with socket.create_server(("127.0.0.1", 0)) as broker, ThreadPoolExecutor(1) as beside:
        broker.settimeout(20)
        address = f"127.0.0.1:{broker.getsockname()[1]}/erv"
        done = beside.submit(main, ["--demo", "--json", "--no-display", "--mqtt", address])
        with broker.accept()[0] as line:
            line.settimeout(20)
            assert line.recv(4096)[0] == 0x10  # CONNECT
            line.sendall(bytes([0x20, 2, 0, 0]))  # CONNACK
            got = b""
            for topic, number in ((b"erv/status", 1), (b"erv/status", 2), (b"erv/reading", 0)):
                while topic not in got:
                    got += (more := line.recv(4096))
                    assert more, "the line was closed before"
                line.sendall(bytes([0x40, 2, 0, number]) if number else b"")  # PUBACK of what is published first: discovery and status
        assert done.result() == 0


def test_aiohttp_serves_the_page_and_its_sockets(pipeline):
    aiohttp = pytest.importorskip("aiohttp", reason="the serve extra")
    from edge.server import Server

    async def visit(url: str, reading, image) -> tuple[int, dict]:
        async with aiohttp.ClientSession() as session:
            async with session.get(url) as page:
                status = page.status
            address = url.replace("http", "ws").replace("/?", "/readings?") if "/?" in url else url.replace("http", "ws") + "readings"
            async with session.ws_connect(address) as ws:
                server.write(reading, image)
                return status, json.loads((await ws.receive(5)).data)

    image = cv2.imread(str(demo_picture()))
    reading = pipeline(image)
    with Server(pipeline.bundle.config, lambda: pipeline, host="127.0.0.1", port=0, source=True, explain="off") as server:
        status, received = asyncio.run(visit(server.url, reading, image))
    assert status == 200
    assert received["faces"][0]["emotion"] == "happiness"


def test_pylsl_publishes(pipeline):
    pytest.importorskip("pylsl", reason="the lsl extra")
    from edge.outputs import LslSink

    config = pipeline.bundle.config
    sink = LslSink("lowest", config.labels, [cue.name for cue in config.cues])
    sink.write(pipeline(cv2.imread(str(demo_picture()))))
    sink.close()


def test_a_stream_of_frames(pipeline):
    image = cv2.imread(str(Path(demo_picture())))
    with pipeline.stream(iter([Frame(image, "mine", i, 40.0 * i) for i in range(3)])) as stream:
        assert [reading.faces[0].emotion for reading in stream] == ["happiness"] * 3


@pytest.mark.parametrize("workers", ["0", "1"])
def test_pyarrow_and_ray_read_a_study(tmp_path, monkeypatch, capsys, workers):
    parquet = pytest.importorskip("pyarrow.parquet", reason="a study's tables need pyarrow")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    (tmp_path / "study").mkdir()
    cv2.imwrite(str(tmp_path / "study" / "face.png"), cv2.imread(str(demo_picture())))
    given = ["--out", str(tmp_path / "out"), "--table", "parquet", "--workers", workers]
    assert study([str(tmp_path / "study"), *given]) == 0, capsys.readouterr().err
    (row,) = parquet.read_table(tmp_path / "out" / "tables" / "face.parquet").to_pylist()
    assert (row["emotion"], row["frame"]) == ("happiness", 0)
