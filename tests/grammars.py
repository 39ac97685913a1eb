"""Grammars for tests: the whole language as if the encoder could read every cue."""

from __future__ import annotations

from functools import cache

from edge.language.grammar import Grammar, read_grammar
from training.cues import CUE_NAMES
from training.language import GrammarConfig, build, make_rules

CONFIG = GrammarConfig(0.9, 0.1, 5, {"": 1.6}, {"": 0.9}, ["lip_corners", "inner_brow", "outer_brow"], {"": 2.1}, {"": 3.0}, 1)


@cache
def whole_grammar() -> Grammar:
    """Every phrase there is."""
    return read_grammar(build(make_rules({cue: {"1": 1.6, "-1": 1.6} for cue in CUE_NAMES}, CONFIG)))
