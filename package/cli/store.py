"""The command line of stores: ``bertvectorizer store info | verify | clear``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import StoreError

if TYPE_CHECKING:
    from ..models.store.embedding_store import EmbeddingStore

__all__ = ["store_app"]

store_app = typer.Typer(rich_markup_mode=None, help="Look after a store of embeddings.")

PathArgument = Annotated[
    Path, typer.Argument(help="The store's file, or the directory that it lies in.")
]


@store_app.callback(invoke_without_command=True)
def _help(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


@store_app.command()
def info(path: PathArgument) -> None:
    """Print what a store holds and what it has saved."""
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
        print(f"{name:<11}{value}")


@store_app.command()
def verify(path: PathArgument) -> None:
    """Check all texts and the file itself.

    Faults are printed, a line each, and the exit code is then 1.
    """
    store = _existing(path)
    wrong = store.verify()
    for what in wrong:
        print(what)
    if wrong:
        print(
            f"{len(wrong):,} fault(s) in {store.path}. Damaged texts are encoded anew when they are"
            " next asked for.",
            file=sys.stderr,
        )
        raise typer.Exit(1)
    print(f"{store.read_stats().texts:,} texts, all sound")


@store_app.command()
def clear(path: PathArgument) -> None:
    """Forget all that a store holds.

    A store that is damaged or of another format is removed; a file that is no store is left alone.
    """
    store = _existing(path)
    store.clear()
    print(f"{store.path} is empty", file=sys.stderr)


def _existing(path: Path) -> EmbeddingStore:
    from ..models.store.embedding_store import EmbeddingStore

    store = EmbeddingStore(path)
    if not store.path.is_file() or not store.path.stat().st_size:
        raise StoreError(
            f"There is no store at '{store.path}'. Give the path that 'store=' was given."
        )
    return store
