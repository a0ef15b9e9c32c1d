"""Vocabularies of what users hold, and the table of networks."""

from __future__ import annotations

import lzma
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import transformers
from sklearn.base import clone
from transformers import AutoTokenizer

from bertvectorizer import LanguageModel, architectures, train_wordpiece
from bertvectorizer.errors import InvalidParameterError, InvalidTextError, ModelError
from bertvectorizer.models.language.architectures import ARCHITECTURES
from bertvectorizer.models.store.session_store import session_directory
from tests.processes import run_python

TEXTS = [
    "".join(random.Random(number).choices("abcdefghij ", weights=[*[2] * 10, 5], k=60))
    for number in range(60)
]
PATTERNS = [" ".join("abcdefgh"[start : start + 5]) + "\nx y" for start in range(4)] * 6
SMALL = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2}
PROGRAM = """
import random, sys
from pathlib import Path
from bertvectorizer import train_wordpiece
texts = Path(sys.argv[1]).read_text().splitlines()
random.shuffle(texts)
directory = train_wordpiece(texts, vocab_size=150)
print(directory)
print((directory / "tokenizer.json").read_text())
"""


def tokenizer_file(directory: Path) -> str:
    return (directory / "tokenizer.json").read_text(encoding="utf-8")


def test_every_process_learns_the_same(tmp_path: Path) -> None:
    """With many ties, other orders, hashes and threads. A directory of no name is removed."""
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(TEXTS), encoding="utf-8")
    expected = tokenizer_file(train_wordpiece(path, vocab_size=150, directory=tmp_path / "here"))
    assert tokenizer_file(train_wordpiece(TEXTS[::-1], vocab_size=150)) == expected
    # The trainer by itself gives another vocabulary in every call.
    threads = {"RAYON_NUM_THREADS": "3", "TOKENIZERS_PARALLELISM": "true", "PYTHONHASHSEED": "1"}
    directory, _, found = run_python(PROGRAM, path, **threads).partition("\n")
    assert found.strip() == expected.strip()
    assert not Path(directory).exists()
    # Where others remove what a killed process leaves.
    assert train_wordpiece(path, vocab_size=150).parent == session_directory()


def test_texts_as_users_hold_them(tmp_path: Path) -> None:
    expected = tokenizer_file(train_wordpiece(TEXTS, 100))
    packed = tmp_path / "texts.txt.xz"
    with lzma.open(packed, "wt", encoding="utf-8") as file:
        file.write("\n".join(TEXTS))
    held: list[Any] = [
        pd.Series([*TEXTS, None, float("nan")]),
        pd.DataFrame({"text": TEXTS}),
        (text for text in TEXTS),
        packed,
    ]
    for number, texts in enumerate(held):
        directory = train_wordpiece(texts, 100, directory=tmp_path / str(number))
        assert directory == (tmp_path / str(number)).resolve()
        assert tokenizer_file(directory) == expected
    opened = AutoTokenizer.from_pretrained(tmp_path / "0")
    assert opened.tokenize("[MASK] Á!") == ["[MASK]", "a", "[UNK]"]
    assert opened.decode(opened("ab")["input_ids"]) == "[CLS] ab [SEP]"


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("a text", r"Got a single str: 'a text'.*\[text\]"),
        (["a", b"b"], "Got bytes b'b' in row 1"),
        (iter(["a", 3]), "Got int 3 in row 1"),
        ([["a"]], "Got list"),
        ([None, ""], "at least one word"),
        (Path("nowhere.txt"), "'nowhere.txt' cannot be read: there is no such file"),
    ],
)
def test_what_is_no_text(texts: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidTextError, match=message):
        train_wordpiece(texts, directory=tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "config.json").touch()
    with pytest.raises(InvalidParameterError, match="'directory' parameter must be the path of a"):
        train_wordpiece(TEXTS, directory=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_the_table_of_networks() -> None:
    table = architectures()
    assert table.index.tolist() == list(ARCHITECTURES)
    sizes = ["layers", "hidden_size", "heads", "feed_forward_size"]
    assert table.loc["transformer", sizes].tolist() == [6, 512, 8, 2048]
    assert table.loc["bert-large", sizes].tolist() == [24, 1024, 16, 4096]
    assert table.loc["gpt", [*sizes, "objective"]].tolist() == [12, 768, 12, 3072, "causal"]
    smaller = architectures(1000)
    lost = (table["vocab_size"] - 1000) * table["hidden_size"]
    assert (table["parameters"] - smaller["parameters"] == lost).all()
    with pytest.raises(InvalidParameterError, match="'vocab_size' parameter"):
        architectures(0)


@pytest.mark.parametrize(
    ("architecture", "objective", "auto_class"),
    [
        ("tiny", "auto", transformers.AutoModelForMaskedLM),
        (SMALL, "masked+next_sentence", transformers.AutoModelForPreTraining),
        (SMALL | {"model_type": "gpt2"}, "auto", transformers.AutoModelForCausalLM),
        (SMALL | {"model_type": "openai-gpt"}, "causal", transformers.AutoModelForCausalLM),
    ],
)
def test_a_language_model_from_nothing(
    architecture: Any, objective: str, auto_class: Any, tmp_path: Path
) -> None:
    """Its vocabulary is that of its texts, or one that was learned before, which is the same."""
    path = tmp_path / "texts.txt"
    pair = objective == "masked+next_sentence"
    path.write_text(("\n\n" if pair else "\n").join(PATTERNS), encoding="utf-8")
    parameters: dict[str, Any] = {
        "architecture": architecture,
        "objective": objective,
        "max_length": 40,
        "learning_rate": 5e-3,
        "batch_size": 4,
        "random_state": 0,
        "device": "cpu",
    }
    model = LanguageModel(vocab_size=60, **parameters).fit(path)
    given = train_wordpiece(path, 60, directory=tmp_path / "tokenizer")
    again = LanguageModel(tokenizer=given, **parameters).fit(path)
    assert again.checkpoint_files_ == model.checkpoint_files_
    saved = model.save_pretrained(tmp_path / "saved")
    _, info = auto_class.from_pretrained(saved, output_loading_info=True)
    assert not info["missing_keys"]
    assert AutoTokenizer.from_pretrained(saved).model_max_length == 40
    longer = LanguageModel(tokenizer=given, epochs=3, **parameters).fit(path)
    assert longer.loss_curve_[-1] < longer.loss_curve_[0]


def test_what_the_process_has_set_changes_nothing() -> None:
    settings = {"vocab_size": 60, "random_state": 0, "max_length": 40, "device": "cpu"}
    model = LanguageModel(architecture=SMALL, **settings)
    expected = clone(model).fit(PATTERNS).checkpoint_files_
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode(), torch.autocast("cpu"):
            assert clone(model).fit(PATTERNS).checkpoint_files_ == expected
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_language_model_reads_its_texts_twice(tmp_path: Path) -> None:
    with pytest.raises(InvalidTextError, match="'fit' also learns a vocabulary"):
        LanguageModel(architecture="tiny").fit(iter(PATTERNS))
    with pytest.raises(InvalidParameterError, match="'vocab_size' parameter must be at least"):
        LanguageModel(architecture="tiny", vocab_size=9).fit(PATTERNS)
    with pytest.raises(InvalidParameterError, match=r"'tokenizer'.*Got 5"):
        LanguageModel(architecture="tiny", tokenizer=5).fit(PATTERNS)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="tokenizer"):
        LanguageModel(architecture="tiny", tokenizer=tmp_path).fit(PATTERNS)
    nowhere: dict[str, Any] = {"tokenizer": "no/where", "local_files_only": True}
    with pytest.raises(ModelError, match=r"'tokenizer' parameter: [\s\S]*hub: skipped, since"):
        LanguageModel(architecture="tiny", **nowhere).fit(PATTERNS)
    with pytest.raises(InvalidParameterError, match="'objective' parameter must be one that suits"):
        LanguageModel(architecture="gpt", objective="masked").fit(PATTERNS)
