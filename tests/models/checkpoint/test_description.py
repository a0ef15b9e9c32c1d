"""Tests of models/checkpoint/description.py."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from bertvectorizer.errors import (
    ModelIntegrityError,
    ModelNotFoundError,
    UnsafeModelError,
    UnsupportedModelError,
)
from bertvectorizer.models import DEFAULT_MODEL, open_checkpoint
from bertvectorizer.models.checkpoint.description import Checkpoint, LaterModule
from tests.tiny import FAMILIES, ModelFactory, save_sentence_transformer

NAMESPACE = "sentence_transformers.models."


@pytest.fixture
def model(tiny_model: ModelFactory, tmp_path: Path) -> Path:
    """A copy of a tiny BERT to write into."""
    return Path(shutil.copytree(tiny_model("bert"), tmp_path / "model"))


def write_modules(model: Path, *types: str, **configs: dict[str, Any]) -> None:
    """Describe ``model`` as sentence-transformers of old did."""
    modules = [{"idx": 0, "name": "0", "path": "", "type": NAMESPACE + "Transformer"}]
    for number, kind in enumerate(types, start=1):
        path = f"{number}_{kind.rpartition('.')[2]}"
        modules.append(
            {
                "idx": number,
                "name": str(number),
                "path": path,
                "type": kind if "." in kind else NAMESPACE + kind,
            }
        )
        (model / path).mkdir()
        if kind in configs:
            (model / path / "config.json").write_text(json.dumps(configs[kind]))
    (model / "modules.json").write_text(json.dumps(modules))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_plain_checkpoint_of_every_family(tiny_model: ModelFactory, family: str) -> None:
    checkpoint = open_checkpoint(str(tiny_model(family)))
    assert (checkpoint.n_layers, checkpoint.hidden_size) == (3, 32)
    assert checkpoint.directory == tiny_model(family)
    assert (checkpoint.pooling, checkpoint.include_prompt, checkpoint.later_modules) == (
        ("mean",),
        True,
        (),
    )
    assert (
        checkpoint.max_seq_length,
        checkpoint.do_lower_case,
        checkpoint.prompts,
        checkpoint.default_prompt,
    ) == (None, False, {}, "")


@pytest.mark.parametrize(
    ("family", "n_positions"),
    [
        ("bert", 512),
        ("roberta", 128),
        ("xlm-roberta", 128),
        ("mpnet", 128),
        ("gpt2", 128),
        ("openai-gpt", 128),
        ("distilbert", 512),
    ],
)
def test_positions_that_a_text_can_have(
    tiny_model: ModelFactory, family: str, n_positions: int
) -> None:
    """Really: the model takes that many tokens, and not one more."""
    from transformers import AutoModel

    assert open_checkpoint(str(tiny_model(family))).n_positions == n_positions
    model = AutoModel.from_pretrained(tiny_model(family))
    model(input_ids=torch.full((1, n_positions), 7))
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=torch.full((1, n_positions + 1), 7))


@pytest.mark.parametrize("config", [transformers.XLNetConfig(), transformers.T5Config()])
def test_no_limit_of_positions(config: Any) -> None:
    assert Checkpoint(Path(), "", config).n_positions is None


@pytest.mark.parametrize(
    ("entries", "pooling"),
    [
        ({"architectures": ["MistralForCausalLM"]}, "lasttoken"),
        ({"architectures": ["MistralForCausalLM"], "is_causal": False}, "mean"),
        ({"architectures": ["MistralModel"]}, "mean"),
        ({"architectures": None}, "mean"),
    ],
)
def test_pooling_of_a_plain_language_model_equals_sentence_transformers(
    entries: dict[str, Any], pooling: str, tiny_model: ModelFactory, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(tiny_model("mistral"), tmp_path / "model"))
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | entries))
    assert open_checkpoint(model).pooling == (pooling,)
    peer = SentenceTransformer(str(model), device="cpu")
    assert peer[1].pooling_mode == pooling


def test_the_default_model(default_model_directory: Path) -> None:
    checkpoint = open_checkpoint(DEFAULT_MODEL)
    assert checkpoint.directory == default_model_directory
    assert (checkpoint.n_layers, checkpoint.hidden_size, checkpoint.max_seq_length) == (6, 384, 256)
    assert checkpoint.pooling == ("mean",)
    assert [module.name for module in checkpoint.later_modules] == ["Normalize"]


def test_a_checkpoint_that_sentence_transformers_saved(
    tiny_model: ModelFactory, tmp_path: Path
) -> None:
    save_sentence_transformer(
        tiny_model("bert"),
        tmp_path,
        pooling=("cls", "max"),
        include_prompt=False,
        dense=16,
        normalize=True,
        prompts={"query": "the old ", "passage": ""},
        default_prompt_name="query",
    )
    checkpoint = open_checkpoint(str(tmp_path))
    assert checkpoint.pooling == ("cls", "max")
    assert checkpoint.include_prompt is False
    assert [(module.name, module.out_features) for module in checkpoint.later_modules] == [
        ("Dense", 16),
        ("Normalize", None),
    ]
    assert checkpoint.default_prompt == "the old "
    assert [
        checkpoint.resolve_prompt(prompt) for prompt in (None, "query", "passage", "a bat ", "")
    ] == ["the old ", "the old ", "", "a bat ", ""]


class TestOlderFormats:
    @pytest.mark.parametrize(
        ("config", "pooling"),
        [
            ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, ("cls",)),
            ({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, ("max", "mean")),
            ({"pooling_mode_lasttoken": True}, ("lasttoken",)),
            (
                {
                    "pooling_mode_weightedmean_tokens": True,
                    "pooling_mode_mean_sqrt_len_tokens": True,
                },
                ("mean_sqrt_len_tokens", "weightedmean"),
            ),
            ({"pooling_mode_cls_token": False}, ("mean",)),
            ({"pooling_mode": "max"}, ("max",)),
            ({"pooling_mode": ["max", "cls"]}, ("max", "cls")),
        ],
    )
    def test_poolings_equal_what_sentence_transformers_reads(
        self, model: Path, config: dict[str, Any], pooling: tuple[str, ...]
    ) -> None:
        from sentence_transformers.sentence_transformer.modules import Pooling

        write_modules(model, "Pooling", Pooling={"word_embedding_dimension": 32, **config})
        assert open_checkpoint(str(model)).pooling == pooling
        theirs = Pooling.load(str(model / "1_Pooling")).pooling_mode
        assert pooling == ((theirs,) if isinstance(theirs, str) else tuple(theirs))

    @pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta", "distilbert", "xlnet"])
    def test_settings_lie_in_a_file_named_after_the_family(self, model: Path, kind: str) -> None:
        write_modules(model, "Pooling", Pooling={"pooling_mode_mean_tokens": True})
        (model / f"sentence_{kind}_config.json").write_text(
            '{"max_seq_length": 12, "do_lower_case": true}'
        )
        checkpoint = open_checkpoint(str(model))
        assert (checkpoint.max_seq_length, checkpoint.do_lower_case) == (12, True)

    def test_the_transformer_lies_in_a_folder_of_its_own(
        self, tiny_model: ModelFactory, tmp_path: Path
    ) -> None:
        shutil.copytree(tiny_model("bert"), tmp_path / "0_Transformer")
        (tmp_path / "1_Pooling").mkdir()
        (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
        modules = [
            {"path": "0_Transformer", "type": NAMESPACE + "Transformer"},
            {"path": "1_Pooling", "type": NAMESPACE + "Pooling"},
        ]
        (tmp_path / "modules.json").write_text(json.dumps(modules))
        checkpoint = open_checkpoint(str(tmp_path))
        assert checkpoint.directory == tmp_path / "0_Transformer"
        assert checkpoint.pooling == ("cls",)

    def test_prompts_that_are_none(self, model: Path) -> None:
        write_modules(model, "Pooling", Pooling={"pooling_mode_mean_tokens": True})
        (model / "config_sentence_transformers.json").write_text(
            '{"prompts": {"query": null}, "default_prompt_name": null}'
        )
        checkpoint = open_checkpoint(str(model))
        assert (checkpoint.prompts, checkpoint.default_prompt) == ({"query": ""}, "")


class TestRefused:
    def test_a_module_of_another_namespace(self, model: Path) -> None:
        write_modules(
            model, "Pooling", "evil_package.Normalize", Pooling={"pooling_mode_mean_tokens": True}
        )
        with pytest.raises(
            UnsafeModelError,
            match=(
                r"names the module 'evil_package\.Normalize', which is not"
                r" sentence-transformers' own"
            ),
        ):
            open_checkpoint(str(model))
        with pytest.raises(UnsafeModelError):
            open_checkpoint(str(model), trust_remote_code=True)

    @pytest.mark.parametrize("position", range(3))
    @pytest.mark.parametrize("package", ["custom_st", "my_code.models", "sentence_transformersx"])
    def test_a_module_of_another_namespace_wherever_it_stands(
        self, model: Path, position: int, package: str
    ) -> None:
        write_modules(model, "Pooling", "Normalize", Pooling={"pooling_mode_mean_tokens": True})
        modules = json.loads((model / "modules.json").read_text())
        name = modules[position]["type"].rpartition(".")[2]
        modules[position]["type"] = f"{package}.{name}"
        (model / "modules.json").write_text(json.dumps(modules))
        for trust_remote_code in (False, True):
            with pytest.raises(UnsafeModelError, match=f"'{package}.{name}', which is not"):
                open_checkpoint(model, trust_remote_code=trust_remote_code)

    @pytest.mark.parametrize("name", ["my_code.Swish", "os.abort", "torch.hub.load", 3])
    def test_an_activation_of_other_code(self, model: Path, name: Any) -> None:
        write_modules(model, "Pooling", "Dense", Pooling={}, Dense={"activation_function": name})
        with pytest.raises(UnsafeModelError, match="names the activation function"):
            open_checkpoint(model)

    @pytest.mark.parametrize(
        "kind",
        ["sentence_transformers.models.Router", "sentence_transformers.base.data_collator.torch"],
    )
    def test_a_module_that_is_none_of_the_known(self, model: Path, kind: str) -> None:
        write_modules(model, "Pooling", kind, Pooling={})
        with pytest.raises(UnsupportedModelError, match="which is not supported"):
            open_checkpoint(str(model))

    @pytest.mark.parametrize("path", ["../outside", "/etc", "a/../../b", "C:/x", "..\\outside"])
    def test_a_path_that_leads_out_of_the_directory(self, model: Path, path: str) -> None:
        kinds = ["Transformer", "Dense"]
        modules = [
            {"type": f"sentence_transformers.models.{kind}", "path": where}
            for kind, where in zip(kinds, ["", path], strict=True)
        ]
        (model / "modules.json").write_text(json.dumps(modules))
        with pytest.raises(UnsafeModelError, match="leads out of the model's directory"):
            open_checkpoint(str(model))

    @pytest.mark.parametrize(
        "content", ["{}", "[]", "[1]", '[{"type": "x"}]', '[{"type": 1, "path": ""}]']
    )
    def test_a_list_of_modules_that_is_none(self, model: Path, content: str) -> None:
        (model / "modules.json").write_text(content)
        with pytest.raises(ModelIntegrityError, match=r"modules\.json"):
            open_checkpoint(str(model))

    @pytest.mark.parametrize(
        ("file", "content"),
        [
            ("sentence_bert_config.json", "[]"),
            ("config.json", "[]"),
            ("config.json", '{"model_type": "bert", "hidden_size": "abc"}'),
        ],
    )
    def test_settings_of_the_wrong_kind(self, model: Path, file: str, content: str) -> None:
        write_modules(model, "Pooling", Pooling={})
        (model / file).write_text(content)
        with pytest.raises((ModelIntegrityError, UnsupportedModelError), match="config"):
            open_checkpoint(str(model))

    @pytest.mark.parametrize(
        "kind",
        ["sentence_transformersx.models.Normalize", "x.sentence_transformers.models.Normalize"],
    )
    def test_a_namespace_that_only_looks_right(self, model: Path, kind: str) -> None:
        write_modules(model, "Pooling", kind, Pooling={})
        with pytest.raises(UnsafeModelError, match="would run foreign code"):
            open_checkpoint(str(model))

    def test_a_dense_module_with_a_pickle_only(
        self, tiny_model: ModelFactory, tmp_path: Path
    ) -> None:
        save_sentence_transformer(tiny_model("bert"), tmp_path, dense=16)
        weights = tmp_path / "2_Dense" / "model.safetensors"
        torch.save(load_file(weights), weights.with_name("pytorch_model.bin"))
        assert open_checkpoint(str(tmp_path)).later_modules[0].out_features == 16
        weights.rename(weights.with_name("unused.safetensors"))
        with pytest.raises(
            UnsafeModelError, match=r"2_Dense is refused: .* only pickles \(pytorch_model\.bin\)"
        ):
            open_checkpoint(str(tmp_path))

    def test_a_checkpoint_that_begins_with_no_transformer(self, model: Path) -> None:
        write_modules(model)
        (model / "modules.json").write_text(
            json.dumps([{"path": "", "type": NAMESPACE + "WordEmbeddings"}])
        )
        with pytest.raises(
            UnsupportedModelError,
            match=(
                r"begins with 'sentence_transformers\.models\.WordEmbeddings', which is no"
                r" transformer"
            ),
        ):
            open_checkpoint(str(model))

    def test_a_pooling_that_nobody_knows(self, model: Path) -> None:
        write_modules(model, "Pooling", Pooling={"pooling_mode": "median"})
        with pytest.raises(
            UnsupportedModelError,
            match=r"The pooling \['median'\] in .* is not known\. Set 'pooling' to one of",
        ):
            open_checkpoint(str(model))

    def test_an_architecture_that_nobody_knows(self, model: Path) -> None:
        (model / "config.json").write_text('{"model_type": "no-such-architecture"}')
        with pytest.raises(
            UnsupportedModelError, match="that the installed transformers does not know"
        ):
            open_checkpoint(str(model))

    @pytest.mark.parametrize(
        "file",
        ["config.json", "modules.json", "1_Pooling/config.json", "sentence_bert_config.json"],
    )
    @pytest.mark.parametrize("content", [b'{"a": ', b"", b"\xff\xfe"])
    def test_a_damaged_file(self, model: Path, file: str, content: bytes) -> None:
        write_modules(model, "Pooling", Pooling={"pooling_mode_mean_tokens": True})
        (model / file).write_bytes(content)
        with pytest.raises(
            ModelIntegrityError, match=f"{file}' cannot be read: .* Download the model again"
        ):
            open_checkpoint(str(model))

    def test_a_missing_file(self, model: Path) -> None:
        write_modules(model, "Pooling")
        with pytest.raises(ModelIntegrityError, match=r"1_Pooling/config\.json' cannot be read"):
            open_checkpoint(str(model))

    def test_two_modules_of_one_name(self, model: Path) -> None:
        write_modules(model, "Pooling", Pooling={"pooling_mode_mean_tokens": True})
        modules = json.loads((model / "modules.json").read_text())
        modules[1]["name"] = modules[0]["name"]
        (model / "modules.json").write_text(json.dumps(modules))
        with pytest.raises(ModelIntegrityError, match="several modules of one name"):
            open_checkpoint(model)

    def test_a_list_of_no_modules(self, model: Path) -> None:
        (model / "modules.json").write_text("[]")
        with pytest.raises(ModelIntegrityError, match=r"modules\.json' names no modules"):
            open_checkpoint(str(model))

    @pytest.mark.parametrize("name", ["max_position_embeddings", "num_hidden_layers", "vocab_size"])
    def test_a_length_as_a_string(self, model: Path, name: str) -> None:
        config = json.loads((model / "config.json").read_text())
        (model / "config.json").write_text(json.dumps(config | {name: str(config[name])}))
        with pytest.raises(ModelIntegrityError, match=name):
            open_checkpoint(str(model))

    def test_a_model_that_is_nowhere(self, tmp_path: Path) -> None:
        with pytest.raises(ModelNotFoundError):
            open_checkpoint(str(tmp_path / "nowhere"))


class TestForeignCode:
    def test_a_name_needs_a_pinned_commit(self, default_model_directory: Path) -> None:
        with pytest.raises(
            UnsafeModelError,
            match=r"needs a pinned commit, 40 hexadecimal digits, as 'revision'\. Got None instead",
        ):
            open_checkpoint(DEFAULT_MODEL, trust_remote_code=True)

    @pytest.mark.parametrize("revision", ["main", "v1", "a" * 39, "g" * 40])
    def test_a_branch_or_tag_is_no_pinned_commit(
        self,
        revision: str,
        tiny_model: ModelFactory,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        snapshot = self.cached(tiny_model, tmp_path, monkeypatch, revision)
        assert open_checkpoint("someone/tiny", revision).directory == snapshot
        with pytest.raises(UnsafeModelError, match=f"Got '{revision}' instead"):
            open_checkpoint("someone/tiny", revision, trust_remote_code=True)
        assert (
            open_checkpoint("someone/tiny", "b" * 40, trust_remote_code=True).directory == snapshot
        )

    def cached(
        self,
        tiny_model: ModelFactory,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        revision: str,
    ) -> Path:
        import huggingface_hub.constants

        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
        repository = tmp_path / "models--someone--tiny"
        (repository / "refs").mkdir(parents=True)
        (repository / "refs" / revision).write_text("b" * 40)
        return Path(shutil.copytree(tiny_model("bert"), repository / "snapshots" / ("b" * 40)))

    def test_code_in_a_directory_runs_only_where_the_user_says_so(
        self,
        model: Path,
        tmp_path: Path,
        capfd: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(
            "transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules")
        )
        monkeypatch.setattr("sys.path", sys.path[:])
        config = json.loads((model / "config.json").read_text())
        config |= {"model_type": "own-bert", "auto_map": {"AutoConfig": "own_code.OwnConfig"}}
        (model / "config.json").write_text(json.dumps(config))
        (model / "own_code.py").write_text(
            "from transformers import BertConfig\nprint('foreign code ran')\nclass"
            " OwnConfig(BertConfig):\n    model_type = 'own-bert'\n"
        )
        with pytest.raises(
            UnsupportedModelError, match="where you trust its code, trust_remote_code=True"
        ):
            open_checkpoint(str(model))
        assert "foreign code ran" not in capfd.readouterr().out
        assert open_checkpoint(str(model), trust_remote_code=True).n_layers == 3
        assert "foreign code ran" in capfd.readouterr().out

    @pytest.mark.parametrize(
        ("file", "auto_map"),
        [
            ("config.json", {"AutoConfig": "own_code.OwnConfig"}),
            ("config.json", {"AutoModel": "own_code.OwnModel"}),
            ("config.json", "AutoModel"),
            ("tokenizer_config.json", {"AutoTokenizer": ["own_code.OwnTokenizer", None]}),
            ("tokenizer_config.json", ["own_code.OwnTokenizer", None]),
        ],
    )
    def test_code_beside_a_known_architecture_is_not_passed_over(
        self, model: Path, file: str, auto_map: Any
    ) -> None:
        content = json.loads((model / file).read_text())
        (model / file).write_text(json.dumps(content | {"auto_map": auto_map}))
        with pytest.raises(
            UnsafeModelError, match=rf"{file}' names code of the model's own.* trust_remote_code"
        ):
            open_checkpoint(model)

    def test_code_for_another_task_is_of_no_concern(self, model: Path) -> None:
        config = json.loads((model / "config.json").read_text())
        config["auto_map"] = {"AutoModelForSequenceClassification": "own_code.OwnModel"}
        (model / "config.json").write_text(json.dumps(config))
        assert open_checkpoint(model).n_layers == 3


class TestIdentity:
    def test_two_places_of_the_same_content_are_one_model(
        self, tiny_model: ModelFactory, model: Path
    ) -> None:
        one, other = open_checkpoint(str(tiny_model("bert"))), open_checkpoint(str(model))
        assert one == other
        assert hash(one) == hash(other)

    def test_another_content_or_trust_is_another_model(self, model: Path) -> None:
        before = open_checkpoint(str(model))
        assert before != open_checkpoint(str(model), trust_remote_code=True)
        (model / "tokenizer_config.json").write_text("{}")
        assert before != open_checkpoint(str(model))
        assert before != "a checkpoint"

    @pytest.mark.parametrize("folder", ["0_Transformer", ".hidden"])
    def test_a_module_replaced_in_its_folder_is_another_model(
        self, tiny_model: ModelFactory, tmp_path: Path, folder: str
    ) -> None:
        directory = save_sentence_transformer(tiny_model("bert"), tmp_path / "model", dense=8)
        modules = json.loads((directory / "modules.json").read_text(encoding="utf-8"))
        for module in modules:
            if module["type"].endswith(".Dense"):
                (directory / module["path"]).rename(directory / folder)
                module["path"] = folder
        (directory / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
        before = open_checkpoint(directory)
        assert open_checkpoint(directory) is before
        weights = directory / folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
        assert open_checkpoint(directory) != before

    def test_folders_that_are_no_part_of_the_model_are_not_read(self, model: Path) -> None:
        (model / "loop").symlink_to(".")
        (model / "file").symlink_to("file")
        (model / "pipe").mkdir(mode=0o000)
        before = open_checkpoint(model)
        assert open_checkpoint(model) is before

    def test_the_modules_beside_the_transformer_belong_to_the_content(
        self, tiny_model: ModelFactory, tmp_path: Path
    ) -> None:
        narrow, wide = (
            open_checkpoint(
                str(
                    save_sentence_transformer(
                        tiny_model("bert"), tmp_path / str(width), dense=width
                    )
                )
            )
            for width in (8, 16)
        )
        assert narrow.fingerprint != wide.fingerprint


def test_a_module_without_configuration_sets_no_width(tmp_path: Path) -> None:
    assert LaterModule(NAMESPACE + "Normalize", tmp_path).out_features is None
    assert LaterModule(NAMESPACE + "Normalize", tmp_path).name == "Normalize"
