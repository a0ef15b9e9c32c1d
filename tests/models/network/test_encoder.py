"""Tests of models/network/encoder.py, against sentence-transformers and transformers."""

from __future__ import annotations

import shutil
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import AutoModel

from bertvectorizer.errors import ModelIntegrityError
from bertvectorizer.models import (
    DEFAULT_MODEL,
    OutputSpec,
    TextTokenizer,
    TokenizedTexts,
    open_checkpoint,
    resolve_output_spec,
)
from bertvectorizer.models.checkpoint.post_modules import apply_post_modules, merge_parts
from bertvectorizer.models.checkpoint.text_tokens import load_tokenizer
from bertvectorizer.models.network.devices import int8_activation_bits
from bertvectorizer.models.network.encoder import Encoder, load_encoder
from bertvectorizer.models.pooling.tokens import POOLINGS
from tests.processes import run_python
from tests.tiny import FAMILIES, ModelFactory, save_sentence_transformer
from tests.tolerance import tolerance

pytestmark = pytest.mark.numeric

CPU = torch.device("cpu")
TEXTS = [
    "The old bat flew in the night.",
    "bat",
    "",
    "A crane hit the ball of the river bank, and money of the bank in the old river hit a crane.",
    "Un bat s ing",
    "crane money",
    "  the\tnight \n",
    "xyz " * 50,
]


def tokenize(directory: Path | str, texts: list[str], **settings: Any) -> TokenizedTexts:
    checkpoint = open_checkpoint(str(directory))
    return TextTokenizer(checkpoint, load_tokenizer(checkpoint), **settings)(texts)


def read(
    encoder: Encoder,
    tokenized: TokenizedTexts,
    readout: OutputSpec,
    *options: Any,
    **named_options: Any,
) -> NDArray[np.float32]:
    return apply_post_modules(
        merge_parts(encoder.encode(tokenized, readout.parts, *options, **named_options), readout),
        readout,
    )


def encode(
    directory: Path | str,
    texts: list[str],
    readout: dict[str, Any] | None = None,
    precision: str = "float32",
    batch_tokens: int | None = None,
    **settings: Any,
) -> NDArray[np.float32]:
    checkpoint = open_checkpoint(str(directory))
    encoder = load_encoder(checkpoint, CPU, precision)
    return read(
        encoder,
        tokenize(directory, texts, **settings),
        resolve_output_spec(checkpoint, **(readout or {})),
        batch_tokens,
    )


@lru_cache(maxsize=4)
def library_model(directory: Path) -> Any:
    return AutoModel.from_pretrained(directory).eval()


def token_vectors(directory: Path, ids: NDArray[np.int32]) -> list[torch.Tensor]:
    """Every layer's states of one sequence, by transformers alone."""
    with torch.inference_mode():
        states = library_model(directory)(
            torch.from_numpy(ids.astype(np.int64))[None], output_hidden_states=True
        ).hidden_states
    return [layer[0] for layer in states]


def by_sentence_transformers(
    directory: Path | str, texts: list[str], **options: Any
) -> NDArray[np.float32]:
    model = SentenceTransformer(str(directory), device="cpu", local_files_only=True)
    return cast(NDArray[np.float32], model.encode(texts, show_progress_bar=False, **options))


class TestSentenceTransformers:
    def test_the_default_model(self, default_model_directory: Path) -> None:
        texts = [
            *TEXTS,
            "Straße, naïve; 東京 \U0001f600",
            "A bat hung from the beam, he swung the bat. " * 60,
        ]
        result = encode(DEFAULT_MODEL, texts)
        assert result.shape == (len(texts), 384)
        assert result.dtype == np.float32
        np.testing.assert_allclose(
            result, by_sentence_transformers(default_model_directory, texts), atol=1e-5, rtol=0
        )

    @pytest.mark.parametrize("include_prompt", [True, False])
    @pytest.mark.parametrize("pooling", [*POOLINGS, ("cls", "mean", "max")])
    def test_every_pooling(
        self, tiny_model: ModelFactory, tmp_path: Path, pooling: Any, include_prompt: bool
    ) -> None:
        save_sentence_transformer(
            tiny_model("bert"), tmp_path, pooling=pooling, include_prompt=include_prompt
        )
        expected = by_sentence_transformers(tmp_path, TEXTS, prompt="the old crane ")
        np.testing.assert_allclose(
            encode(tmp_path, TEXTS, prompt="the old crane "), expected, atol=1e-5, rtol=1e-5
        )

    @pytest.mark.parametrize("family", ["bert", "mpnet", "gpt2", "modernbert"])
    def test_dense_normalize_prompts_and_a_limit(
        self, tiny_model: ModelFactory, tmp_path: Path, family: str
    ) -> None:
        save_sentence_transformer(
            tiny_model(family),
            tmp_path,
            pooling=("max", "lasttoken"),
            dense=16,
            normalize=True,
            max_seq_length=12,
            prompts={"query": "the old ", "passage": "money of "},
            default_prompt_name="query",
        )
        texts = [text or "a" for text in TEXTS]
        result = encode(tmp_path, texts)
        assert result.shape == (len(texts), 16)
        np.testing.assert_allclose(
            result, by_sentence_transformers(tmp_path, texts), atol=1e-5, rtol=0
        )
        np.testing.assert_allclose(np.linalg.norm(result, axis=1), 1, atol=1e-6)
        passages = encode(tmp_path, texts, prompt="passage")
        np.testing.assert_allclose(
            passages,
            by_sentence_transformers(tmp_path, texts, prompt_name="passage"),
            atol=1e-5,
            rtol=0,
        )
        assert np.abs(passages - result).max() > 0.01
        plain = encode(tmp_path, texts, prompt="")
        np.testing.assert_allclose(
            plain, by_sentence_transformers(tmp_path, texts, prompt=""), atol=1e-5, rtol=0
        )

    @pytest.mark.parametrize("include_prompt", [True, False])
    def test_an_encoder_that_was_trained_with_a_decoder(
        self, tiny_model: ModelFactory, tmp_path: Path, include_prompt: bool
    ) -> None:
        """As sentence-t5 and Instructor are stored: without the decoder."""
        save_sentence_transformer(
            tiny_model("t5"),
            tmp_path,
            include_prompt=include_prompt,
            dense=16,
            normalize=True,
            prompts={"query": "the old crane "},
        )
        assert not [name for name in load_file(tmp_path / "model.safetensors") if "dec" in name]
        for prompt in ("", "query"):
            np.testing.assert_allclose(
                encode(tmp_path, TEXTS, prompt=prompt),
                by_sentence_transformers(
                    tmp_path, TEXTS, **({"prompt_name": prompt} if prompt else {"prompt": ""})
                ),
                atol=1e-5,
                rtol=0,
            )

    @pytest.mark.parametrize(
        "family", ["bert", "roberta", "xlm-roberta", "mpnet", "camembert", "esm", "t5"]
    )
    def test_a_text_that_contains_the_names_of_special_tokens(
        self, tiny_model: ModelFactory, tmp_path: Path, family: str
    ) -> None:
        """RoBERTa and its kin do not count padding, and give it a position of its own."""
        save_sentence_transformer(tiny_model(family, pad_token_id=0, mask_token_id=4), tmp_path)
        names = ["[PAD]", "[MASK]", "[SEP]", "[CLS]", "[UNK]"]
        texts = [f"the old {name} crane {name} flew {name}{name} the night" for name in names]
        texts += ["[PAD]", "[PAD] bat", "bat [PAD]", " ".join(names), "the old bat"]
        np.testing.assert_allclose(
            encode(tmp_path, texts),
            by_sentence_transformers(tmp_path, texts, batch_size=1),
            atol=1e-5,
            rtol=1e-5,
        )

    def test_do_lower_case_of_a_cased_tokenizer(
        self, tiny_model: ModelFactory, tmp_path: Path
    ) -> None:
        import json

        model = Path(shutil.copytree(tiny_model("bert"), tmp_path / "cased"))
        description = json.loads((model / "tokenizer.json").read_text())
        description["normalizer"]["lowercase"] = False
        (model / "tokenizer.json").write_text(json.dumps(description))
        save_sentence_transformer(model, tmp_path / "saved")
        cased = encode(tmp_path / "saved", TEXTS)
        np.testing.assert_allclose(
            cased, by_sentence_transformers(tmp_path / "saved", TEXTS), atol=1e-5, rtol=1e-5
        )

        (tmp_path / "saved" / "sentence_bert_config.json").write_text(
            '{"max_seq_length": 20, "do_lower_case": true}'
        )
        lowered = encode(tmp_path / "saved", TEXTS)
        np.testing.assert_allclose(
            lowered, by_sentence_transformers(tmp_path / "saved", TEXTS), atol=1e-5, rtol=1e-5
        )
        assert np.abs(lowered - cased).max() > 0.1

    def test_a_sum_of_sentence_transformers_modules_beyond_dense(
        self, tiny_model: ModelFactory, tmp_path: Path
    ) -> None:
        from sentence_transformers.sentence_transformer.modules import (
            Dropout,
            LayerNorm,
            Transformer,
        )

        norm = LayerNorm(32)
        norm.norm.weight.data.uniform_(0.5, 2, generator=torch.Generator().manual_seed(2))
        modules = [Transformer(str(tiny_model("bert"))), Pooling(32, "cls"), norm, Dropout(0.5)]
        SentenceTransformer(modules=modules, device="cpu").save(
            str(tmp_path), create_model_card=False
        )
        np.testing.assert_allclose(
            encode(tmp_path, TEXTS), by_sentence_transformers(tmp_path, TEXTS), atol=1e-5, rtol=1e-5
        )

    def test_without_the_checkpoint_s_normalize_and_with_our_own(
        self, tiny_model: ModelFactory, tmp_path: Path
    ) -> None:
        save_sentence_transformer(tiny_model("bert"), tmp_path, normalize=True)
        without = encode(tmp_path, TEXTS, {"normalize": False})
        np.testing.assert_allclose(without, encode(tiny_model("bert"), TEXTS), atol=1e-6)
        assert (np.linalg.norm(without, axis=1) > 1.5).all()
        unit = without / np.linalg.norm(without, axis=1, keepdims=True)
        np.testing.assert_allclose(encode(tmp_path, TEXTS), unit, atol=tolerance(unit.shape[1]))
        np.testing.assert_allclose(
            encode(tiny_model("bert"), TEXTS, {"normalize": True}),
            unit,
            atol=tolerance(unit.shape[1]),
        )

    @pytest.mark.parametrize("damage", ["cut", "missing", "renamed"])
    def test_a_damaged_dense_module(
        self, tiny_model: ModelFactory, tmp_path: Path, damage: str
    ) -> None:
        save_sentence_transformer(tiny_model("bert"), tmp_path, dense=16)
        weights = tmp_path / "2_Dense" / "model.safetensors"
        if damage == "cut":
            weights.write_bytes(weights.read_bytes()[:-8])
        elif damage == "missing":
            weights.unlink()
        else:
            save_file({name + "x": tensor for name, tensor in load_file(weights).items()}, weights)
        with pytest.raises(ModelIntegrityError, match=r"The module Dense in .* cannot be loaded"):
            encode(tmp_path, ["bat"])


class TestOutputSpec:
    @pytest.mark.parametrize("family", ["bert", "gpt2", "deberta-v2"])
    @pytest.mark.parametrize("layer_merge", ["concat", "sum", "mean"])
    def test_layers_merged_and_poolings_side_by_side(
        self, tiny_model: ModelFactory, family: str, layer_merge: str
    ) -> None:
        directory, layers, poolings = tiny_model(family), [3, 0, 2], ("mean", "max", "cls")
        readout = {"layers": layers, "layer_merge": layer_merge, "pooling": poolings}
        texts = [text or "a" for text in TEXTS]
        result = encode(directory, texts, readout, batch_tokens=40)
        tokenized = tokenize(directory, texts)
        for row, ids in enumerate(np.split(tokenized.ids, tokenized.offsets[1:-1])):
            chosen = torch.stack([token_vectors(directory, ids)[layer] for layer in layers])
            if layer_merge != "concat":
                chosen = getattr(chosen, layer_merge)(dim=0, keepdim=True)
            features: dict[str, Any] = {"token_embeddings": chosen}
            # (layers, poolings * hidden) as sentence-transformers has it; a pooling's layers stand
            # together here
            pooled = (
                Pooling(32, poolings)(features)["sentence_embedding"]
                .unflatten(1, (3, 32))
                .transpose(0, 1)
            )
            np.testing.assert_allclose(result[row], pooled.flatten(), atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize("family", FAMILIES)
    def test_all_layers_stand_in_the_order_requested(
        self, tiny_model: ModelFactory, family: str
    ) -> None:
        every = encode(tiny_model(family), TEXTS, {"layers": "all"})
        for layer in range(4):
            alone = encode(tiny_model(family), TEXTS, {"layers": layer})
            np.testing.assert_allclose(
                alone, every[:, 32 * layer : 32 * (layer + 1)], atol=1e-5, rtol=1e-5
            )
        backwards = encode(tiny_model(family), TEXTS, {"layers": "-1,0"})
        np.testing.assert_allclose(
            backwards, np.hstack([every[:, 96:], every[:, :32]]), atol=1e-5, rtol=1e-5
        )

    def test_windows_are_averaged_by_their_lengths(self, tiny_model: ModelFactory) -> None:
        directory = tiny_model("bert")
        settings = {"max_length": 10, "overflow": "window", "stride": 3}
        tokenized = tokenize(directory, TEXTS, **settings)
        result = encode(directory, TEXTS, **settings)
        assert len(tokenized.lengths) > len(TEXTS) == len(result)
        for row, text in enumerate(TEXTS):
            alone = tokenize(directory, [text], **settings)
            vectors = [
                token_vectors(directory, ids)[3].mean(dim=0).numpy()
                for ids in np.split(alone.ids, alone.offsets[1:-1])
            ]
            np.testing.assert_allclose(
                result[row],
                np.average(vectors, axis=0, weights=alone.lengths),
                atol=1e-5,
                rtol=1e-5,
            )

    def test_windows_leave_the_prompt_out_and_nothing_else(
        self, tiny_model: ModelFactory, tmp_path: Path
    ) -> None:
        save_sentence_transformer(tiny_model("bert"), tmp_path, include_prompt=False)
        settings = {"max_length": 10, "overflow": "window", "stride": 0, "prompt": "the old "}
        tokenized = tokenize(tmp_path, TEXTS[3:4], **settings)
        parts = np.split(tokenized.ids, tokenized.offsets[1:-1])
        assert len(parts) > 2
        vectors = [token_vectors(tmp_path, ids)[3][3:].mean(dim=0).numpy() for ids in parts]
        expected = np.average(vectors, axis=0, weights=tokenized.lengths)
        np.testing.assert_allclose(
            encode(tmp_path, TEXTS[3:4], **settings)[0], expected, atol=1e-5, rtol=1e-5
        )

    @pytest.mark.parametrize("family", ["gpt2", "openai-gpt"])
    def test_a_text_without_tokens_gets_zeros(self, tiny_model: ModelFactory, family: str) -> None:
        result = encode(tiny_model(family), ["", "bat", ""], {"normalize": True})
        assert not result[[0, 2]].any()
        assert np.linalg.norm(result[1]) == pytest.approx(1, abs=1e-6)
        assert not encode(tiny_model(family), ["", ""]).any()

    def test_no_texts(self, tiny_model: ModelFactory) -> None:
        assert encode(tiny_model("bert"), [], {"layers": "all"}).shape == (0, 128)


class TestBatches:
    @pytest.mark.parametrize("family", ["bert", "roberta", "modernbert", "mpnet", "gpt2"])
    def test_the_budget_changes_no_number(self, tiny_model: ModelFactory, family: str) -> None:
        texts = [" ".join(["bat"] * (number % 40 + 1)) for number in range(120)]
        expected = encode(tiny_model(family), texts, batch_tokens=1)
        for batch_tokens in (7, 100, 100_000, None):
            np.testing.assert_allclose(
                encode(tiny_model(family), texts, batch_tokens=batch_tokens),
                expected,
                atol=1e-5,
                rtol=1e-5,
            )

    def test_order_of_texts_changes_no_number(self, tiny_model: ModelFactory) -> None:
        order = np.random.default_rng(0).permutation(len(TEXTS))
        shuffled = encode(tiny_model("bert"), [TEXTS[number] for number in order])
        np.testing.assert_allclose(shuffled, encode(tiny_model("bert"), TEXTS)[order], atol=1e-6)

    def test_progress_is_reported_in_tokens(self, tiny_model: ModelFactory) -> None:
        checkpoint = open_checkpoint(str(tiny_model("bert")))
        tokenized = tokenize(tiny_model("bert"), TEXTS)
        counts: list[int] = []
        read(
            load_encoder(checkpoint, CPU, "float32"),
            tokenized,
            resolve_output_spec(checkpoint),
            30,
            counts.append,
        )
        assert sum(counts) == len(tokenized.ids)
        assert len(counts) > 2

    def test_errors_other_than_of_memory_pass(self, tiny_model: ModelFactory) -> None:
        tokenized = tokenize(tiny_model("bert"), TEXTS)
        tokenized.ids[:] = 10_000
        checkpoint = open_checkpoint(str(tiny_model("bert")))
        with pytest.raises(IndexError):
            read(
                load_encoder(checkpoint, CPU, "float32"), tokenized, resolve_output_spec(checkpoint)
            )


OUT_OF_MEMORY = """
import resource, sys
import numpy as np, torch
torch.set_num_threads(1)
from bertvectorizer.models import TextTokenizer, open_checkpoint, resolve_output_spec
from bertvectorizer.models.checkpoint.text_tokens import load_tokenizer
from bertvectorizer.models.network.encoder import Encoder
from bertvectorizer.errors import OutOfMemoryError

checkpoint = open_checkpoint(sys.argv[1])
encoder = Encoder(checkpoint, torch.device("cpu"), "float32")
texts = ["bat " * 120 + "crane " * number for number in range(4)]
tokenized = TextTokenizer(checkpoint, load_tokenizer(checkpoint))(texts)
parts = resolve_output_spec(checkpoint).parts
expected = encoder.encode(tokenized, parts, batch_tokens=1)  # also brings every kernel into memory

def allow(mebibytes):
    in_use = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + (mebibytes << 20), resource.RLIM_INFINITY))

done = []
# An activation of one text takes 64 MiB, more than glibc ever keeps when it is freed; that of all
# four takes 256 MiB.
allow(200)
result = encoder.encode(tokenized, parts, 100_000, done.append)
print(len(done), float(np.abs(result - expected).max()) < 1e-5)
allow(32)
try:
    encoder.encode(tokenized, parts, 100_000)
except OutOfMemoryError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(float(np.abs(encoder.encode(tokenized, parts, 1) - expected).max()) < 1e-5)
"""


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="memory is limited in Linux's way"
)
def test_out_of_memory_halves_the_budget_and_raises_for_a_single_sequence(
    tiny_model: ModelFactory,
) -> None:
    """With limited memory: a batch of all texts does not fit, smaller ones do; then none does."""
    directory = tiny_model("bert", intermediate_size=1 << 17, num_hidden_layers=1)
    # glibc's arenas of threads reserve 64 MiB each, where an activation may find room.
    printed = run_python(OUT_OF_MEMORY, directory, MALLOC_ARENA_MAX=1)
    halved, message, after = printed.splitlines()
    batches, right = halved.split()
    assert 2 <= int(batches) <= 4
    assert right == "True"
    assert (
        message == "One sequence of 125 tokens does not fit into the memory of device 'cpu'. "
        "Lower 'max_length', choose fewer layers, or use another device."
    )
    assert after == "True"


class TestPrecision:
    needs_one_dnn = pytest.mark.skipif(
        not torch.backends.mkldnn.is_available(), reason="PyTorch without oneDNN"
    )

    @needs_one_dnn
    def test_int8_of_the_default_model_comes_close(self, default_model_directory: Path) -> None:
        texts = [
            "The bat hung from the beam.",
            "He swung the bat.",
            "Interest rates of the river bank",
            "a",
            "!",
            "???",
            TEXTS[3],
        ]
        exact, result = encode(DEFAULT_MODEL, texts), encode(DEFAULT_MODEL, texts, precision="int8")
        least = 0.995 if int8_activation_bits() == 8 else 0.99
        assert ((exact * result).sum(axis=1) > least).all()
        assert np.abs(exact - result).max() > 1e-4

    @needs_one_dnn
    @pytest.mark.parametrize("family", ["bert", "gpt2", "modernbert"])
    def test_int8_does_not_depend_on_company(self, tiny_model: ModelFactory, family: str) -> None:
        together = encode(tiny_model(family), TEXTS, precision="int8")
        for row, text in enumerate(TEXTS):
            np.testing.assert_allclose(
                encode(tiny_model(family), [text], precision="int8")[0], together[row], atol=1e-6
            )

    @pytest.mark.parametrize("precision", ["bfloat16", "float16"])
    def test_half_precision_is_pooled_in_float32(
        self, tiny_model: ModelFactory, precision: str
    ) -> None:
        # Its layers are not fused, so that their states have the format.
        checkpoint = open_checkpoint(str(tiny_model("modernbert")))
        encoder = Encoder(checkpoint, CPU, precision)
        tokenized = tokenize(tiny_model("modernbert"), TEXTS)
        readout = resolve_output_spec(checkpoint, "all", "sum")
        result = read(encoder, tokenized, readout, batch_tokens=1)
        for row, ids in enumerate(np.split(tokenized.ids, tokenized.offsets[1:-1])):
            states = encoder.backbone.hidden_states(ids, np.array([len(ids)]), range(4))
            assert states[3].dtype == getattr(torch, precision)
            expected = (
                torch.stack([states[layer].double() for layer in range(4)]).sum(dim=0).mean(dim=0)
            )
            np.testing.assert_allclose(result[row], expected, atol=1e-5, rtol=1e-5)


class TestCaches:
    def test_the_same_content_is_loaded_once(
        self, tiny_model: ModelFactory, tmp_path: Path
    ) -> None:
        shutil.copytree(tiny_model("bert"), tmp_path / "copy")
        one, other = (
            open_checkpoint(str(tiny_model("bert"))),
            open_checkpoint(str(tmp_path / "copy")),
        )
        assert load_encoder(one, CPU, "float32") is load_encoder(other, CPU, "float32")
        assert load_tokenizer(one) is load_tokenizer(other)

    def test_another_content_or_precision_is_not(
        self, tiny_model: ModelFactory, tmp_path: Path
    ) -> None:
        directory = Path(shutil.copytree(tiny_model("bert"), tmp_path / "model"))
        before = encode(directory, TEXTS)
        weights = load_file(directory / "model.safetensors")
        weights["embeddings.word_embeddings.weight"] *= -1
        save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
        assert np.abs(encode(directory, TEXTS) - before).max() > 0.1

    def test_threads_that_ask_at_once_get_one_encoder(self, tiny_model: ModelFactory) -> None:
        checkpoint = open_checkpoint(str(tiny_model("electra")))
        got: list[Encoder] = []
        threads = [
            threading.Thread(target=lambda: got.append(load_encoder(checkpoint, CPU, "float32")))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) == 4
        assert len(set(map(id, got))) == 1


@pytest.mark.parametrize("family", ["bert", "mpnet"])
def test_threads_sharing_an_encoder_do_not_disturb_each_other(
    tiny_model: ModelFactory, family: str
) -> None:
    checkpoint = open_checkpoint(str(tiny_model(family)))
    encoder = load_encoder(checkpoint, CPU, "float32")
    shares = [
        (tokenize(tiny_model(family), [f"{text} {word}" for text in TEXTS]), word)
        for word in ("bat", "the old river", "a", "xyz" * 9)
    ]
    readouts = [resolve_output_spec(checkpoint, layers) for layers in (-1, 0, "all", [2, 1])]
    alone = [
        read(encoder, tokenized, readout, 60)
        for (tokenized, _), readout in zip(shares, readouts, strict=True)
    ]
    start, worst, errors = threading.Barrier(4), [0.0] * 4, []

    def work(number: int) -> None:
        try:
            start.wait()
            for _ in range(15):
                result = read(encoder, shares[number][0], readouts[number], 60)
                worst[number] = max(worst[number], float(np.abs(result - alone[number]).max()))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert max(worst) < 1e-5


SIDE_EFFECTS = """
import os, random, signal, sys, warnings
import numpy as np, torch, transformers
from transformers.utils import logging
import huggingface_hub.utils

def state():
    return {
        "torch random state": torch.get_rng_state().tolist(),
        "numpy random state": repr(np.random.get_state()),
        "random state": random.getstate(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "default dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "verbosity": logging.get_verbosity(),
        "progress bars": (
            logging.is_progress_bar_enabled(),
            huggingface_hub.utils.are_progress_bars_disabled(),
        ),
        "environment": dict(os.environ),
        "filters": list(warnings.filters),
        "signals": signal.getsignal(signal.SIGINT),
    }

torch.set_num_threads(2)
for seed in (torch.manual_seed, np.random.seed, random.seed):
    seed(7)
logging.set_verbosity_info()
from bertvectorizer.models import TextTokenizer, open_checkpoint, resolve_output_spec
from bertvectorizer.models.checkpoint.text_tokens import load_tokenizer
from bertvectorizer.models.network.encoder import load_encoder
import sentence_transformers
before = state()
for name in sys.argv[1:]:
    checkpoint = open_checkpoint(name)
    tokenizer = TextTokenizer(checkpoint, load_tokenizer(checkpoint), max_length=6)
    tokenized = tokenizer(["bat " * 9, "", "crane"])
    for precision in ("float32", "int8") if torch.backends.mkldnn.is_available() else ("float32",):
        encoder = load_encoder(checkpoint, torch.device("cpu"), precision)
        encoder.encode(tokenized, resolve_output_spec(checkpoint).parts)
after = state()
print("changed:", [name for name in before if before[name] != after[name]])
"""


def test_loading_and_encoding_change_no_setting_and_warn_of_nothing(
    tiny_model: ModelFactory, tmp_path: Path
) -> None:
    save_sentence_transformer(tiny_model("bert"), tmp_path, dense=8, normalize=True)
    assert (
        run_python(SIDE_EFFECTS, tmp_path, tiny_model("gpt2"), tiny_model("mpnet"))
        == "changed: []\n"
    )


def test_encoding_in_this_process_leaves_the_random_state(tiny_model: ModelFactory) -> None:
    state, numpy_state = torch.get_rng_state(), repr(np.random.get_state())  # noqa: NPY002
    checkpoint = open_checkpoint(str(tiny_model("distilbert")))
    read(
        Encoder(checkpoint, CPU, "float32"),
        tokenize(tiny_model("distilbert"), TEXTS),
        resolve_output_spec(checkpoint),
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert repr(np.random.get_state()) == numpy_state  # noqa: NPY002
