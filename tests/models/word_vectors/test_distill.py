"""Tests of models/word_vectors/distill.py, on tiny models and the default one."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers as hf
from model2vec.distill import distill, distill_from_model
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from bertvectorizer import WordVectors, load_word_vectors
from bertvectorizer.errors import (
    ModelChangedError,
    ModelError,
    ModelNotFoundError,
    UnsupportedModelError,
)
from bertvectorizer.models import Checkpoint, open_checkpoint
from bertvectorizer.models.word_vectors.distill import TokenSubwords, distilled_blocks, distiller
from tests.files import forget_tables
from tests.tiny import LETTERS, WORDS, ModelFactory

pytestmark = pytest.mark.numeric

CORPUS = [
    "the old bat flew in the night",
    "and hit the crane of the river bank",
    "money in the bank of the river",
] * 20


@pytest.fixture(scope="module")
def with_markers(
    tiny_model: ModelFactory, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Directory of a tiny model whose vocabulary marks where words begin, by "Ġ" or "▁"."""

    def make(mark: str) -> Path:
        if mark == "Ġ":
            tokenizer = Tokenizer(models.BPE())
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            tokenizer.decoder = decoders.ByteLevel()
            trainer: Any = trainers.BpeTrainer(
                vocab_size=340,
                special_tokens=["<pad>", "<unk>"],
                initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            )
        else:
            tokenizer = Tokenizer(models.Unigram())
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
            tokenizer.decoder = decoders.Metaspace()
            trainer = trainers.UnigramTrainer(
                vocab_size=90, special_tokens=["<pad>", "<unk>"], unk_token="<unk>"
            )
        tokenizer.train_from_iterator(CORPUS, trainer)
        directory = tmp_path_factory.mktemp("marked")
        config = hf.RobertaConfig(
            vocab_size=tokenizer.get_vocab_size(), hidden_size=32, num_hidden_layers=1,
            num_attention_heads=4, intermediate_size=64,
            pad_token_id=0, bos_token_id=1, eos_token_id=1, max_position_embeddings=130,
        )  # fmt: skip
        hf.AutoModel.from_config(config).eval().save_pretrained(directory)
        hf.PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>"
        ).save_pretrained(directory)
        return directory

    return make


def distilled(directory: Path) -> tuple[Checkpoint, list[str], NDArray[np.float32]]:
    checkpoint = open_checkpoint(str(directory))
    ((words, vectors),) = distilled_blocks(checkpoint)
    assert vectors.shape[0] == len(words) == len(set(words))
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    assert vectors.any(axis=1).all()
    return checkpoint, words, vectors


@pytest.fixture(scope="module")
def default(
    default_model_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[WordVectors, Any]:
    """The table of the default model, and the model of model2vec's that it was made of.

    Of its 30,522 tokens 3,109 are kept, which is ten times faster: special ones, letters, the most
    frequent words and pieces, and those that tests ask for.
    """
    directory = tmp_path_factory.mktemp("default") / "model"
    shutil.copytree(default_model_directory, directory)
    tokenizer = json.loads((directory / "tokenizer.json").read_text(encoding="utf-8"))
    numbers = tokenizer["model"]["vocab"]
    kept = [*range(104), *range(999, 4000)]
    kept += [numbers[word] for word in ("stockholm", "sweden", "cairo", "egypt", "tea")]
    tokens = dict(zip(numbers.values(), numbers, strict=True))
    tokenizer["model"]["vocab"] = {tokens[number]: place for place, number in enumerate(kept)}
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    (directory / "vocab.txt").unlink()
    weights = load_file(directory / "model.safetensors")
    words = "embeddings.word_embeddings.weight"
    save_file({**weights, words: weights[words][kept]}, directory / "model.safetensors")
    config = json.loads((directory / "config.json").read_text()) | {"vocab_size": len(kept)}
    (directory / "config.json").write_text(json.dumps(config))
    made = []

    def distill_and_keep(*arguments: Any, **options: Any) -> Any:
        made.append(distill_from_model(*arguments, **options))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("model2vec.distill.distill_from_model", distill_and_keep)
        checkpoint, words, vectors = distilled(directory)
    return WordVectors(words, vectors, subwords=TokenSubwords(checkpoint, words, vectors)), made[0]


class TestTiny:
    def test_a_pickle_beside_foreign_safetensors_is_not_loaded(
        self, tiny_model: ModelFactory, tmp_path: Path
    ) -> None:
        model = tmp_path / "model"
        shutil.copytree(tiny_model("bert"), model)
        (model / "adapter").mkdir()
        (model / "model.safetensors").rename(model / "adapter" / "adapter.safetensors")

        class Harm:
            def __reduce__(self) -> tuple[Any, ...]:
                return Path.touch, (tmp_path / "harm",)

        (model / "pytorch_model.bin").write_bytes(pickle.dumps({"weights": Harm()}))
        with pytest.raises(ModelError, match="safetensors"):
            load_word_vectors(f"distill:{model}")
        assert not (tmp_path / "harm").exists()

    def test_vectors_are_those_of_model2vec(self, tiny_model: ModelFactory) -> None:
        _, words, vectors = distilled(tiny_model("bert"))
        model = distill(str(tiny_model("bert")), device="cpu", quantize_to="float32")
        positions = {token: position for position, token in enumerate(model.tokens)}
        np.testing.assert_allclose(
            np.abs(vectors), np.abs(model.embedding[[positions[word] for word in words]]), atol=1e-5
        )

    def test_words_of_wordpiece_are_its_tokens(self, tiny_model: ModelFactory) -> None:
        _, words, _ = distilled(tiny_model("bert"))
        assert words == list(dict.fromkeys([*WORDS, *LETTERS]))

    def test_the_library_s_own_bar_and_messages_are_not_shown(
        self, tiny_model: ModelFactory, capfd: pytest.CaptureFixture[str]
    ) -> None:
        distill(str(tiny_model("bert")), device="cpu")
        own = capfd.readouterr()
        assert "Encoding tokens" in own.err  # else there is nothing to hide, or it moved
        distilled(tiny_model("bert"))
        assert capfd.readouterr() == ("", "")
        distill(str(tiny_model("bert")), device="cpu")  # the user's own call keeps its bar
        assert "Encoding tokens" in capfd.readouterr().err

    def test_subwords_are_means_of_the_pieces(self, tiny_model: ModelFactory) -> None:
        checkpoint, words, vectors = distilled(tiny_model("bert"))
        rows = {word: vectors[row] for row, word in enumerate(words)}
        subwords = TokenSubwords(checkpoint, words, vectors)
        expected = {
            "bats": ["bat", "##s"],
            "Bats": ["bat", "##s"],
            "bat": ["bat"],
            "hitting": ["hit", "##t", "##ing"],
            "zq": ["z", "##q"],
            "bat-crane": ["bat", "crane"],  # a hyphen is unknown
        }
        found, known = subwords.vectors(list(expected))
        for vector, pieces in zip(found, expected.values(), strict=True):
            np.testing.assert_allclose(
                vector, np.mean([rows[piece] for piece in pieces], axis=0), atol=1e-6
            )
        assert known.all()

    def test_words_without_a_known_piece(self, tiny_model: ModelFactory) -> None:
        checkpoint, words, vectors = distilled(tiny_model("bert"))
        found, known = TokenSubwords(checkpoint, words, vectors).vectors(
            ["日本", "bat", "", "\ud800", "[MASK]", "!"]
        )
        assert known.tolist() == [False, True, False, False, False, False]
        assert not found[~known].any()
        nothing, none = TokenSubwords(checkpoint, words, vectors).vectors([])
        assert (nothing.shape, none.shape) == ((0, vectors.shape[1]), (0,))

    @pytest.mark.parametrize("mark", ["Ġ", "▁"])
    def test_vocabularies_that_mark_where_words_begin(
        self, mark: str, with_markers: Callable[[str], Path]
    ) -> None:
        checkpoint, words, vectors = distilled(with_markers(mark))
        assert not [word for word in words if mark in word]
        tokenizer = hf.AutoTokenizer.from_pretrained(checkpoint.directory)
        rows = {word: row for row, word in enumerate(words)}
        vocabulary = tokenizer.get_vocab()
        assert any(
            token.startswith(mark) and token.removeprefix(mark) in rows
            for token in vocabulary
            if len(token) > 2
        )
        subwords = TokenSubwords(checkpoint, words, vectors)
        for word in ["bank", "river", "banks", "the", "nightcrane"]:
            pieces = tokenizer.tokenize(f" {word}")
            names = [
                piece.removeprefix(mark) if piece.startswith(mark) else f"##{piece}"
                for piece in pieces
            ]
            known = [rows[name] for name in names if name in rows]
            found, (is_known,) = subwords.vectors([word])
            assert is_known
            np.testing.assert_allclose(found[0], vectors[known].mean(axis=0), atol=1e-6)

    def test_of_an_encoder_and_decoder_the_encoder_is_distilled(
        self, tiny_model: ModelFactory
    ) -> None:
        assert distilled(tiny_model("t5"))[1]

    def test_what_model2vec_cannot_take_apart(
        self, tiny_model: ModelFactory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: Any, **__: Any) -> Any:
            raise ValueError("no such tokenizer")

        monkeypatch.setattr("model2vec.distill.distill_from_model", refuse)
        with pytest.raises(
            UnsupportedModelError, match=r"model2vec cannot distil the model in .*no such tokenizer"
        ):
            list(distilled_blocks(open_checkpoint(str(tiny_model("bert")))))

    def test_only_progress_is_shown(
        self, tiny_model: ModelFactory, capfd: pytest.CaptureFixture[str]
    ) -> None:
        tiny_model("distilbert")
        capfd.readouterr()
        distilled(tiny_model("distilbert"))
        shown = capfd.readouterr()
        assert not shown.out
        assert all(
            line.startswith("Encoding tokens:")
            for line in shown.err.replace("\r", "\n").split("\n")
            if line
        )


class TestTable:
    def test_kept_and_opened_again(
        self, tiny_model: ModelFactory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from bertvectorizer.models.word_vectors import loading as word_sources

        name = f"distill:{tiny_model('bert')}"
        table = load_word_vectors(name)
        monkeypatch.setattr(
            word_sources,
            "distilled_blocks",
            lambda _checkpoint: pytest.fail("it was distilled again"),
        )
        data = pickle.dumps(table)
        assert len(data) < 1000
        forget_tables()
        again = pickle.loads(data)
        assert again is not table
        assert again.fingerprint == table.fingerprint == load_word_vectors(name).fingerprint
        np.testing.assert_array_equal(again["bats"], table["bats"])
        np.testing.assert_array_equal(again["bats"], (table["bat"] + table["##s"]) / 2)
        assert "bats" not in table
        assert repr(table).endswith("subwords)")

    def test_another_model_under_the_name_is_noticed(
        self, tiny_model: ModelFactory, tmp_path: Path
    ) -> None:
        def put(family: str, **changes: Any) -> None:
            for file in tiny_model(family, **changes).iterdir():
                (tmp_path / file.name).write_bytes(file.read_bytes())

        put("bert")
        data = pickle.dumps(load_word_vectors(f"distill:{tmp_path}"))
        put("bert", num_hidden_layers=1)
        with pytest.raises(ModelChangedError, match="are not those that were pickled"):
            pickle.loads(data)

    @pytest.mark.parametrize("lacking", ["model2vec", "skeletoken"])
    def test_without_the_extra(
        self, lacking: str, tiny_model: ModelFactory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        version = metadata.version

        def without(name: str) -> str:
            if name == lacking:
                raise metadata.PackageNotFoundError(name)
            return version(name)

        monkeypatch.setattr(metadata, "version", without)
        with pytest.raises(
            ModelNotFoundError,
            match=(
                rf"need {lacking}, which is not installed: pip install 'bertvectorizer\[distill\]'"
            ),
        ):
            load_word_vectors(f"distill:{tiny_model('bert')}")

    def test_the_library_s_version_is_part_of_the_key(self) -> None:
        assert distiller() == f"model2vec {metadata.version('model2vec')}"

    def test_no_such_model(self, tmp_path: Path) -> None:
        with pytest.raises(ModelNotFoundError):
            load_word_vectors(f"distill:{tmp_path / 'none'}")


class TestDefaultModel:
    def test_vectors_and_pooled_words_are_those_of_model2vec(
        self, default: tuple[WordVectors, Any]
    ) -> None:
        table, peer = default
        assert table.is_lowercase
        assert (len(table), table.n_dims) == (
            len(peer.tokens) - len({"[PAD]", "[UNK]"} & set(peer.tokens)),
            256,
        )
        words = ["the", "stockholm", "##ing", "!", "tea"]
        positions = {token: position for position, token in enumerate(peer.tokens)}
        np.testing.assert_allclose(
            table.vectors[table.rows(words)],
            peer.embedding[[positions[word] for word in words]],
            atol=1e-4,
        )
        unseen = ["unbelievability", "Vectorizers", "crane"]
        own = peer.encode(unseen)
        for word, vector in zip(unseen, own, strict=True):
            mine = table[word]
            cosine = mine @ vector / np.linalg.norm(mine) / np.linalg.norm(vector)
            assert cosine == pytest.approx(1, abs=1e-4)

    def test_neighbours_make_sense(self, default: tuple[WordVectors, Any]) -> None:
        table, _ = default
        assert table.similarity("Stockholm", "Sweden") > table.similarity("stockholm", "tea")
        assert table.analogy("Stockholm", "Sweden", "Cairo", 1)[0][0] == "egypt"
