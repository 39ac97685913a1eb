"""What a value of a configuration may be, written beside its field, and one function that builds a configuration from JSON by it.

@dataclass
class FaceSpec:
    threshold: Annotated[float, Range(0.01, 1)]

build(FaceSpec, {"threshold": 0.45}, "face")
"""

from __future__ import annotations

import math
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

Spec = TypeVar("Spec")


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds of a number, or of a list's or a text's length; both belong to it."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:g}" if self.low == self.high else f"{self.low:g} to {self.high:g}"


Share = Annotated[float, Range(0, 1)]
"""A probability, or a part of a whole."""
Name = Annotated[str, Range(1, 80)]
"""A word or two that are shown."""
_ITEMS, _TEXT = Range(0, 100_000), Range(0, 10_000)
_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", list: "a list", dict: "an object"}


def build(kind: type[Spec], values: Any, where: str, *, numbers: Range | None = None) -> Spec:
    """Build a dataclass from parsed JSON, its fields by their annotations: numbers, texts, lists and dataclasses, to any depth.

    Args:
        kind: the dataclass.
        values: parsed JSON.
        where: what the values are, as errors call them.
        numbers: bounds of the numbers whose field has none of its own; `None`: every number must have some.

    Raises:
        ValueError: an unknown or a missing key, a value of another kind, or one outside its range.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{where} must be an object, got {_shown(values)}")
    hints = get_type_hints(kind, include_extras=True)
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - set(known)):
        raise ValueError(f"{where} has an unknown key {', '.join(map(_shown, unknown))}: expected {', '.join(known)}")
    needed = {name for name, field in known.items() if field.default is MISSING and field.default_factory is MISSING}
    if missing := sorted(needed - set(values)):
        raise ValueError(f"{where} lacks {', '.join(missing)}")
    return kind(**{name: _value(hints[name], value, f"{where}.{name}", numbers) for name, value in values.items()})


def _value(hint: Any, value: Any, where: str, numbers: Range | None) -> Any:
    limits: Range | None = None
    if get_origin(hint) is Annotated:
        hint, limits = get_args(hint)[:2]
    if is_dataclass(hint):
        return build(hint, value, where, numbers=numbers)  # type: ignore[arg-type]
    plain = get_origin(hint) or hint
    if plain is Any:
        return value
    if plain not in _KINDS:
        raise TypeError(f"{where}: a field of {hint} has no reader")  # ours: the dataclass is wrong, not the file
    fits = isinstance(value, int | float if plain is float else plain) and (plain is bool or not isinstance(value, bool))
    if not fits:
        raise ValueError(f"{where} must be {_KINDS[plain]}, got {_shown(value)}")
    if plain in (int, float):
        bounds = limits or numbers
        assert bounds, f"{where} has no range"
        if not math.isfinite(value) or value not in bounds:
            raise ValueError(f"{where} must be {bounds}, got {_shown(value)}")
    elif plain is str:
        if len(value) not in (limits or _TEXT) or not value.isprintable():
            raise ValueError(f"{where} must be {limits or _TEXT} letters that can be printed, got {_shown(value)}")
    elif plain is list:
        if len(value) not in (limits or _ITEMS):
            raise ValueError(f"{where} must have {limits or _ITEMS} values, got {len(value)}")
        (inner,) = get_args(hint)
        return [_value(inner, item, f"{where}[{i}]", numbers) for i, item in enumerate(value)]
    elif plain is dict and get_args(hint)[1] is not Any:
        return {key: _value(get_args(hint)[1], item, f"{where}.{key}", numbers) for key, item in value.items()}
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
