"""The commands ``bertvectorizer store info``, ``verify`` and ``clear``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import StoreError
from .command import Command
from .shared import say

if TYPE_CHECKING:
    from ..models.store.embedding_store import EmbeddingStore

__all__ = ["store_app"]

store_app = typer.Typer(rich_markup_mode=None, help="Inspect or clear a store of embeddings.")

PathArgument = Annotated[
    Path, typer.Argument(metavar="STORE", help="File of the store, or its directory.")
]


@store_app.callback(invoke_without_command=True)
def _help(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        say(context.get_help())


@store_app.command(cls=Command)
def info(path: PathArgument) -> None:
    """Print the size of a store and the time it has saved."""
    store = _existing(path)
    stats = store.read_stats()
    rows = {
        "file": str(store.path),
        "bytes": f"{stats.bytes:,}",
        "texts": f"{stats.texts:,}",
        "encoded": f"{stats.encoded:,}",
        "hits": f"{stats.hits:,}",
        "misses": f"{stats.misses:,}",
        "time saved": f"{stats.seconds_saved:,.1f} s",
    }
    for name, value in rows.items():
        say(f"{name:<11}{value}")


@store_app.command(cls=Command)
def verify(path: PathArgument) -> None:
    """Check all records and the structure of the file.

    If there are faults, they are printed one per line and the exit code is 1.
    """
    store = _existing(path)
    wrong = store.verify()
    for what in wrong:
        say(what)
    if wrong:
        say(
            f"{len(wrong):,} fault(s) in {store.path}. Damaged texts are encoded anew when they are"
            " next requested.",
            error=True,
        )
        raise typer.Exit(1)
    say(f"{store.read_stats().texts:,} texts, no faults")


@store_app.command(cls=Command)
def clear(path: PathArgument) -> None:
    """Remove all vectors from a store.

    A store that is damaged or has another format is deleted. Other files are not changed.
    """
    store = _existing(path)
    store.clear()
    say(f"{store.path} is empty", error=True)


def _existing(path: Path) -> EmbeddingStore:
    from ..models.store.embedding_store import EmbeddingStore

    store = EmbeddingStore(path)
    if not os.path.isfile(store.path) or not os.path.getsize(store.path):
        raise StoreError(
            f"There is no store at '{store.path}'. Give the path that you gave to --store or"
            " 'store='."
        )
    return store
