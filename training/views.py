"""What the frozen encoder reads from the faces: computed once, then the language stages train and are measured on it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import LogitsProcessorList, PreTrainedTokenizerFast

from training.augment import Targets, augment, plain
from training.cues import CueModel
from training.data import FerPlus
from training.network import Encoder
from training.policy import ErvPolicy, prompt_text
from training.run import progress
from training.writer import Readings

_TOLD = ("emotion", "cues", "pose")
"""What the policy is told."""


@dataclass(frozen=True, slots=True)
class Views:
    """What the frozen encoder read from `V` views of each face, all `[N,V,…]` float32 tensors."""

    emotion: torch.Tensor
    cues: torch.Tensor
    pose: torch.Tensor

    def readings(self, view: int = 0, temperature: float = 1.0) -> Readings:
        """One view of every face, as a writer takes it; probabilities at a calibration temperature."""
        emotion = (self.emotion[:, view].float() / temperature).softmax(1)
        return Readings(self.cues[:, view].float().numpy(), self.pose[:, view].float().numpy(), emotion.numpy())

    def pick(self, rows: torch.Tensor, views: torch.Tensor) -> dict[str, torch.Tensor]:
        """Readings of `[B]` faces in `[B,F]` views, frames flattened: `[B·F,…]`."""
        flat = (rows[:, None].expand_as(views).reshape(-1), views.reshape(-1))
        return {name: getattr(self, name)[flat].float() for name in _TOLD}


@torch.no_grad()
def look(encoder: Encoder, faces: FerPlus, cue_model: CueModel, views: int, seed: int) -> Views:
    """Read every face plainly and in `views` augmented forms."""
    encoder = encoder.eval().to(memory_format=torch.channels_last)
    targets, generator = Targets.of(faces, cue_model), torch.Generator().manual_seed(seed)
    parts: dict[str, list[torch.Tensor]] = {name: [] for name in _TOLD}
    for rows in progress(torch.arange(len(faces)).split(512), "look"):
        chosen = targets.take(rows)
        pictures = [plain(chosen.images)]
        pictures += [augment(chosen, generator).images for _ in range(views)]
        with torch.autocast("cpu", torch.bfloat16):
            read = encoder(torch.stack(pictures, 1).flatten(0, 1).contiguous(memory_format=torch.channels_last))
        for name, store in parts.items():
            store.append(read[name].half().unflatten(0, (len(rows), views + 1)))
    return Views(*(torch.cat(parts[name]) for name in _TOLD))


@torch.no_grad()
def complete(policy: ErvPolicy, tokenizer: PreTrainedTokenizerFast, views: Views, batch: int = 512) -> list[str]:
    """Greedy completions of the faces' plain views, tags kept, without start and end tokens."""
    policy.eval()
    device = next(policy.parameters()).device
    prompt = tokenizer(prompt_text(tokenizer, 1), add_special_tokens=False, return_tensors="pt").input_ids
    texts = []
    for rows in torch.arange(len(views.emotion)).split(batch):
        read = views.pick(rows, torch.zeros(len(rows), 1, dtype=torch.long))
        ids = prompt.expand(len(rows), -1).to(device)
        embeds = policy.get_input_embeddings()(ids).clone()
        embeds[:, 1:] = policy.projector({name: value.to(device) for name, value in read.items()})
        out = policy.decoder.generate(
            inputs_embeds=embeds, attention_mask=torch.ones_like(ids), do_sample=False,
            max_new_tokens=policy.generation_config.max_new_tokens, suppress_tokens=policy.generation_config.suppress_tokens,
            logits_processor=LogitsProcessorList([policy.constraint] if policy.constraint else []),
        )  # fmt: skip
        written = tokenizer.batch_decode(out, skip_special_tokens=False)
        texts += [text.split(tokenizer.eos_token)[0].removeprefix(tokenizer.bos_token) for text in written]
    return texts
