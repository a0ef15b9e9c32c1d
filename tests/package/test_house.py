"""What holds the package together: folders, exports, documentation, README, constraints, wheel.

The direction of imports is held by import-linter, see pyproject.toml.
"""

from __future__ import annotations

import ast
import doctest
import importlib
import importlib.metadata
import inspect
import pkgutil
import re
import shutil
import tarfile
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

import bertvectorizer
from bertvectorizer.cli.app import app
from tests.processes import Process, run_python
from tests.tiny_elmo import save_elmo

ROOT = Path(__file__).parents[2]
FOLDERS = {
    "package": "bertvectorizer",
    "models": "bertvectorizer.models",
    "features": "bertvectorizer.features",
    "pipeline": "bertvectorizer.pipeline",
}
HEAVY = ("torch", "transformers", "sklearn", "sentence_transformers", "pandas")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
README = (ROOT / "README.md").read_text(encoding="utf-8")


def source_files() -> dict[str, Path]:
    """Return the source file of every module, by the name it is installed under."""
    files = {}
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            files[".".join([package, *(part for part in parts if part != "__init__")])] = path
    return files


SOURCES = source_files()
PACKAGES = [name for name, path in SOURCES.items() if path.stem == "__init__"]


def installed_modules() -> list[str]:
    found = pkgutil.walk_packages(bertvectorizer.__path__, "bertvectorizer.")
    return ["bertvectorizer", *sorted(module.name for module in found)]


def modules_in(package: str) -> list[str]:
    """Return the names of a folder's own modules."""
    folder = SOURCES[package].parent
    return [path.stem for path in folder.glob("*.py") if not path.stem.startswith("__")]


def test_the_walk_finds_every_source_file() -> None:
    assert installed_modules() == sorted(SOURCES)
    assert {
        "bertvectorizer.cli.app",
        "bertvectorizer.features.bert",
        "bertvectorizer.models.network.encoder",
    } <= set(SOURCES)


def test_folders_with_code_are_the_listed_packages() -> None:
    setuptools = PYPROJECT["tool"]["setuptools"]
    assert sorted(setuptools["packages"]) == sorted(PACKAGES)
    assert {path.parent for path in SOURCES.values()} == {
        SOURCES[package].parent for package in PACKAGES
    }
    assert setuptools["package-dir"] == {package: folder for folder, package in FOLDERS.items()}
    outside = {"tests", "benchmarks", "examples", "build", "dist", "docs"}
    top = {
        path.parent.name
        for path in ROOT.glob("*/*.py")
        if path.parent.name not in outside and not path.parent.name.startswith(".")
    }
    assert top == set(FOLDERS)


@pytest.mark.parametrize(
    "module", [name for name, path in SOURCES.items() if not path.stem.startswith("__")]
)
def test_every_module_has_its_tests(module: str) -> None:
    path = SOURCES[module].relative_to(ROOT)
    assert (ROOT / "tests" / path.with_name(f"test_{path.name}")).is_file()


@pytest.mark.parametrize("package", PACKAGES)
def test_a_folder_has_few_modules_and_its_init_says_what_it_offers(package: str) -> None:
    modules = modules_in(package)
    assert len(modules) <= 14
    init = importlib.import_module(package)
    exported_from = {
        getattr(init, name).__module__.rpartition(".")[2]
        for name in exported(package)
        if hasattr(getattr(init, name), "__module__")
    }
    named = set(re.findall(r"\w+", init.__doc__ or ""))
    assert set(modules) - exported_from - named == set()


def exported(module: str) -> list[str]:
    return list(getattr(importlib.import_module(module), "__all__", []))


@pytest.mark.parametrize("package", FOLDERS.values())
def test_all_is_the_public_namespace_of_each_package(package: str) -> None:
    module = importlib.import_module(package)
    names = exported(package)
    for name in names:
        assert getattr(module, name) is not None
    submodules = {
        name.removeprefix(f"{package}.") for name in SOURCES if name.startswith(f"{package}.")
    }
    present = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and name not in submodules
        and not isinstance(value, ModuleType)
        and name not in {"annotations", "Any"}
    }
    public = {name for name in names if not name.startswith("_")}
    assert present - {"TYPE_CHECKING"} <= public
    assert len(set(names)) == len(names)
    assert set(names) <= set(dir(module))


@pytest.mark.parametrize("module", sorted(set(SOURCES) - {"bertvectorizer.__main__"}))
def test_all_names_what_is_public(module: str) -> None:
    statements = ast.parse(SOURCES[module].read_text(encoding="utf-8")).body
    defined = {
        node.name
        for node in statements
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
    }
    commands = {"bertvectorizer.cli.app", "bertvectorizer.cli.store"}
    assert module in commands or defined <= set(exported(module))


def documented_objects() -> dict[str, Any]:
    """Return the public classes and functions, and the public methods, inherited ones too."""
    found = {}
    for package in [*FOLDERS.values(), "bertvectorizer.errors"]:
        for name in exported(package):
            value = getattr(importlib.import_module(package), name)
            if inspect.isclass(value) or inspect.isfunction(value):
                found[f"{value.__module__}.{name}"] = value
            if inspect.isclass(value):
                for method_name, method in inspect.getmembers(value, inspect.isfunction):
                    ours = method.__module__.startswith("bertvectorizer.")
                    if ours and not method_name.startswith("_"):
                        found[f"{method.__module__}.{method.__qualname__}"] = method
    return found


PUBLIC = documented_objects()


def test_public_objects_were_found() -> None:
    assert {
        "bertvectorizer.features.bert.BertVectorizer",
        "bertvectorizer.models.store.embedding_store.EmbeddingStore.verify",
        "bertvectorizer.pipeline.run_comparison.compare",
    } <= set(PUBLIC)
    assert len(PUBLIC) > 30


def section(docstring: str, title: str) -> str:
    """Return a section of a numpydoc docstring, "" if there is none."""
    match = re.search(
        rf"^{title}\n-{{{len(title)}}}\n(.*?)(?=^\S[^\n]*\n-+\n|\Z)",
        docstring,
        re.MULTILINE | re.DOTALL,
    )
    return match.group(1) if match else ""


def test_docstrings_write_shapes_one_way() -> None:
    """As in "of shape (n_texts, n_features)"."""
    label = re.compile(r"\*(Shape|Length)")
    bare = re.compile(r"``\w* ?\((n_\w+|hidden|width|\.\.\.),[^`]*\)``")
    for name, path in SOURCES.items():
        source = path.read_text(encoding="utf-8")
        assert not label.search(source), path
        if ".pipeline" in name:
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                docstring = ast.get_docstring(node) or ""
                assert not bare.search(docstring), f"{path}: {docstring}"


@pytest.mark.parametrize("name", PUBLIC)
def test_public_docstrings_give_types_defaults_and_conditions(name: str) -> None:
    docstring = inspect.getdoc(PUBLIC[name]) or ""
    assert docstring
    described = {
        parameter.strip("* "): kind
        for names, kind in re.findall(
            r"^(\*{0,2}\w[\w, *]*?)(?: : (.*))?$", section(docstring, "Parameters"), re.MULTILINE
        )
        for parameter in names.split(",")
    }
    if described:
        parameters = {
            parameter: value
            for parameter, value in inspect.signature(PUBLIC[name]).parameters.items()
            if parameter in described or value.kind is not inspect.Parameter.VAR_KEYWORD
        }
        parameters.pop("self", None)
        assert list(described) == list(parameters)
        assert all(described.values()), "every parameter has a type"
        optional = {
            parameter
            for parameter, value in parameters.items()
            if value.default is not inspect.Parameter.empty
        }
        assert {
            parameter for parameter, kind in described.items() if "default=" in kind
        } == optional
    errors = re.findall(r"^(\S.*)\n((?: .*\n?)*)", section(docstring, "Raises"), re.MULTILINE)
    for error, condition in errors:
        assert condition, f"{error} is raised when?"


@pytest.mark.parametrize("name", bertvectorizer.__all__)
def test_the_front_door_is_documented_in_full(name: str) -> None:
    value = getattr(bertvectorizer, name)
    if not callable(value):
        return
    docstring = inspect.getdoc(value) or ""
    wanted = ["Attributes"] if name == "Comparison" else ["Parameters", "Examples"]
    wanted += ["Returns"] if inspect.isfunction(value) else []
    for title in wanted:
        assert section(docstring, title), f"{name} has no section {title}"


def test_doctests(default_model_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    attempted = {}
    for name in SOURCES:
        module = importlib.import_module(name)
        result = doctest.testmod(module, report=True)
        assert not result.failed, f"{name}: {capsys.readouterr().out}"
        attempted[name] = result.attempted
    for name in (
        "features.bert",
        "features.inputs.texts",
        "pipeline.run_comparison",
        "pipeline.files.embed",
        "pipeline.comparison.example",
        "pipeline.files.read",
    ):
        assert attempted[f"bertvectorizer.{name}"] > 0, f"{name} has no example"


def blocks(page: str, *languages: str) -> list[tuple[str, str]]:
    """Return language and content of the fenced blocks of a page in one of several languages."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [(language, block) for language, block in fenced if language in languages]


SHELL = "\n".join(block for _, block in blocks(README, "sh", "shell", "bash", "console", ""))
PAGES = ["README.md", *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md")))]
RUN = [name for name in PAGES if "```py" in (ROOT / name).read_text(encoding="utf-8")]


@pytest.mark.parametrize("name", RUN)
def test_every_python_snippet_of_a_page_runs(
    name: str,
    default_model_directory: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = (ROOT / name).read_text(encoding="utf-8")
    snippets = blocks(page, "python", "py", "text")
    monkeypatch.chdir(tmp_path)
    save_elmo(Path("elmo"))  # for a published one
    namespace: dict[str, Any] = {"__name__": "page"}
    for number, (language, snippet) in enumerate(snippets, start=1):
        if language == "text":  # what the snippet before it prints
            assert capsys.readouterr().out.rstrip() == snippet.rstrip(), f"{name}, block {number}"
        else:
            capsys.readouterr()
            exec(compile(snippet, f"{name}, block {number}", "exec"), namespace)


@pytest.mark.parametrize("name", PAGES)
def test_every_link_of_a_page_leads_to_something(name: str) -> None:
    page = ROOT / name
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        found = page.parent / path if path else page
        assert found.exists(), f"{name}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}
            assert anchor in anchors, f"{name}: {target}"


def readme_commands() -> list[str]:
    lines = SHELL.replace("\\\n", " ").splitlines()
    return [
        part.strip()
        for line in lines
        for part in line.split("&&")
        if part.strip().startswith("bertvectorizer")
    ]


def test_every_command_of_the_readme_is_one() -> None:
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    lines = readme_commands()
    assert {line.split()[1] for line in lines} >= set(commands)
    for line in lines:
        words = line.split()
        known = {option for parameter in commands[words[1]].params for option in parameter.opts}
        assert {word for word in words[2:] if re.match("--?[a-z]", word)} <= {*known, "--help"}, (
            line
        )


def test_the_readme_tells_the_two_lines_that_set_all_up() -> None:
    assert 'pip install -c constraints.txt ".[offline]" && bertvectorizer compare' in SHELL
    assert 'pip install -c constraints.txt ".[test]" && pytest' in SHELL
    assert 'pip install -c constraints.txt ".[test]" && pytest' in (ROOT / ".ci" / "run").read_text(
        encoding="utf-8"
    )


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = (
        f"import bertvectorizer, sys; print([name for name in {HEAVY} if name in sys.modules])"
    )
    assert run_python(program, fresh=True).strip() == "[]"


def test_help_needs_no_network_code() -> None:
    program = (
        "import sys; sys.argv = ['bertvectorizer', 'embed', '--help']\n"
        "from bertvectorizer.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY[:2]} if name in sys.modules])"
    )
    assert run_python(program, fresh=True).splitlines()[-1] == "[]"


def test_names_of_the_front_door_load_when_they_are_requested() -> None:
    program = (
        "import bertvectorizer as b, sys; b.BertVectorizer; b.compare; print('torch' in"
        " sys.modules, 'BertVectorizer' in dir(b))"
    )
    assert run_python(program).split()[1] == "True"
    with pytest.raises(AttributeError, match="has no attribute 'Bert'"):
        _ = bertvectorizer.Bert  # type: ignore[attr-defined]


def test_the_version_is_said_once() -> None:
    assert bertvectorizer.__version__ == PYPROJECT["project"]["version"]


def test_constraints_pin_every_requirement() -> None:
    lines = [
        line
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in lines), (
        "exact versions, without local suffixes"
    )
    assert lines == sorted(lines, key=lambda line: normal(line.partition("==")[0]))
    assert "torch==2.13.0" in lines
    pinned = {normal(line.partition("==")[0]) for line in lines}
    project = PYPROJECT["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    assert {normal(re.split(r"[\[<>=!~; ]", requirement)[0]) for requirement in wanted} - {
        "bertvectorizer"
    } <= pinned


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[set[str], set[str]]:
    """Build the wheel and the sdist from a copy of the sources, and return the names in each."""
    try:
        backend = importlib.metadata.version("setuptools")
    except importlib.metadata.PackageNotFoundError:
        backend = "0"
    if int(backend.partition(".")[0]) < 77:
        pytest.skip(f"setuptools 77 or newer is needed to build; here it is {backend}")
    copy, out = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("dist")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, copy / file)
    program = (
        "import sys; from setuptools import build_meta as b; out = sys.argv[1]; b.build_sdist(out);"
        " b.build_wheel(out)"
    )
    with Process("-c", program, out, cwd=copy, fresh=True) as process:
        process.finish()
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive, tarfile.open(sdist) as tarball:
        return set(archive.namelist()), {name.partition("/")[2] for name in tarball.getnames()}


def test_the_wheel_holds_one_package_with_all_modules_and_data(
    distributions: tuple[set[str], set[str]],
) -> None:
    wheel, sdist = distributions
    modules = {
        (
            f"{name.replace('.', '/')}/__init__.py"
            if path.stem == "__init__"
            else f"{name.replace('.', '/')}.py"
        )
        for name, path in SOURCES.items()
    }
    data = {
        f"pipeline/report/templates/{name}.html" for name in ("fragment", "report", "table")
    } | {"pipeline/comparison/data/words_in_context.csv", "py.typed"}
    assert modules | {f"bertvectorizer/{name}" for name in data} == {
        name for name in wheel if ".dist-info/" not in name
    }
    assert {name.partition("/")[0].partition("-")[0] for name in wheel} == {"bertvectorizer"}
    assert {
        "package/py.typed",
        "pipeline/comparison/data/words_in_context.csv",
        "package/cli/app.py",
        "LICENSE",
    } <= sdist
