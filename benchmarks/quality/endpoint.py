"""A large model as a judge, behind any OpenAI-compatible endpoint."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass

import numpy as np
from tqdm.auto import tqdm

from edge.errors import InputError
from edge.language.labels import EMOTIONS_8

KEY = "OPENAI_API_KEY"
"""Environment variable with the key, where the endpoint wants one."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the judge answers."""

    url: str
    """Up to and with `/v1`."""
    model: str
    timeout_s: float = 60.0

    def judge(self, texts: list[str]) -> np.ndarray:
        """The label that each rationale speaks for, `[N]`; −1 for an empty one, or for an answer that is no label.

        Raises:
            InputError: the endpoint cannot be reached or does not answer in the expected form.
        """
        return np.array([self._one(text) if text else -1 for text in tqdm(texts, desc="endpoint", leave=False, disable=None)])

    def _one(self, text: str) -> int:
        question = (
            "A text describes a face. Which emotion does the described face show? Answer with one word of: "
            f"{', '.join(EMOTIONS_8)}.\n\nText: {text}"
        )
        body = {"model": self.model, "temperature": 0, "max_tokens": 8, "messages": [{"role": "user", "content": question}]}
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ.get(KEY, '')}"}
        request = urllib.request.Request(f"{self.url.rstrip('/')}/chat/completions", json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s) as answer:
                said = json.load(answer)["choices"][0]["message"]["content"].strip().strip(".").lower()
        except (urllib.error.URLError, OSError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
            raise InputError(f"the judge at '{self.url}' did not answer: {error}") from None
        return EMOTIONS_8.index(said) if said in EMOTIONS_8 else -1
