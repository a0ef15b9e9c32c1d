"""Tests of models/checkpoint/adapter.py, against PEFT through transformers."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer

from bertvectorizer import BertVectorizer, BertWordVectorizer
from bertvectorizer.errors import (
    ModelChangedError,
    ModelError,
    ModelIntegrityError,
    ModelNotFoundError,
    UnsafeModelError,
    UnsupportedModelError,
)
from bertvectorizer.models import open_checkpoint
from bertvectorizer.models.checkpoint import weights
from bertvectorizer.models.checkpoint.weights import load_model
from bertvectorizer.models.network.encoder import load_encoder
from tests.processes import WATCH_SOCKETS, run_python
from tests.tiny import ModelFactory, save_adapter, save_sentence_transformer

peft = pytest.importorskip("peft", reason="needs the extra peft")

TEXTS = ["the old crane", "money in the bank . " * 3, "a bat hit the ball at night"]
COMMIT = "0123456789" * 4
ADAPTER, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def lora(**changes: Any) -> Any:
    return peft.LoraConfig(
        **{"r": 4, "lora_alpha": 8, "target_modules": ["query", "dense"], **changes}
    )


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def peer(directory: Path) -> NDArray[np.float32]:
    """Return the vectors of sentence-transformers, and thus of transformers with PEFT."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = SentenceTransformer(str(directory), device="cpu")
    return np.asarray(model.encode(TEXTS))


def vectors(directory: Path, **parameters: Any) -> NDArray[np.float32]:
    vectorizer = BertVectorizer(str(directory), **{"store": None, **parameters})
    return np.asarray(vectorizer.fit_transform(TEXTS))


def assert_equal(one: NDArray[Any], other: NDArray[Any], tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)


@pytest.fixture
def base(tiny_model: ModelFactory, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_model("bert"), tmp_path / "base")


@pytest.fixture
def adapter(base: Path, tmp_path: Path) -> Path:
    """An adapter alone, with the tokenizer of its base."""
    return save_adapter(base, tmp_path / "adapter", lora())


CONFIGS: dict[str, Callable[[], Any]] = {
    "lora": lora,
    "patterns": lambda: lora(rank_pattern={"query": 2}, alpha_pattern={"dense": 3}),
    "rslora": lambda: lora(use_rslora=True),
    "biases": lambda: lora(bias="all"),
    "own biases": lambda: lora(lora_bias=True),
    "every linear layer": lambda: lora(target_modules="all-linear"),
    "one layer": lambda: lora(layers_to_transform=[1], layers_pattern="layer"),
    "a pattern": lambda: lora(target_modules=r".*layer\.[01]\..*query"),
    "embeddings": lambda: lora(target_modules=["word_embeddings", "query"]),
    "modules to save": lambda: lora(modules_to_save=["LayerNorm"]),
    "some tokens": lambda: lora(trainable_token_indices={"word_embeddings": [5, 6]}),
    "pissa": lambda: lora(init_lora_weights="pissa"),
    "ia3": lambda: peft.IA3Config(target_modules=["query", "dense"], feedforward_modules=["dense"]),
    "loha": lambda: peft.LoHaConfig(target_modules=["query"]),
    "lokr": lambda: peft.LoKrConfig(target_modules=["query"]),
    "oft": lambda: peft.OFTConfig(target_modules=["query"], oft_block_size=8),
    "norms": lambda: peft.LNTuningConfig(target_modules=["LayerNorm"]),
    "tokens": lambda: peft.TrainableTokensConfig(
        token_indices=[5, 6], target_modules=["word_embeddings"]
    ),
}


class TestSameAsPeft:
    @pytest.mark.numeric
    @pytest.mark.parametrize("name", CONFIGS)
    def test_every_method(self, base: Path, tmp_path: Path, name: str) -> None:
        directory = save_adapter(base, tmp_path / "adapter", CONFIGS[name]())
        expected = peer(directory)
        assert np.abs(expected - vectors(base)).max() > 1e-2
        assert_equal(vectors(directory), expected)

    @pytest.mark.numeric
    def test_dora(self, base: Path, tmp_path: Path) -> None:
        """transformers leaves its magnitudes out, so the reference is PEFT alone."""
        directory = save_adapter(base, tmp_path / "adapter", lora(use_dora=True))
        model = peft.inject_adapter_in_model(
            lora(use_dora=True), transformers.AutoModel.from_pretrained(base).eval()
        )
        peft.set_peft_model_state_dict(model, load_file(directory / WEIGHTS))
        merged = load_model(open_checkpoint(directory))
        with torch.inference_mode():
            expected, found, plain = (
                network.eval()(torch.arange(40)[None]).last_hidden_state
                for network in (model, merged, transformers.AutoModel.from_pretrained(base))
            )
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
        assert (found - plain).abs().max() > 1e-2

    @pytest.mark.numeric
    @pytest.mark.parametrize(
        ("family", "modules"),
        [
            ("roberta", ["query"]),
            ("distilbert", ["q_lin"]),
            ("mpnet", ["q"]),
            ("deberta-v2", ["query_proj"]),
            ("modernbert", ["Wqkv"]),
            ("gpt2", ["c_attn"]),
            ("mistral", ["q_proj", "down_proj"]),
            ("t5", ["q", "wo"]),
        ],
    )
    def test_families(
        self, tiny_model: ModelFactory, tmp_path: Path, family: str, modules: list[str]
    ) -> None:
        base = tiny_model(family)
        config = lora(target_modules=modules, fan_in_fan_out=family == "gpt2")
        directory = save_adapter(base, tmp_path, config)
        expected = peer(directory)
        assert_equal(vectors(directory), expected)
        assert np.abs(vectors(directory) - vectors(base)).max() > 1e-2

    @pytest.mark.numeric
    @pytest.mark.parametrize(
        ("family", "kind", "task"),
        [
            ("bert", transformers.AutoModelForSequenceClassification, "SEQ_CLS"),
            ("bert", transformers.AutoModelForMaskedLM, None),
            ("mistral", transformers.AutoModelForCausalLM, "CAUSAL_LM"),
        ],
    )
    def test_adapters_that_were_trained_for_another_task(
        self, tiny_model: ModelFactory, tmp_path: Path, family: str, kind: Any, task: str | None
    ) -> None:
        """The names of their weights begin otherwise; the head is not loaded."""
        base = tiny_model(family)
        config = lora(target_modules=["query", "q_proj"], task_type=task)
        directory = save_adapter(base, tmp_path, config, kind)
        expected = peer(directory)
        assert np.abs(expected - vectors(base)).max() > 1e-2
        assert_equal(vectors(directory), expected)

    @pytest.mark.numeric
    @pytest.mark.parametrize("beside", [True, False])
    def test_checkpoints_of_sentence_transformers(
        self, base: Path, tmp_path: Path, beside: bool
    ) -> None:
        directory = save_sentence_transformer(
            base, tmp_path / "st", pooling=("cls", "max"), dense=16, normalize=True
        )
        save_adapter(base, directory, lora())
        if not beside:
            (directory / "config.json").unlink()
            (directory / "model.safetensors").unlink()
        expected = peer(directory)
        assert expected.shape == (3, 16)
        assert_equal(vectors(directory), expected)
        # In a folder, as older versions have it. sentence-transformers itself finds no base there.
        folder = directory / "0_Transformer"
        folder.mkdir()
        modules = json.loads((directory / "modules.json").read_text())
        modules[0]["path"] = folder.name
        (directory / "modules.json").write_text(json.dumps(modules))
        for file in directory.iterdir():
            if file.is_file() and file.name not in (
                "modules.json",
                "config_sentence_transformers.json",
            ):
                file.rename(folder / file.name)
        assert_equal(vectors(directory), expected)

    @pytest.mark.numeric
    def test_layers_and_words(self, base: Path, adapter: Path) -> None:
        """Early exit and packed rows read the adapter's numbers too."""
        model = transformers.AutoModel.from_pretrained(adapter).eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(adapter)
        with torch.inference_mode():
            states = [
                model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True)
                for text in TEXTS
            ]
        for layer in range(4):
            expected = [state.hidden_states[layer][0].mean(dim=0).numpy() for state in states]
            assert_equal(vectors(adapter, layers=layer, pooling="mean"), np.stack(expected))
        words = BertWordVectorizer(str(adapter), layers=[1], store=None)
        found = words.fit_transform([["the", "old", "crane"]])
        assert_equal(np.asarray(found), states[0].hidden_states[1][0, 1:-1].numpy())
        network = load_encoder(open_checkpoint(adapter), torch.device("cpu"), "float32").backbone
        assert network.is_packed
        assert network.stops_early

    @pytest.mark.numeric
    @pytest.mark.parametrize("precision", ["int8", "bfloat16"])
    def test_precisions(self, base: Path, adapter: Path, tmp_path: Path, precision: str) -> None:
        """The adapter is merged before the numbers are reduced."""
        merged = shutil.copytree(base, tmp_path / "merged")
        tensors = load_model(open_checkpoint(adapter)).state_dict()
        save_file(tensors, merged / "model.safetensors", {"format": "pt"})
        found = vectors(adapter, precision=precision)
        assert_equal(found, vectors(merged, precision=precision), 2e-2)
        assert np.abs(found - vectors(base, precision=precision)).max() > 0.1

    def test_no_layer_of_peft_is_left(self, adapter: Path) -> None:
        model = load_model(open_checkpoint(adapter))
        assert not [m for m in model.modules() if type(m).__module__.startswith("peft")]
        assert not any(parameter.requires_grad for parameter in model.parameters())

    def test_nothing_is_unpickled(
        self, base: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def load(*_: Any, **__: Any) -> None:
            raise AssertionError

        expected = vectors(adapter)
        (adapter / "adapter_model.bin").write_bytes(b"pickle")
        monkeypatch.setattr(torch, "load", load)
        load_encoder.__globals__["_cached_encoder"].cache_clear()
        assert_equal(vectors(adapter), expected, 0)


class TestBase:
    @pytest.mark.parametrize("name", ["../base", "{}/base"])
    def test_directories(self, adapter: Path, tmp_path: Path, name: str) -> None:
        expected = vectors(adapter)
        edit(adapter / ADAPTER, base_model_name_or_path=name.format(tmp_path))
        assert_equal(vectors(adapter), expected, 0)

    def test_a_folder_within(self, base: Path, adapter: Path) -> None:
        expected = vectors(adapter)
        base.rename(adapter / "base")
        edit(adapter / ADAPTER, base_model_name_or_path="base")
        assert_equal(vectors(adapter), expected, 0)

    def test_the_tokenizer_of_the_base(self, base: Path, adapter: Path) -> None:
        expected = vectors(adapter)
        for file in adapter.glob("tokenizer*"):
            file.unlink()
        assert_equal(vectors(adapter), expected, 0)

    def test_a_tokenizer_of_its_own(self, base: Path, adapter: Path) -> None:
        edit(adapter / "tokenizer_config.json", model_max_length=5)
        edit(base / "tokenizer_config.json", model_max_length=7)
        expected = peer(adapter)
        with pytest.warns(UserWarning, match="longer than the model reads"):
            assert_equal(vectors(adapter), expected)

    def test_a_name_on_the_hub_is_found_in_the_cache(
        self, base: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By name and by revision, of base and adapter, without a socket."""
        expected = vectors(adapter)
        cache = tmp_path / "hub"
        other = "f" * 40
        put_into_cache(cache, "someone/base", base, COMMIT)
        (base / "model.safetensors").write_bytes(b"")
        put_into_cache(cache, "someone/base", base, other)
        for file in adapter.glob("tokenizer*"):
            file.unlink()
        edit(adapter / ADAPTER, base_model_name_or_path="someone/base", revision=COMMIT)
        put_into_cache(cache, "someone/adapter", adapter, COMMIT)
        printed = run_python(
            WATCH_SOCKETS
            + """
from bertvectorizer import BertVectorizer
X = BertVectorizer("someone/adapter", local_files_only=True, store=None).fit_transform(
    ["the old crane"]
)
print(opened, *X[0].tolist())
""",
            HF_HUB_CACHE=cache,
            HF_HUB_OFFLINE="0",
            HF_ENDPOINT="http://127.0.0.1:9",
        )
        opened, *numbers = printed.split()
        assert opened == "[]"
        assert_equal(np.array(numbers, dtype=np.float32), expected[0], 1e-6)
        edit(adapter / ADAPTER, revision=None)  # that of "main", which is damaged
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
        with pytest.raises(ModelIntegrityError, match=other):
            vectors(adapter)

    def test_a_base_that_is_nowhere(self, adapter: Path) -> None:
        edit(adapter / ADAPTER, base_model_name_or_path="/home/author/model")
        with pytest.raises(
            ModelNotFoundError, match=r"base model of the adapter '.*'/home/author/model' was not"
        ):
            open_checkpoint(adapter)

    @pytest.mark.parametrize("name", [None, "", " ", 3, ["base"], "\0", "."])
    def test_a_base_that_is_not_named(self, adapter: Path, name: Any) -> None:
        edit(adapter / ADAPTER, base_model_name_or_path=name)
        with pytest.raises(ModelError, match="base"):
            open_checkpoint(adapter)

    def test_another_adapter_beside_the_base(
        self, base: Path, adapter: Path, tmp_path: Path
    ) -> None:
        """It is no part of the base model, as in transformers."""
        expected = vectors(adapter)
        other = save_adapter(base, tmp_path / "other", lora(r=2))
        shutil.copytree(other, base, dirs_exist_ok=True)
        assert_equal(peer(adapter), expected)
        assert_equal(vectors(adapter), expected, 0)
        assert np.abs(vectors(base) - expected).max() > 1e-2

    def test_a_base_that_is_an_adapter(self, adapter: Path, tmp_path: Path) -> None:
        second = shutil.copytree(adapter, tmp_path / "second")
        edit(second / ADAPTER, base_model_name_or_path=str(adapter))
        with pytest.raises(UnsupportedModelError, match="it is an adapter itself"):
            open_checkpoint(second)

    def test_a_pickled_base(self, base: Path, adapter: Path) -> None:
        (base / "model.safetensors").rename(base / "pytorch_model.bin")
        with pytest.raises(UnsafeModelError, match=r"only pickles \(pytorch_model\.bin\)"):
            open_checkpoint(adapter)

    def test_code_of_the_base_or_the_tokenizer(self, base: Path, adapter: Path) -> None:
        code = {"AutoTokenizer": ["own_code.OwnTokenizer", None]}
        edit(adapter / "tokenizer_config.json", auto_map=code)
        with pytest.raises(UnsafeModelError, match=r"adapter/tokenizer_config\.json' names code"):
            open_checkpoint(adapter)
        edit(adapter / "tokenizer_config.json", auto_map=None)
        edit(base / "config.json", auto_map={"AutoModel": "own_code.OwnModel"})
        with pytest.raises(UnsafeModelError, match=r"base/config\.json' names code"):
            open_checkpoint(adapter)

    def test_code_of_a_base_on_the_hub_needs_a_commit(self, adapter: Path) -> None:
        edit(adapter / ADAPTER, base_model_name_or_path="someone/base", revision="main")
        with pytest.raises(UnsafeModelError, match=r"runs code from 'someone/base'.*Got 'main'"):
            open_checkpoint(adapter, trust_remote_code=True)


def put_into_cache(cache: Path, name: str, model: Path, commit: str) -> None:
    """Lay a model into a cache as huggingface_hub does; the last commit is the main one."""
    repository = cache / ("models--" + name.replace("/", "--"))
    (repository / "refs").mkdir(parents=True, exist_ok=True)
    (repository / "refs" / "main").write_text(commit)
    shutil.copytree(model, repository / "snapshots" / commit)


class TestIdentity:
    def test_either_part_is_part_of_the_fingerprint(self, base: Path, adapter: Path) -> None:
        fingerprints = {open_checkpoint(adapter).fingerprint, open_checkpoint(base).fingerprint}
        for path in (adapter / WEIGHTS, base / "model.safetensors"):
            tensors = load_file(path)
            save_file({name: tensor + 1e-3 for name, tensor in tensors.items()}, path)
            fingerprints.add(open_checkpoint(adapter).fingerprint)
        edit(base / "config.json", layer_norm_eps=1e-3)
        fingerprints.add(open_checkpoint(adapter).fingerprint)
        assert len(fingerprints) == 5

    def test_a_store_keeps_what_each_gives(self, base: Path, adapter: Path, tmp_path: Path) -> None:
        before = vectors(adapter, store=tmp_path / "store")
        tensors = load_file(base / "model.safetensors")
        save_file(
            {name: tensor * 1.5 for name, tensor in tensors.items()}, base / "model.safetensors"
        )
        after = vectors(adapter, store=tmp_path / "store")
        assert_equal(after, vectors(adapter), 0)
        assert np.abs(after - before).max() > 1e-2

    def test_the_place_is_not(self, base: Path, adapter: Path, tmp_path: Path) -> None:
        edit(adapter / ADAPTER, base_model_name_or_path="../base")
        checkpoint = open_checkpoint(adapter)
        for directory in (base, adapter):
            shutil.copytree(directory, tmp_path / "elsewhere" / directory.name)
        assert open_checkpoint(tmp_path / "elsewhere" / "adapter") == checkpoint

    def test_another_base_under_the_same_name(
        self, base: Path, adapter: Path, tmp_path: Path
    ) -> None:
        """Nothing in the files that were read before has changed."""
        shutil.copytree(base, tmp_path / "other")
        edit(tmp_path / "other" / "config.json", layer_norm_eps=1e-3)
        (tmp_path / "link").symlink_to(base)
        edit(adapter / ADAPTER, base_model_name_or_path="../link")
        before = open_checkpoint(adapter)
        assert open_checkpoint(adapter) is before
        (tmp_path / "link").unlink()
        (tmp_path / "link").symlink_to(tmp_path / "other")
        assert open_checkpoint(adapter).fingerprint != before.fingerprint

    @pytest.mark.parametrize("changes", ["base/model.safetensors", f"adapter/{WEIGHTS}"])
    def test_a_part_that_changes_while_it_loads(
        self, adapter: Path, monkeypatch: pytest.MonkeyPatch, changes: str
    ) -> None:
        def merge(model: Any, directory: Path) -> None:
            path = adapter.parent / changes
            shutil.copy(path, adapter / "copy.log")
            os.replace(adapter / "copy.log", path)

        monkeypatch.setattr(weights, "merge_adapter", merge)
        with pytest.raises(ModelChangedError):
            load_model(open_checkpoint(adapter))


class TestRefused:
    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("peft_type", "PROMPT_TUNING"),
            ("peft_type", "XLORA"),
            ("peft_type", "NEWER"),
            ("peft_type", ["LORA"]),
            ("peft_type", None),
            ("megatron_config", {"sequence_parallel": False}),
            ("layer_replication", [[0, 2], [1, 3]]),
            ("init_lora_weights", "pissa_niter_4"),
            ("newer_setting", 3),
            ("alora_invocation_tokens", [5]),
        ],
    )
    def test_by_name(self, adapter: Path, key: str, value: Any) -> None:
        edit(adapter / ADAPTER, **{key: value})
        with pytest.raises(UnsupportedModelError, match=rf"{ADAPTER}.*({key}|aLoRA)"):
            vectors(adapter)

    def test_an_empty_setting_of_a_newer_version(self, adapter: Path) -> None:
        expected = vectors(adapter)
        edit(adapter / ADAPTER, newer_setting=None, auto_mapping={"base_model_class": "os.system"})
        assert_equal(vectors(adapter), expected, 0)

    @pytest.mark.parametrize(
        "changes",
        [
            {"r": "four"},
            {"r": 10**12},
            {"r": 5},
            {"r": -1},
            {"lora_alpha": "8"},
            {"task_type": "NEWER"},
            {"target_modules": ["no_such_layer"]},
            {"target_modules": "("},
            {"target_modules": 3},
            {"target_modules": ["query"]},
            {"target_modules": ["query", "dense", "value"]},
            {"rank_pattern": [3]},
            {"use_dora": True},
        ],
    )
    def test_settings_that_the_weights_do_not_fit(
        self, adapter: Path, changes: dict[str, Any]
    ) -> None:
        edit(adapter / ADAPTER, **changes)
        with pytest.raises((ModelIntegrityError, UnsupportedModelError), match="adapter"):
            vectors(adapter)

    @pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"peft_type": "LORA"}'])
    def test_a_damaged_configuration(self, adapter: Path, content: str) -> None:
        (adapter / ADAPTER).write_text(content)
        with pytest.raises(ModelIntegrityError, match=ADAPTER):
            vectors(adapter)

    @pytest.mark.parametrize("size", [0, 4, 100, -1])
    def test_cut_weights(self, adapter: Path, size: int) -> None:
        (adapter / WEIGHTS).write_bytes((adapter / WEIGHTS).read_bytes()[:size])
        with pytest.raises(ModelIntegrityError, match=f"{WEIGHTS}' cannot be read"):
            vectors(adapter)

    @pytest.mark.parametrize("damage", ["missing", "of another shape", "without a place", "nan"])
    def test_weights_that_do_not_fit(self, adapter: Path, damage: str) -> None:
        tensors = load_file(adapter / WEIGHTS)
        name = min(tensors)
        tensor = tensors.pop(name)
        if damage == "of another shape":
            tensors[name] = tensor[:, :-1].contiguous()
        elif damage == "without a place":
            tensors[name] = tensor
            tensors[name.replace("layer.0", "layer.7")] = tensor.clone()
        elif damage == "nan":
            tensors[name] = tensor * torch.nan
        save_file(tensors, adapter / WEIGHTS)
        with pytest.raises((ModelIntegrityError, UnsupportedModelError), match="adapter"):
            vectors(adapter)

    def test_layers_beyond_the_base(
        self, tiny_model: ModelFactory, base: Path, tmp_path: Path
    ) -> None:
        """Whatever the task they were trained for; transformers leaves them out."""
        deep = tiny_model("bert", num_hidden_layers=4)
        for kind in (transformers.AutoModel, transformers.AutoModelForMaskedLM):
            directory = save_adapter(deep, tmp_path / kind.__name__, lora(), kind)
            edit(directory / ADAPTER, base_model_name_or_path=str(base))
            with pytest.raises(ModelIntegrityError, match=r"encoder\.layer\.3"):
                vectors(directory)

    def test_a_base_of_another_width(
        self, tiny_model: ModelFactory, base: Path, adapter: Path
    ) -> None:
        shutil.rmtree(base)
        shutil.copytree(tiny_model("bert", hidden_size=16), base)
        with pytest.raises(ModelIntegrityError, match="does not fit its base model"):
            vectors(adapter)

    def test_missing_weights_of_the_base_are_noticed(self, base: Path, adapter: Path) -> None:
        """Of a base beside its adapter, too."""
        tensors = load_file(base / "model.safetensors")
        del tensors["encoder.layer.1.attention.self.value.weight"]
        save_file(tensors, base / "model.safetensors", {"format": "pt"})
        match = r"do not fit its config\.json: 1 are"
        with pytest.raises(ModelIntegrityError, match=match):
            vectors(adapter)
        shutil.copytree(adapter, base, dirs_exist_ok=True)
        with pytest.raises(ModelIntegrityError, match=match):
            vectors(base)

    def test_a_pickled_adapter(self, adapter: Path) -> None:
        (adapter / WEIGHTS).rename(adapter / "adapter_model.bin")
        with pytest.raises(UnsafeModelError, match=r"only pickles \(adapter_model\.bin\)"):
            open_checkpoint(adapter)

    def test_without_peft_an_adapter_is_not_left_out(
        self, base: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from bertvectorizer.models.checkpoint import adapter as module

        monkeypatch.setattr(module, "find_spec", lambda _: None)
        shutil.copytree(adapter, base, dirs_exist_ok=True)
        for directory in (adapter, base):
            with pytest.raises(
                UnsupportedModelError, match=r"pip install 'bertvectorizer\[peft\]'"
            ):
                open_checkpoint(directory)
