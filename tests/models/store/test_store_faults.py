"""The store under faults: killed processes, full disks, damaged files, forks, concurrency."""

from __future__ import annotations

import inspect
import os
import random
import shutil
import signal
import sqlite3
import tempfile
import threading
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bertvectorizer.errors import StoreError
from bertvectorizer.models.store.embedding_store import EmbeddingStore, PartNames, text_keys
from bertvectorizer.models.store.records import Record, part_name
from tests.processes import Process, run_python

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = [
    pytest.mark.usefixtures("rollback_journal"),
    pytest.mark.skipif(os.name != "posix", reason="signals, forks and mounts of POSIX"),
]

TEXTS = [f"text {number}" for number in range(400)]


def truth(text: str) -> NDArray[np.float32]:
    """Return the vectors of a text: two parts, from the text alone."""
    return np.random.default_rng(zlib.crc32(text.encode())).standard_normal(
        (2, 16), dtype=np.float32
    )


def fetch(
    store: EmbeddingStore,
    texts: Sequence[str],
    before: Callable[[list[str]], object] | None = None,
    n_parts: int = 1,
    chunk_tokens: int = 10,
) -> None:
    """Fetch texts, and check what comes; ``before`` is called with what is to be computed."""
    names = [part_name("one"), part_name("two")]

    def compute(indices: Sequence[int], requested: Sequence[bytes]) -> list[Record]:
        if before is not None:
            before([texts[index] for index in indices])
        return [
            Record(
                len(texts[index]), 0, truth(texts[index])[[names.index(name) for name in requested]]
            )
            for index in indices
        ]

    records = store.fetch(
        text_keys(["settings"], texts),
        [1] * len(texts),
        PartNames(names[:n_parts], names[:n_parts], names, names),
        chunk_tokens,
        SimpleNamespace(encode=compute),
    )
    assert len(records) == len(texts)
    for text, record in zip(texts, records, strict=True):
        assert record.n_tokens == len(text), text
        assert np.array_equal(record.vectors, truth(text)[:n_parts]), text


def refuse(texts: list[str]) -> None:
    raise AssertionError(f"{texts} should have been in the store")


def leases(path: object) -> int:
    """Return how many leases there are."""
    connection = sqlite3.connect(str(path))
    (number,) = connection.execute("SELECT count(*) FROM claims").fetchone()
    connection.close()
    return int(number)


# Child processes do without torch, scikit-learn and pytest, so that they start in a quarter of a
# second.
PRELUDE = "\n".join(
    [
        "from __future__ import annotations",
        "import itertools, os, random, signal, sqlite3, sys, threading, time, warnings, zlib",
        "import numpy as np",
        "from bertvectorizer.models.store.records import Record, part_name",
        "from types import SimpleNamespace",
        "from bertvectorizer.models.store.embedding_store import EmbeddingStore, PartNames",
        "from bertvectorizer.models.store.embedding_store import text_keys",
        "warnings.filterwarnings('ignore', '.*fork', DeprecationWarning)",
        "path = sys.argv[1]",
        "sqlite3.sqlite_version_info = (3, 40, 1)",  # as in the fixture rollback_journal
        *(inspect.getsource(function) for function in (truth, fetch, refuse, leases)),
    ]
)


@pytest.fixture
def run_script() -> Callable[..., str]:
    """``run_script(code, path)`` runs a fresh interpreter that has the helpers above."""
    return lambda code, *arguments, **more: run_python(PRELUDE + code, *arguments, **more)


@pytest.fixture
def start_script() -> Iterator[Callable[..., Process]]:
    """``start_script(code, path)`` does not wait for it."""
    with ExitStack() as stack:
        yield lambda code, *arguments: stack.enter_context(
            Process("-W", "error", "-c", PRELUDE + code, *arguments)
        )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


def fetch_with_one_warning(store: EmbeddingStore, match: str, texts: Sequence[str] = TEXTS) -> None:
    """Fetch twice; the first time warns, once."""
    with pytest.warns(UserWarning, match=match) as caught:
        fetch(store, texts)
    assert len(caught) == 1, [str(one.message) for one in caught]
    fetch(store, [*texts[::2], "something new"])


# Killed and interrupted.


def test_children_need_no_torch(run_script: Callable[..., str], path: Path) -> None:
    code = (
        "fetch(EmbeddingStore(path), ['a', 'b'])\nprint({'torch', 'transformers', 'sklearn',"
        " 'pandas'} & set(sys.modules))"
    )
    assert run_script(code, path, fresh=True).strip() == "set()"


KILLED = """
parent = os.getpid()

def write(number, acknowledge):
    rng = random.Random(number)
    store = EmbeddingStore(path)
    stalls = number % 12 == 0  # in mid-encode, until it is killed
    n_computed = 0
    def before(chunk):
        nonlocal n_computed
        n_computed += 1
        if stalls and n_computed == 3:
            os.write(acknowledge, b"stalled\\n")
            while os.getppid() == parent:
                time.sleep(0.01)
        time.sleep(0.003)
    while os.getppid() == parent:
        group = "stalls" if stalls else "text"
        texts = [f"{group} {number // 4} {position}" for position in rng.sample(range(90), 20)]
        fetch(store, texts, before, n_parts=rng.choice([1, 2]))
        os.write(acknowledge, "".join(f"{text}\\n" for text in texts).encode())
    os._exit(1)

rng = random.Random(20181011)
acknowledged, in_flight, open_transactions = set(), 0, 0
for number in range(int(sys.argv[2])):
    reader, writer = os.pipe()
    writers = []
    for position in range(3):
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            write(4 * number + position, writer)
        writers.append(pid)
    os.close(writer)
    acknowledged_now = os.read(reader, 100_000).decode()  # the first to be ready ...
    while number % 3 == 0 and "stalled" not in acknowledged_now:
        acknowledged_now += os.read(reader, 100_000).decode()
    time.sleep(rng.uniform(0, 0.1))  # ... and whatever the others are at by then
    order = rng.sample(writers, 3)
    if number % 3 == 0:  # the one that stalls comes last: the others would take over its leases
        order.sort(key=writers[0].__eq__)
    for pid in order:
        os.kill(pid, signal.SIGKILL)
        time.sleep(rng.choice([0, 0.01]))
    for pid in writers:
        assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
    with os.fdopen(reader) as file:
        acknowledged |= set((acknowledged_now + file.read()).splitlines()) - {"stalled"}
    journal = path + "-journal"
    open_transactions += os.path.exists(journal) and os.path.getsize(journal) > 0
    store = EmbeddingStore(path)
    assert store.verify() == []
    in_flight += leases(path) > 0
    for n_parts in (1, 2):
        fetch(store, sorted(acknowledged), refuse if n_parts == 1 else None, n_parts)
    store._cache.close()
print(len(acknowledged), in_flight, open_transactions)
"""


def test_kill_loses_nothing_that_was_acknowledged(
    run_script: Callable[..., str], path: Path
) -> None:
    n_acknowledged, n_in_flight, _ = map(int, run_script(KILLED, path, 30).split())
    assert n_acknowledged > 100
    assert n_in_flight >= 10  # killed in mid-encode
    assert EmbeddingStore(path).verify() == []


SLOW = (
    "fetch(EmbeddingStore(path), ['a', 'b', 'c'], lambda chunk: (print('encoding', flush=True),"
    " input()))"
)


def test_others_go_on_when_the_owner_of_a_lease_is_killed(
    start_script: Callable[..., Process], path: Path, waits: threading.Event
) -> None:
    owner = start_script(SLOW, path)
    assert owner.read_line() == "encoding"
    computed: list[str] = []
    store = EmbeddingStore(path)
    other = threading.Thread(
        target=fetch, args=(store, ["b", "c", "d"], computed.extend), daemon=True
    )
    other.start()
    waits.wait()  # for its turn at "b" and "c"
    assert computed == ["d"]
    assert other.is_alive()
    owner.kill()
    other.join()
    assert sorted(computed) == ["b", "c", "d"]
    fetch(store, ["a"])
    assert leases(path) == 0
    assert len(list(path.parent.glob("*.lock"))) == 1  # our own


def test_nobody_waits_for_ever_for_an_owner_who_was_stopped(
    start_script: Callable[..., Process], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = start_script(SLOW, path)
    assert owner.read_line() == "encoding"
    owner.send_signal(signal.SIGSTOP)
    monkeypatch.setattr("bertvectorizer.models.store.single_flight._PATIENCE_SECONDS", 0.3)
    computed: list[str] = []
    fetch(EmbeddingStore(path), ["b", "c", "d"], computed.extend)
    assert sorted(computed) == ["b", "c", "d"]
    fetch(EmbeddingStore(path), ["b", "c", "d"], refuse)


def test_interrupt_keeps_what_was_finished_and_frees_leases(
    run_script: Callable[..., str], path: Path
) -> None:
    code = """
store = EmbeddingStore(path)
texts, chunks = [f"text {number}" for number in range(40)], []
def interrupt_the_third(chunk):
    chunks.append(chunk)
    if len(chunks) == 3:
        signal.raise_signal(signal.SIGINT)
try:
    fetch(store, texts, interrupt_the_third)
except KeyboardInterrupt:
    print(store.stats.encoded, leases(path))
fetch(store, chunks[0] + chunks[1], refuse)
fetch(store, texts)
print(store.stats.encoded, store.verify())
"""
    assert run_script(code, path) == "20 0\n40 []\n"


def test_interrupts_at_any_moment_leave_a_store_that_goes_on(
    run_script: Callable[..., str], path: Path
) -> None:
    """Even during a commit or the start of a transaction, no lease and no file lock remain."""
    code = """
parent, rival = os.getpid(), os.fork()
if rival == 0:
    store, number = EmbeddingStore(path), 0
    while os.getppid() == parent:
        fetch(store, [f"rival {number}"])
        time.sleep(0.01)
        number += 1
    os._exit(0)
signal.signal(signal.SIGALRM, signal.default_int_handler)
store, rng, texts = EmbeddingStore(path), random.Random(20181011), []
for number in range(60):
    try:
        for repetition in itertools.count():  # until the interrupt comes
            signal.setitimer(signal.ITIMER_REAL, rng.uniform(0.0001, 0.02))
            texts = [f"text {number} {repetition} {position}" for position in range(40)]
            fetch(store, texts)
    except KeyboardInterrupt:
        pass
    fetch(store, texts)
    if number % 10 == 0:
        fetch(EmbeddingStore(path), texts, refuse)
os.kill(rival, signal.SIGKILL)
os.waitpid(rival, 0)
fetch(store, ["the last"])
print(leases(path), store.verify())
"""
    assert run_script(code, path) == "0 []\n"


# Files that cannot be written.


MANY = [f"text {number}" for number in range(6000)]


def test_full_disk(small_disk: Path) -> None:
    path = small_disk / "store.sqlite"
    with pytest.warns(
        UserWarning, match=r"cannot be used, so texts are encoded without it: .*(full|I/O)"
    ) as caught:
        fetch(EmbeddingStore(path), MANY, chunk_tokens=500)
    assert len(caught) == 1
    assert EmbeddingStore(path).verify() == []
    computed: list[str] = []
    fetch_quietly(EmbeddingStore(path), MANY[:500], computed)
    assert len(computed) < 500  # what was written before the disk was full is still of use


def fetch_quietly(store: EmbeddingStore, texts: Sequence[str], computed: list[str]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fetch(store, texts, computed.extend)
    assert len(caught) <= 1


def test_limit_on_the_size_of_files(run_script: Callable[..., str], path: Path) -> None:
    code = """
import resource
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
store = EmbeddingStore(path)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    fetch(store, [f"text {number}" for number in range(3000)], chunk_tokens=200)
    fetch(store, [f"text {number}" for number in range(3000)])
print(*(one.message for one in caught), sep="\\n")
"""
    printed = run_script(code, path).splitlines()
    assert len(printed) == 1
    assert "cannot be used, so texts are encoded without it" in printed[0]
    store = EmbeddingStore(path)
    assert store.verify() == []
    assert 0 < store.stats.texts < 3000
    fetch(store, MANY[:3000], chunk_tokens=500)
    assert store.stats.texts == 3000


# Root may write everywhere, so a root becomes somebody else, once all is imported: he may not be
# let into the environment.
AS_SOMEBODY_ELSE = """
import tempfile
with tempfile.TemporaryDirectory() as elsewhere:
    fetch(EmbeddingStore(elsewhere), ["warm up"])
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
"""


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """A directory that every user may look into, and nobody but root may write to."""
    directory = Path(tempfile.mkdtemp(dir=os.environ.get("TMPDIR", "/tmp")))
    directory.chmod(0o755)
    yield directory
    directory.chmod(0o755)
    shutil.rmtree(directory)


@pytest.mark.parametrize("has_store", [False, True])
def test_read_only_directory(
    run_script: Callable[..., str], public_directory: Path, has_store: bool
) -> None:
    path = public_directory / "store.sqlite"
    if has_store:
        store = EmbeddingStore(path)
        fetch(store, TEXTS)
        store._cache.close()
    content = path.read_bytes() if has_store else None
    public_directory.chmod(0o555)
    code = """
store = EmbeddingStore(path)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(2):
        fetch(store, [f"text {number}" for number in range(300)])
    print(store.stats.texts)
print(*(one.message for one in caught), sep="\\n")
"""
    texts, *printed = run_script(AS_SOMEBODY_ELSE + code, path).splitlines()
    assert texts == "0"
    assert len(printed) == 1
    assert "cannot be used, so texts are encoded without it" in printed[0]
    assert (path.read_bytes() if path.exists() else None) == content


def test_directory_that_everybody_may_write_to_is_not_trusted(tmp_path: Path) -> None:
    directory = tmp_path / "open"
    directory.mkdir()
    directory.chmod(0o777)
    fetch_with_one_warning(
        EmbeddingStore(directory), "can be written by every user; run: chmod o-w"
    )
    assert list(directory.iterdir()) == []


def test_directory_that_is_removed_while_in_use(tmp_path: Path) -> None:
    directory = tmp_path / "directory"
    store = EmbeddingStore(directory / "store.sqlite")
    fetch(store, TEXTS[:200])
    shutil.rmtree(directory)
    fetch_with_one_warning(store, "cannot be used, so texts are encoded without it")
    again = EmbeddingStore(directory / "store.sqlite")
    fetch(again, TEXTS)
    assert again.stats.encoded == len(TEXTS)


# Files that are something else, or damaged.


def test_file_of_something_else(path: Path) -> None:
    path.write_text("Dear diary, " * 5000)
    content = path.read_bytes()
    fetch_with_one_warning(EmbeddingStore(path), "not a database")
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_parent_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("Dear diary")
    fetch_with_one_warning(EmbeddingStore(tmp_path / "file" / "store.sqlite"), "cannot be used")
    assert (tmp_path / "file").read_text() == "Dear diary"


def test_path_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone" / "store.sqlite")
    fetch_with_one_warning(EmbeddingStore(tmp_path / "link"), "cannot be used")
    os.mkfifo(tmp_path / "pipe")
    fetch_with_one_warning(EmbeddingStore(tmp_path / "pipe"), "is not a file")


def test_database_of_something_else(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE records (key BLOB PRIMARY KEY, data BLOB)")
    connection.close()
    content = path.read_bytes()
    fetch_with_one_warning(
        EmbeddingStore(path), "is a database of something else. Choose another path"
    )
    assert path.read_bytes() == content


@pytest.fixture
def filled(path: Path) -> Path:
    """A store of 400 texts, closed."""
    store = EmbeddingStore(path, durable=False)
    fetch(store, TEXTS, chunk_tokens=100)
    assert store.verify() == []
    store._cache.close()
    return path


def test_newer_format(filled: Path) -> None:
    connection = sqlite3.connect(filled)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    content = filled.read_bytes()
    fetch_with_one_warning(EmbeddingStore(filled), "has format 2, and this release knows format 1")
    assert filled.read_bytes() == content


@pytest.mark.parametrize("length", [0, 1, 50, 100, 1000, 16384, 16385, 40_000, -16384, -1])
def test_truncated_file(filled: Path, length: int) -> None:
    os.truncate(filled, length if length >= 0 else filled.stat().st_size + length)
    store = EmbeddingStore(filled)
    if length not in (0, 1):
        fetch_with_one_warning(store, "cannot be used|were damaged")
    else:  # SQLite takes these for new
        fetch(store, TEXTS)
        assert store.verify() == []


def test_record_under_the_key_of_another_text_is_not_believed(filled: Path) -> None:
    """Its checksum is right, so one bit of an index can exchange the vectors of two texts."""
    connection = sqlite3.connect(filled, isolation_level=None)
    (one, data), (another, other_data) = connection.execute(
        "SELECT key, data FROM records LIMIT 2"
    ).fetchall()
    connection.executemany(
        "UPDATE records SET data = ? WHERE key = ?", [(other_data, one), (data, another)]
    )
    connection.close()
    store = EmbeddingStore(filled)
    assert sorted(store.verify()) == sorted(
        f"text {key.hex()} is damaged" for key in (one, another)
    )
    fetch_with_one_warning(
        store, r"2 text\(s\) in the store .* were damaged; they are encoded anew"
    )
    assert store.verify() == []
    assert store.stats.texts == len(TEXTS) + 1


def test_damaged_names_are_no_text(filled: Path) -> None:
    """SQLite puts them into its message, which Python then cannot read."""
    content = filled.read_bytes()
    assert content.count(b"tablerecordsrecords") == 1
    filled.write_bytes(content.replace(b"tablerecordsrecords", b"tabler\xffcordsrec\xffrds"))
    fetch_with_one_warning(EmbeddingStore(filled), "cannot be used")
    with pytest.raises(StoreError, match="cannot be read"):
        EmbeddingStore(filled).verify()
    store = EmbeddingStore(filled)
    store.clear()
    fetch(store, TEXTS)
    assert store.verify() == []


def test_eviction_by_a_damaged_index_comes_to_an_end(
    run_script: Callable[..., str], filled: Path
) -> None:
    """The index of what was used last leads to records that are not there."""
    connection = sqlite3.connect(filled, isolation_level=None)
    connection.execute("PRAGMA writable_schema = ON")
    (index,) = connection.execute(
        "SELECT * FROM sqlite_master WHERE name = 'records_used'"
    ).fetchall()
    connection.execute("DELETE FROM sqlite_master WHERE name = 'records_used'")
    connection.close()
    connection = sqlite3.connect(filled, isolation_level=None)
    connection.execute("DELETE FROM records WHERE rowid < 350")
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", index)
    connection.close()
    code = """
warnings.simplefilter("ignore")
for _ in range(2):
    fetch(EmbeddingStore(path, max_bytes=20_000), ["something new"])
print("done")
"""
    assert run_script(code, filled) == "done\n"


@pytest.mark.parametrize("seed", range(60))
def test_flipped_bits_never_change_a_number(filled_bytes: bytes, path: Path, seed: int) -> None:
    rng = random.Random(seed)
    data = bytearray(filled_bytes)
    start, end = 0, len(data)
    if rng.random() < 0.6:  # one page; its head, where the tree is described, more often than not
        start = rng.randrange(len(data) // 16384) * 16384
        end = start + (400 if rng.random() < 0.6 else 16384)
    for _ in range(rng.choice([1, 2, 5, 50, 1000])):
        data[rng.randrange(start, end)] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        store = EmbeddingStore(
            path,
            max_bytes=rng.choice([None, 150_000]),
            keep=rng.choice(["requested", "all_layers"]),
        )
        for n_parts in rng.choice([(1, 2), (2, 1)]):
            fetch(store, rng.sample(TEXTS, 200), n_parts=n_parts, chunk_tokens=100)
        assert store.stats.encoded >= 0
    printed = Counter(
        "damaged" if "were damaged" in str(one.message) else "cannot be used" for one in caught
    )
    assert all(
        "were damaged" in str(one.message) or "cannot be used" in str(one.message) for one in caught
    )
    assert max(printed.values(), default=0) <= 1
    store._cache.close()


@pytest.fixture(scope="module")
def filled_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("filled") / "store.sqlite"
    store = EmbeddingStore(path)
    fetch(store, TEXTS, chunk_tokens=100)
    store._cache.close()
    return path.read_bytes()


def test_flipped_bits_are_noticed(filled_bytes: bytes, path: Path) -> None:
    """The fuzzing above is only worth something if most damage is met."""
    n_noticed = 0
    for position in range(5):
        data = bytearray(filled_bytes)
        at = data.index(truth(TEXTS[50 * position])[:1].tobytes())
        data[at] ^= 4
        path.write_bytes(data)
        store = EmbeddingStore(path)
        assert len(store.verify()) == 1
        with pytest.warns(UserWarning, match=r"1 text\(s\) in the store .* were damaged") as caught:
            fetch(store, TEXTS)
        n_noticed += len(caught)
        assert store.verify() == []
        store._cache.close()
    assert n_noticed == 5


# Many at once.


def test_eight_processes_open_a_new_store_at_once(
    run_script: Callable[..., str], path: Path
) -> None:
    code = """
texts = [f"text {number}" for number in range(30)]
for number in range(5):
    reader, writer = os.pipe()
    workers = []
    for position in range(8):
        pid = os.fork()
        if pid == 0:
            os.close(writer)
            os.read(reader, 1)  # all start when the parent closes the pipe
            fetch(EmbeddingStore(f"{path}{number}"), texts[position:] + texts[:position])
            sys.exit()
        workers.append(pid)
    os.close(writer)
    os.close(reader)
    assert [os.waitpid(pid, 0)[1] for pid in workers] == [0] * 8
    store = EmbeddingStore(f"{path}{number}")
    assert store.verify() == []
    print(store.stats.encoded, leases(store.path), flush=True)
"""
    assert run_script(code, path) == "30 0\n" * 5


def test_parent_and_child_of_a_fork_go_on(run_script: Callable[..., str], path: Path) -> None:
    code = """
store = EmbeddingStore(path)
fetch(store, ["a", "b"])
started, may_end = threading.Event(), threading.Event()
def wait(texts):
    started.set()
    may_end.wait()
slow = threading.Thread(target=fetch, args=(store, ["slow"], wait), daemon=True)
slow.start()
started.wait()
pid = os.fork()
if pid == 0:
    fetch(store, ["a", "b", "c"])
    sys.exit()  # with all that an interpreter does at its end: the parent's lease must outlive it
assert os.waitpid(pid, 0)[1] == 0
assert leases(path) == 1
reader, writer = os.pipe()
sleep = time.sleep
pid = os.fork()
if pid == 0:
    time.sleep = lambda seconds: (os.write(writer, b"waits "), sleep(seconds))
    fetch(store, ["a", "b", "c", "slow"])
    sys.exit()
os.close(writer)
assert os.read(reader, 6) == b"waits "
time.sleep = lambda seconds: (may_end.set(), sleep(seconds))
fetch(EmbeddingStore(path), ["d", "slow"])
assert may_end.is_set()
fetch(store, ["a", "b", "c", "e", "slow"])
assert os.waitpid(pid, 0)[1] == 0
slow.join()
print(store.stats.encoded, store.verify(), leases(path))
"""
    assert run_script(code, path) == "6 [] 0\n"


def test_workers_of_multiprocessing_that_were_forked(
    run_script: Callable[..., str], path: Path
) -> None:
    code = """
import multiprocessing
store = EmbeddingStore(path)
texts = [f"text {number}" for number in range(100)]
fetch(store, texts[:10])
def work(start):
    fetch(store, texts[start:] + texts[:start])
    return os.getpid()
with multiprocessing.get_context("fork").Pool(3) as pool:
    answer = pool.map_async(work, range(0, 100, 10), chunksize=1)
    fetch(store, texts)
    assert os.getpid() not in answer.get()
    pool.close()
    pool.join()
print(store.stats.encoded, store.verify())
"""
    assert run_script(code, path) == "100 []\n"


def test_eviction_while_others_read(run_script: Callable[..., str], path: Path) -> None:
    code = """
workers = []
for position in range(3):
    pid = os.fork()
    if pid == 0:
        rng = random.Random(position)
        for _ in range(4):
            store = EmbeddingStore(path, max_bytes=None if position else 150_000)
            for _ in range(5):
                if position:
                    texts = [f"text {number}" for number in rng.sample(range(400), 50)]
                    fetch(store, texts, n_parts=rng.choice([1, 2]))
                else:
                    texts = [f"text {number}" for number in rng.sample(range(1000), 100)]
                    fetch(store, texts, chunk_tokens=50)
            store._cache.close()
        sys.exit()
    workers.append(pid)
assert [os.waitpid(pid, 0)[1] for pid in workers] == [0] * 3
store = EmbeddingStore(path, max_bytes=150_000)
fetch(store, ["something new"])
print(store.stats.encoded, store.stats.texts, os.path.getsize(path), store.verify())
"""
    n_encoded, n_texts, n_bytes, wrong = run_script(code, path).split()
    assert wrong == "[]"
    assert int(n_bytes) <= 150_000
    assert int(n_texts) < 400 < int(n_encoded)


def test_eight_threads_compute_each_text_once(path: Path) -> None:
    store = EmbeddingStore(path)
    computed: list[str] = []
    failed: list[Exception] = []
    together = threading.Barrier(8)

    def work(seed: int) -> None:
        try:
            together.wait()
            fetch(store, random.Random(seed).sample(TEXTS, len(TEXTS)), computed.extend)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sorted(computed) == sorted(TEXTS)
    assert store.stats.encoded == len(TEXTS)
    assert store.verify() == []
    assert leases(path) == 0


def test_stress_of_owners_that_come_and_go(run_script: Callable[..., str], path: Path) -> None:
    """A file of a lock is made before it is locked, and others tidy up meanwhile."""
    code = """
texts = [f"text {number}" for number in range(40)]
workers = []
for position in range(4):
    pid = os.fork()
    if pid == 0:
        for number in range(20):
            store = EmbeddingStore(path)
            fetch(store, [f"{position} {number}"])
            store._cache.close()
        sys.exit()
    workers.append(pid)
assert [os.waitpid(pid, 0)[1] for pid in workers] == [0] * 4
print(leases(path), [name for name in os.listdir(os.path.dirname(path)) if name.endswith(".lock")])
"""
    assert run_script(code, path) == "0 []\n"
