"""`python -m training STAGE`: train one part of the model. `--help` lists the stages, and after each of them tells more."""

from __future__ import annotations

import argparse
import logging
import sys
from importlib import import_module
from pathlib import Path

from edge.boundary import guarded
from training.data import data_folder
from training.folders import check_out

STAGES = {
    "face": "the face finder, from faces_in_context.zip",
    "encoder": "the vision encoder, from FER+ images, votes and landmarks",
    "steady": "a trained encoder to keep to its answer under other light, with other skin, from the other side",
    "temperatures": "how sure a trained encoder may be, from labelled faces of both worlds",
    "screen": "which of the finder's finds are faces, from what it finds in composed pictures",
    "visibility": "which cues are in sight, from FER+ faces that are covered on the spot",
    "grammar": "the language of rationales, with what the encoder can be trusted to say",
    "sft": "the policy's cold start on written rationales",
    "large": "a large policy's cold start: a Hugging Face vision-language model on written rationales",
    "verifier": "the teacher: a pretrained text encoder that reads sentences, from GoEmotions and written rationales",
    "distill": "the small verifier that ships, from the teacher",
    "judge": "the independent judge of whole rationales, which no reward ever uses",
    "grpo": "the policy's alignment with rewards",
}
CONFIGS = {"temperatures": "encoder"}
"""Stages that are configured as another one."""
MODULES = {"grammar": "language"}
"""Stages whose module has another name."""
#: Stage → what else it needs: option, default (`None`: must be given), help.
NEEDS: dict[str, tuple[tuple[str, str | None, str], ...]] = {
    "encoder": (("start", "", "run of an earlier encoder, whose trunk is kept (default: none)"),),
    "steady": (("encoder", "runs/encoder", "run of the encoder"),),
    "temperatures": (("encoder", "runs/encoder", "run of the encoder"),),
    "screen": (("face", "runs/face", "run of the face finder"),),
    "grammar": (("encoder", "runs/encoder", "run of the encoder"),),
    "sft": (("encoder", "runs/encoder", "run of the encoder"), ("grammar", "runs/grammar", "run of the grammar")),
    "large": (
        ("encoder", "runs/encoder", "run of the encoder"),
        ("grammar", "runs/grammar", "run of the grammar"),
        ("policy", None, "vision-language model, hub name or folder"),
    ),
    "verifier": (
        ("encoder", "runs/encoder", "run of the encoder"),
        ("grammar", "runs/grammar", "run of the grammar"),
        ("teacher", None, "text encoder, hub name or folder"),
    ),
    "distill": (
        ("encoder", "runs/encoder", "run of the encoder"),
        ("grammar", "runs/grammar", "run of the grammar"),
        ("teacher", "runs/teacher", "run of the teacher"),
    ),
    "judge": (("encoder", "runs/encoder", "run of the encoder"), ("grammar", "runs/grammar", "run of the grammar")),
    "grpo": (
        ("encoder", "runs/encoder", "run of the encoder"),
        ("grammar", "runs/grammar", "run of the grammar"),
        ("policy", "runs/sft/policy", "policy to align: folder or hub name"),
        ("verifier", "runs/verifier", "run of the verifier, or of its teacher"),
    ),
}


def main(argv: list[str] | None = None) -> int:
    """Parse, train, return an exit code."""
    return guarded("python -m training", lambda: _main(argv))


def _main(argv: list[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training", description="Train one part of the model.")
    stages = parser.add_subparsers(dest="stage", required=True)
    for name, text in STAGES.items():
        stage = stages.add_parser(name, help=text, description=f"Train {text}.")
        stage.add_argument("--data", help="folder of the data packs (default: ERV_DATA, or ../shared/data)")
        stage.add_argument("--out", type=Path, default=Path("runs") / name, help=f"folder of the run (default: runs/{name})")
        stage.add_argument("--config", type=Path, help=f"configuration file (default: training/configs/{CONFIGS.get(name, name)}.json)")
        stage.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="override configuration values (JSON)")
        for option, default, meaning in NEEDS.get(name, ()):
            said = f"{meaning} (default: {default})" if default else meaning
            stage.add_argument(f"--{option}", default=default, required=default is None, help=said)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    module = import_module(f"training.{MODULES.get(args.stage, args.stage)}")
    config = module.configure(args.config, args.set)
    extra = {option: getattr(args, option) for option, _, _ in NEEDS.get(args.stage, ())}
    check_out(args.out, {f"--{option}": Path(value) for option, value in extra.items() if value})
    module.train(data_folder(args.data), args.out, config, **extra)
    return 0


if __name__ == "__main__":
    sys.exit(main())
