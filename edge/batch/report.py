"""What a run leaves beside its tables: a summary with a line for each recording, and a manifest that proves it."""

from __future__ import annotations

import csv
import io
import platform
import sys
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge.batch.results import DONE, FAILED, PARTIAL, Identity, Results, cannot_write
from edge.batch.study import Study
from edge.errors import UsageError
from edge.outputs.layouts import guarded
from edge.whole import write_whole

_FIRST = ("name", "file", "status", "reason", "kind", "seconds", "fps", "width", "height", "frames_container", "frames_decoded", "rows",
          "frames_with_face", "gaps", "longest_gap_s", "people")  # fmt: skip
_PERSON = ("track", "frames", "read", "unclear", "verified")


def summary_columns(labels: list[str], cues: list[str], told: list[str]) -> list[str]:
    """The summary's columns: what the list told, what was counted, and the person seen in most frames.

    Raises:
        UsageError: the list has a column of the same name as one of ours.
    """
    ours = [*_FIRST, *(f"person_{name}" for name in _PERSON)]
    ours += [*(f"share_{name}" for name in labels), *(f"mean_cue_{name}" for name in cues)]
    for name in told:
        if name in ours:
            raise UsageError(f"the list has a column '{name}', which the summary has of its own: rename it")
    return [*told, *ours]


def told_of(study: Study) -> list[str]:
    """The columns that a list has beside the file and the name."""
    return list(dict.fromkeys(key for item in study.items for key in item.told))


def write_summary(results: Results, study: Study, records: dict[str, dict[str, Any]], labels: list[str], cues: list[str]) -> None:
    """Write `summary.csv`; cells are empty where nothing was measured. Raises `OutputError`."""
    text = io.StringIO(newline="")
    names = summary_columns(labels, cues, told_of(study))
    writer = csv.DictWriter(text, names, restval="")
    writer.writeheader()
    for item in sorted(study.items, key=lambda item: item.name):
        record = records.get(item.name)
        if record is not None:
            writer.writerow({name: _cell(value) for name, value in (item.told | _line(record, labels)).items()})
    path = results.folder / "summary.csv"
    try:
        write_whole(path, text.getvalue().encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise cannot_write(path, error) from None


def _line(record: dict[str, Any], labels: list[str]) -> dict[str, Any]:
    line = {name: record[name] for name in _FIRST if name in record}
    if record.get("persons"):
        person = record["persons"][0]
        line |= {f"person_{name}": person[name] for name in _PERSON}
        if person["shares"]:
            line |= {f"share_{name}": person["shares"].get(name, 0.0) for name in labels}
        line |= {f"mean_cue_{name}": value for name, value in person["mean_cues"].items()}
    return line


def _cell(value: Any) -> Any:
    return "" if value is None else guarded(value) if isinstance(value, str) else value


def write_manifest(
    results: Results, study: Study, records: dict[str, dict[str, Any]], run: Identity, bundle: Path, stopped: str, began: datetime
) -> None:
    """Write `manifest.json`: what the run was, and every recording with its hashes and counts. Raises `OutputError`."""
    ordered = [records[item.name] for item in sorted(study.items, key=lambda item: item.name) if item.name in records]
    counts = {status: sum(record["status"] == status for record in ordered) for status in (DONE, PARTIAL, FAILED)}
    totals = {
        name: sum(record.get(name, 0) for record in ordered) for name in ("frames_decoded", "rows", "gaps", "seconds", "read_seconds")
    }
    content = {
        "run": asdict(run) | {"digest": run.digest},
        "python": sys.version.split()[0],
        "platform": f"{platform.system()} {platform.machine()}",
        "bundle_folder": str(bundle),
        "source": study.source,
        "began": began.isoformat(timespec="seconds"),
        "ended": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "stopped": stopped,
        "recordings": len(study.items),
        "not_reached": sorted(item.name for item in study.items if item.name not in records),
        **counts,
        **{name: round(value, 3) for name, value in totals.items()},
        "failures": [{"name": record["name"], "reason": record["reason"]} for record in ordered if record["status"] != DONE],
        "passed_over": study.passed_over,
        "records": ordered,
    }
    results.write(results.folder / "manifest.json", content)
