"""Tests of models/store/session_store.py."""

from __future__ import annotations

import os
import pickle
import platform
import shutil
import signal
import stat
import tempfile
from pathlib import Path
from types import SimpleNamespace

import joblib
import pytest

from bertvectorizer import BertVectorizer
from bertvectorizer.models.store.session_store import comparison_store, session_store
from tests.processes import Process, run_python
from tests.tiny import ModelFactory

USER = os.getuid() if hasattr(os, "getuid") else 0
NO_STORE = r"There can be no store for this session, so texts are encoded without it: "
NOBODY = 65534

pytestmark = pytest.mark.skipif(
    not hasattr(os, "getuid"), reason="owners and modes of files are POSIX's"
)
needs_root = pytest.mark.skipif(
    not hasattr(os, "getuid") or os.getuid() != 0,
    reason="only root can give a file away or be somebody else",
)

PRELUDE = (
    "import os, signal, sys, tempfile\n"
    "from bertvectorizer.models.store.session_store import session_store\n"
    "def use(store):\n"
    "    store._cache.write({b'k': b'data'})\n"
    "    return str(store.path.parent)\n"
)


@pytest.fixture
def temporary() -> Path:
    """The temporary directory of this test, which holds nothing but sessions."""
    return Path(tempfile.gettempdir())


def named(pid: int) -> str:
    return f"bertvectorizer-{USER}-{platform.node()}-{pid}"


def a_dead_process() -> int:
    with Process("-c", "") as process:
        process.finish()
    return process.pid


class TestDirectory:
    def test_it_is_the_user_s_alone_and_named_by_the_process(self, temporary: Path) -> None:
        before = os.umask(0)
        try:
            store = session_store()
        finally:
            os.umask(before)
        assert store is not None
        assert store.path.parent == temporary / named(os.getpid())
        assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700

    def test_there_is_one_store_and_it_does_not_fill_the_disk(self) -> None:
        store = session_store()
        assert store is not None
        assert store is session_store()
        disk = os.statvfs(store.path.parent)
        assert store.max_bytes is not None
        assert store.max_bytes <= min(8 << 30, disk.f_bavail * disk.f_frsize)
        assert not store.durable

    def test_it_is_gone_when_the_process_ends(self, temporary: Path) -> None:
        directory = run_python(PRELUDE + "print(use(session_store()))\n", TMPDIR=temporary).strip()
        assert Path(directory).parent == temporary
        assert list(temporary.iterdir()) == []

    def test_it_is_not_made_by_the_import(self, temporary: Path) -> None:
        run_python(
            "import bertvectorizer.models.store.session_store, os, sys; assert not"
            " os.listdir(sys.argv[1])",
            temporary,
            TMPDIR=temporary,
        )

    def test_an_error_or_an_interrupt_leaves_nothing_behind(self, temporary: Path) -> None:
        for end in ("raise KeyboardInterrupt", "sys.exit(3)", "1 / 0"):
            program = PRELUDE + f"use(session_store())\n{end}\n"
            with Process("-c", program, TMPDIR=temporary) as process:
                process.finish(expect=None)
            assert process.returncode
            assert list(temporary.iterdir()) == []

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system knows no fork")
    def test_the_end_of_a_fork_does_not_remove_it(self, temporary: Path) -> None:
        program = (
            PRELUDE + "from pathlib import Path\n"
            "from bertvectorizer.models.store.session_store import session_directory\n"
            "directory = Path(use(session_store()))\n"
            "if os.fork() == 0:\n"
            "    use(session_store())\n"
            "    session_directory(is_checked=True)\n"
            "    sys.exit()\n"
            "assert os.wait()[1] == 0\n"
            "assert directory.is_dir()\n"
            "assert session_store()._cache.read([b'k'])\n"
        )
        run_python(program, TMPDIR=temporary)
        assert list(temporary.iterdir()) == []

    def test_no_temporary_directory_is_no_error(self) -> None:
        program = (
            "import tempfile\n"
            "from bertvectorizer import BertVectorizer\n"
            "def missing():\n"
            "    raise FileNotFoundError(2, 'No usable temporary directory found')\n"
            "tempfile.gettempdir = missing\n"
            "assert BertVectorizer().fit_transform(['a bat']).shape == (1, 384)\n"
        )
        with Process("-c", program) as process:
            process.finish()
            printed = process.error_output
        assert "No usable temporary directory found" in printed  # the warning
        assert "Traceback" not in printed


class TestTheStoreOfComparisons:
    def test_it_keeps_all_layers_beside_the_other_and_there_is_one(self, temporary: Path) -> None:
        store, other = comparison_store(), session_store()
        assert store is not None
        assert other is not None
        assert store is comparison_store()
        assert store.keep == "all_layers"
        assert store.path != other.path
        assert store.path.parent == other.path.parent == temporary / named(os.getpid())
        assert not store.durable

    def test_both_together_do_not_fill_the_disk(self) -> None:
        store, other = comparison_store(), session_store()
        assert store is not None
        assert other is not None
        assert store.max_bytes is not None
        assert other.max_bytes is not None
        disk = os.statvfs(store.path.parent)
        assert store.max_bytes + other.max_bytes <= min(16 << 30, disk.f_bavail * disk.f_frsize)

    def test_a_text_is_encoded_once_for_all_layers_and_poolings(
        self, tiny_model: ModelFactory
    ) -> None:
        store = comparison_store()
        assert store is not None
        for layers, pooling in ((-1, "cls"), (0, "mean"), ([1, 2], "max")):
            BertVectorizer(
                str(tiny_model("bert")), layers=layers, pooling=pooling, store=store
            ).fit_transform(["the old bat"])
        assert store.stats.encoded == 1

    def test_it_is_gone_when_the_process_ends(self, temporary: Path) -> None:
        program = (
            PRELUDE + "from bertvectorizer.models.store.session_store import"
            " comparison_store\nprint(use(comparison_store()))\n"
        )
        assert Path(run_python(program, TMPDIR=temporary).strip()).parent == temporary
        assert list(temporary.iterdir()) == []

    def test_where_there_can_be_no_session_there_is_none(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=0))
        with pytest.warns(UserWarning, match=NO_STORE + "there are only 0 bytes free") as caught:
            assert comparison_store() is None
        assert len(caught) == 1


class TestSweeping:
    def test_a_killed_session_s_directory_is_removed_by_the_next_one(self, temporary: Path) -> None:
        program = PRELUDE + "use(session_store()); os.kill(os.getpid(), signal.SIGKILL)\n"
        with Process("-c", program, TMPDIR=temporary) as process:
            process.finish(expect=-signal.SIGKILL)
        assert len(list(temporary.iterdir())) == 1
        assert session_store() is not None
        assert [path.name for path in temporary.iterdir()] == [named(os.getpid())]

    def test_what_is_in_use_or_something_else_is_left_alone(self, temporary: Path) -> None:
        dead = a_dead_process()
        others = [
            named(os.getppid()),
            named(dead) + "x",
            named(dead).replace(f"-{USER}-", f"-{USER + 1}-"),
            # Of another machine, whose name is longer
            f"bertvectorizer-{USER}-{platform.node()}-2-{dead}",
            f"bertvectorizer-{dead}",
            "bertvectorizer",
            named(10**20),  # no process has such a number
        ]
        for name in others:
            (temporary / name).mkdir()
        (temporary / named(dead)).mkdir()
        assert session_store() is not None
        assert {path.name for path in temporary.iterdir()} == {*others, named(os.getpid())}

    def test_a_link_at_its_path_is_not_followed(self, temporary: Path, tmp_path: Path) -> None:
        (tmp_path / "precious").touch()
        (temporary / named(a_dead_process())).symlink_to(tmp_path)
        assert session_store() is not None
        assert (tmp_path / "precious").exists()

    def test_a_former_process_of_the_same_number_left_its_directory(self, temporary: Path) -> None:
        (temporary / named(os.getpid())).mkdir(mode=0o700)
        store = session_store()
        assert store is not None
        store._cache.write({b"k": b"data"})
        assert store._cache.read([b"k"])


class TestWhereThereCanBeNone:
    @needs_root
    def test_a_directory_of_somebody_else_at_its_path(self, temporary: Path) -> None:
        path = temporary / named(os.getpid())
        path.mkdir()
        os.chown(path, NOBODY, -1)
        with pytest.warns(
            UserWarning, match=NO_STORE + r"'.*' exists, but is not a directory of this user"
        ) as caught:
            assert session_store() is None
        assert session_store() is None
        assert len(caught) == 1
        assert list(path.iterdir()) == []

    @pytest.mark.parametrize("kind", ["file", "link"])
    def test_something_else_at_its_path(self, kind: str, temporary: Path, tmp_path: Path) -> None:
        path = temporary / named(os.getpid())
        path.touch() if kind == "file" else path.symlink_to(tmp_path)
        with pytest.warns(
            UserWarning, match=NO_STORE + r"'.*' exists, but is not a directory of this user"
        ):
            assert session_store() is None
        assert list(tmp_path.iterdir()) == []

    def test_no_space(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=0))
        with pytest.warns(UserWarning, match=NO_STORE + "there are only 0 bytes free"):
            assert session_store() is None

    def test_no_temporary_directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
        with pytest.warns(UserWarning, match=NO_STORE + ".*No such file or directory"):
            assert session_store() is None

    def test_no_temporary_directory_that_may_be_written(self) -> None:
        program = (
            PRELUDE
            + f"import warnings\nif os.getuid() == 0:\n    os.setgroups([]); os.setgid({NOBODY});"
            f" os.setuid({NOBODY})\ntempfile.tempdir = '/'\nwith"
            " warnings.catch_warnings(record=True) as caught:\n   "
            " warnings.simplefilter('always')\n    print(session_store(), session_store(),"
            " *(warning.message for warning in caught))\n"
        )
        printed = run_python(program)
        assert printed.startswith(
            "None None There can be no store for this session, so texts are encoded without it:"
            " [Errno 13]"
        )
        assert printed.count("There can be no store") == 1


OF_MULTIPROCESSING = (
    "with multiprocessing.get_context('{}').Pool(2) as pool:\n        print(*pool.map(directory,"
    " range(4)))"
)
OF_JOBLIB = (
    "print(*joblib.Parallel(2, backend='{}')(joblib.delayed(directory)(number) for number in"
    " range(4)))"
)
WORKERS = {kind: OF_MULTIPROCESSING.format(kind) for kind in ("spawn", "fork")}
WORKERS |= {kind: OF_JOBLIB.format(kind) for kind in ("loky", "multiprocessing")}


@pytest.mark.parametrize("kind", WORKERS)
@pytest.mark.parametrize("used_before", [True, False])
def test_workers_use_the_session_of_the_process_that_started_them(
    kind: str, used_before: bool, temporary: Path, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing, os, joblib\n"
        "from bertvectorizer.models.store.session_store import session_store\n"
        "def directory(number):\n"
        "    store = session_store()\n"
        "    store._cache.write({b'%d' % number: b'data'})\n"
        "    return store.path.parent.name\n"
        "if __name__ == '__main__':\n"
        f"    session_store() if {used_before} else None\n"
        f"    {WORKERS[kind]}\n"
        "    print(os.getpid(), *sorted(session_store()._cache.database.keys()))\n",
        encoding="utf-8",
    )
    with Process(script, TMPDIR=temporary) as process:
        of_workers, of_main = process.finish().splitlines()
    pid, *keys = of_main.split()
    assert set(of_workers.split()) == {named(int(pid))}
    assert keys == ["b'0'", "b'1'", "b'2'", "b'3'"]
    assert not [path for path in temporary.iterdir() if path.name.startswith("bertvectorizer")]


def test_nothing_of_the_session_travels_in_an_estimator(tiny_model: ModelFactory) -> None:
    vectorizer = BertVectorizer(str(tiny_model("bert")))
    before = pickle.dumps(vectorizer), joblib.hash(vectorizer)
    vectorizer.transform(["the river bank"])
    store = session_store()
    assert store is not None
    assert store.stats.encoded == 1
    assert (pickle.dumps(vectorizer), joblib.hash(vectorizer)) == before
    assert b"sqlite" not in before[0]
    fitted = pickle.dumps(vectorizer.fit(["a ball"]))
    vectorizer.transform(["the old bat"])
    assert pickle.dumps(vectorizer) == fitted
