"""Bundles whose policy is a SmolVLM-family model (Idefics3, SmolVLM): its own vision tower and language model, the runtime's contract.

The fast path stays the small encoder's: label, cues and points of every frame cost what they always cost. `vision_encoder.onnx` hands the
crop on in place of visual tokens, and `policy_vision.onnx` (the model's tower and connector) looks at it only when an explanation is due.
The crop is the same grey face of 96 pixels that everything else is trained, calibrated and measured on, scaled up inside the graph: a
policy is fine-tuned on what it will see.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoModelForImageTextToText, PreTrainedModel, PreTrainedTokenizerFast

from edge.bundle import CALIBRATION, HASHES, SCREEN, Bundle, PolicySpec
from edge.errors import InputError
from edge.language.grammar import FILE
from edge.language.policy import RationalePolicy
from edge.pipeline import Pipeline
from edge.profiles import prompt_length
from export.bundle import Runs, _config
from export.calibrate import calibrate
from export.finder import write_screen
from export.graphs import ReadingsGraph, export_graph, export_language, export_readers
from export.moves import add_moves
from export.plots import draw_calibration
from export.publish import write_config
from export.visibility import FIGURES, graft
from training.augment import SIZE
from training.data import load_ferplus
from training.encoder import load_encoder
from training.face import load_face
from training.folders import new_folder
from training.levelled import crop_spec
from training.screen import load_screen
from training.verifier import load_verifier
from training.visibility import load_visibility

log = logging.getLogger(__name__)
FAMILY = ("smolvlm", "idefics3")
PROMPT = "Which expression does this face show, and why?"
MAX_NEW_TOKENS = 96
CALIBRATION_FACES = 512
TOLERANCE = 2e-3
_AROUND, _GLOBAL, _TURN_END = "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"


class TowerGraph(nn.Module):
    """Crops `[N,1,S,S]` (0…1) → visual tokens `[N,T,D]`: scaled up, made three-coloured, seen by the tower, shuffled by the connector."""

    def __init__(self, model: PreTrainedModel, mean: float, std: float) -> None:
        super().__init__()
        inner = model.model
        tower = inner.vision_model
        self.patches, self.encoder, self.norm = tower.embeddings.patch_embedding, tower.encoder, tower.post_layernorm
        self.connector, self.size, self.mean, self.std = inner.connector, model.config.vision_config.image_size, mean, std
        self.register_buffer("places", _places(tower))

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        states = self.patches(self.prepare(pixel_values)).flatten(2).transpose(1, 2) + self.places
        states = self.encoder(inputs_embeds=states, attention_mask=None).last_hidden_state
        return self.connector(self.norm(states))

    def prepare(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """What the model's own image processor would make of the crop: `[N,3,size,size]`, normalised."""
        scaled = F.interpolate(pixel_values, (self.size, self.size), mode="bilinear", align_corners=False)
        return ((scaled - self.mean) / self.std).expand(-1, 3, -1, -1)


@torch.no_grad()
def _places(tower: nn.Module) -> torch.Tensor:
    """The position embeddings `[1,P,D]` of a whole square picture, as the model's own code picks them."""
    seen: list[torch.Tensor] = []
    size, embeddings = tower.embeddings.image_size, tower.embeddings
    hook = embeddings.position_embedding.register_forward_hook(lambda module, given, found: seen.append(found))
    side = size // embeddings.patch_size
    embeddings(pixel_values=torch.zeros(1, 3, size, size), patch_attention_mask=torch.ones(1, side, side, dtype=torch.bool))
    hook.remove()
    return seen[0]


def is_large(folder: Path) -> bool:
    """Whether a folder holds a model of the SmolVLM family."""
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type") in FAMILY
    except (OSError, ValueError, RecursionError, AttributeError):
        return False


def load_large(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Load model and tokenizer of a folder; `InputError` when they are damaged or of another shape than is handled here."""
    try:
        model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    except Exception as error:  # transformers', tokenizers' and safetensors' own classes
        raise InputError(f"cannot load the policy in '{folder}': {str(error).splitlines()[0]}") from None
    text = model.config.get_text_config()
    if text.model_type != "llama" or getattr(text, "attention_bias", False) or getattr(text, "mlp_bias", False):
        raise InputError(f"the language model in '{folder}' is of type '{text.model_type}': Llama without biases is handled")
    return model, tokenizer


def policy_spec(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, prompt: str = PROMPT) -> PolicySpec:
    """Prompt and limits of a model of the family: one picture in its user's turn, then the question, then the assistant's turn."""
    known = tokenizer.get_vocab()
    around = _AROUND if _AROUND in known else ""
    whole = _GLOBAL if _GLOBAL in known else ""
    end = _TURN_END if _TURN_END in known else ""
    before, after = f"User:{around}{whole}", f"{around}{prompt}{end}\nAssistant:"
    config, text = model.config, model.config.get_text_config()
    side = config.vision_config.image_size // config.vision_config.patch_size
    return PolicySpec(
        bos=tokenizer.bos_token_id,
        eos=known.get(end, tokenizer.eos_token_id),
        image=config.image_token_id,
        tokens_per_frame=side**2 // config.scale_factor**2,
        max_frames=1,
        max_new_tokens=MAX_NEW_TOKENS,
        layers=text.num_hidden_layers,
        kv_heads=text.num_key_value_heads,
        head_dim=text.head_dim,
        candidates=4,
        temperature=0.8,
        prefix=tokenizer(before, add_special_tokens=False).input_ids,
        suffix=tokenizer(after, add_special_tokens=False).input_ids,
        constrained=False,
        tower=True,
    )


def export_policy(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, spec: PolicySpec, source: Path) -> None:
    """Write the policy's three graphs and its tokenizer into a bundle's folder."""
    mean, std = _normalisation(source)
    faces = torch.export.Dim("faces", min=1, max=16)
    export_graph(folder / "policy_vision.onnx", TowerGraph(model, mean, std), (torch.rand(2, 1, SIZE, SIZE),), {"pixel_values": {0: faces}},
                 ["visual_tokens"])  # fmt: skip
    longest = prompt_length(spec, spec.max_frames)
    capacity = longest + spec.max_new_tokens + 1
    export_language(folder, model.model.text_model, model.lm_head, longest=longest + 1, capacity=capacity + 1, positions=capacity)
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))


@torch.no_grad()
def generate(model: PreTrainedModel, spec: PolicySpec, tower: TowerGraph, crops: np.ndarray) -> torch.Tensor:
    """Greedy tokens `[N,≤max_new_tokens]` of crops `[N,S,S]` (0…1), by the model's own `generate`."""
    ids = [spec.bos, *spec.prefix, *[spec.image] * spec.tokens_per_frame, *spec.suffix]
    pixels = tower.prepare(torch.from_numpy(crops)[:, None])[:, None]
    given = torch.tensor([ids]).repeat(len(crops), 1)
    written = model.generate(
        input_ids=given, attention_mask=torch.ones_like(given), pixel_values=pixels, do_sample=False, max_new_tokens=spec.max_new_tokens,
        eos_token_id=spec.eos, pad_token_id=spec.eos, suppress_tokens=[spec.image],
    )  # fmt: skip
    return written[:, len(ids) :]


def build_large(runs: Runs, data: Path, out: Path) -> dict[str, Any]:
    """Build, check and calibrate a bundle around a large policy.

    Args:
        runs: trained parts; `policy` is the folder of the model.
        data: folder of the data packs; validation faces are used.
        out: the bundle's folder; an existing one is replaced at the very end.

    Returns:
        Parity and calibration figures.

    Raises:
        InputError: a part is missing, torch and ONNX disagree, or the policy does not speak the template (fine-tune it first).
    """
    model, tokenizer = load_large(runs.policy)
    face, (verifier, verifier_tokenizer) = load_face(runs.face), load_verifier(runs.verifier)
    encoder, cue_model = load_encoder(runs.encoder)
    faces, valid = load_ferplus(data, "train"), load_ferplus(data, "valid").at(SIZE)
    spec = policy_spec(model, tokenizer)
    visibility = load_visibility(runs.visibility)
    with new_folder(out, HASHES) as folder:
        export_readers(folder, face, ReadingsGraph(encoder.eval()), verifier)
        graft(folder / "vision_encoder.onnx", visibility.network)
        write_screen(folder / f"{SCREEN}.onnx", load_screen(runs.screen))
        export_policy(folder, model, tokenizer, spec, runs.policy)
        verifier_tokenizer.save(str(folder / "verifier_tokenizer.json"))
        shutil.copyfile(runs.grammar / FILE, folder / FILE)
        config = _config(
            model, _Speaks(tokenizer), cue_model, crop_spec(faces), dataclasses.replace(runs, policy=runs.encoder), visibility.threshold
        )
        record = {name: run for name, run in config.provenance["runs"].items() if name != "policy"}
        config = dataclasses.replace(config, policy=spec, provenance={**config.provenance, "runs": record, "policy": runs.policy.name})
        config = add_moves(folder, config, data)
        write_config(folder, config)
        with Pipeline.load(folder, device="cpu") as pipeline:
            parity = check_large(pipeline, model, TowerGraph(model, *_normalisation(runs.policy)).eval(), valid.images[:8])
            log.info("parity %s", parity)
            found = calibrate(pipeline, valid.take(np.arange(min(CALIBRATION_FACES, len(valid)))))
        draw_calibration(folder / CALIBRATION, found.confidence, found.right)
        figures = {"parity": parity, "validation": found.seen, FIGURES: visibility.figures}
        write_config(folder, dataclasses.replace(found.config, metrics=figures))
        Bundle.load(folder)
    return figures


def check_large(pipeline: Pipeline, model: PreTrainedModel, tower: TowerGraph, images: np.ndarray) -> dict[str, float]:
    """Compare the exported policy with the model's own `generate` on faces `[N,S,S]` uint8; `InputError` when they disagree."""
    policy, crops = pipeline.explainer.policy, pipeline.encoder(images).tokens
    assert policy.tower is not None
    with torch.no_grad():
        pixels = tower.prepare(torch.from_numpy(crops)[:, None])
        wanted = model.get_image_features(pixels[:, None]).numpy()
    seen = policy.tower.run({"pixel_values": crops[:, None]})["visual_tokens"]
    error = float(np.abs(seen - wanted).max() / max(1.0, float(np.abs(wanted).max())))
    texts = [_text_of(policy, row.tolist()) for row in generate(model, policy.spec, tower, crops)]
    same = float(np.mean([a == b for a, b in zip(texts, policy.greedy(crops), strict=True)]))
    if not (error <= TOLERANCE and same >= 0.99):
        raise InputError(f"torch and ONNX disagree: visual tokens by {error:.1e}, equal completions {same:.3f}")
    return {"visual_tokens": error, "equal_completions": same}


def _text_of(policy: RationalePolicy, ids: list[int]) -> str:
    """What the runtime makes of generated ids: nothing where the end was not reached."""
    end = ids.index(policy.spec.eos) if policy.spec.eos in ids else None
    return "" if end is None else policy.tokenizer.decode(ids[:end])


def _normalisation(folder: Path) -> tuple[float, float]:
    """Mean and spread of the model's image processor, over the colours; 0.5 where it names none."""
    try:
        values = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
        return float(np.mean(values["image_mean"])), float(np.mean(values["image_std"]))
    except (OSError, ValueError, KeyError, TypeError):
        return 0.5, 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class _Speaks:
    """What `_config` asks of a processor."""

    tokenizer: PreTrainedTokenizerFast
