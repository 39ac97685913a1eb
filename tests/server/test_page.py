"""The page in a real browser: Debian's Chromium, headless, with a fake camera that films the portrait."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.clip import summarise
from edge.outputs.timeline import as_png, as_svg, in_a_sentence
from edge.outputs.words import in_words, measure
from edge.pipeline import Pipeline
from edge.types import StreamStatus, Verdict

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None:
    pytest.skip("the page's tests need chromium: apt-get install chromium", allow_module_level=True)
pytest.importorskip("aiohttp", reason="the page needs aiohttp")
playwright = pytest.importorskip("playwright.sync_api", reason="the page's tests need playwright")

from edge.server import Server  # noqa: E402


@pytest.fixture(scope="module")
def chromium(tmp_path_factory, portrait) -> Iterator:
    """A browser whose camera films the portrait, slowly panned."""
    film = tmp_path_factory.mktemp("camera") / "camera.mjpeg"
    frames = (cv2.resize(portrait[:384, i : i + 512 - 40], (640, 480)) for i in range(0, 40, 2))
    film.write_bytes(b"".join(cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames))
    options = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*options, f"--use-file-for-fake-video-capture={film}"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium) -> Iterator:
    """A page that fails the test when it reports an error, or asks for anything from elsewhere."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on("request", lambda request: None if re.match(r"(http|ws)://127\.0\.0\.1:", request.url) else faults.append(request.url))
    page.faults = faults
    yield page
    context.close()
    assert not page.faults


@pytest.fixture
def server(pipeline) -> Iterator[Server]:
    with Server(pipeline.bundle.config, port=0) as running:
        yield running


def _two_faces(portrait: np.ndarray) -> np.ndarray:
    picture = np.full((480, 640, 3), 110, np.uint8)
    picture[100:356, 20:276] = portrait[0:256, 96:352]
    picture[60:380, 310:630] = cv2.resize(portrait[0:256, 96:352], (320, 320))
    return picture


def _verified(page, seconds: float = 30) -> None:
    page.wait_for_selector('#verdict[data-status="verified"]', timeout=seconds * 1000)


def _reads(page, part: str, text: str | re.Pattern[str]) -> None:
    playwright.expect(page.locator(part)).to_have_text(text, timeout=40_000)


def _shown(page) -> np.ndarray:
    data = page.locator("#picture").screenshot()
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def test_page_shows_the_browsers_face_with_a_verified_explanation_within_5_s(page, portrait):
    command = [sys.executable, "-m", "edge.cli", "--serve", "0", "--threads", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            url = process.stderr.readline().split()[-1]
            spent = []
            while len(spent) < 3 and min(spent, default=9) >= 5:  # a slow moment of the machine is no fault of the page
                page.goto(url, wait_until="commit")
                began = time.monotonic()
                _verified(page, 60)
                spent.append(time.monotonic() - began)
            assert page.inner_text("#emotion").lower() == "happiness"
            assert page.inner_text("#text").endswith(".")
            assert page.locator("#statements li").count() >= 2
            assert page.inner_text("#notice") == "Expression analysis is on"
            assert re.fullmatch(r"[\d.]+ ms", page.inner_text("#total"))
            assert page.is_disabled("input[value=device]"), "there is no source but the browser"
            film, seen = (cv2.resize(image, (32, 24), interpolation=cv2.INTER_AREA) for image in (portrait[:384, 20:492], _shown(page)))
            alike = [np.corrcoef(seen.ravel(), candidate.ravel())[0, 1] for candidate in (cv2.flip(film, 1), film)]
            assert alike[0] > max(0.5, alike[1] + 0.2), "the picture is the camera's, mirrored"
            busy = os.getloadavg()[0] > 2 * (os.cpu_count() or 1)
            assert min(spent) < (60 if busy else 5)
        finally:
            process.kill()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_page_has_no_serious_accessibility_fault(page, server, pipeline, portrait, theme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(server.url)
    before = axe.Axe().run(page).response["violations"]
    reading = pipeline(_two_faces(portrait))
    server.write(reading, _two_faces(portrait))
    _verified(page)
    page.wait_for_selector("#faces:not([hidden])")
    server.end(summarise([reading, replace(reading, t_ms=reading.t_ms + 40)]))
    page.wait_for_selector("#recorded:not([hidden])")
    found = before + axe.Axe().run(page).response["violations"]
    serious = [f"{v['id']}: {[n['html'] for n in v['nodes']]}" for v in found if v["impact"] in ("serious", "critical")]
    assert not serious
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is wider than the window"


def test_page_follows_the_servers_source_and_says_when_it_has_ended(page, server, pipeline, portrait):
    page.goto(server.url)
    _reads(page, "#state", re.compile("^Waiting"))
    server.write(pipeline(np.full((240, 320, 3), 90, np.uint8)), np.full((240, 320, 3), 90, np.uint8))
    _reads(page, "#state", "")
    assert page.inner_text("#emotion") == "No face in view"
    blank = _shown(page)
    assert abs(float(blank.mean()) - 90) < 5
    server.write(pipeline(portrait), portrait)
    _verified(page)
    server.end()
    _reads(page, "#state", re.compile("ended"))
    assert page.inner_text("#emotion").lower() == "happiness"


def test_page_shows_the_timeline_of_a_recording_that_has_ended_and_saves_it(page, server, pipeline, portrait, tmp_path):
    read = [replace(pipeline(portrait), source="<img src=x>.mp4", frame=i, t_ms=40.0 * i) for i in range(25)]
    page.goto(server.url)
    server.write(read[-1], portrait)
    _verified(page)
    playwright.expect(page.locator("#recorded")).to_be_hidden()
    clip = summarise(read)
    server.end(clip)
    _reads(page, "#state", re.compile("Its timeline is below"))
    picture = page.locator("#recording")
    playwright.expect(picture).to_have_attribute("alt", in_a_sentence(clip))
    page.wait_for_function("document.querySelector('#recording').naturalWidth === 1200")
    painted = cv2.imdecode(np.frombuffer(as_png(clip), np.uint8), cv2.IMREAD_COLOR)
    picture.scroll_into_view_if_needed()
    shown = cv2.imdecode(np.frombuffer(picture.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    small = (cv2.resize(image, (120, 40), interpolation=cv2.INTER_AREA).astype(float) for image in (painted, shown))
    assert np.abs(np.subtract(*small)).mean() < 4, "the browser shows what the PNG does"
    for kind, link in (("svg", "Save as SVG"), ("png", "Save as PNG")):
        with page.expect_download() as saving:
            page.click(f"text={link}")
        assert saving.value.suggested_filename == f"timeline.{kind}"
        saving.value.save_as(tmp_path / f"t.{kind}")
    assert (tmp_path / "t.svg").read_text(encoding="utf-8") == as_svg(clip)
    assert (tmp_path / "t.png").read_bytes() == as_png(clip)
    assert not page.locator("#recorded script, #recorded img[src=x]").count()
    server.write(read[0], portrait)
    playwright.expect(page.locator("#recorded")).to_be_hidden()


class Watched:
    def __init__(self) -> None:
        self.state, self.asked = "live", []

    @property
    def status(self) -> StreamStatus:
        return StreamStatus(self.state, 10.0, 5, 7, 100.0, 0, "camera:0 was lost")

    def explain(self, track: int | None = None) -> None:
        self.asked.append(track)

    def counterfactual(self, track: int | None = None) -> None:
        self.asked.append(("counterfactual", track))


def test_page_asks_for_an_explanation_and_says_that_the_source_is_lost(page, server, pipeline, portrait):
    watched = Watched()
    server.follow(watched)
    page.goto(server.url)
    reading, until_s = pipeline(portrait, explain=False), time.monotonic() + 40
    while not page.inner_text("#rate").endswith("7 left out"):  # takes three pictures in two seconds; the first come before it listens
        assert time.monotonic() < until_s
        server.write(reading, portrait)
        page.wait_for_timeout(50)
    page.click("#ask")
    watched.state = "reconnecting"
    _reads(page, "#state", re.compile("The source is lost.*camera:0 was lost"))
    assert watched.asked == [1]
    watched.state = "live"
    _reads(page, "#state", "")


def test_page_lists_every_statement_with_its_measure_and_whether_it_holds(page, server, pipeline, portrait):
    reading = pipeline(portrait)
    page.goto(server.url)
    server.write(reading, portrait)
    _verified(page)
    said = reading.faces[0].explanation.statements
    rows = page.locator("#statements li").all()
    assert [row.locator("span").first.inner_text() for row in rows] == [in_words(s) for s in said]
    assert [row.locator(".value").inner_text().split(" ✓")[0] for row in rows] == [measure(s).replace("-", "−") for s in said]
    assert {row.locator(".value .unseen").inner_text() for row in rows} == {"holds"}
    assert page.locator("#statements rect").count() == sum(bool(s.within) for s in said), "where it has one, the tolerance is drawn"


def test_page_shows_on_request_what_became_of_the_answer_without_each_statement(page, movable, portrait):
    reading, watched = movable(portrait), Watched()
    (face,) = reading.faces
    found = movable.counterfactual(portrait, face)
    taken = [one for one in found.undone if not one.reason]
    read_back = replace(taken[0], cue_after=0.1 * taken[0].cue_before)
    followed = replace(found, undone=tuple(read_back if one is taken[0] else one for one in found.undone))
    with Server(movable.config, port=0) as server:
        server.follow(watched)
        page.goto(server.url)
        server.write(movable(portrait, explain=False), portrait)
        _reads(page, "#state", "")
        playwright.expect(page.locator("#doubt")).to_be_hidden()
        server.write(reading, portrait)
        _verified(page)
        playwright.expect(page.locator("#doubted-part")).to_be_hidden()
        page.click("#doubt")
        page.wait_for_timeout(200)
        assert watched.asked == [("counterfactual", 1)]
        server.write(replace(reading, faces=(replace(face, counterfactual=followed),)), portrait)
        page.wait_for_selector("#doubted-part:not([hidden])")
        rows = page.locator("#doubted li")
        assert rows.count() == len(taken)
        first, second = rows.nth(0).inner_text(), rows.nth(1).inner_text()
        assert first.startswith(f"without {taken[0].words}: happiness {found.probability:.2f} → {taken[0].probability:.2f}")
        assert "followed: 90 % of the way." in first
        assert "no proof" not in first
        assert re.search(r"followed only \d+ % of the way: no proof\.", second), "what the reading did not see proves nothing"
        page.click("#kept-part summary")
        kept = page.locator("#kept").inner_text()
        left = [one for one in found.undone if one.reason and one.statement.kind != "conclusion"]
        assert left
        assert all(f"{in_words(one.statement)}: {one.reason}" in kept for one in left)
        assert f"nothing taken back: {found.control:.2f}" in page.inner_text("#control")
        server.write(reading, portrait)
        page.wait_for_selector("#doubted-part", state="hidden")


def test_page_offers_no_counterfactual_of_a_bundle_that_tells_none(page, pipeline, portrait):
    with Server(replace(pipeline.config, movable=[]), port=0) as server:
        server.follow(Watched())
        page.goto(server.url)
        server.write(pipeline(portrait), portrait)
        _verified(page)
        playwright.expect(page.locator("#doubt")).to_be_hidden()


def test_page_shows_no_statement_of_a_text_that_is_withheld(page, server, pipeline, portrait):
    reading = pipeline(portrait)
    page.goto(server.url)
    server.write(reading, portrait)
    _verified(page)
    (face,) = reading.faces
    rejected = replace(face, explanation=replace(face.explanation, status=Verdict.REJECTED))
    server.write(replace(reading, faces=(rejected,)), portrait)
    page.wait_for_selector('#verdict[data-status="rejected"]')
    playwright.expect(page.locator("#statements-part")).to_be_hidden()


def test_page_draws_the_claims_on_the_face(page, server, pipeline, portrait):
    reading = pipeline(portrait)
    page.goto(server.url)
    server.write(reading, portrait)
    _verified(page)
    shown = _shown(page)
    scale = shown.shape[0] / portrait.shape[0]
    left = (shown.shape[1] - portrait.shape[1] * scale) / 2
    cues = {cue.name: cue.points for cue in pipeline.bundle.config.cues}
    (face,) = reading.faces
    for claim in face.explanation.claims:
        for x, y in face.points_xy[cues[claim.cue]] * scale:
            blue, green, red = map(int, shown[round(float(y)), round(float(left + x))])
            assert green > red + 40, f"{claim.cue} is not marked"
            assert green > blue


def test_page_lets_the_user_choose_a_face_by_keyboard(page, server, pipeline, portrait):
    picture = _two_faces(portrait)
    reading = pipeline(picture)
    page.goto(server.url)
    server.write(reading, picture)
    page.wait_for_selector("#faces:not([hidden])")
    page.focus("#faces input:checked")
    page.keyboard.press("ArrowRight")
    _reads(page, "#timeline-face", "face 2")
    server.write(reading, picture)  # the choice and the focus outlast the next picture
    page.wait_for_timeout(300)
    assert page.evaluate("document.activeElement.value") == "2"
    page.locator("#picture").click(position={"x": 0.74 * page.locator("#picture").bounding_box()["width"], "y": 270})
    _reads(page, "#timeline-face", "face 1")


def test_page_is_reached_by_tab_and_pauses(page, server, pipeline, portrait):
    page.goto(server.url)
    server.write(pipeline(portrait), portrait)
    _verified(page)
    page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(3):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.value"))
        outline = page.evaluate("getComputedStyle(document.activeElement.nextElementSibling ?? document.activeElement).outlineStyle")
        assert outline != "none" or reached[-1] in ("pause", "theme")
    assert reached == ["device", "pause", "theme"]
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    assert page.inner_text("#pause") == "Go on"
    assert "on" in page.inner_text("#notice"), "a paused page does not stop the analysis"
    server.write(pipeline(np.zeros((240, 320, 3), np.uint8)), np.zeros((240, 320, 3), np.uint8))
    page.wait_for_timeout(300)
    assert page.inner_text("#emotion").lower() == "happiness"
    page.keyboard.press("Enter")
    _reads(page, "#emotion", "No face in view")


def test_page_keeps_the_theme_that_was_chosen(page, server):
    page.emulate_media(color_scheme="light")
    page.route("**/about", lambda route: None)  # never answered: a click counts from when the page is shown
    page.goto(server.url)
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.click("#theme")
    assert page.evaluate(paper) == light
    page.click("#theme")
    dark = page.evaluate(paper)
    assert dark != light
    page.unroute("**/about")
    page.reload()
    _reads(page, "#theme", "Theme: dark")
    assert page.evaluate(paper) == dark


def test_page_tells_screen_readers_only_what_holds(page, server, pipeline, portrait):
    page.goto(server.url)
    page.evaluate(
        "window.told = []; new MutationObserver(() => told.push(document.querySelector('#spoken').textContent))"
        ".observe(document.querySelector('#spoken'), {childList: true})"
    )
    face, none = pipeline(portrait), pipeline(np.zeros((512, 512, 3), np.uint8))
    for i in range(10):  # flicker
        server.write((face, none)[i % 2], portrait)
        page.wait_for_timeout(100)
    assert page.evaluate("told") == []
    for _ in range(20):
        server.write(face, portrait)
        page.wait_for_timeout(100)
    assert page.evaluate("told") == ["Face 1: happiness, explanation verified"]


def test_page_comes_back_when_the_server_does(page, pipeline, portrait):
    config = pipeline.bundle.config
    with Server(config, port=0) as server:
        page.goto(server.url)
        port = int(server.url.rsplit(":", 1)[1].strip("/"))
        until = time.monotonic() + 15
        while not server.hub.pictures:
            assert time.monotonic() < until, "the page does not connect"
            page.wait_for_timeout(50)
    _reads(page, "#state", re.compile("Trying again"))
    assert "server stops" in page.inner_text("#state")
    with Server(config, port=port) as server:
        server.write(pipeline(portrait), portrait)
        _verified(page)
    page.faults[:] = [fault for fault in page.faults if "WebSocket" not in fault]  # the tries in between


def test_page_says_that_the_camera_is_blocked(chromium, pipeline):
    context = chromium.new_context()
    page = context.new_page()
    page.add_init_script("navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', 'NotAllowedError'); }")
    with Server(pipeline.bundle.config, lambda: Pipeline.load(), port=0, source=False) as server:
        page.goto(server.url)
        _reads(page, "#state", re.compile("^The camera is blocked"))
    context.close()


def test_page_files_are_all_in_the_package():
    folder = Path(sys.modules["edge.server"].__file__).parent / "page"
    named = set(re.findall(r'(?:href|src|from )=?"(?:\./)?([\w.]+)"', "".join(f.read_text() for f in folder.iterdir())))
    assert named <= {f.name for f in folder.iterdir()}
    assert {"page.js", "page.css", "icon.svg", "wire.js"} <= named
