"""Who the server lets in."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

aiohttp = pytest.importorskip("aiohttp", reason="the server needs aiohttp")

from serving import speak, status  # noqa: E402

from edge.server import Server  # noqa: E402
from edge.server.guard import Gate, host_name, token_for  # noqa: E402

HOME = Gate("127.0.0.1", None)


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
    assert status(server, path, Origin="http://evil.example") == 403
    assert status(server, path, Host="evil.example") == 403
    assert status(server, path) in (200, 426)


def test_a_foreign_page_cannot_open_a_socket(server):
    async def talk(session, url):
        for path in ("/live", "/readings", "/camera"):
            for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await session.ws_connect(url + path, headers=headers)
                assert refused.value.status == 403
            ws = await session.ws_connect(url + path, headers={"Origin": url})
            await ws.close()

    speak(server, talk)


def test_a_token_opens_by_address_header_or_cookie_and_a_wrong_one_does_not(pipeline, monkeypatch):
    monkeypatch.setenv("EDGE_TOKEN", "correct horse")
    with Server(pipeline.bundle.config, port=0) as server:
        assert server.url.endswith("/?token=correct%20horse")
        assert [status(server, path) for path in ("/", "/page.js", "/live", "/?token=wrong", "/about?token=")] == [401] * 5
        assert status(server, "/about", Authorization="Bearer wrong") == 401
        assert status(server, "/about", Authorization="Bearer correct horse") == 200

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
        assert status(server, "/?token=wrong", Authorization="Bearer correct horse") == 303, "a wrong one beside a right one does no harm"


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

    found = speak(server, talk)
    assert {status for status, _, _ in found.values()} == {200}
    for _, headers, _ in found.values():
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
    assert "http" not in found["/"][2].replace("http-equiv", ""), "nothing comes from elsewhere"
    assert json.loads(found["/about"][2])["labels"][1] == "happiness"
