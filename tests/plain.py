"""Vectors of words and spans by Hugging Face, one text at a time, to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

POOLINGS = ("first", "last", "first_last", "mean")


@lru_cache(maxsize=8)
def plain_model(directory: str | Path) -> tuple[Any, Any]:
    """Tokenizer and model, as the library itself loads them."""
    return (
        transformers.AutoTokenizer.from_pretrained(directory),
        transformers.AutoModel.from_pretrained(directory).eval(),
    )


def plain_states(directory: str | Path, ids: Sequence[int]) -> NDArray[np.float32]:
    """Hidden states of a sequence. *Shape:* ``(n_layers + 1, n_tokens, hidden)``."""
    with torch.inference_mode():
        states = plain_model(directory)[1](
            input_ids=torch.tensor([list(ids)]), output_hidden_states=True
        ).hidden_states
    return np.stack([state[0].numpy() for state in states])


def pooled(tokens: NDArray[np.float32], pooling: str) -> NDArray[np.float32]:
    """Pool a word's tokens, ``(..., n_tokens, hidden)``, to ``(..., width)``; zeros if none."""
    if not tokens.shape[-2]:
        return np.zeros(
            (*tokens.shape[:-2], tokens.shape[-1] * (2 if pooling == "first_last" else 1)),
            dtype=np.float32,
        )
    first, last = tokens[..., 0, :], tokens[..., -1, :]
    return {
        "first": first,
        "last": last,
        "first_last": np.concatenate([first, last], axis=-1),
        "mean": tokens.mean(axis=-2),
    }[pooling]


def by_word_ids(
    directory: str | Path, words: list[str], pooling: str = "mean"
) -> NDArray[np.float32]:
    """Vectors of a document's words by ``word_ids()``: ``(n_layers + 1, n_words, width)``."""
    encoded = plain_model(directory)[0](words, is_split_into_words=True)
    states = plain_states(directory, encoded["input_ids"])
    of_token = np.array([-1 if word is None else word for word in encoded.word_ids()])
    return np.stack(
        [pooled(states[:, of_token == word], pooling) for word in range(len(words))], axis=1
    )


def overlapping(offsets: Sequence[tuple[int, int]], start: int, end: int) -> list[int]:
    """The tokens with a character of a span, and all between, also those without characters."""
    inside = [
        number
        for number, (first, last) in enumerate(offsets)
        if first < end and last > start and last > first
    ]
    return list(range(inside[0], inside[-1] + 1)) if inside else []


def is_space(encoded: Any, text: str, token: int) -> bool:
    """Whether a token stands for the space before a word."""
    blank = not text[slice(*encoded["offset_mapping"][token])].strip()
    return blank and encoded.tokens()[token] in ("▁", "Ġ")


def tokens_of_span(encoded: Any, text: str, start: int, end: int) -> list[int]:
    """The tokens of a span, and the space before it if that is a token of its own."""
    inside = overlapping(encoded["offset_mapping"], start, end) if start < end else []
    has_own = bool(inside) and encoded.tokens()[inside[0]].startswith(("▁", "Ġ"))
    if inside and inside[0] and not has_own and is_space(encoded, text, inside[0] - 1):
        inside.insert(0, inside[0] - 1)
    return inside


def by_offsets(
    directory: str | Path, text: str, spans: Any, pooling: str = "mean", prompt: str = ""
) -> NDArray[np.float32]:
    """Vectors of a short text's spans by ``offset_mapping``: ``(n_layers + 1, n_spans, width)``."""
    encoded = plain_model(directory)[0](prompt + text, return_offsets_mapping=True)
    states, moved = plain_states(directory, encoded["input_ids"]), np.asarray(spans) + len(prompt)
    inside = [tokens_of_span(encoded, prompt + text, *span) for span in moved.tolist()]
    return np.stack([pooled(states[:, tokens], pooling) for tokens in inside], axis=1)


def in_windows(
    directory: str | Path,
    text: str,
    spans: Any,
    max_length: int,
    stride: int,
    pooling: str = "mean",
    prompt: str = "",
) -> tuple[NDArray[np.float32], int]:
    """Vectors of spans, each from the window with most context on its poorer side, and their count.

    A side that ends where the text ends lacks nothing. A span that is in no window whole has one of
    its own, with as much on its left as on its right; one that no window can hold is read from its
    start.
    """
    tokenizer = plain_model(directory)[0]
    encoded = tokenizer(prompt + text, return_offsets_mapping=True, add_special_tokens=False)
    ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
    n_prompt = sum(last <= len(prompt) for _, last in offsets) if prompt else 0
    if n_prompt and is_space(encoded, prompt + text, n_prompt - 1):
        n_prompt -= 1
    whole, middle = (
        tokenizer("a")["input_ids"],
        tokenizer("a", add_special_tokens=False)["input_ids"],
    )
    n_before = next(
        position
        for position in range(len(whole))
        if whole[position : position + len(middle)] == middle
    )
    head, tail = whole[:n_before] + ids[:n_prompt], whole[n_before + len(middle) :]
    body, room = ids[n_prompt:], max_length - len(head) - len(tail)
    last = max(len(body) - room, 0)
    grid = [*range(0, last, room - stride), last]
    states: dict[int, NDArray[np.float32]] = {}
    rows = []
    for start, end in (np.asarray(spans) + len(prompt)).tolist():
        inside = tokens_of_span(encoded, prompt + text, start, end)
        tokens = [number - n_prompt for number in inside]
        if not tokens:
            rows.append(
                pooled(
                    np.zeros(
                        (plain_model(directory)[1].config.num_hidden_layers + 1, 0, 32),
                        dtype=np.float32,
                    ),
                    pooling,
                )
            )
            continue
        context = {
            window: min(
                tokens[0] - window if window else np.inf,
                window + room - 1 - tokens[-1] if window < last else np.inf,
            )
            for window in grid
            if window <= tokens[0] and tokens[-1] < window + room
        }
        if context:
            window = max(context, key=lambda key: (context[key], -key))
        elif len(tokens) < room:
            window = min(max((tokens[0] + tokens[-1] + 1 - room) // 2, 0), last)
        else:
            window = min(tokens[0], last)
        if window not in states:
            states[window] = plain_states(directory, [*head, *body[window : window + room], *tail])
        read = [len(head) + token - window for token in tokens if token < window + room]
        rows.append(pooled(states[window][:, read], pooling))
    return np.stack(rows, axis=1), len(states)
