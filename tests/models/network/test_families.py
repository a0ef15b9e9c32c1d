"""Tests of every kind of architecture: right states at every layer, or one clear error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from bertvectorizer.errors import UnsupportedModelError
from bertvectorizer.models import TextTokenizer, open_checkpoint, resolve_output_spec
from bertvectorizer.models.checkpoint.description import Checkpoint, read_config
from bertvectorizer.models.checkpoint.text_tokens import load_tokenizer
from bertvectorizer.models.network.backbone import Backbone
from bertvectorizer.models.network.encoder import Encoder
from tests.tiny import SIZE, save_tokenizer

pytestmark = pytest.mark.numeric

CPU = torch.device("cpu")
LENGTHS = [70, 33, 20, 20, 9, 5, 3]

_BERT = {
    "vocab_size": SIZE,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "pad_token_id": 0,
    "mask_token_id": 4,
    "initializer_range": 0.2,
}
_ROBERTA = {**_BERT, "pad_token_id": 1, "max_position_embeddings": 130}
_T5 = {"vocab_size": SIZE, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 3, "num_heads": 4}
_BART = {
    "vocab_size": SIZE,
    "d_model": 32,
    **dict.fromkeys(["encoder_layers", "decoder_layers"], 3),
    **dict.fromkeys(["encoder_attention_heads", "decoder_attention_heads"], 4),
    **dict.fromkeys(["encoder_ffn_dim", "decoder_ffn_dim"], 64),
    "max_position_embeddings": 128,
    "pad_token_id": 1,
    "init_std": 0.2,
}
_XLM = {"vocab_size": SIZE, "emb_dim": 32, "n_layers": 3, "n_heads": 4, "embed_init_std": 0.2}

SERVED: dict[str, Callable[[], Any]] = {
    "data2vec-text": lambda: hf.Data2VecTextConfig(**_ROBERTA),
    "ibert": lambda: hf.IBertConfig(**_ROBERTA),
    "lilt": lambda: hf.LiltConfig(**_ROBERTA | {"hidden_size": 48}, max_2d_position_embeddings=64),
    "longformer": lambda: hf.LongformerConfig(**_ROBERTA, attention_window=[8] * 3),
    "luke": lambda: hf.LukeConfig(**_ROBERTA, entity_vocab_size=10, entity_emb_size=8),
    "roberta-prelayernorm": lambda: hf.RobertaPreLayerNormConfig(**_ROBERTA),
    "roberta, causal": lambda: hf.RobertaConfig(**_ROBERTA, is_decoder=True),
    "xlm-roberta-xl": lambda: hf.XLMRobertaXLConfig(**_ROBERTA),
    "xmod": lambda: hf.XmodConfig(**_ROBERTA, default_language="en_XX", languages=["en_XX"]),
    "big_bird": lambda: hf.BigBirdConfig(**_BERT, attention_type="original_full"),
    "ctrl": lambda: hf.CTRLConfig(
        vocab_size=SIZE, n_embd=32, dff=64, n_layer=3, n_head=4, n_positions=128
    ),
    "deberta": lambda: hf.DebertaConfig(
        **_BERT, relative_attention=True, pos_att_type=["c2p", "p2c"]
    ),
    "mobilebert": lambda: hf.MobileBertConfig(
        **_BERT, embedding_size=16, true_hidden_size=16, intra_bottleneck_size=16
    ),
    "rembert": lambda: hf.RemBertConfig(**_BERT, input_embedding_size=16),
    "roformer": lambda: hf.RoFormerConfig(**_BERT, rotary_value=True),
    "squeezebert": lambda: hf.SqueezeBertConfig(**_BERT, embedding_size=32),
    "xlm": lambda: hf.XLMConfig(**_XLM),
    "flaubert": lambda: hf.FlaubertConfig(**_XLM),
    "xlnet": lambda: hf.XLNetConfig(vocab_size=SIZE, d_model=32, n_layer=3, n_head=4, d_inner=64),
    "bart": lambda: hf.BartConfig(**_BART),
    "fsmt": lambda: hf.FSMTConfig(
        **_BART, langs=["en", "de"], src_vocab_size=SIZE, tgt_vocab_size=SIZE
    ),
    "m2m_100": lambda: hf.M2M100Config(**_BART),
    "longt5": lambda: hf.LongT5Config(
        **_T5, encoder_attention_type="transient-global", global_block_size=4, local_radius=7
    ),
    "mt5": lambda: hf.MT5Config(**_T5, relative_attention_max_distance=16),
    "umt5": lambda: hf.UMT5Config(**_T5, relative_attention_max_distance=16),
}

REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "canine": (lambda: hf.CanineConfig(**_BERT), "does not run on the tokens|hidden states"),
    "dpr": (lambda: hf.DPRConfig(**_BERT), "returns no vectors of tokens"),
    "funnel": (
        lambda: hf.FunnelConfig(
            **{"vocab_size": SIZE, "d_model": 32, "n_head": 4, "d_head": 8, "d_inner": 64},
            block_sizes=[2, 1],
            architectures=["FunnelModel"],
        ),
        "hidden states",
    ),
    "lxmert": (
        lambda: hf.LxmertConfig(
            **{"vocab_size": SIZE, "hidden_size": 32, "num_attention_heads": 4},
            **{"intermediate_size": 64, "l_layers": 1, "r_layers": 1, "x_layers": 1},
        ),
        "'num_hidden_layers' .* Got {'cross_encoder': 1",
    ),
    "opt": (
        lambda: hf.OPTConfig(
            **_BERT | {"ffn_dim": 64}, word_embed_proj_dim=16, max_position_embeddings=128
        ),
        r"states of shape \(\d+, 16\) .* says 32",
    ),
    "perceiver": (
        lambda: hf.PerceiverConfig(
            **{"vocab_size": SIZE, "d_model": 32, "d_latents": 32, "num_latents": 4},
            max_position_embeddings=64,
            num_self_attends_per_block=1,
        ),
        "must have one number as 'num_hidden_layers'",
    ),
    "reformer": (
        lambda: hf.ReformerConfig(
            **{"vocab_size": SIZE, "hidden_size": 32, "num_attention_heads": 4},
            attn_layers=["local"] * 3,
            axial_pos_shape=[8, 16],
            axial_pos_embds_dim=[16, 16],
            attention_head_size=8,
            feed_forward_size=64,
            local_attn_chunk_length=8,
        ),
        r"states of shape \(\d+, 64\) .* says 32",
    ),
    "vit": (
        lambda: hf.ViTConfig(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64
        ),
        "does not run on the tokens of a text",
    ),
}


def save(config: Any, directory: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(20181011)
        hf.AutoModel.from_config(config).eval().save_pretrained(directory)
    save_tokenizer(directory)


def sequences(config: Any) -> list[Any]:
    """Sequences with padding and other special tokens amid them."""
    generator = np.random.default_rng(7)
    found = [generator.integers(5, SIZE, size=length, dtype=np.int32) for length in LENGTHS]
    for ids in found:
        ids[len(ids) // 2] = config.pad_token_id or 0
    found[0][5:9] = [4, 3, 2, 4]
    return found


@pytest.mark.parametrize("family", SERVED)
def test_every_layer_is_the_library_s_whatever_shares_the_batch(
    tmp_path: Path, family: str
) -> None:
    config = SERVED[family]()
    save(config, tmp_path)
    model = hf.AutoModel.from_pretrained(tmp_path).eval()
    model = model.get_encoder() if model.config.is_encoder_decoder else model
    checkpoint = open_checkpoint(tmp_path)
    layers = range(checkpoint.n_layers + 1)
    tokens = sequences(config)
    states = Backbone(checkpoint, CPU, "float32").hidden_states(
        np.concatenate(tokens), np.array(LENGTHS), layers
    )
    together = [states[layer].split(LENGTHS) for layer in layers]
    for number, ids in enumerate(tokens):
        table = torch.from_numpy(ids.astype(np.int64))[None]
        with torch.inference_mode():
            output = model(table, attention_mask=torch.ones_like(table), output_hidden_states=True)
        alone = [*output.hidden_states[:-1], output.last_hidden_state]
        assert len(alone) == len(layers)
        for layer, expected in enumerate(alone):
            # MobileBERT's states grow to thousands.
            scale = max(1.0, float(expected.abs().max()))
            torch.testing.assert_close(
                together[layer][number], expected[0], atol=1e-5 * scale, rtol=0
            )


@pytest.mark.parametrize("family", REFUSED)
def test_others_are_refused_in_one_sentence(tmp_path: Path, family: str) -> None:
    make, message = REFUSED[family]
    save(make(), tmp_path)
    with pytest.raises(UnsupportedModelError, match=message):
        Backbone(open_checkpoint(tmp_path), CPU, "float32")


def test_no_configuration_of_the_library_raises_an_error_of_its_own(tmp_path: Path) -> None:
    """Sizes are missing, are lists, or are those of a decoder."""
    n_served = 0
    auto = hf.models.auto
    with_tokenizer = auto.tokenization_auto.TOKENIZER_MAPPING_NAMES
    for model_type in set(auto.modeling_auto.MODEL_MAPPING_NAMES).intersection(with_tokenizer):
        try:
            config = hf.CONFIG_MAPPING[model_type]()
        except (KeyError, ValueError, ImportError):
            continue  # it has no defaults, or needs another library
        config.save_pretrained(tmp_path)
        try:
            checkpoint = Checkpoint(tmp_path, "", read_config(tmp_path, False, {}))
        except UnsupportedModelError:
            continue
        sizes = (checkpoint.n_layers, checkpoint.hidden_size, checkpoint.widest)
        assert all(isinstance(size, int) and size >= 0 for size in sizes), model_type
        assert checkpoint.n_positions is None or checkpoint.n_positions > 0, model_type
        n_served += 1
    assert n_served > 100


def test_a_model_with_numbers_beyond_float16_is_refused(tmp_path: Path) -> None:
    """LongT5 masks by -1e10, which turns padded blocks into NaN."""
    save(hf.LongT5Config(**_T5, local_radius=7), tmp_path)
    checkpoint = open_checkpoint(tmp_path)
    texts = TextTokenizer(checkpoint, load_tokenizer(checkpoint))(["a bat", "the old bat"])
    encoder = Encoder(checkpoint, CPU, "float16")
    with pytest.raises(UnsupportedModelError, match="not finite in float16"):
        encoder.encode(texts, resolve_output_spec(checkpoint).parts)


def test_big_bird_refuses_what_a_shorter_text_would_change(tmp_path: Path) -> None:
    save(hf.BigBirdConfig(**_BERT, block_size=4, num_random_blocks=1), tmp_path)
    backbone = Backbone(open_checkpoint(tmp_path), CPU, "float32")
    ids = np.arange(5, 34, dtype=np.int32)
    assert len(backbone.hidden_states(ids[:28], np.array([28]), [3])[3]) == 28
    with pytest.raises(UnsupportedModelError, match="Set max_length=28, or"):
        backbone.hidden_states(ids, np.array([29]), [3])
