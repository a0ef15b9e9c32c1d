"""Tests of package/errors.py."""

from __future__ import annotations

import inspect
import re

import pytest

from bertvectorizer import errors

ALL = [getattr(errors, name) for name in errors.__all__]


def test_all_lists_every_error_of_the_module() -> None:
    defined = {name for name, value in vars(errors).items() if inspect.isclass(value)}
    assert errors.__all__ == sorted(defined)


@pytest.mark.parametrize("error", ALL)
def test_every_error_is_caught_by_the_root(error: type[Exception]) -> None:
    with pytest.raises(errors.BertVectorizerError, match="what happened"):
        raise error("what happened")


def test_the_tree_in_the_docstring_is_the_real_one() -> None:
    drawn = dict(re.findall(r"(\w+Error)(?: \(([\w, ]+)\))?", inspect.getdoc(errors) or ""))
    assert drawn.keys() == set(errors.__all__)
    for name, builtins in drawn.items():
        bases = [base.__name__ for base in getattr(errors, name).__bases__]
        own = [base for base in bases if base not in errors.__all__ and base != "Exception"]
        assert own == [part.strip() for part in builtins.split(",") if part]


@pytest.mark.parametrize(
    "error",
    [error for error in ALL if "Model" in error.__name__ or error is errors.OutOfMemoryError],
)
def test_trouble_with_a_model_is_a_model_error(error: type[Exception]) -> None:
    assert issubclass(error, errors.ModelError)
    assert issubclass(error, RuntimeError)


@pytest.mark.parametrize("error", [errors.InvalidParameterError, errors.InvalidTextError])
def test_bad_arguments_are_caught_as_python_and_scikit_learn_name_them(
    error: type[Exception],
) -> None:
    assert issubclass(error, ValueError)
    assert issubclass(error, TypeError)
    assert not issubclass(error, errors.ModelError)
