"""The command line: ``bertvectorizer compare``, ``train``, ``predict``, ``embed`` and ``store``."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, NoReturn

import typer

from .. import __version__
from ..errors import BertVectorizerError
from ..private_api import usage_error
from .command import Command
from .compare import compare
from .embed import embed
from .predict import predict
from .shared import say
from .store import store_app
from .train import train

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Contextual embeddings as features for scikit-learn.",
)

for _command in (compare, train, predict, embed):
    app.command(cls=Command)(_command)
app.add_typer(store_app, name="store")


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"bertvectorizer {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Contextual embeddings as features for scikit-learn."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; mistakes in the input are one line on stderr and exit code 2.

    Exit code 1 says that a feature set failed, and 130 that Ctrl-C was pressed. Without
    ``arguments``, those of the process are taken.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may lack the letters of a text
            stream.reconfigure(errors="backslashreplace")
    given = list(sys.argv[1:] if arguments is None else arguments)
    with warnings.catch_warnings(), _ending_as_by_ctrl_c():
        warnings.showwarning = lambda message, *_where, **_more: say(f"Note: {message}", error=True)
        try:
            code = typer.main.get_command(app).main(
                given or ["--help"],
                prog_name="bertvectorizer",
                standalone_mode=False,
                obj=tuple(given),  # for reports, which name their command
            )
        except BertVectorizerError as error:
            code = _fail(str(error))
        except usage_error() as error:
            where = error.ctx.command_path if error.ctx else "bertvectorizer"
            message = error.format_message()
            code = _fail(
                f"{message}{'' if message[-1] in '.?!' else '.'} '{where} --help' shows what"
                " there is."
            )
        except (typer.Abort, KeyboardInterrupt):
            say("Interrupted.", error=True)
            code = 130
        except OSError as error:
            if error.filename is not None:  # not of a stream
                raise
            _drop_output()
            code = _fault_of_output(error)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        _drop_output()
        code = code if code == 2 else _fault_of_output(error)  # one line says what was wrong
    sys.exit(code or 0)


def _fail(message: str) -> int:
    say(f"Error: {message}", error=True)
    return 2


def _drop_output() -> None:
    """Drop what is left for standard output, or Python would try again as it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _fault_of_output(error: OSError) -> int:
    """Say that standard output cannot be written; the exit code."""
    if isinstance(error, BrokenPipeError):  # the reader wants no more, which is no fault
        return 1
    return _fail(f"Standard output cannot be written: {error.strerror or error}.")


@contextmanager
def _ending_as_by_ctrl_c() -> Iterator[None]:
    """Let SIGTERM and SIGHUP do what Ctrl-C does: what is done is kept and reported."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):  # Windows has one of them
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # not nohup's
                before[number] = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
