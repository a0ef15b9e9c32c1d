"""Commands whose help is in plain words, and whose options are given once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import typer
from typer.core import TyperCommand

from ..private_api import usage_error

__all__ = ["Command"]


class Command(TyperCommand):
    """A command that shows values as FILE or N, not as types of Python.

    An option that is given twice is an error, unless it can be repeated: the first value would be
    lost without a word.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments."""
        if not ctx.resilient_parsing:  # which completes what is not finished yet
            parser: Any = self.make_parser(ctx)
            try:
                _, _, given = parser.parse_args(args=list(args))
            except usage_error() as error:
                error.ctx = error.ctx or ctx  # so that the message names this command
                raise
            for option, count in Counter(given).items():
                if count > 1 and not option.multiple and not option.is_flag:
                    raise typer.BadParameter("It can be given only once.", ctx=ctx, param=option)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command. Typer would end it by Ctrl-C without a word."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Abort from None

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return what stands in the line of usage."""
        names = [
            str(one.metavar) if one.required else f"[{one.metavar}]"
            for one in self.get_params(ctx)
            if one.param_type_name == "argument"
        ]
        return [*names, "[OPTIONS]"]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and options."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for one in self.get_params(ctx):
            if record := one.get_help_record(ctx):
                is_argument = one.param_type_name == "argument"
                shown = str(one.metavar) if is_argument else record[0]
                sections["Arguments" if is_argument else "Options"].append((shown, record[1]))
        for title, rows in sections.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
