import pytest

from edge.errors import InputError
from edge.files import parse_json, read_bounded, read_json


def test_a_file_is_read_up_to_its_bound(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_bounded(path, 5) == b"12345"
    with pytest.raises(InputError, match="longer than 4 bytes"):
        read_bounded(path, 4)


@pytest.mark.parametrize("name", ["", "none", "x" * 5000, "a\0b", "/dev/zero"])
def test_what_is_no_file_is_named(tmp_path, name):
    with pytest.raises(InputError, match="cannot read"):
        read_bounded(tmp_path / name if name[:1] != "/" else name, 100)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "1e400", "9" * 400, "-" + "9" * 5000, "9223372036854775808", "[" * 100_000, "{", ""])
def test_json_without_a_value_that_can_be_used_is_refused(tmp_path, text):
    with pytest.raises(ValueError):  # noqa: PT011 (whichever message)
        parse_json(text)
    (tmp_path / "file").write_text(text)
    with pytest.raises(InputError, match="not JSON that can be read"):
        read_json(tmp_path / "file")


def test_json_is_read(tmp_path):
    (tmp_path / "file").write_text('{"a": [1, -2.5e3, 9223372036854775807, null, true, "ü"]}', encoding="utf-8")
    assert read_json(tmp_path / "file") == {"a": [1, -2500.0, 2**63 - 1, None, True, "ü"]}
