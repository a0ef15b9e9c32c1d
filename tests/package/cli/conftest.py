"""Fixtures for the tests of the command line."""

from __future__ import annotations

import pytest

from bertvectorizer.cli.app import main
from tests.package.cli.command import Result, Run


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process, with whatever can be turned into words."""

    def call(*words: object) -> Result:
        with pytest.raises(SystemExit) as caught:
            main([str(word) for word in words])
        code = caught.value.code
        assert isinstance(code, int)
        return Result(code, *capsys.readouterr())

    return call
