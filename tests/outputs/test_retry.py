"""A run that read nothing does not stand in the way of the next one."""

import pytest

from edge.cli import main
from edge.errors import UsageError
from edge.outputs import CsvSink


def test_a_table_of_a_run_that_read_nothing_does_not_block_the_next_try(tmp_path, portrait_path, capsys):
    table, absent = tmp_path / "t.csv", tmp_path / "absent.mp4"
    absent.write_bytes(b"no video")
    command = ["--csv", str(table), "--no-display", "--explain", "off"]
    assert main(["--video", str(absent), *command]) == 4
    assert not table.exists()
    assert main(["--image", str(portrait_path), *command]) == 0
    assert table.read_text().count("\n") == 2
    assert main(["--image", str(portrait_path), *command]) == 2, "what has rows is never overwritten"
    assert "exists" in capsys.readouterr().err


def test_a_table_of_another_run_is_never_removed(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("another's")
    with pytest.raises(UsageError, match="exists"):
        CsvSink(table, ["neutral"], ["jaw_drop"])
    assert table.read_text() == "another's"
