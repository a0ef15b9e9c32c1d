"""Count the functions and files of our own that one call enters."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import bertvectorizer
from bertvectorizer import BertVectorizer, StaticVectorizer, WordVectors, compare

TEXTS = ["The bat hung from the beam.", "He swung the bat.", "Money lay on the bank."]


class CallCounter:
    """Context manager that notes which functions of this package are entered.

    Attributes
    ----------
    functions : dict of (file, name, line) to int
        How often each was entered.
    moves : int
        Calls from one file of the package into another.
    """

    def __init__(self) -> None:
        self.functions: dict[tuple[str, str, int], int] = {}
        self.moves = 0
        root = Path(bertvectorizer.__file__).parent
        self._roots = tuple(
            {f"{root}/", *(f"{path.resolve()}/" for path in root.iterdir() if path.is_dir())}
        )
        self._names: dict[str, str | None] = {}

    def _ours(self, filename: str) -> str | None:
        if filename not in self._names:
            resolved = str(Path(filename).resolve())
            root = next(
                (
                    root
                    for root in self._roots
                    if filename.startswith(root) or resolved.startswith(root)
                ),
                None,
            )
            self._names[filename] = resolved if root else None
        return self._names[filename]

    def _note(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and (file := self._ours(frame.f_code.co_filename)):
            key = file, frame.f_code.co_qualname, frame.f_code.co_firstlineno
            self.functions[key] = self.functions.get(key, 0) + 1
            caller = frame.f_back and self._ours(frame.f_back.f_code.co_filename)
            self.moves += caller not in (None, file)

    @property
    def files(self) -> set[str]:
        """Files of the package that were entered."""
        return {file for file, _, _ in self.functions}

    def __enter__(self) -> CallCounter:
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)


def count(label: str, call: Callable[[], object], verbose: bool) -> None:
    """Print the counts of one call."""
    with CallCounter() as counter:
        call()
    print(
        f"{label:<42} {len(counter.functions):>5} functions {len(counter.files):>4} files"
        f" {sum(counter.functions.values()):>8} calls {counter.moves:>7} moves"
    )
    if verbose:
        for (file, name, line), times in sorted(counter.functions.items()):
            print(f"    {file}:{line} {name} {times}")


def main() -> None:
    """Print the counts of transform and of compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--verbose", action="store_true", help="list the functions")
    parser.add_argument("--compare", action="store_true", help="count compare with a report too")
    options = parser.parse_args()

    without, with_store = BertVectorizer(store=None).fit(TEXTS), BertVectorizer().fit(TEXTS)
    for vectorizer in (without, with_store):
        vectorizer.transform(TEXTS)
    count("transform, store=None", lambda: without.transform(TEXTS), options.verbose)
    count(
        "transform, default store, texts known",
        lambda: with_store.transform(TEXTS),
        options.verbose,
    )
    new = ["A text that nobody has seen.", "And another one."]
    count("transform, default store, texts new", lambda: with_store.transform(new), options.verbose)
    if options.compare:
        words = sorted({word.strip(".").lower() for text in TEXTS for word in text.split()})
        vectors = WordVectors(words, [[float(len(word)), float(ord(word[0]))] for word in words])
        texts = [f"{text} {number}" for number in range(10) for text in TEXTS[:2]]
        features = {"static": StaticVectorizer(vectors), "bert": BertVectorizer()}

        def run() -> None:
            result = compare(texts, ["animal", "sport"] * 10, features)
            with tempfile.TemporaryDirectory() as folder:
                result.to_html(Path(folder) / "report.html")

        count("compare, two features, with a report", run, options.verbose)


if __name__ == "__main__":
    main()
