"""CoNLL files and tables with a row per word: what is read, and errors with their lines."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertvectorizer.errors import InvalidParameterError, InvalidTableError
from bertvectorizer.pipeline.tagging.conll import read_conll
from bertvectorizer.pipeline.tagging.tagged_sentences import TaggedSentences
from tests.pipeline.tagging.tagged import SENTENCES, TAG, TEXT, WNUT, WORD


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        TEXT.rstrip("\n"),
        TEXT + "\n\n",
        "\n\n" + TEXT,
        TEXT.replace("\n\n", "\n\n\n\n"),
        TEXT.replace("\n\n", "\n\t\n"),
        TEXT.replace("\n\n", "\n \t\n"),
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("\n", "\r"),
        "\ufeff" + TEXT,
        TEXT.replace("\t", " "),
        TEXT.replace("\t", "    "),
        TEXT.replace("\t", " X ").replace("\n", "  \n"),
        TEXT.replace("\t", "\tX\t-\t"),
        "-DOCSTART-\tO\n\n" + TEXT,
        "-DOCSTART- -X- -X- O\n" + TEXT.replace("\n\n", "\n-DOCSTART- -X- -X- O\n"),
        "# a comment\n" + TEXT.replace("\n\n", "\n\n# sent_id = 2\n#\n") + "\n# the end\n",
        "#a\tcomment\twith\ttabs\n" + TEXT,
        "# id 5239\tdomain=en\n" + TEXT.replace("\t", " _ _ "),
    ],
)
def test_layouts_of_the_same_sentences(text: str, write: Callable[..., Path]) -> None:
    assert read_conll(write(text)) == SENTENCES


def test_it_comes_apart_as_words_and_tags(write: Callable[..., Path]) -> None:
    words, tags = read_conll(str(write(TEXT)))
    assert words == SENTENCES.words
    assert tags == SENTENCES.tags


@pytest.mark.parametrize(
    ("ending", "pack"),
    [
        (".gz", gzip.compress),
        (".xz", lzma.compress),
        (".bz2", bz2.compress),
        (".XZ", lzma.compress),
    ],
)
def test_compressed_files(ending: str, pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / f"words.conll{ending}"
    path.write_bytes(pack(("\ufeff" + TEXT).encode()))
    assert read_conll(path) == SENTENCES


def test_odd_words_are_left_as_they_are(write: Callable[..., Path]) -> None:
    words = [
        "New York",
        " padded ",
        "\u00a0",
        "\u200b",
        "\ufeff",
        "\x0b",
        "\x85",
        "\u2028",
        "#",
        "#tag",
        '"',
        "-",
        "",
        "🦇",
    ]
    sentences = TaggedSentences([["a", *words]], [["X", *"O" * len(words)]])
    assert read_conll(write("a\tX\n" + "".join(f"{word}\tO\n" for word in words))) == sentences


def test_space_around_tags_is_no_part_of_them(write: Callable[..., Path]) -> None:
    assert read_conll(write("a\tB-PER \nb\t I-PER\n")).tags == [["B-PER", "I-PER"]]


def test_space_that_is_no_blank_is_a_word_between_blanks(write: Callable[..., Path]) -> None:
    assert read_conll(write("a O\n\u00a0 O\n")).words == [["a", "\u00a0"]]


@pytest.mark.parametrize(
    "text", ["#one\tO\ntwo\tO\n", "#one\tO\n#two\tO\n", "a\tO\n\n#one\tO\n#two\tO\n"]
)
def test_a_hashtag_is_a_word(text: str, write: Callable[..., Path]) -> None:
    assert sum(map(len, read_conll(write(text)).words)) == text.count("O")


@pytest.mark.parametrize(
    "comment",
    [
        "# newdoc id = 1",
        "# text = a longer comment",
        "#begin document (a); part 000",
        "###MEDLINE:95369245",
        "#",
    ],
)
@pytest.mark.parametrize("separator", [" ", "\t"])
def test_comments_stand_between_sentences(
    comment: str, separator: str, write: Callable[..., Path]
) -> None:
    text = "\n".join(
        [comment, separator.join("aXO"), "", comment, comment, separator.join("bXO"), "", comment]
    )
    assert read_conll(write(text)) == ([["a"], ["b"]], [["O"], ["O"]])


@pytest.mark.parametrize(
    ("columns", "words", "tags"),
    [((0, -1), "ab", "yz"), ((1, 2), "cd", "yz"), ((-1, 0), "yz", "ab"), ((-2, 0), "cd", "ab")],
)
def test_columns_are_counted_from_either_side(
    columns: tuple[int, int], words: str, tags: str, write: Callable[..., Path]
) -> None:
    path = write("a c y\nb d z\n")
    assert read_conll(path, word_column=columns[0], tag_column=columns[1]) == (
        [list(words)],
        [list(tags)],
    )
    assert read_conll(
        path, word_column=np.int64(columns[0]), tag_column=np.int64(columns[1])
    ).words == [list(words)]


@pytest.mark.parametrize("separator", [",", "|", " / ", "\t"])
def test_any_separator(separator: str, write: Callable[..., Path]) -> None:
    assert read_conll(write(TEXT.replace("\t", separator)), separator=separator) == SENTENCES


def test_a_given_space_is_a_run_of_spaces(write: Callable[..., Path]) -> None:
    assert read_conll(write(" a\tb   O\nc O \n"), separator=" ").words == [["a\tb", "c"]]


def test_rows_of_conllu_that_are_no_words_are_left_out(write: Callable[..., Path]) -> None:
    rows = ["1-2\tdel\t_", "1\tde\tADP", "2\tel\tDET", "2.1\tnada\tX", "3\t3-4\tNUM"]
    path = write("# text = del 3-4\n" + "".join(row + "\t_" * 7 + "\n" for row in rows))
    assert read_conll(path, word_column=1, tag_column=2) == (
        [["de", "el", "3-4"]],
        [["ADP", "DET", "NUM"]],
    )
    narrow = write("".join(row + "\n" for row in rows))
    assert read_conll(narrow, word_column=1, tag_column=2).words == [
        ["del", "de", "el", "nada", "3-4"]
    ]
    assert read_conll(write("3-4\tO" + "\t_" * 8), tag_column=1).words == [["3-4"]]
    assert read_conll(write("3-4 a O" + " _" * 7), word_column=1, tag_column=2).words == [["a"]]


CONLLU = """\
# sent_id = 1
# text = Vámonos\tal mar de 10 000
1-2\tVámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tVamos\tir\tVERB\tVM\tMood=Imp\t0\troot\t_\t_
2\tnos\tnosotros\tPRON\tPP\t_\t1\tobj\t_\t_
2.1\tnada\tnada\tX\tX\t_\t_\t_\t1:dep\t_
3\t10 000\t10000\tNUM\tZ\t_\t1\tobl\t_\tSpaceAfter=No

1\t#\t#\tSYM\tF\t_\t0\troot\t_\t_
"""


@pytest.mark.parametrize("name", ["x.conllu", "x.CONLLU.gz", "x.txt"])
def test_conllu_is_told_by_its_ending_or_columns(name: str, tmp_path: Path) -> None:
    data = CONLLU.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    words = [["Vamos", "nos", "10 000"], ["#"]]
    assert read_conll(tmp_path / name) == (words, [["VERB", "PRON", "NUM"], ["SYM"]])
    by_name = read_conll(tmp_path / name, word_column="LEMMA", tag_column="xpos")
    assert by_name == ([["ir", "nosotros", "10000"], ["#"]], [["VM", "PP", "Z"], ["F"]])
    assert read_conll(tmp_path / name, tag_column=-3).tags == [["root", "obj", "obl"], ["root"]]


@pytest.mark.parametrize(
    ("name", "text", "parameters", "message"),
    [
        (
            "x.conll",
            "a _\nb _\n",
            {},
            r"must have tags in column -1\..* same tag, '_', in all lines\. .*\(tag_column=\)\.$",
        ),
        (
            "x.conll",
            "a N\nb N\n",
            {},
            "same tag, 'N', .*or this one, if it is right: tag_column=-1",
        ),
        (
            "x.conllu",
            CONLLU,
            {"tag_column": "deps"},
            r"must have tags in column 8 \('deps'\)\..* same tag, '_'",
        ),
        (
            "x.conllu",
            CONLLU.replace("Vamos", "_")
            .replace("nos", "_")
            .replace("10 000", "_")
            .replace("\t#", "\t_"),
            {},
            r"must have words in column 1 \('form'\)\..* same word, '_', in all lines",
        ),
        (
            "x.conll",
            "1 a N\n2 b O\n\n1 c N\n",
            {},
            "words in column 0.* numbers counted from 1 in each sentence.*word_column=0",
        ),
        (
            "x.conllu",
            "a\tN\nb\tO\n",
            {},
            "must be CoNLL-U, with 10 columns.*Got 2 columns in line 1",
        ),
        (
            "x.conll",
            "a\tN\nb\tO\n",
            {"tag_column": "upos"},
            r"must be CoNLL-U for tag_column='upos'.*numbers \(word_column=, tag_column=\)",
        ),
        ("x.conllu", CONLLU + "2\tb\tb\tX\n", {}, "line 10, .*must have 10 columns"),
    ],
)
def test_columns_that_look_wrong_are_refused(
    name: str, text: str, parameters: dict[str, Any], message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InvalidTableError, match=rf"{name}' .*{message}"):
        read_conll(tmp_path / name, **parameters)


def test_a_column_that_was_chosen_is_read_as_it_is(write: Callable[..., Path]) -> None:
    assert read_conll(write("a N\nb N\n"), tag_column=-1).tags == [["N", "N"]]
    assert read_conll(write("1 N\n2 O\n"), word_column=0).words == [["1", "2"]]
    assert read_conll(write("a\tO\nb\tO\n")).tags == [["O", "O"]]  # no entity


def test_sentences_may_differ_if_columns_are_counted_from_the_left(
    write: Callable[..., Path],
) -> None:
    path = write("a O\nb O\n\nc O x\nd O x\n")
    assert read_conll(path, tag_column=1).words == [["a", "b"], ["c", "d"]]
    with pytest.raises(
        InvalidTableError,
        match=(
            r"line 4, 'c O x', must have 2 columns, as the first of the file\. Got 3.*from the left"
        ),
    ):
        read_conll(path)


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        ("IOB1", ["O", "I-LOC", "I-LOC"]),
        ("BIO", ["O", "B-LOC", "I-LOC"]),
        ("IOBES", ["O", "B-LOC", "E-LOC"]),
    ],
)
def test_tags_are_converted(scheme: str, tags: list[str], write: Callable[..., Path]) -> None:
    assert read_conll(write(TEXT), scheme=scheme) == SENTENCES._replace(tags=[tags, ["O"]])


def test_without_a_scheme_any_tags_are_left_as_they_are(write: Callable[..., Path]) -> None:
    assert read_conll(write("a B-PER\nb I-LOC\nc NOUN\n")).tags == [["B-PER", "I-LOC", "NOUN"]]
    with pytest.raises(InvalidParameterError, match="Got 'NOUN' for word 2 of sentence 0"):
        read_conll(write("a B-PER\nb I-LOC\nc NOUN\n"), scheme="BIO")


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "cp1252", "utf_8", "UTF8"])
def test_other_encodings(encoding: str, write: Callable[..., Path]) -> None:
    assert read_conll(write("a\tO\nÑandú\tB-PER\n", encoding), encoding=encoding).words == [
        ["a", "Ñandú"]
    ]


@given(
    sentences=st.lists(
        st.lists(st.tuples(WORD, TAG), min_size=1, max_size=6), min_size=1, max_size=4
    )
)
def test_what_was_written_is_read(
    sentences: list[list[tuple[str, str]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.conll"
    path.write_text(
        "\n".join("".join(f"{word}\t{tag}\n" for word, tag in words) for words in sentences),
        encoding="utf-8",
        newline="",
    )
    words = [[word for word, _ in sentence] for sentence in sentences]
    tags = [[tag for _, tag in sentence] for sentence in sentences]
    read = read_conll(path, word_column=0, tag_column=1)
    assert read == (words, tags)
    assert TaggedSentences.from_frame(read.to_frame()) == read


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a\tO\nb\nc\tO\n",
            (
                r"line 2, 'b', must have at least 2 columns, for a word and its tag\. Got 1\."
                r" Correct the line"
            ),
        ),
        (
            "a\tX\tO\n\nb\tO\n",
            r"line 3, 'b\\tO', must have 3 columns, as the first of the file\. Got 2\.",
        ),
        ("a O\nNew York O\n", r"line 2, 'New York O', must have 2 columns.*Got 3\. Correct it"),
        ("a\tO\n# inside\nb\tO\n", "line 2, '# inside', must have at least 2 columns"),
        ("a\tO\nb\t\n", r"line 2, 'b\\t', must have a tag in column -1\. Got ''.*tag_column="),
        ("a\tO\n\nb\t \n", r"line 3, .*must have a tag"),
        ("a,O\n", r"line 1, 'a,O', must have at least 2 columns.*separator="),
        ("a O\nb\tO\n", "line 2"),
        ("x" * 100 + "\n", r"line 1, 'x{56}\.\.\., must"),
        ("", "must hold words"),
        ("\n \t\n", "must hold words"),
        ("-DOCSTART- -X- O\n\n", "must hold words"),
    ],
)
def test_a_fault_is_named_with_file_line_rule_and_remedy(
    text: str, message: str, write: Callable[..., Path]
) -> None:
    with pytest.raises(InvalidTableError, match=rf"words\.conll'.*{message}"):
        read_conll(write(text))


def test_columns_that_are_not_there_are_named(write: Callable[..., Path]) -> None:
    with pytest.raises(
        InvalidTableError,
        match=r"line 1, .* at least 4 columns.*Got 2.*word_column=0, tag_column=3",
    ):
        read_conll(write(TEXT), tag_column=3)
    with pytest.raises(InvalidTableError, match=r"line 1, .* at least 3 columns.*word_column=-3"):
        read_conll(write(TEXT), word_column=-3)
    with pytest.raises(
        InvalidTableError,
        match=r"line 1, .* at least 2 columns.*Got 2.*word_column=1, tag_column=-1",
    ):
        read_conll(write(TEXT), word_column=1)
    with pytest.raises(
        InvalidTableError,
        match=(
            r"line 2, .* must have 3 columns, as the first of its sentence\. Got 4\. Correct it\.$"
        ),
    ):
        read_conll(write("a X O\nNew York X O\n"), tag_column=2)


def test_bytes_of_another_encoding_are_named_with_their_line(write: Callable[..., Path]) -> None:
    with pytest.raises(InvalidTableError, match=r"line 3 is not utf-8.*encoding='latin-1'"):
        read_conll(write("a\tO\n\nÑandú\tO\n" + TEXT * 1000, "latin-1"))
    with pytest.raises(InvalidTableError, match=r"line 1 is not UTF8\. .*encoding='utf-16'"):
        read_conll(write(TEXT, "utf-16"), encoding="UTF8")
    with pytest.raises(InvalidTableError, match="line 1 is not utf-8"):
        read_conll(write(TEXT, "utf-16"))
    with pytest.raises(InvalidTableError, match="cannot be read as utf-16"):
        read_conll(write(TEXT), encoding="utf-16")


@pytest.mark.parametrize("name", ["words.conll.gz", "words.conll.xz", "words.conll.bz2"])
@pytest.mark.parametrize("is_cut", [True, False])
def test_damaged_archives(name: str, is_cut: bool, tmp_path: Path) -> None:
    pack = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}[Path(name).suffix]
    (tmp_path / name).write_bytes(pack(TEXT.encode())[:-9] if is_cut else TEXT.encode())
    with pytest.raises(InvalidTableError, match=rf"{name}' cannot be read: \w"):
        read_conll(tmp_path / name)


@pytest.mark.parametrize("ending", [".zip", ".zst", ".tgz"])
def test_other_archives_are_to_be_unpacked(ending: str, tmp_path: Path) -> None:
    (tmp_path / f"words{ending}").write_bytes(b"PK")
    with pytest.raises(InvalidTableError, match="Unpack it first"):
        read_conll(tmp_path / f"words{ending}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing.conll", "There is no file"),
        (".", r"is a directory\. Give the path of one file in it"),
    ],
)
def test_no_file(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidTableError, match=message):
        read_conll(tmp_path / name)


@pytest.mark.parametrize("path", [None, 7, ["a.conll", "b.conll"], "", b"a.conll"])
def test_what_is_no_path(path: Any) -> None:
    with pytest.raises(
        InvalidParameterError,
        match=r"'path' parameter must be the path of one file, as a str or Path. Got",
    ):
        read_conll(path)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"word_column": 1.0}, "'word_column' parameter must be an int, .* or None. Got 1.0"),
        ({"tag_column": True}, "'tag_column' parameter must be an int, .* or None. Got True"),
        (
            {"tag_column": "tag"},
            "'tag_column' parameter must be an int, a column of CoNLL-U .*'upos'.*Got 'tag'",
        ),
        ({"tag_column": 0}, "'tag_column' parameter must be another column"),
        ({"separator": ""}, "'separator' parameter"),
        ({"separator": "\n"}, "'separator' parameter"),
        ({"separator": 9}, "'separator' parameter"),
        (
            {"word_column": -1},
            (
                r"'word_column' parameter must be another column than tag_column, which is -1,"
                r" .*\(tag_column=\)\. Got -1"
            ),
        ),
        ({"scheme": "auto"}, "'scheme' parameter must be one of None, 'IOB1'"),
        (
            {"scheme": "iob2"},
            r"'scheme' parameter .*Got 'iob2' instead\. 'BIO' is its name here\.$",
        ),
        (
            {"scheme": "BIOES"},
            r"'scheme' parameter .*Got 'BIOES' instead\. 'IOBES' is its name here\.$",
        ),
        ({"encoding": "klingon"}, "'encoding' parameter.*Got 'klingon'"),
        ({"encoding": "base64"}, "'encoding' parameter"),
        ({"encoding": None}, "'encoding' parameter"),
    ],
)
def test_parameters_that_break_their_rule(
    parameters: dict[str, Any], message: str, write: Callable[..., Path]
) -> None:
    with pytest.raises(InvalidParameterError, match=message):
        read_conll(write(TEXT), **parameters)


@pytest.mark.parametrize(
    ("name", "n_sentences", "n_words", "n_entities"),
    [
        ("wnut17train.conll", 3394, 62730, (221, 140, 264, 548, 660, 142)),
        ("emerging.dev.conll", 1009, 15733, (34, 105, 39, 74, 470, 114)),
        ("emerging.test.annotated", 1287, 23394, (66, 142, 165, 150, 429, 127)),
    ],
)
def test_wnut17(
    name: str, n_sentences: int, n_words: int, n_entities: tuple[int, ...], shared_data: Path
) -> None:
    words, tags = read_conll(shared_data / "wnut17" / name)
    assert (len(words), sum(map(len, words)), sum(map(len, tags))) == (
        n_sentences,
        n_words,
        n_words,
    )
    counts = Counter(tag for sentence in tags for tag in sentence)
    assert tuple(counts[f"B-{kind}"] for kind in WNUT) == n_entities
    assert all(words)


@pytest.mark.parametrize(
    ("name", "n_sentences", "n_words"),
    [("train", 8323, 264715), ("testa", 1915, 52923), ("testb", 1517, 51533)],
)
def test_conll2002(name: str, n_sentences: int, n_words: int, shared_data: Path) -> None:
    path = shared_data / "conll2002_es" / f"esp.{name}"
    read = read_conll(path)
    assert (len(read.words), sum(map(len, read.words))) == (n_sentences, n_words)
    assert {tag for sentence in read.tags for tag in sentence} == {
        "O",
        *(f"{letter}-{kind}" for letter in "BI" for kind in ("LOC", "MISC", "ORG", "PER")),
    }
    if name == "testb":
        assert TaggedSentences.from_frame(read.to_frame()) == read
        assert read_conll(path, tag_column=1).tags[0][:3] == ["DA", "NC", "Fc"]
