import copy
import json
import re
import shutil

import numpy as np
import pytest
from moving import write_moving_packs
from packs import write_packs

from benchmarks.__main__ import main
from benchmarks.blocks import cell
from benchmarks.report.findings import changes
from benchmarks.report.report import read_run
from benchmarks.speed import clock, reference
from edge.bundle import FILES, SHIPPED
from edge.errors import InputError

QUICK = ["--rounds", "1", "--faces", "4", "--threads", "1"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A whole run on drawn faces."""
    folder = tmp_path_factory.mktemp("bench")
    write_packs(folder, 24)
    with pytest.MonkeyPatch.context() as brief:
        brief.setattr(clock, "CALLS", 1)
        assert main(["all", "--out", str(folder / "run"), "--data", str(folder), *QUICK]) == 0
    return folder / "run"


def test_one_command_measures_everything_and_follows_the_published_schema(run):
    results = read_run(run)
    lacking = {name: part["skipped"] for name, part in results["parts"].items() if not part["figures"]}
    assert lacking == {"intervene": "needs facs_displacements.npz beside the faces"}
    timed = results["parts"]["latency"]["figures"]
    assert timed["variants"]["shipped"]["stages"]["full"]["median_ms"] > 0
    assert {"scaling", "cold"} <= set(timed)
    assert set(results["parts"]["compare"]["figures"]["systems"]["erv-edge"]) >= {"stages", "accuracy"}


def test_without_data_the_timed_parts_remain(run, tmp_path):
    shutil.copytree(run, tmp_path / "bare")
    when = (tmp_path / "bare" / "latency.json").stat().st_mtime_ns
    assert main(["all", "--out", str(tmp_path / "bare"), *QUICK]) == 0
    assert (tmp_path / "bare" / "latency.json").stat().st_mtime_ns == when, "no figure of latency hangs on the data"
    parts = read_run(tmp_path / "bare")["parts"]
    assert {name for name, part in parts.items() if part.get("skipped")} == {
        "accuracy",
        "curves",
        "variants",
        "robustness",
        "audit",
        "intervene",
    }
    assert parts["compare"]["figures"]["systems"]["erv-edge"].keys() >= {"stages"}
    assert "accuracy" not in parts["compare"]["figures"]["systems"]["erv-edge"]


def test_a_finished_piece_is_not_measured_again_and_other_options_measure_anew(run):
    started = {path.name: path.stat().st_mtime_ns for path in run.glob("*.json")}
    (run / "curves.json").unlink()
    (run / "robustness.json").write_text("{")
    given = ["all", "--out", str(run), "--data", str(run.parent)]
    assert main([*given, *QUICK]) == 0
    after = {path.name: path.stat().st_mtime_ns for path in run.glob("*.json")}
    again = {name for name, when in after.items() if started[name] != when}
    assert again == {"curves.json", "robustness.json", "results.json"}
    assert main([*given, *QUICK[:2], "--faces", "5", "--threads", "1"]) == 0
    last = {path.name: path.stat().st_mtime_ns for path in run.glob("*.json")}
    assert last["latency.json"] == after["latency.json"]
    assert last["variants.json"] != after["variants.json"], "it reads other faces now"


def test_the_report_is_one_file_that_needs_nothing_else(run):
    page = (run / "report.html").read_text()
    for part in ("Machine", "Latency", "Energy", "Recognition", "Robustness", "Beside other packages", "Who is read"):
        assert f"<h2>{part}</h2>" in page
    assert page.count("<svg") >= 7
    assert not re.search(r'(?:src|href)="(?!#|data:)', page), "nothing is loaded from elsewhere"
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids)), "pictures must not take each other's parts"
    for target in re.findall(r"url\(#([^)]*)\)", page) + re.findall(r'href="#([^"]*)"', page):
        assert target in ids
    assert "Not measured: neither" in page or "joules each" in page
    words = (run / "report.md").read_text()
    assert "## Robustness" in words
    assert "<svg" not in words


def _changed(run, folder, change):
    results = json.loads((run / "results.json").read_text())
    change(results)
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps(results))
    return folder


def _timed(results):
    return results["parts"]["latency"]["figures"]["variants"]["shipped"]["stages"]


def test_a_slower_stage_and_a_worse_figure_are_flagged(run, tmp_path, capsys):
    def worsen(results):
        for stage, factor in (("encode", 1.3), ("face", 1 / 1.3), ("verify", 1.05)):
            _timed(results)[stage]["matmuls"] *= factor
        results["parts"]["accuracy"]["figures"]["ece"] += 0.02

    worse = _changed(run, tmp_path / "later", worsen)
    assert main(["report", str(run), str(worse), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["regressions"] == ["later: encode, matmuls", "later: ece"]
    page = (worse / "report.html").read_text()
    assert "later against run: 2 regressions" in page
    assert '<td class="text worse">worse</td>' in page
    assert "| worse |" in (worse / "report.md").read_text()
    found = {c.figure: c.verdict for c in changes(read_run(run), read_run(worse))}
    assert (found["face, matmuls"], found["full, matmuls"], found["verify, matmuls"]) == ("better", "same", "same")


def test_variants_stand_side_by_side(run, tmp_path):
    def add(results):
        for name in ("latency", "variants"):
            figures = results["parts"][name]["figures"]
            rows = figures["variants"] if name == "latency" else figures
            rows["int8"] = copy.deepcopy(rows["shipped"])
        rows["int8"] |= {"agreement": 0.99, "bytes": rows["shipped"]["bytes"] // 3}

    folder = _changed(run, tmp_path / "both", add)
    assert main(["report", str(folder)]) == 0
    page = (folder / "report.html").read_text()
    size = sum((SHIPPED / name).stat().st_size for name in FILES) // 3 / 1e6
    assert f'<td class="text">int8</td><td class="">{cell(size)}</td>' in page


def test_a_part_that_was_left_out_says_why(run, tmp_path, capsys):
    def leave_out(results):
        results["parts"]["robustness"] = {"figures": None, "seconds": 0.0, "skipped": "needs --data"}

    folder = _changed(run, tmp_path / "short", leave_out)
    assert main(["report", str(folder)]) == 0
    assert "Not measured: needs --data." in (folder / "report.html").read_text()


def test_moved_faces_are_measured_and_told(run, tmp_path, capsys):
    write_moving_packs(tmp_path)
    assert main(["intervene", "--data", str(tmp_path), "--source", "ferplus", "--faces", "2", "--threads", "1", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    folder = _changed(run, tmp_path / "moved", lambda r: r["parts"].update(intervene={"figures": figures, "seconds": 1.0}))
    assert main(["report", str(folder)]) == 0
    assert "<h2>Would it have said so otherwise</h2>" in (folder / "report.html").read_text()
    words = (folder / "report.md").read_text()
    assert "| there and back |" in words
    assert "| what is undone is no longer said |" in words


def test_what_is_no_run_is_a_clear_error(run, tmp_path, capsys):
    assert main(["report", str(tmp_path / "none")]) == 4
    (tmp_path / "results.json").write_text("{")
    assert main(["report", str(tmp_path)]) == 4
    old = _changed(run, tmp_path / "old", lambda r: r.update(schema=8))
    with pytest.raises(InputError, match=r"of schema 8, and 9 is read here: measure again"):
        read_run(old)
    assert main(["report", str(run), str(old)]) == 4
    broken = _changed(run, tmp_path / "broken", lambda r: r["parts"]["latency"]["figures"].update(matmul_ms="fast"))
    with pytest.raises(InputError, match=r"matmul_ms.*'fast' is not of type 'number'"):
        read_run(broken)
    assert main(["all", "--out", str(tmp_path / "results.json")]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("accuracy", lambda f: f.update(war=1.5), r"accuracy\.figures\.war: 1\.5 is greater than the maximum of 1"),
        ("hardware", lambda f: f.pop("cores"), r"hardware\.figures: 'cores' is a required property"),
        ("latency", lambda f: f["variants"]["shipped"]["stages"].update(lunch={}), "'lunch' does not match any of the regexes"),
        ("latency", lambda f: f["variants"]["shipped"]["stages"]["full"].update(median_ms=0), "0 is less than or equal to the minimum"),
        ("robustness", lambda f: f["clean"].update(war="high"), r"clean\.war: 'high' is not of type"),
        ("audit", lambda f: f["bundles"]["shipped"]["groups"]["all"]["all"].update(odd={}), "'odd' does not match any of the regexes"),
    ],
)
def test_the_schema_refuses_what_is_missing_unknown_or_out_of_range(run, tmp_path, part, change, said):
    broken = _changed(run, tmp_path / "broken", lambda r: change(r["parts"][part]["figures"]))
    with pytest.raises(InputError, match=f"does not follow.*{said}"):
        read_run(broken)


def test_gaps_between_large_groups_follow_the_schema_and_are_told(run, tmp_path):
    gap = {"by": 0.25, "low": 0.1, "high": 0.4, "highest": "White", "lowest": "Black", "chance": 0.03, "p": 0.01, "p_family": 0.02}

    def part(results):
        bundle = results["parts"]["audit"]["figures"]["bundles"]["shipped"]
        bundle["gaps"]["race"]["shares"]["found"] = bundle["changes"]["mirrored"]["label"]["gap"] = gap

    folder = _changed(run, tmp_path / "apart", part)
    assert main(["report", str(folder)]) == 0
    told = (folder / "report.md").read_text()
    assert told.count("0.250 [0.100, 0.400] | Black | White | 0.030 | 0.01 |") == 2, "among the gaps, and of the mirrored ones"
    wrong = _changed(run, tmp_path / "wrong", lambda r: (part(r), gap.update(p=2)))
    with pytest.raises(InputError, match=r"\.p: 2 is greater than the maximum of 1"):
        read_run(wrong)


@pytest.mark.parametrize(
    ("value", "shown"), [(None, ""), (0.123456, "0.123"), (1234.5, "1,234"), (12, "12"), ("x", "x"), (True, "True"), (7.0, "7")]
)
def test_cells_show_three_figures_and_nothing_for_unknown(value, shown):
    assert cell(value) == shown


@pytest.mark.alone
def test_no_stage_is_slower_than_the_committed_reference(pipeline):
    """The smoke test of CI: over 1.5 times the committed matmuls fails. A moment's disturbance is tried again."""
    with type(pipeline).load(device="cpu", threads=1) as single:
        figures = reference.compare(single, reference.read_reference(), attempts=6)
    assert set(figures) == set(reference.STAGES)


def test_a_stage_that_is_slower_fails(pipeline):
    committed = reference.read_reference()
    too_fast = {**committed, "encode": committed["encode"] / 20}
    with type(pipeline).load(device="cpu", threads=1) as single, pytest.raises(reference.SlowdownError, match=r"encode .* matmuls where"):
        reference.compare(single, too_fast, attempts=1, rounds=1)


def test_a_new_reference_is_written_and_read(tmp_path, capsys):
    path = tmp_path / "reference.json"
    assert main(["reference", "--file", str(path)]) == 2
    assert main(["reference", "--write", "--rounds", "1", "--file", str(path)]) == 0
    assert set(reference.read_reference(path)) == set(reference.STAGES)
    assert all(np.isfinite(value) and value > 0 for value in reference.read_reference(path).values())


def test_results_that_lack_a_part_compare_what_is_there(run):
    results = read_run(run)
    bare = copy.deepcopy(results)
    bare["parts"]["latency"] = {"figures": None, "seconds": 0.0, "skipped": "x"}
    assert all("matmuls" not in change.figure for change in changes(results, bare))
