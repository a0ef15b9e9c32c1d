from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from unicodedata import category, normalize

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertvectorizer.pipeline.files.read import read_table
from bertvectorizer.pipeline.files.safe_csv import csv_text, defuse

FORMULAS = [
    "=1+1",
    "+A1",
    "-A1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =cmd|' /C calc'!A0",
    "\ufeff=1",
    "\u200b=1",
    "＝1+1",
    "＋1",
    "－1",
    "＠a",
]
FORMULAS += ["=", "--1", "+1+1", "-1e", "\x00=1", "\xa0@x", "+", "-", "\tplain", "+1\n", "-٣"]
HARMLESS = [
    "plain",
    "a=b",
    "'=1",
    "",
    "1-1",
    "-1",
    "+0.5",
    "-1e-5",
    "-.5",
    "e-mail@example.org",
    '"=1"',
    "3 = 3",
    "  indented",
    "see you ;-)",
    ";-) ok",
    "-) =) +] @}",
    "a\t=)",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_gets_an_apostrophe(text: str) -> None:
    assert defuse(text).startswith("'")
    assert defuse(text).replace("'", "") == text.replace("'", "")


def test_every_form_of_a_sign_after_every_invisible_character_is_a_formula() -> None:
    characters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    signs = [one for one in characters if normalize("NFKC", one)[:1] in {*"=+-@", "\u2212"}]
    skipped = [one for one in characters if category(one) in {"Cc", "Cf", "Zs", "Zl", "Zp"}]
    assert len(signs) > 20
    assert len(skipped) > 100
    texts = [one + "A1" for one in signs] + [one + "=A1" for one in skipped]
    assert [text for text in texts if not defuse(text).startswith("'")] == []


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("x\n=1+1", "'x\n'=1+1"),
        ("x\r\n \u202e+1", "'x\r\n \u202e'+1"),
        ("a;=1;b\t@c|-d", "'a;'=1;b\t'@c|'-d"),
        ('a;"=1"', "'a;\"'=1\""),
        ("\n=1", "'\n'=1"),
        ("-1;-1", "'-1;'-1"),
        (";-) ;=1", "';-) ;'=1"),
        (";-(1)", "';'-(1)"),
        (";-1+cmd|' /C calc'!A0", "';'-1+cmd|' /C calc'!A0"),
        (";--)", "';'--)"),
        ("; - ) or -", "'; '- ) or -"),
    ],
)
def test_a_formula_within_a_text_gets_an_apostrophe(text: str, safe: str) -> None:
    assert defuse(text) == safe


@pytest.mark.parametrize("part", ["\n", "; ", "\u200b", '"', "=", "\n=", ";-"])
def test_time_is_linear(part: str) -> None:
    """A quadratic pattern would take minutes."""
    assert len(defuse("x" + part * 100_000 + "x")) < 400_000


@pytest.mark.parametrize("text", HARMLESS)
def test_anything_else_stays(text: str) -> None:
    assert defuse(text) == text


def opens_a_formula(cell: str) -> bool:
    """Whether the cell, without blanks and invisible characters, begins like a formula."""
    bare = "".join(
        character for character in cell if character.isprintable() and not character.isspace()
    )
    try:
        float(cell)
        return False
    except ValueError:
        return bare[:1] in tuple("=+-@＝＋－＠") and bare[1:2] not in tuple(")]}")


CELLS = st.text(
    st.sampled_from([*"=+-@)\t\r\n ,;|\"'a1.e\x00\ufeff\u200b＝é", "\ud800"]) | st.characters(),
    max_size=12,
)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=4), CELLS)
def test_wild_cells_come_back_and_none_is_a_formula(rows: list[tuple[str, str]], name: str) -> None:
    text = csv_text(pd.DataFrame(rows, columns=["first", name + "x"]))
    header, *lines = csv.reader(io.StringIO(text, newline=""))
    valid = [
        [cell.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for cell in row]
        for row in rows
    ]
    assert len(lines) == len(rows)
    assert header[1].endswith("x")
    for line, row in zip(lines, valid, strict=True):
        for cell, original in zip(line, row, strict=True):
            assert cell == original or cell.replace("'", "") == original.replace("'", "")
    for separator in ",;\t|":
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
        assert not [cell for line in lines for cell in line if opens_a_formula(cell)]


def test_our_own_reader_gives_the_cells_back(tmp_path: Path) -> None:
    texts = ["two\nlines", 'said "no"', "a,b;c\td", "=1+1", "\r\n", "'", "naïve 🦇", None]
    frame = pd.DataFrame({"text": texts, "n": range(8)})
    (tmp_path / "table.csv").write_bytes(csv_text(frame).encode())
    read = read_table(tmp_path / "table.csv", ["text", "n"])
    assert read["text"].tolist()[:7] == [
        "two\nlines",
        'said "no"',
        "a,b;c\td",
        "'=1+1",
        "'\r\n",
        "'",
        "naïve 🦇",
    ]
    assert read["text"].isna().tolist() == [False] * 7 + [True]
    assert read["n"].tolist() == [str(number) for number in range(8)]


def test_numbers_stay_numbers() -> None:
    frame = pd.DataFrame(
        {
            "i": [-1, 2],
            "f": [-0.1, np.nan],
            "b": [True, False],
            "=o": np.array([-1, "-x"], dtype=object),
        }
    )
    frame["twice"] = frame["i"]
    frame.columns = ["i", "f", "b", "=o", "i"]
    assert csv_text(frame) == '"i","f","b","\'=o","i"\n-1,-0.1,True,-1,-1\n2,"",False,"\'-x",2\n'
    assert frame.columns.tolist() == ["i", "f", "b", "=o", "i"]
    assert csv_text(frame.head(0)) == '"i","f","b","\'=o","i"\n'
    assert csv_text(frame.head(0), header=False) == ""


def test_integers_lists_and_mappings_keep_their_values() -> None:
    many = list(range(5000))
    cells = [2**53 + 1, None, True, 0.5, np.array(many), [], {"a": [None]}]
    text = csv_text(pd.DataFrame({"k": pd.Series(cells, dtype=object)}))
    found = [row[0] for row in csv.reader(io.StringIO(text))]
    assert found == ["k", "9007199254740993", "", "True", "0.5", str(many), "[]", '{"a": [null]}']
