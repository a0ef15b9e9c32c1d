"""Tests of models/network/backbone.py, against transformers' own models run text by text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from transformers import AutoConfig, AutoModel, BertConfig, BertModel

from bertvectorizer.errors import UnsupportedModelError
from bertvectorizer.models import open_checkpoint
from bertvectorizer.models.network.backbone import Backbone
from bertvectorizer.models.network.int8 import Int8Linear
from tests.tiny import (
    FAMILIES,
    LEAKY_FAMILIES,
    MORE_FAMILIES,
    PADDED_FAMILIES,
    SIZE,
    ModelFactory,
    save_tokenizer,
)

pytestmark = pytest.mark.numeric

CPU = torch.device("cpu")
LENGTHS = np.array([128, 61, 61, 33, 17, 16, 15, 5, 5, 2, 1, 1])
N_LAYERS = 3


def tokens(lengths: NDArray[np.int64] = LENGTHS) -> list[NDArray[np.int32]]:
    generator = np.random.default_rng(7)
    return [generator.integers(5, SIZE, size=length, dtype=np.int32) for length in lengths]


def backbone_of(directory: Path, precision: str = "float32", **settings: Any) -> Backbone:
    return Backbone(open_checkpoint(str(directory)), CPU, precision, **settings)


def one_by_one(directory: Path, sequences: list[NDArray[np.int32]]) -> list[torch.Tensor]:
    """Every layer's states of each sequence by itself, by transformers alone."""
    model = AutoModel.from_pretrained(directory).eval()
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    with torch.inference_mode():
        states = [
            model(
                torch.from_numpy(ids.astype(np.int64))[None], output_hidden_states=True
            ).hidden_states
            for ids in sequences
        ]
    return [torch.cat([layers[number][0] for layers in states]) for number in range(len(states[0]))]


def assert_equal_to_one_by_one(
    directory: Path, backbone: Backbone, sequences: list[NDArray[np.int32]]
) -> None:
    lengths = np.array([len(ids) for ids in sequences])
    result = backbone.hidden_states(np.concatenate(sequences), lengths, range(N_LAYERS + 1))
    for number, expected in enumerate(one_by_one(directory, sequences)):
        torch.testing.assert_close(
            result[number],
            expected,
            atol=1e-5,
            rtol=1e-5,
            msg=lambda text, n=number: f"layer {n}: {text}",
        )


class TestFamilies:
    @pytest.mark.parametrize("family", [*FAMILIES, *MORE_FAMILIES])
    def test_every_layer_equals_the_library_s(self, tiny_model: ModelFactory, family: str) -> None:
        directory = tiny_model(family)
        backbone = backbone_of(directory)
        assert backbone.is_packed is (family not in PADDED_FAMILIES | {"t5"})
        assert backbone.position_offset == (2 if family in ("roberta", "xlm-roberta") else 0)
        assert backbone.stops_early
        assert_equal_to_one_by_one(directory, backbone, tokens())

    @pytest.mark.parametrize("family", ["bert", "roberta", "modernbert", "gpt2", "mistral"])
    def test_rows_may_be_longer_than_the_positions(
        self, tiny_model: ModelFactory, family: str
    ) -> None:
        directory = tiny_model(family)
        backbone = backbone_of(directory)
        sequences = tokens(np.array([128] * 6 + [40] * 6))
        assert backbone.is_packed
        assert (
            sum(map(len, sequences)) > (open_checkpoint(str(directory)).n_positions or 0)
            or family == "modernbert"
        )
        assert_equal_to_one_by_one(directory, backbone, sequences)

    @pytest.mark.parametrize("family", ["bert", "modernbert", "deberta-v2", "gpt2"])
    def test_company_changes_nothing(self, tiny_model: ModelFactory, family: str) -> None:
        backbone = backbone_of(tiny_model(family))
        together = backbone.hidden_states(np.concatenate(tokens()), LENGTHS, [N_LAYERS])[
            N_LAYERS
        ].split(LENGTHS.tolist())
        for ids, expected in zip(tokens(), together, strict=True):
            alone = backbone.hidden_states(ids, np.array([len(ids)]), [N_LAYERS])[N_LAYERS]
            torch.testing.assert_close(alone, expected, atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize("window", [2, 600])
    def test_a_window_is_packed_only_where_it_can_be_tried(
        self, tiny_model: ModelFactory, window: int
    ) -> None:
        directory = tiny_model("mistral", sliding_window=window)
        backbone = backbone_of(directory)
        assert backbone.is_packed is (window < 600)
        assert_equal_to_one_by_one(directory, backbone, tokens())

    def test_only_the_requested_layers_need_be_there(self, tiny_model: ModelFactory) -> None:
        backbone = backbone_of(tiny_model("bert"))
        expected = one_by_one(tiny_model("bert"), tokens())
        for layers in ([0], [2], [3, 1]):
            result = backbone.hidden_states(np.concatenate(tokens()), LENGTHS, layers)
            for layer in layers:
                torch.testing.assert_close(result[layer], expected[layer], atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize("layers", [[0], [1], [2, 0], [3]])
    def test_layers_beyond_the_deepest_are_not_run_packed(
        self, tiny_model: ModelFactory, layers: list[int]
    ) -> None:
        backbone = backbone_of(tiny_model("bert"), fuses=False)
        finished: list[Any] = []
        for layer in backbone.model.encoder.layer:
            layer.register_forward_hook(lambda module, *_: finished.append(module))
        backbone.hidden_states(np.concatenate(tokens()), LENGTHS, layers)
        assert len(finished) == max(layers)

    def test_every_layer_of_a_repeated_group_is_counted(self, tiny_model: ModelFactory) -> None:
        directory = tiny_model("albert", inner_group_num=2)
        backbone = backbone_of(directory)
        assert open_checkpoint(directory).n_layers == 2 * N_LAYERS
        states = backbone.hidden_states(np.concatenate(tokens()), LENGTHS, range(2 * N_LAYERS + 1))
        for layer, expected in enumerate(one_by_one(directory, tokens())):
            torch.testing.assert_close(states[layer], expected, atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize("family", LEAKY_FAMILIES)
    def test_texts_of_other_lengths_change_nothing_where_padding_would(
        self, tiny_model: ModelFactory, family: str
    ) -> None:
        directory = tiny_model(family)
        backbone = backbone_of(directory)
        assert not backbone.is_packed
        assert backbone.batching == "equal_length"
        assert_equal_to_one_by_one(directory, backbone, tokens(np.array([61, 33, 33, 17, 5, 5, 1])))

        # What the check spares us: the same sequences in one batch.
        backbone.batching = "padded"
        with pytest.raises(AssertionError, match="layer"):
            assert_equal_to_one_by_one(directory, backbone, tokens(np.array([61, 5])))

    @pytest.mark.parametrize("limit", [16, 2000])
    def test_positions_that_a_long_text_changes_for_its_whole_batch(
        self, tmp_path: Path, limit: int
    ) -> None:
        config = transformers.Phi3Config(
            vocab_size=SIZE,
            hidden_size=32,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=4,
            intermediate_size=64,
            max_position_embeddings=4000,
            original_max_position_embeddings=limit,
            rope_parameters={
                "rope_type": "longrope",
                "rope_theta": 10_000.0,
                "short_factor": [1.0] * 4,
                "long_factor": [4.0] * 4,
                "original_max_position_embeddings": limit,
            },
            pad_token_id=0,
            initializer_range=0.3,
        )
        save_model_of(AutoModel.from_config, config, tmp_path)
        backbone = backbone_of(tmp_path)
        assert (backbone.is_packed, backbone.batching) == (False, "equal_length")
        assert_equal_to_one_by_one(tmp_path, backbone, tokens(np.array([limit + 9, 5, 3])))


def save_model_of(kind: Any, config: Any, directory: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = kind(config).eval()
    model.save_pretrained(directory)
    save_tokenizer(directory)


class LeakyConfig(BertConfig):
    model_type = "leaky-bert"


class OwnAttention(torch.nn.Module):
    """Attention over the whole row that never calls the attention interface."""

    def __init__(self, theirs: torch.nn.Module) -> None:
        super().__init__()
        self.theirs = theirs

    def forward(self, states: torch.Tensor, *_: Any, **__: Any) -> tuple[torch.Tensor, None]:
        weights = torch.softmax(
            self.theirs.query(states) @ self.theirs.key(states).transpose(1, 2) / 32**0.5, dim=-1
        )
        return weights @ self.theirs.value(states), None


class SeesItsNeighbour(torch.nn.Module):
    """A feed-forward layer that reads the token before, so sequences of a row leak."""

    def __init__(self, theirs: torch.nn.Module) -> None:
        super().__init__()
        self.theirs = theirs

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        before = torch.nn.functional.pad(states, (0, 0, 1, 0))[:, :-1]
        result: torch.Tensor = self.theirs(states + before)
        return result


class SeesItsBatch(torch.nn.Module):
    """A feed-forward layer that subtracts the mean of the batch."""

    def __init__(self, theirs: torch.nn.Module) -> None:
        super().__init__()
        self.theirs = theirs

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.theirs(states - states.mean(dim=(0, 1)))
        return result


class Random(torch.nn.Module):
    """A feed-forward layer that hashes, or drops units, at random."""

    def __init__(self, theirs: torch.nn.Module) -> None:
        super().__init__()
        self.theirs = theirs

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.theirs(states * (torch.rand_like(states) > 0.5))
        return result


_LEAKS = {"neighbour": SeesItsNeighbour, "batch": SeesItsBatch, "random": Random}


class LeakyBert(BertModel):
    """A real BERT, changed so that a row of several sequences would give wrong numbers."""

    config_class = LeakyConfig

    def __init__(self, config: LeakyConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config, add_pooling_layer)
        last = self.encoder.layer[-1]
        if config.leak == "attention":
            last.attention.self = OwnAttention(last.attention.self)
        else:
            last.intermediate = _LEAKS[config.leak](last.intermediate)


class TestCheck:
    @pytest.fixture
    def register_leaky(self) -> Iterator[None]:
        AutoConfig.register("leaky-bert", LeakyConfig)
        AutoModel.register(LeakyConfig, LeakyBert)
        yield
        del transformers.models.auto.configuration_auto.CONFIG_MAPPING._extra_content["leaky-bert"]
        del AutoModel._model_mapping._extra_content[LeakyConfig]

    @pytest.mark.usefixtures("register_leaky")
    @pytest.mark.parametrize("leak", ["attention", "neighbour"])
    def test_a_model_that_would_be_packed_wrongly_is_padded_instead(
        self, leak: str, tmp_path: Path
    ) -> None:
        """Only the last of its layers is at fault, and nothing in its name says so."""
        config = LeakyConfig(
            **FAMILIES["bert"]().to_diff_dict() | {"leak": leak, "model_type": "leaky-bert"}
        )
        with torch.random.fork_rng():
            torch.manual_seed(1)
            model = LeakyBert(config).eval()
        model.save_pretrained(tmp_path)
        save_tokenizer(tmp_path)
        backbone = backbone_of(tmp_path)
        assert not backbone.is_packed
        assert backbone.position_offset == 0
        assert type(backbone.model) is LeakyBert
        sequences = tokens(
            np.array([9, 9, 9])
        )  # of one length, since its own attention knows no padding
        assert_equal_to_one_by_one(tmp_path, backbone, sequences)

        # What the check spares us: the same model in one row.
        backbone.is_packed = backbone._set_attention("bertvectorizer_packed")
        with pytest.raises(AssertionError, match="layer 3"):
            assert_equal_to_one_by_one(tmp_path, backbone, sequences)

    @pytest.mark.usefixtures("register_leaky")
    @pytest.mark.parametrize(
        ("leak", "batching"),
        [("neighbour", "padded"), ("attention", "equal_length"), ("batch", "single")],
    )
    def test_sequences_share_a_batch_only_where_they_leave_each_other_alone(
        self, leak: str, batching: str, tmp_path: Path
    ) -> None:
        self.save(leak, tmp_path)
        backbone = backbone_of(tmp_path)
        assert (backbone.is_packed, backbone.batching) == (False, batching)
        assert_equal_to_one_by_one(tmp_path, backbone, tokens(np.array([9, 9, 4])))

    @pytest.mark.usefixtures("register_leaky")
    def test_a_model_that_gives_other_states_each_time_is_refused(self, tmp_path: Path) -> None:
        self.save("random", tmp_path)
        with pytest.raises(UnsupportedModelError, match="other vectors each time it runs"):
            backbone_of(tmp_path)

    def save(self, leak: str, directory: Path) -> None:
        config = LeakyConfig(
            **FAMILIES["bert"]().to_diff_dict() | {"leak": leak, "model_type": "leaky-bert"}
        )
        save_model_of(LeakyBert, config, directory)

    def test_autocast_while_loading_leaves_the_path_as_it_is(
        self, tiny_model: ModelFactory
    ) -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert backbone_of(tiny_model("bert")).is_packed

    @pytest.mark.parametrize("family", ["bert", "mpnet"])
    def test_the_library_s_attention_is_put_back_where_packing_fails(
        self, tiny_model: ModelFactory, family: str
    ) -> None:
        backbone = backbone_of(tiny_model(family))
        own = AutoModel.from_pretrained(tiny_model(family)).config._attn_implementation
        assert backbone.model.config._attn_implementation == (
            "bertvectorizer_packed" if family == "bert" else own
        )


class TestPrecision:
    @pytest.mark.parametrize("fuses", [True, False])
    @pytest.mark.parametrize("precision", ["bfloat16", "float16"])
    def test_half_precision_comes_close(
        self, tiny_model: ModelFactory, precision: str, fuses: bool
    ) -> None:
        backbone = backbone_of(tiny_model("bert"), precision, fuses=fuses)
        states = backbone.hidden_states(np.concatenate(tokens()), LENGTHS, [N_LAYERS])[N_LAYERS]
        assert states.dtype == (torch.float32 if fuses else getattr(torch, precision))
        expected = one_by_one(tiny_model("bert"), tokens())[N_LAYERS]
        assert torch.nn.functional.cosine_similarity(states.float(), expected, dim=-1).min() > 0.97

    @pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch without oneDNN")
    @pytest.mark.parametrize("family", ["bert", "gpt2", "mpnet", "t5"])
    def test_int8_comes_close(self, tiny_model: ModelFactory, family: str) -> None:
        backbone = backbone_of(tiny_model(family), "int8")
        assert backbone.is_packed is (family in ("bert", "gpt2"))
        states = backbone.hidden_states(np.concatenate(tokens()), LENGTHS, [N_LAYERS])[N_LAYERS]
        expected = one_by_one(tiny_model(family), tokens())[N_LAYERS]
        assert torch.nn.functional.cosine_similarity(states, expected, dim=-1).mean() > 0.97


def test_sixteen_bits_leave_the_positions_of_rotary_models_alone(tiny_model: ModelFactory) -> None:
    checkpoint = open_checkpoint(tiny_model("modernbert"))
    model = Backbone(checkpoint, torch.device("cpu"), "bfloat16").model
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert {buffer.dtype for buffer in model.buffers() if buffer.is_floating_point()} == {
        torch.float32
    }


def test_a_model_that_cannot_run_in_int8_says_so(
    tiny_model: ModelFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = open_checkpoint(tiny_model("bert"))
    monkeypatch.delattr(Int8Linear, "forward")  # as a layer that computes with the weight itself
    with pytest.raises(UnsupportedModelError, match="does not run in int8"):
        Backbone(checkpoint, torch.device("cpu"), "int8")
