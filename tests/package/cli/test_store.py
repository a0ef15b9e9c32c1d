from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from bertvectorizer import BertVectorizer, EmbeddingStore
from tests.package.cli.command import Result, Run, assert_one_line
from tests.tiny import ModelFactory

TEXTS = ["the old bat", "a crane", "money in the bank"]


@pytest.fixture
def store(tiny_model: ModelFactory, tmp_path: Path) -> EmbeddingStore:
    """A store of three texts, each requested twice."""
    store = EmbeddingStore(tmp_path / "store")
    BertVectorizer(str(tiny_model("bert")), store=store).fit(TEXTS).transform(TEXTS * 2)
    BertVectorizer(str(tiny_model("bert")), store=store).transform(TEXTS)
    assert store.stats.texts == 3
    return store


def flip_a_bit(store: EmbeddingStore) -> None:
    with sqlite3.connect(store.path) as database:
        (data,) = database.execute("SELECT data FROM records").fetchone()
        database.execute(
            "UPDATE records SET data = ? WHERE data = ?", (data[:-1] + bytes([data[-1] ^ 1]), data)
        )
    database.close()


def test_info_says_what_is_there_and_what_it_saved(store: EmbeddingStore, run: Run) -> None:
    result = run("store", "info", store.path)
    assert (result.code, result.err) == (0, "")
    facts = dict(re.split(r" {2,}|(?<=time saved) ", line) for line in result.out.splitlines())
    seconds = facts.pop("time saved")
    assert re.fullmatch(r"[\d,]+\.\d s", seconds)
    size = f"{store.path.stat().st_size:,}"
    assert facts == {
        "file": str(store.path),
        "bytes": size,
        "texts": "3",
        "encoded": "3",
        "hits": "3",
        "misses": "3",
    }


def test_a_directory_stands_for_the_store_in_it(tmp_path: Path, run: Run) -> None:
    store = EmbeddingStore(tmp_path)
    assert store.stats.texts == 0
    assert run("store", "verify", tmp_path) == Result(0, "0 texts, no faults\n", "")


def test_verify_finds_a_flipped_bit(store: EmbeddingStore, run: Run) -> None:
    assert run("store", "verify", store.path) == Result(0, "3 texts, no faults\n", "")
    flip_a_bit(store)
    result = run("store", "verify", store.path)
    assert result.code == 1
    assert re.fullmatch(r"text [0-9a-f]{40} is damaged\n", result.out)
    assert result.err.startswith("1 fault(s)")


def test_clear_forgets_everything(store: EmbeddingStore, run: Run) -> None:
    assert run("store", "clear", store.path) == Result(0, "", f"{store.path} is empty\n")
    assert "texts      0\n" in run("store", "info", store.path).out


def test_clear_removes_a_store_of_another_format(store: EmbeddingStore, run: Run) -> None:
    with sqlite3.connect(store.path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    assert_one_line(run("store", "info", store.path), "has format 99", "store clear")
    assert run("store", "clear", store.path).code == 0
    assert "texts      0\n" in run("store", "info", store.path).out


@pytest.mark.parametrize("command", ["info", "verify", "clear"])
def test_what_is_no_store_is_left_alone(command: str, tmp_path: Path, run: Run) -> None:
    path = tmp_path / "thesis.txt"
    path.write_text("years of work", encoding="utf-8")
    path.chmod(0o600)
    assert_one_line(run("store", command, path), str(path))
    assert path.read_text(encoding="utf-8") == "years of work"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("command", ["info", "verify", "clear"])
def test_a_misspelt_path_makes_nothing(command: str, tmp_path: Path, run: Run) -> None:
    assert_one_line(run("store", command, tmp_path / "stores"), "There is no store at", "stores")
    assert list(tmp_path.iterdir()) == []


def test_without_a_command_there_is_help(run: Run) -> None:
    result = run("store")
    assert (result.code, result.err) == (0, "")
    assert "verify" in result.out


def test_embed_and_compare_share_a_store(
    tiny_model: ModelFactory, tmp_path: Path, run: Run
) -> None:
    table, store = tmp_path / "table.csv", tmp_path / "kept.sqlite"
    table.write_text(
        "text,label\n" + "".join(f"the bat flew {row},a\na crane {row},b\n" for row in range(4)),
        encoding="utf-8",
    )
    common = [table, "--text", "text", "--model", tiny_model("bert"), "--store", store]
    assert run("embed", *common, "-o", tmp_path / "one.npy").code == 0
    assert run("compare", *common, "--target", "label", "--cv", "2", "--features", "BERT").code == 0
    assert run("embed", *common, "-o", tmp_path / "two.npy").code == 0
    assert EmbeddingStore(store).stats.encoded == 8
    np.testing.assert_array_equal(np.load(tmp_path / "one.npy"), np.load(tmp_path / "two.npy"))


def test_a_store_that_cannot_be_used_costs_a_note(
    tiny_model: ModelFactory, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("warnings.filters", [])
    table, store = tmp_path / "table.csv", tmp_path / "thesis.txt"
    table.write_text("text\nthe bat flew\n", encoding="utf-8")
    store.write_text("years of work", encoding="utf-8")
    output = tmp_path / "out.npy"
    result = run(
        "embed",
        table,
        "--text",
        "text",
        "--model",
        tiny_model("bert"),
        "-o",
        output,
        "--store",
        store,
    )
    assert result.code == 0
    note, message = result.err.splitlines()
    assert note.startswith(
        f"Note: The store '{store}' cannot be used, so texts are encoded without it"
    )
    assert message == f"1 rows written to {output}"


def test_an_interrupt_is_one_line(
    store: EmbeddingStore, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_anything: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(EmbeddingStore, "read_stats", stop)
    assert run("store", "info", store.path) == Result(130, "", "Interrupted.\n")
