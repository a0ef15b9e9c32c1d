"""Tiny seeded models, made by the tests themselves: every family the engine is tried with."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from bertvectorizer.models.network import fused_layers

ModelFactory = Callable[..., Path]

WORDS = [
    "bat",
    "crane",
    "river",
    "bank",
    "money",
    "the",
    "a",
    "of",
    "in",
    "old",
    "flew",
    "hit",
    "ball",
    "night",
    "un",
    "##s",
    "##ing",
    ".",
]
LETTERS = [
    *"abcdefghijklmnopqrstuvwxyz",
    *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"),
]
TOKENS = dict.fromkeys(
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *LETTERS]
)  # "a" and "##s" are words and letters
VOCABULARY = {token: number for number, token in enumerate(TOKENS)}
SIZE = len(VOCABULARY)

_BERT = {
    "vocab_size": SIZE,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}

# Wide initial weights, so that a mistake in attention shows in the numbers.
FAMILIES: dict[str, Callable[[], Any]] = {
    "bert": lambda: hf.BertConfig(**_BERT, initializer_range=0.3),
    "roberta": lambda: hf.RobertaConfig(
        **_BERT, pad_token_id=1, max_position_embeddings=130, initializer_range=0.3
    ),
    "xlm-roberta": lambda: hf.XLMRobertaConfig(
        **_BERT, pad_token_id=1, max_position_embeddings=130, initializer_range=0.3
    ),
    "distilbert": lambda: hf.DistilBertConfig(
        vocab_size=SIZE, dim=32, n_layers=3, n_heads=4, hidden_dim=64, initializer_range=0.3
    ),
    "electra": lambda: hf.ElectraConfig(**_BERT, embedding_size=16, initializer_range=0.3),
    "albert": lambda: hf.AlbertConfig(**_BERT, embedding_size=16, initializer_range=0.3),
    "mpnet": lambda: hf.MPNetConfig(
        **_BERT, pad_token_id=1, max_position_embeddings=130, initializer_range=0.3
    ),
    "deberta-v2": lambda: hf.DebertaV2Config(
        **_BERT,
        relative_attention=True,
        position_buckets=16,
        pos_att_type=["p2c", "c2p"],
        norm_rel_ebd="layer_norm",
        initializer_range=0.3,
    ),
    "modernbert": lambda: hf.ModernBertConfig(
        **_BERT,
        pad_token_id=0,
        local_attention=16,
        global_attn_every_n_layers=3,
        initializer_range=0.3,
        cls_token_id=2,
        sep_token_id=3,
    ),
    "gpt2": lambda: hf.GPT2Config(
        vocab_size=SIZE, n_embd=32, n_layer=3, n_head=4, n_positions=128, initializer_range=0.3
    ),
    "openai-gpt": lambda: hf.OpenAIGPTConfig(
        vocab_size=SIZE, n_embd=32, n_layer=3, n_head=4, n_positions=128, initializer_range=0.3
    ),
}
# RoBERTa's kin, of which ESM scales all tokens by how many are masked.
ROBERTA_FAMILIES: dict[str, Callable[[], Any]] = {
    "camembert": lambda: hf.CamembertConfig(
        **_BERT, pad_token_id=1, max_position_embeddings=130, initializer_range=0.3
    ),
    "esm": lambda: hf.EsmConfig(
        **_BERT,
        pad_token_id=1,
        mask_token_id=4,
        token_dropout=True,
        emb_layer_norm_before=True,
        max_position_embeddings=130,
        initializer_range=0.3,
    ),
}
PADDED_FAMILIES = {"mpnet", "deberta-v2", "openai-gpt"}

# Tried beside them: grouped queries under a causal window, and an encoder with a decoder to leave
# out.
MORE_FAMILIES: dict[str, Callable[[], Any]] = {
    "mistral": lambda: hf.MistralConfig(
        **_BERT,
        num_key_value_heads=2,
        sliding_window=16,
        max_position_embeddings=256,
        pad_token_id=0,
        initializer_range=0.1,
    ),
    "t5": lambda: hf.T5Config(
        vocab_size=SIZE, d_model=32, d_kv=8, d_ff=64, num_layers=3, num_heads=4
    ),
}

# Padding changes the tokens beside it: convolutions, a Fourier transform, an approximated
# attention, positions counted from the end.
LEAKY_FAMILIES: dict[str, Callable[[], Any]] = {
    "convbert": lambda: hf.ConvBertConfig(**_BERT, embedding_size=32, initializer_range=0.2),
    "fnet": lambda: hf.FNetConfig(
        **{name: size for name, size in _BERT.items() if name != "num_attention_heads"},
        initializer_range=0.2,
    ),
    "nystromformer": lambda: hf.NystromformerConfig(
        **_BERT, max_position_embeddings=128, initializer_range=0.2
    ),
    "yoso": lambda: hf.YosoConfig(**_BERT, max_position_embeddings=128, initializer_range=0.2),
    "cpmant": lambda: hf.CpmAntConfig(
        vocab_size=SIZE,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        dim_head=8,
        dim_ff=64,
        prompt_length=4,
        init_std=0.2,
    ),
}


def save_model(family: str, directory: Path, **changes: Any) -> Path:
    """Write a model of a family, with random but seeded weights, and a tokenizer."""
    with torch.random.fork_rng():
        torch.manual_seed(20181011)
        config = {**FAMILIES, **ROBERTA_FAMILIES, **MORE_FAMILIES, **LEAKY_FAMILIES}[family]()
        config.update(changes)
        hf.AutoModel.from_config(config).eval().save_pretrained(directory)
    save_tokenizer(
        directory,
        special_tokens=family not in {"gpt2", "openai-gpt", "mistral"},
        token_types=family in {"bert", "electra", "albert", "deberta-v2"},
    )
    return directory


def save_with_head(auto_class: Any, family: str, directory: Path, **changes: Any) -> Path:
    """Write a tiny model with a language head, whose weights are wide, too."""
    config = FAMILIES[family]()
    config.update({"initializer_range": 0.1, **changes})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        auto_class.from_config(config).eval().save_pretrained(directory)
    save_tokenizer(
        directory,
        special_tokens=family not in {"gpt2", "openai-gpt"},
        token_types=family in {"bert", "albert"},
    )
    return directory


def save_tokenizer(directory: Path, special_tokens: bool = True, token_types: bool = False) -> None:
    """Write a WordPiece tokenizer over a few words and all letters, with BERT's form of pairs."""
    tokenizer = Tokenizer(models.WordPiece(VOCABULARY, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    if special_tokens:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
    hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=128,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]" if special_tokens else None,
        sep_token="[SEP]" if special_tokens else None,
        mask_token="[MASK]",
        model_input_names=["input_ids", *["token_type_ids"] * token_types, "attention_mask"],
    ).save_pretrained(directory)


def save_sentence_transformer(
    model: Path,
    directory: Path,
    *,
    pooling: str | tuple[str, ...] = "mean",
    include_prompt: bool = True,
    dense: int | None = None,
    normalize: bool = False,
    **options: Any,
) -> Path:
    """Save a tiny model by SentenceTransformer, which gets ``options``."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import (
        Dense,
        Normalize,
        Pooling,
        Transformer,
    )

    with torch.random.fork_rng():
        torch.manual_seed(20190827)
        transformer = Transformer(str(model), max_seq_length=options.pop("max_seq_length", None))
        modules: list[torch.nn.Module] = [
            transformer,
            Pooling(32, pooling, include_prompt=include_prompt),
        ]  # type: ignore[arg-type]
        if dense:
            modules.append(Dense(modules[1].get_embedding_dimension(), dense))  # type: ignore[operator]
        if normalize:
            modules.append(Normalize())
        SentenceTransformer(modules=modules, device="cpu", **options).save(
            str(directory), create_model_card=False
        )
    return directory


def save_adapter(base: Path, directory: Path, config: Any, kind: Any = hf.AutoModel) -> Path:
    """Write a PEFT adapter of a base model, with random but seeded weights, and a tokenizer."""
    from peft import get_peft_model

    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT's own, such as its use of transformers
        torch.manual_seed(20210617)
        model = get_peft_model(kind.from_pretrained(base), config)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data.add_(torch.randn(parameter.shape) * 0.2)
        model.save_pretrained(directory)
    for file in base.glob("tokenizer*"):
        shutil.copy(file, directory)
    return directory


@contextmanager
def watched_network() -> Iterator[SimpleNamespace]:
    """Count the tokens that enter a tiny model, and the layers that are computed to their end."""
    seen = SimpleNamespace(tokens=0, layers=0)

    def enter(module: torch.nn.Module, args: Any) -> None:
        if isinstance(module, torch.nn.Embedding) and module.num_embeddings == SIZE:
            seen.tokens += args[0].numel()

    def leave(module: torch.nn.Module, args: Any, output: Any) -> None:
        seen.layers += type(module).__name__ == "BertLayer"

    own = fused_layers.FusedLayers.__call__

    def run(layers: Any, states: Any, runs: Any, wanted: Any) -> Any:
        seen.layers += max(wanted)  # as many are run, see test_fused_layers
        return own(layers, states, runs, wanted)

    fused_layers.FusedLayers.__call__ = run  # type: ignore[method-assign]
    hooks = [
        torch.nn.modules.module.register_module_forward_pre_hook(enter),
        torch.nn.modules.module.register_module_forward_hook(leave),
    ]
    try:
        yield seen
    finally:
        fused_layers.FusedLayers.__call__ = own  # type: ignore[method-assign]
        for hook in hooks:
            hook.remove()
