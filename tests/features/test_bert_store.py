"""BertVectorizer and its store: what is encoded once, which numbers come back, distinct keys."""

from __future__ import annotations

import inspect
import os
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from threadpoolctl import threadpool_limits

from benchmarks.call_counts import CallCounter
from bertvectorizer import BertVectorizer, BertWordVectorizer, EmbeddingStore
from bertvectorizer.errors import InvalidParameterError, ModelChangedError
from bertvectorizer.models.store.records import Record, names_in, pack
from bertvectorizer.models.store.session_store import session_store
from tests.files import rewrite
from tests.processes import run_python
from tests.tiny import save_model, save_sentence_transformer
from tests.tolerance import network_tolerance, tolerance

pytestmark = pytest.mark.numeric

WORDS = ("bat", "crane", "river", "bank", "money", "ball", "night")
TEXTS = [f"the old {one} of a {other}" for one in WORDS for other in WORDS] + [
    "the bat hit the ball"
]
LABELS = [0, 1] * 25
LAYERS = [-1, -2, [0, 1]]
POOLINGS = ["mean", "cls", ("max", "mean")]


def search(
    model: str,
    store: Any,
    texts: list[str],
    labels: list[int],
    grid: dict[str, list[Any]],
    **options: Any,
) -> Any:
    """Run a grid search over shuffled folds."""
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    pipe = make_pipeline(BertVectorizer(model, store=store), LogisticRegression(max_iter=1000))
    return GridSearchCV(pipe, grid, cv=folds, error_score="raise", **options).fit(texts, labels)


LAYERS_AND_POOLINGS: dict[str, list[Any]] = {
    "bertvectorizer__layers": LAYERS,
    "bertvectorizer__pooling": POOLINGS,
}
ONLY_C: dict[str, list[Any]] = {"logisticregression__C": [0.01, 0.1, 1.0, 10.0]}

PRELUDE = "\n".join(
    [
        "from __future__ import annotations",
        "import sys, joblib, numpy as np",
        "from sklearn.linear_model import LogisticRegression",
        "from sklearn.model_selection import GridSearchCV, StratifiedKFold",
        "from sklearn.pipeline import make_pipeline",
        "from bertvectorizer import BertVectorizer, EmbeddingStore",
        "from bertvectorizer.models.store.session_store import session_store",
        (
            "TEXTS, LABELS, ONLY_C, LAYERS_AND_POOLINGS ="
            f" {(TEXTS, LABELS, ONLY_C, LAYERS_AND_POOLINGS)!r}"
        ),
        inspect.getsource(search),
    ]
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models are faster on one thread, and ten times faster where other programs run."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):  # those of scikit-learn
        yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="module")
def bert(tiny_model: Callable[..., Path]) -> str:
    return str(tiny_model("bert"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


def n_encoded() -> int:
    """Return how many texts this session has encoded."""
    store = session_store()
    assert store is not None
    return store.stats.encoded


@contextmanager
def passes_through_the_network() -> Iterator[list[str]]:
    """Collect the names of the modules that torch runs."""
    ran: list[str] = []
    hook = torch.nn.modules.module.register_module_forward_hook(
        lambda module, _inputs, _output: ran.append(type(module).__name__)
    )
    yield ran
    hook.remove()


# Searches.


def test_grid_over_layers_and_poolings_encodes_each_text_twice_at_most(bert: str) -> None:
    found = search(bert, "auto", TEXTS, LABELS, LAYERS_AND_POOLINGS)
    assert len(found.cv_results_["params"]) == 9
    assert len(TEXTS) < n_encoded() <= 2 * len(TEXTS)
    without = search(bert, None, TEXTS, LABELS, LAYERS_AND_POOLINGS)
    np.testing.assert_array_equal(
        found.cv_results_["mean_test_score"], without.cv_results_["mean_test_score"]
    )


def test_grid_over_layers_and_poolings_encodes_once_what_is_kept_whole(
    bert: str, path: Path
) -> None:
    store = EmbeddingStore(path, keep="all_layers")
    search(bert, store, TEXTS, LABELS, LAYERS_AND_POOLINGS)
    assert store.stats.encoded == store.stats.texts == len(TEXTS)
    search(
        bert,
        store,
        TEXTS,
        LABELS,
        {
            "bertvectorizer__layers": ["all"],
            "bertvectorizer__layer_merge": ["concat", "sum", "mean"],
        },
    )
    assert store.stats.encoded == len(TEXTS)


def test_grid_that_leaves_the_vectors_alone_encodes_once(bert: str) -> None:
    search(bert, "auto", TEXTS, LABELS, ONLY_C)
    assert n_encoded() == len(TEXTS)


def test_grid_over_the_number_of_features_encodes_once(bert: str) -> None:
    grid = {"bertvectorizer__truncate_dim": [4, 16, None], "bertvectorizer__normalize": [True]}
    found = search(bert, "auto", TEXTS, LABELS, grid)
    assert n_encoded() == len(TEXTS)
    vectors = BertVectorizer(bert).transform(TEXTS)
    kept = BertVectorizer(bert, truncate_dim=4, normalize=True).fit_transform(TEXTS)
    expected = vectors[:, :4] / np.linalg.norm(vectors[:, :4], axis=1, keepdims=True)
    np.testing.assert_allclose(kept, expected, rtol=1e-5, atol=1e-6)
    assert len(set(found.cv_results_["mean_test_score"])) > 1


BACKENDS = """
import warnings
path, model, read_only = sys.argv[1:]
expected = search(model, None, TEXTS, LABELS, LAYERS_AND_POOLINGS).cv_results_["mean_test_score"]
before = 0
for backend, max_length in (("multiprocessing", 50), ("loky", 51), ("threading", 52)):
    with joblib.parallel_config(backend=backend):
        # Each backend has its own length limit, so the store takes its texts for new ones.
        grid = {**LAYERS_AND_POOLINGS, "bertvectorizer__max_length": [max_length]}
        found = search(model, "auto", TEXTS, LABELS, grid, n_jobs=2)
        np.testing.assert_array_equal(found.cv_results_["mean_test_score"], expected)
        encoded = session_store().stats.encoded
        store = EmbeddingStore(path + backend, keep="all_layers")
        search(model, store, TEXTS, LABELS, grid, n_jobs=2, refit=False)
        print(backend, encoded - before, store.stats.encoded, store.verify())
        before = encoded
if read_only:
    for backend in ("multiprocessing", "loky"):
        warnings.simplefilter("ignore")
        with joblib.parallel_config(backend=backend):
            store = read_only + "/store.sqlite"
            found = search(
                model, store, TEXTS, LABELS, LAYERS_AND_POOLINGS, n_jobs=2, refit=False
            )
        np.testing.assert_array_equal(found.cv_results_["mean_test_score"], expected)
    print("read-only")
"""


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[str]:
    """A directory that cannot be written to; "" if root could write to any."""
    directory = tmp_path / "read-only"
    directory.mkdir()
    if os.getuid():
        directory.chmod(0o555)
        yield str(directory)
        return
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "none", directory],
        capture_output=True,
        check=False,
    )
    yield "" if mounted.returncode else str(directory)
    if not mounted.returncode:
        subprocess.run(["umount", "--lazy", directory], check=True)


def test_worker_processes_and_threads_share_what_they_encode(
    bert: str, path: Path, tmp_path: Path, read_only: str
) -> None:
    (tmp_path / "session").mkdir()
    *printed, last = run_python(
        PRELUDE + BACKENDS, path, bert, read_only, TMPDIR=tmp_path / "session"
    ).splitlines()
    assert last == "read-only" or not read_only
    for line in printed if read_only else [*printed, last]:
        backend, in_session, kept_whole, wrong = line.split()
        assert len(TEXTS) < int(in_session) <= 2 * len(TEXTS), backend
        assert (int(kept_whole), wrong) == (len(TEXTS), "[]"), backend
    assert list((tmp_path / "session").glob("bertvectorizer-*")) == []


def test_two_searches_at_once_on_one_path_encode_each_text_once(bert: str, path: Path) -> None:
    code = """
import os
path, model = sys.argv[1:]
BertVectorizer(model, store=None).transform(TEXTS)  # so that no process needs to import and load
for keep, grid in (("requested", ONLY_C), ("all_layers", LAYERS_AND_POOLINGS)):
    both = []
    for number in range(2):
        pid = os.fork()
        if pid == 0:
            with joblib.parallel_config(backend="multiprocessing"):
                store = EmbeddingStore(path + keep, keep=keep)
                found = search(model, store, TEXTS, LABELS, grid, n_jobs=2, refit=False)
            np.save(f"{path}{number}.npy", found.cv_results_["mean_test_score"])
            sys.exit()
        both.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in both] == [0, 0]
    np.testing.assert_array_equal(*(np.load(f"{path}{number}.npy") for number in range(2)))
    store = EmbeddingStore(path + keep)
    print(store.stats.encoded, store.verify(), flush=True)  # not again by the next forks
"""
    assert run_python(PRELUDE + code, path, bert) == f"{len(TEXTS)} []\n" * 2


def test_cross_validation_clones_and_fits_encode_once(bert: str) -> None:
    pipe = make_pipeline(BertVectorizer(bert), LogisticRegression(max_iter=1000))
    cross_validate(pipe, TEXTS, LABELS, cv=4, error_score="raise")
    assert cross_val_predict(pipe, TEXTS, LABELS, cv=3).shape == (50,)
    for _ in range(3):
        clone(pipe).fit(TEXTS, LABELS).predict(TEXTS)
    vectorizer = BertVectorizer(bert)
    X = vectorizer.fit(TEXTS).transform(TEXTS)
    np.testing.assert_array_equal(clone(vectorizer).fit_transform(TEXTS), X)
    assert n_encoded() == len(TEXTS)


def test_memory_of_a_pipeline_goes_with_a_store(bert: str, path: Path, tmp_path: Path) -> None:
    for store in ("auto", str(path), EmbeddingStore(path)):
        steps = [
            ("bert", BertVectorizer(bert, store=store)),
            ("label", LogisticRegression(max_iter=1000)),
        ]
        pipe = Pipeline(steps, memory=joblib.Memory(tmp_path / "memory", verbose=0))
        first = pipe.fit(TEXTS, LABELS).predict_proba(TEXTS)
        with passes_through_the_network() as ran:
            np.testing.assert_array_equal(
                clone(pipe).fit(TEXTS, LABELS).predict_proba(TEXTS), first
            )
        assert ran == []
    assert EmbeddingStore(path).stats.encoded == n_encoded() == len(TEXTS)


def test_columns_share_a_store(bert: str) -> None:
    frame = pd.DataFrame({"title": TEXTS, "body": TEXTS[::-1]})
    columns = ColumnTransformer(
        [("title", BertVectorizer(bert), "title"), ("body", BertVectorizer(bert), "body")]
    )
    X = columns.fit_transform(frame)
    np.testing.assert_array_equal(X[:, :32], X[::-1, 32:])
    assert n_encoded() == len(TEXTS)


@pytest.mark.parametrize("kind", [BertVectorizer, BertWordVectorizer])
def test_records_of_another_width_are_encoded_anew(kind: Any, bert: str, path: Path) -> None:
    """As in a store that somebody else has made: checksums are right, and shapes are not."""
    X: list[Any] = TEXTS if kind is BertVectorizer else [text.split() for text in TEXTS]
    expected = kind(bert, store=EmbeddingStore(path)).fit_transform(X)
    database = EmbeddingStore(path)._cache.database
    rows = database.read(database.keys())
    planted = {}
    for key, data in rows.items():
        names = names_in(data)
        planted[key] = pack(Record(3, 0, np.zeros((len(names), 8), dtype=np.float32)), names)
    database.write(planted, [], {})
    with pytest.warns(UserWarning, match="were damaged; they are encoded anew"):
        found = kind(bert, store=EmbeddingStore(path)).fit_transform(X)
    np.testing.assert_array_equal(found, expected)


# Numbers.

READOUTS: dict[str, dict[str, Any]] = {
    "last layer": {},
    "embeddings": {"layers": 0},
    "concat": {"layers": "all"},
    "concat, layers in another order": {"layers": [-1, 0]},
    "sum": {"layers": "all", "layer_merge": "sum"},
    "mean": {"layers": [-1, -2], "layer_merge": "mean"},
    "max": {"pooling": "max"},
    "max of several layers": {"pooling": "max", "layers": "all"},
    "max of a sum of layers": {"pooling": "max", "layers": "all", "layer_merge": "sum"},
    "max of a mean of layers": {
        "pooling": ("cls", "max"),
        "layers": [-1, -2],
        "layer_merge": "mean",
    },
    "all poolings": {
        "pooling": ("cls", "mean", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"),
        "layers": [-1, -2],
    },
    "normalized": {"normalize": True},
    "prompt": {"prompt": "the river "},
    "truncated": {"max_length": 7, "overflow": "head_tail"},
    "windows": {"max_length": 7, "overflow": "window", "stride": 2},
    "windows, several poolings": {
        "max_length": 7,
        "overflow": "window",
        "pooling": ("max", "mean"),
        "layers": "all",
    },
    "int8": {"precision": "int8"},
    "dense": {"model": "dense"},
    "dense, normalized": {"model": "normalized"},
    "dense left out": {"model": "normalized", "layers": -2},
    "prompt out of the pooling": {"model": "normalized", "prompt": "the river "},
}


@pytest.fixture(scope="module")
def models(bert: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A plain model, and checkpoints of sentence-transformers around it."""
    directory = tmp_path_factory.mktemp("models")
    return {
        "plain": bert,
        "dense": str(save_sentence_transformer(Path(bert), directory / "dense", dense=8)),
        "normalized": str(
            save_sentence_transformer(
                Path(bert),
                directory / "normalized",
                dense=8,
                normalize=True,
                include_prompt=False,
                pooling=("mean", "max"),
            )
        ),
    }


def vectorizer_of(readout: str, models: dict[str, str], store: Any) -> BertVectorizer:
    parameters = dict(READOUTS[readout])
    return BertVectorizer(models[parameters.pop("model", "plain")], store=store, **parameters)


def quietly(
    transform: Callable[[Any], NDArray[np.float32]], texts: list[str]
) -> NDArray[np.float32]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of what is truncated
        return transform(texts)


@pytest.mark.parametrize("keep", ["requested", "all_layers"])
@pytest.mark.parametrize("readout", READOUTS)
def test_what_is_read_is_what_was_first_returned(
    models: dict[str, str], path: Path, readout: str, keep: str
) -> None:
    vectorizer = vectorizer_of(readout, models, EmbeddingStore(path, keep=keep, durable=False))
    texts = TEXTS[:12]
    first = vectorizer.fit_transform(texts)
    np.testing.assert_allclose(
        first,
        vectorizer_of(readout, models, None).fit_transform(texts),
        rtol=0,
        atol=network_tolerance(),
    )
    copies = (
        vectorizer,
        clone(vectorizer),
        vectorizer_of(readout, models, EmbeddingStore(path)),
    )  # the last reads the file
    for copy in copies:
        with passes_through_the_network() as ran:
            np.testing.assert_array_equal(copy.transform(texts[::-1]), first[::-1])
            # Dense comes after what is kept: a product of matrices, whose last bits depend on the
            # number of rows.
            np.testing.assert_allclose(
                copy.fit_transform(texts[:1]),
                first[:1],
                rtol=0,
                atol=tolerance(32) if "model" in READOUTS[readout] else 0,
            )
        assert not any(name.startswith("Bert") for name in ran)
    assert EmbeddingStore(path).stats.encoded == len(texts)


def test_another_readout_leaves_numbers_as_they_were(models: dict[str, str], path: Path) -> None:
    """A text encoded again for other layers keeps, bit for bit, what was stored before."""
    first = {
        readout: vectorizer_of(readout, models, path).fit_transform(TEXTS[:12])
        for readout in READOUTS
    }
    # A process of its own reads them from the file, in another order.
    for readout in reversed(READOUTS):
        again = vectorizer_of(readout, models, EmbeddingStore(path))
        np.testing.assert_array_equal(
            again.fit_transform(TEXTS[:12]), first[readout], err_msg=readout
        )
        np.testing.assert_allclose(
            first[readout],
            vectorizer_of(readout, models, None).fit_transform(TEXTS[:12]),
            rtol=0,
            atol=network_tolerance(),
            err_msg=readout,
        )
    assert EmbeddingStore(path).verify() == []


def test_second_run_reads_the_same_bits_and_encodes_nothing(
    models: dict[str, str], path: Path, tmp_path: Path
) -> None:
    first = [vectorizer_of(readout, models, str(path)).fit_transform(TEXTS) for readout in READOUTS]
    before = EmbeddingStore(path).stats
    (tmp_path / "session").mkdir()
    code = """
path, models, readouts, directory = sys.argv[1], *map(eval, sys.argv[2:4]), sys.argv[4]
for number, parameters in enumerate(readouts):
    vectorizer = BertVectorizer(models[parameters.pop("model", "plain")], store=path, **parameters)
    np.save(f"{directory}/{number}.npy", vectorizer.fit_transform(TEXTS))
BertVectorizer(models["plain"], store=None).fit_transform(TEXTS)
import os
print([name for name in os.listdir(directory + "/session") if name.startswith("bertvectorizer")])
BertVectorizer(models["plain"]).fit_transform(TEXTS)
print([name for name in os.listdir(directory + "/session") if name.startswith("bertvectorizer")])
"""
    printed = run_python(
        PRELUDE + code, path, models, list(READOUTS.values()), tmp_path, TMPDIR=tmp_path / "session"
    ).splitlines()
    for number, X in enumerate(first):
        np.testing.assert_array_equal(np.load(tmp_path / f"{number}.npy"), X)
    after = EmbeddingStore(path).stats
    assert (after.encoded, after.misses, after.texts) == (
        before.encoded,
        before.misses,
        before.texts,
    )
    assert after.hits == before.hits + len(READOUTS) * len(TEXTS)
    # The session's store is made where it is requested, and is gone with the session.
    assert printed[0] == "[]"
    assert "bertvectorizer-" in printed[1]
    assert list((tmp_path / "session").glob("bertvectorizer-*")) == []


def test_no_network_runs_for_texts_that_are_kept(bert: str, path: Path) -> None:
    with passes_through_the_network() as ran:
        BertVectorizer(bert, store=path).fit_transform(TEXTS)
    assert "BertLayer" in ran
    with passes_through_the_network() as ran:
        BertVectorizer(bert, store=path).fit(TEXTS).transform(TEXTS)
        BertVectorizer(bert, store=EmbeddingStore(path)).fit_transform(TEXTS)
        BertVectorizer(bert, store=None).fit(TEXTS)
    assert ran == []


def test_without_a_store_nothing_is_kept(bert: str) -> None:
    for _ in range(2):
        with passes_through_the_network() as ran:
            BertVectorizer(bert, store=None).fit_transform(TEXTS[:2])
        assert ran
    assert list(Path(tempfile.gettempdir()).glob("bertvectorizer*")) == []
    BertVectorizer(bert).fit_transform(TEXTS[:2])
    (directory,) = Path(tempfile.gettempdir()).glob("bertvectorizer*")
    assert directory.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("store", [5, "", True, b"path", ["auto"]])
def test_a_store_that_is_none_is_refused(bert: str, store: Any) -> None:
    for method in ("fit", "fit_transform", "transform"):
        with pytest.raises(
            InvalidParameterError,
            match=r"'store' parameter must be 'auto', a path, an EmbeddingStore or None",
        ):
            getattr(BertVectorizer(bert, store=store), method)(TEXTS)


def test_truncation_is_reported_alike_with_and_without_a_store(bert: str, path: Path) -> None:
    texts = ["a bat", "the old bat of the river bank", "a ball of money in the night", "a bat"]
    reports = []
    for store in (None, path, path, EmbeddingStore(path)):
        vectorizer = BertVectorizer(bert, max_length=6, store=store)
        with pytest.warns(
            UserWarning, match=r"2 of 4 texts are longer than the model reads"
        ) as caught:
            vectorizer.fit_transform(texts)
        with pytest.warns(UserWarning, match="2 of 4 texts") as also_caught:
            BertVectorizer(bert, max_length=6, store=store).fit(texts)
        with pytest.warns(UserWarning, match="2 of 3 texts") as caught_later:
            BertVectorizer(bert, max_length=6, store=store).fit(texts[:1]).transform(texts)
        reports.append(
            (
                vectorizer.truncation_,
                [str(one.message) for one in (*caught, *also_caught, *caught_later)],
            )
        )
        vectorizer.transform(texts)  # it has warned
    assert reports[0][0].n_lost > 0
    assert len(reports[0][1]) == 3
    assert reports == [reports[0]] * 4


# Keys.

SETTINGS: list[dict[str, Any]] = [
    {},
    {"prompt": "the "},
    {"prompt": "the"},
    {"max_length": 8},
    {"max_length": 9},
    {"max_length": 9, "overflow": "head_tail"},
    {"max_length": 9, "overflow": "window"},
    {"max_length": 9, "overflow": "window", "stride": 3},
    {"max_length": 9, "overflow": "window", "stride": 3, "prompt": "the "},
    {"precision": "int8"},
]


@pytest.mark.parametrize("keep", ["requested", "all_layers"])
def test_settings_that_change_numbers_never_meet(
    bert: str, models: dict[str, str], path: Path, keep: str
) -> None:
    store = EmbeddingStore(path, keep=keep)
    texts = ["the old bat of the river bank flew in the night", "the the a", "a bat"]
    seen = []
    for model in (
        bert,
        models["normalized"],
    ):  # the same transformer with another pooling is another model
        for settings in SETTINGS:
            X = quietly(
                BertVectorizer(model, pooling="mean", store=store, **settings).transform, texts
            )
            expected = quietly(
                BertVectorizer(model, pooling="mean", store=None, **settings).transform, texts
            )
            np.testing.assert_allclose(
                X, expected, rtol=0, atol=network_tolerance(), err_msg=str(settings)
            )
            seen.append(X[0].tobytes())
        assert len(set(seen[-len(SETTINGS) :])) == len(SETTINGS)
    assert store.stats.encoded == len(texts) * 2 * len(SETTINGS)


def test_texts_that_look_alike_never_meet(bert: str, path: Path) -> None:
    texts = [
        "a bat",
        "a bat ",
        "A bat",
        "a\u0308 bat",
        "\xe4 bat",
        "a bat\x00",
        "\ud800",
        "\ufffd",
        "",
    ]
    store = EmbeddingStore(path)
    np.testing.assert_allclose(
        BertVectorizer(bert, store=store).transform(texts),
        BertVectorizer(bert, store=None).transform(texts),
        atol=1e-6,
    )
    assert store.stats.encoded == len(texts)


def test_weights_that_change_in_place_are_noticed(tmp_path: Path, path: Path) -> None:
    """Even under the same size and date."""
    model, other = (
        save_model("bert", tmp_path / "model"),
        save_model("bert", tmp_path / "other", initializer_range=0.2),
    )
    vectorizer = BertVectorizer(str(model), store=path)
    before = vectorizer.fit_transform(TEXTS)
    rewrite(model / "model.safetensors", (other / "model.safetensors").read_bytes())
    with pytest.raises(ModelChangedError):
        vectorizer.transform(TEXTS)
    config = (other / "config.json").read_bytes()
    (model / "config.json").write_bytes(
        config
    )  # now it is the other model, at the path of the first
    after = BertVectorizer(str(model), store=path).fit_transform(TEXTS)
    assert not np.allclose(after, before)
    np.testing.assert_array_equal(
        after, BertVectorizer(str(other), store=path).fit_transform(TEXTS)
    )
    np.testing.assert_allclose(
        after, BertVectorizer(str(other), store=None).fit_transform(TEXTS), atol=1e-6
    )
    assert EmbeddingStore(path).stats.encoded == 2 * len(TEXTS)


# Faults.


def transform_with_one_warning(
    vectorizer: BertVectorizer, texts: list[str], match: str
) -> NDArray[np.float32]:
    with pytest.warns(UserWarning, match=match) as caught:
        X: NDArray[np.float32] = vectorizer.transform(texts)
    assert len(caught) == 1
    assert Path(caught[0].filename) == Path(__file__)
    np.testing.assert_array_equal(vectorizer.transform(texts).shape, X.shape)  # quietly
    return X


@cache
def many() -> list[str]:
    return [
        f"the {one} of {other} {number}" for one in WORDS for other in WORDS for number in range(10)
    ]


def test_disk_that_fills_up_in_mid_transform(bert: str, small_disk: Path) -> None:
    wide: dict[str, Any] = {
        "layers": "all",
        "pooling": ("cls", "mean", "max", "lasttoken"),
        "batch_tokens": 100,
    }
    path = small_disk / "store.sqlite"
    X = transform_with_one_warning(
        BertVectorizer(bert, store=path, **wide), many(), "cannot be used, so texts are"
    )
    np.testing.assert_allclose(
        X,
        BertVectorizer(bert, store=None, **wide).transform(many()),
        rtol=0,
        atol=network_tolerance(),
    )
    store = EmbeddingStore(path)
    assert store.verify() == []
    assert 0 < store.read_stats().texts < len(many())


def test_store_that_is_overwritten_between_two_transforms(bert: str, path: Path) -> None:
    vectorizer = BertVectorizer(bert, store=EmbeddingStore(path))
    vectorizer.fit_transform(TEXTS)
    path.write_text("Dear diary, " * 10_000)
    X = transform_with_one_warning(
        vectorizer, [*TEXTS, "the river"], "cannot be used, so texts are encoded without it"
    )
    np.testing.assert_allclose(
        X,
        BertVectorizer(bert, store=None).transform([*TEXTS, "the river"]),
        rtol=0,
        atol=network_tolerance(),
    )


def test_directory_that_cannot_be_written_to(bert: str, read_only: str) -> None:
    if not read_only:
        pytest.skip("root may write everywhere, and nothing can be mounted")
    X = transform_with_one_warning(
        BertVectorizer(bert, store=read_only),
        TEXTS,
        "cannot be used, so texts are encoded without it",
    )
    np.testing.assert_allclose(
        X, BertVectorizer(bert, store=None).transform(TEXTS), rtol=0, atol=network_tolerance()
    )


def test_session_without_a_temporary_directory(
    bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no directory")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    X = transform_with_one_warning(
        BertVectorizer(bert),
        TEXTS,
        "There can be no store for this session, so texts are encoded without it",
    )
    np.testing.assert_allclose(
        X, BertVectorizer(bert, store=None).transform(TEXTS), rtol=0, atol=network_tolerance()
    )


ARITHMETIC = """
import sys
import numpy as np
import torch
from bertvectorizer.models.encode_texts import open_store
from bertvectorizer import BertVectorizer

texts = ["the old bat", "a crane"]
vectorizer = BertVectorizer(sys.argv[1])
exact = vectorizer.fit_transform(texts)
with torch.autocast("cpu", torch.bfloat16):  # not PyTorch's settings, but 'precision' tells
    again = BertVectorizer(sys.argv[1], store=None).transform(texts)
    np.testing.assert_array_equal(vectorizer.transform(texts), exact)
np.testing.assert_array_equal(again, exact)
if hasattr(torch.backends, "fp32_precision"):
    # From now on torch.get_float32_matmul_precision() raises
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    vectorizer.transform(texts)
    assert open_store(vectorizer.store).stats.encoded == 4
"""


def test_other_arithmetic_is_another_key(bert: str) -> None:
    run_python(ARITHMETIC, bert)


def test_a_transform_of_known_texts_takes_few_steps(bert: str) -> None:
    vectorizer = BertVectorizer(bert)
    vectorizer.fit_transform(["the old bat", "a crane"])
    with CallCounter() as counter:
        vectorizer.transform(["the old bat", "a crane"])
    assert 20 < len(counter.functions) <= 60
    assert len(counter.files) <= 12
