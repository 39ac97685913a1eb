"""Other words for what a bundle says, and nothing else touched: `python -m export reword BUNDLE --out DIR`.

A policy chooses phrases by number, and a statement is held against what its phrase states. So the phrases of `training/phrases.py` can be
called otherwise without training, as long as each still states the same and the verifier reads it alike.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge.bundle import HASHES, Bundle
from edge.errors import InputError
from edge.files import read_json
from edge.language.grammar import FILE, read_grammar
from edge.language.verifier import SentenceVerifier
from edge.pipeline import Pipeline
from export.publish import write_config
from training.constraint import make_tokenizer
from training.folders import new_folder
from training.language import build
from training.run import provenance

TOKENIZER = "tokenizer.json"
ALIKE = 0.2
"""By so much what the verifier reads in a phrase, emotions and claims, may differ from what it read in the one before."""


def reword(folder: Path, out: Path) -> dict[str, str]:
    """Write a copy of a bundle that says the same in the words of `training/phrases.py`; the phrases that changed, old → new.

    Args:
        folder: the bundle.
        out: the new bundle; an existing one is replaced at the very end.

    Raises:
        BundleError: the bundle is damaged.
        InputError: the phrases state other things, the verifier reads one otherwise, or `out` cannot be written.
    """
    bundle = Bundle.load(folder)
    before = read_json(bundle.folder / FILE)
    after = build(before["rules"])
    try:
        old, new = read_grammar(before), read_grammar(after)
    except ValueError as error:
        raise InputError(f"training/phrases.py makes no grammar: {error}") from None
    words = make_tokenizer(new).backend_tokenizer
    known, said = (json.loads(text)["model"]["vocab"] for text in ((bundle.folder / TOKENIZER).read_text("utf-8"), words.to_str()))
    pairs = list(zip(old.phrases, new.phrases, strict=False))
    if (
        [p.says for p in old.phrases] != [p.says for p in new.phrases]
        or before["moves"] != after["moves"]
        or len(known) != len(said)
        or any(known[a.text] != said[b.text] for a, b in pairs)
    ):
        raise InputError(f"training/phrases.py states other things than '{folder}' does: train the grammar, and what stands on it, anew")
    changed = {a.text: b.text for a, b in pairs if a.text != b.text}
    with Pipeline.load(folder, device="cpu") as pipeline:
        _check_alike(pipeline.explainer.verifier, changed)
    with new_folder(out, HASHES, sources=[bundle.folder]) as fresh:
        for path in bundle.folder.iterdir():
            shutil.copyfile(path, fresh / path.name)
        (fresh / FILE).write_text(json.dumps(after, ensure_ascii=False) + "\n", encoding="utf-8")
        words.save(str(fresh / TOKENIZER))
        write_config(fresh, replace(bundle.config, provenance={**bundle.config.provenance, "reworded": provenance()["commit"]}))
        Pipeline.load(fresh, device="cpu").close()
    return changed


def _check_alike(verifier: SentenceVerifier, changed: dict[str, str]) -> None:
    """Raise `InputError` where the verifier reads a new phrase as something else than the old one."""
    if not changed:
        return
    sentences = [f"{text[0].upper()}{text[1:].rstrip('. ')}." for pair in changed.items() for text in pair]
    read = verifier(sentences)
    gap = np.maximum(*(np.abs(part[0::2] - part[1::2]).reshape(len(changed), -1).max(1) for part in (read.emotions, read.claims)))
    if (gap > ALIKE).any():
        told = ", ".join(f"'{new}' for '{old}' ({far:.2f})" for (old, new), far in zip(changed.items(), gap, strict=True) if far > ALIKE)
        raise InputError(f"the verifier does not read these as it read the phrases before, by more than {ALIKE}: {told}")
