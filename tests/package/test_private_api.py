"""Private interfaces of other libraries are still where we use them."""

from __future__ import annotations

import importlib
import platform
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn
import torch
import typer
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, get_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from transformers import BertConfig, BertModel

from bertvectorizer import private_api
from tests.processes import WATCH_SOCKETS, run_python


def test_the_bar_of_model2vec() -> None:
    from model2vec.distill import inference

    own = inference.tqdm
    with private_api.quiet_distiller(), private_api.quiet_distiller():
        assert inference.tqdm(total=1).disable
    assert inference.tqdm is own


@pytest.mark.parametrize("name", private_api.SCIKIT_LEARN_TYPES)
def test_scikit_learn_s_types(name: str) -> None:
    module, _, kind = name.rpartition(".")
    found = getattr(importlib.import_module(module), kind, None)
    assert isinstance(found, type), f"scikit-learn has moved or removed {name}"
    assert f"{found.__module__}.{found.__qualname__}" == name, f"{name} is defined elsewhere now"


def test_what_holds_estimators() -> None:
    X, y = np.arange(20.0)[:, np.newaxis], np.arange(20) % 2
    fitted = CalibratedClassifierCV(GaussianNB(), cv=2).fit(X, y)
    search = GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9]}, cv=2).fit(X, y)
    assert private_api.estimator_holders() == (
        type(fitted.calibrated_classifiers_[0]),
        type(search.scorer_),
    ), "CalibratedClassifierCV or GridSearchCV holds objects of another type now"


def test_the_task_of_a_fit() -> None:
    estimator = PCA()
    assert private_api.begin_fit_task(estimator, 3) is None  # has no callbacks
    callback = pytest.importorskip("sklearn.callback")

    class Calls(callback.CallbackSupportMixin, PCA):  # type: ignore[misc, name-defined]
        pass

    context = private_api.begin_fit_task(Calls(), 3)
    assert isinstance(context, callback.CallbackContext), "the mixin begins in another way now"
    assert context.max_subtasks == 3


def test_the_output_of_a_transformer() -> None:
    scaler = StandardScaler()
    assert private_api.output_container(scaler) == "default"
    with sklearn.config_context(transform_output="polars"):
        assert private_api.output_container(scaler) == "polars"
        assert private_api.output_container(scaler.set_output(transform="pandas")) == "pandas"


def test_layers_of_adapters_are_merged() -> None:
    peft = pytest.importorskip("peft", reason="needs the extra peft")
    model = BertModel(
        BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    ).eval()
    kinds = [type(module) for module in model.modules()]
    ids = torch.arange(5)[None]
    plain = model(ids).last_hidden_state
    model.add_adapter(
        peft.LoraConfig(
            r=2,
            init_lora_weights=False,
            target_modules=["query", "word_embeddings"],
            modules_to_save=["LayerNorm"],
        )
    )
    expected = model.eval()(ids).last_hidden_state
    private_api.merge_adapter_layers(model)
    assert [type(module) for module in model.modules()] == kinds
    torch.testing.assert_close(model(ids).last_hidden_state, expected)
    assert not torch.allclose(plain, expected)


def test_usage_error() -> None:
    error = private_api.usage_error()
    assert error.__name__ == "UsageError", "typer.BadParameter has another parent now"
    app = typer.Typer()
    app.command()(lambda: None)
    with pytest.raises(error) as caught:
        typer.main.get_command(app).main(["--no-such-option"], standalone_mode=False)
    assert "--no-such-option" in caught.value.format_message()
    assert caught.value.ctx.command_path


def test_implementations_named_by_a_configuration_are_forgotten() -> None:
    from transformers import CLIPConfig

    config = CLIPConfig(attn_implementation="eager", experts_implementation="eager")
    private_api.forget_implementations(config)
    for part in (config, config.text_config):
        assert private_api.attention_implementation(part) is None
        assert part._experts_implementation is None


def test_no_kernel_comes_from_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.integrations import hub_kernels

    own = hub_kernels.get_kernel
    monkeypatch.setattr(hub_kernels, "is_kernels_available", lambda *_: True)
    with private_api.without_hub_kernels():
        with pytest.raises(ValueError, match="is not fetched from the hub"):
            hub_kernels.load_and_register_attn_kernel("kernels-community/anything")
        assert hub_kernels.lazy_load_kernel("causal-conv1d") is None
    assert hub_kernels.get_kernel is own


def test_the_attention_implementation_of_a_model() -> None:
    config = BertConfig(
        vocab_size=9,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        attn_implementation="eager",
    )
    model = BertModel(config)
    assert private_api.attention_implementation(model.config) == "eager"
    model.set_attn_implementation("sdpa")
    assert private_api.attention_implementation(model.config) == "sdpa"


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_on_the_cpu(precision: str) -> None:
    supported = private_api.has_half_precision(precision)
    assert isinstance(supported, bool)
    assert supported <= torch.backends.mkldnn.is_available()


@pytest.mark.parametrize(
    ("machine", "instructions", "has_kernels", "expected"),
    [
        ("x86_64", "_is_amx_tile_supported", True, True),
        ("AMD64", "_is_avx512_bf16_supported", True, True),
        ("x86_64", None, True, False),  # oneDNN would convert to float32
        ("aarch64", None, True, True),
        ("aarch64", None, False, False),
    ],
)
def test_instructions_for_bfloat16(
    machine: str,
    instructions: str | None,
    has_kernels: bool,
    expected: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert isinstance(private_api.multiplies_bfloat16(), bool)
    monkeypatch.setattr(private_api, "has_half_precision", lambda precision: has_kernels)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        assert isinstance(getattr(torch.cpu, name)(), bool)
        monkeypatch.setattr(torch.cpu, name, lambda name=name: name == instructions)
    assert private_api.multiplies_bfloat16() is expected


def test_a_product_in_int8() -> None:
    weight = torch.tensor([[1, -2], [3, 4], [-127, 127]], dtype=torch.int8)
    rows = torch.tensor([[65, 66], [64, 0]], dtype=torch.uint8)
    product = private_api.int8_product(
        rows, private_api.pack_int8_weight(weight), torch.ones(3), torch.zeros(3).long()
    )
    assert torch.equal(product, rows.float() @ weight.float().T)


def test_rows_in_int8() -> None:
    rows = torch.tensor([[0.0, 255, 3, 2.6], [-1, 50, -0.5, 24.5], [2, 2, 2, 2]])
    integers = private_api.quantize_rows(rows)
    assert integers[:, :4].tolist() == [[0, 255, 3, 3], [0, 255, 2, 128], [0, 0, 0, 0]]
    scales = integers[:, 4:].contiguous().view(torch.float32)
    torch.testing.assert_close(scales, torch.tensor([[1, 0], [0.2, -1], [0, 2]]))


def test_an_estimator_with_its_own_representation_is_wrapped_like_any() -> None:
    class Own(LogisticRegression):  # type: ignore[misc]
        @private_api.prints_as_estimator
        def __repr__(self, N_CHAR_MAX: int = 700) -> str:
            return f"{super().__repr__(N_CHAR_MAX)}  # own"

    own = Own(C=0.123456789, intercept_scaling=0.123456789, max_iter=12345, tol=0.123456789)
    lines = repr(own).splitlines()
    assert len(lines) == 2
    assert lines[1].endswith(")  # own")
    assert len(repr(make_pipeline(own)).splitlines()) == 3


def test_a_product_by_a_packed_weight() -> None:
    if not torch.backends.mkldnn.is_available():
        assert not private_api.has_packed_linear(torch.ones(2, 2))
        pytest.skip("PyTorch without oneDNN")
    assert private_api.has_packed_linear(torch.ones(2, 2))
    assert not private_api.has_packed_linear(torch.ones(2, 2, dtype=torch.int64))
    weight, bias = (
        torch.tensor([[1.0, -2.0], [3.0, 4.0], [0.0, 1.0]]),
        torch.tensor([1.0, 0.0, 2.0]),
    )
    rows, packed = torch.tensor([[1.0, 2.0]]), private_api.pack_linear_weight(weight)
    product = torch.tensor([[-2.0, 11.0, 4.0]])
    assert torch.equal(private_api.linear_product(rows, packed, bias), product)
    assert torch.equal(private_api.linear_product(rows, packed, bias, "relu"), product.relu())
    assert torch.equal(private_api.linear_product(rows, packed, bias, None, product), 2 * product)


def test_the_first_sheet_of_a_workbook(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="needs the extra excel")
    workbook = openpyxl.Workbook()
    workbook.active.append(["a", 2.5])
    workbook.save(tmp_path / "a.xlsx")
    opened: list[str] = []

    class Archive(zipfile.ZipFile):
        def open(self, name: Any, *rest: Any, **more: Any) -> Any:
            opened.append(str(getattr(name, "filename", name)))
            return super().open(name, *rest, **more)

    with (tmp_path / "a.xlsx").open("rb") as file, Archive(file) as archive:
        sheet = private_api.open_first_sheet(file, archive)
        sheet.reset_dimensions()
        cells = [[(cell.value, cell.data_type) for cell in row] for row in sheet.iter_rows()]
    assert cells == [[("a", "s"), (2.5, "n")]]
    assert "xl/worksheets/sheet1.xml" in opened, "openpyxl reads past the archive that it is given"
    assert "xl/styles.xml" in opened


def test_the_metric_within_a_scorer() -> None:
    assert private_api.score_function(get_scorer("accuracy")) is accuracy_score, (
        "scorers hold their metric elsewhere now"
    )
    assert private_api.score_function(accuracy_score) is None


def test_the_rules_of_scikit_learn_s_parameters() -> None:
    hashing = HashingVectorizer(n_features=16)
    private_api.check_parameters(hashing)
    hashing.n_features = 0
    with pytest.raises(ValueError, match="'n_features' parameter of HashingVectorizer"):
        private_api.check_parameters(hashing)
    private_api.check_parameters(object.__new__(HashingVectorizer))  # without any parameter


def test_the_nodes_of_a_tree() -> None:
    X, y = np.arange(20.0).reshape(10, 2), np.arange(10) % 2
    found = private_api.tree_nodes(DecisionTreeClassifier(random_state=0).fit(X, y).tree_)
    assert found is not None
    nodes, n_features = found
    assert n_features == 2
    leaves = nodes["left_child"] == -1
    assert leaves.any()
    assert set(nodes["feature"][~leaves].tolist()) <= {0, 1}
    assert (nodes["right_child"][~leaves] > np.flatnonzero(~leaves)).all()


PROBE = (
    WATCH_SOCKETS
    + """
import socket
from bertvectorizer.private_api import without_socket_probe
with without_socket_probe():
    import gensim.models
    import urllib3.util.connection
print(opened, urllib3.util.connection.HAS_IPV6 == socket.has_ipv6)
del sys.modules["urllib3.util.connection"]
import urllib3.util.connection
print(len(opened))
"""
)


def test_the_probe_of_urllib3() -> None:
    pytest.importorskip("urllib3", reason="gensim imports it only where it is installed")
    assert run_python(PROBE, fresh=True).split() == ["[]", "True", "1"], (
        "urllib3 tries IPv6 elsewhere now"
    )
