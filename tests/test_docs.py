"""What the documents say can be done, can be done."""

import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from edge.batch.command import _parser as _batch_parser
from edge.cli import _parser

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [DOCS / f"{name}.md" for name in ("quickstart", "api", "json", "troubleshooting", "privacy", "studies", "time")]
SNIPPETS = [(path.name, code) for path in PAGES for code in re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)]


@pytest.mark.parametrize(("page", "code"), SNIPPETS, ids=[f"{page}-{i}" for i, (page, _) in enumerate(SNIPPETS)])
def test_docs_snippets_run_as_they_stand(tmp_path, portrait, video, page, code):
    cv2.imwrite(str(tmp_path / "face.jpg"), portrait)
    video.rename(tmp_path / "talk.avi")
    if "tables" in code:
        subprocess.run([sys.executable, "-m", "edge.cli", "--video", "talk.avi", "--csv", "talk.csv", "--explain", "off", "--no-display"],
                       check=True, cwd=tmp_path, capture_output=True)  # fmt: skip
    if "edge.server" in code:
        pytest.importorskip("aiohttp", reason="the page needs aiohttp")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=120
    )
    assert done.returncode == 0, f"{page}: {done.stderr}"


def test_docs_name_only_options_that_exist():
    known = set(_parser()._option_string_actions) | set(_batch_parser()._option_string_actions)
    for path in PAGES:
        for line in re.findall(r"edge-run[^\n`]*|`--[a-z][^`]*`", path.read_text(encoding="utf-8")):
            assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", line)) <= known, f"{path.name}: {line}"


def test_docs_links_lead_somewhere():
    for path in [*PAGES, *(DOCS / f"{name}.md" for name in ("fairness", "data"))]:
        for target in re.findall(r"\]\((?!https:)([^)#]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
