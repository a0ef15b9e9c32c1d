"""Private interfaces of other libraries that have no public counterpart.

Libraries are imported inside the functions. `tests/package/test_private_api.py` fails when one of
these interfaces moves.
"""

from __future__ import annotations

import logging
import platform
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO, Any

__all__ = [
    "SCIKIT_LEARN_TYPES",
    "attention_implementation",
    "begin_fit_task",
    "check_parameters",
    "estimator_holders",
    "forget_implementations",
    "has_half_precision",
    "has_packed_linear",
    "int8_product",
    "linear_product",
    "merge_adapter_layers",
    "multiplies_bfloat16",
    "open_first_sheet",
    "output_container",
    "pack_int8_weight",
    "pack_linear_weight",
    "prints_as_estimator",
    "quantize_rows",
    "quiet_distiller",
    "score_function",
    "tree_nodes",
    "usage_error",
    "without_hub_kernels",
    "without_socket_probe",
]

# Parts of fitted estimators that hold only numbers and estimators. skops trusts estimators alone,
# and names types by the modules that define them.
SCIKIT_LEARN_TYPES = (
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.model_selection._split.GroupKFold",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.LeaveOneGroupOut",
    "sklearn.model_selection._split.LeaveOneOut",
    "sklearn.model_selection._split.RepeatedKFold",
    "sklearn.model_selection._split.RepeatedStratifiedKFold",
    "sklearn.model_selection._split.ShuffleSplit",
    "sklearn.model_selection._split.StratifiedGroupKFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.model_selection._split.StratifiedShuffleSplit",
    "sklearn.multiclass._ConstantPredictor",
)


def attention_implementation(config: Any) -> str:
    """Return the name of the attention function that a transformers configuration uses."""
    name: str = config._attn_implementation
    return name


def begin_fit_task(estimator: Any, n_subtasks: int) -> Any:
    """Return the context that tells scikit-learn's callbacks of a fit; None before version 1.9."""
    begin = getattr(estimator, "_init_callback_context", None)
    return None if begin is None else begin(max_subtasks=n_subtasks)


def estimator_holders() -> tuple[Any, Any]:
    """Return types that hold estimators and are none themselves.

    They are those of the elements of `CalibratedClassifierCV.calibrated_classifiers_`, and of the
    ``scorer_`` of a search that scores as its estimator does.
    """
    from sklearn.calibration import _CalibratedClassifier
    from sklearn.metrics._scorer import _PassthroughScorer

    return _CalibratedClassifier, _PassthroughScorer


def forget_implementations(config: Any) -> None:
    """Leave it to transformers how a model attends and runs experts, whatever its file says."""
    config._attn_implementation = None
    config._experts_implementation = None


def check_parameters(estimator: Any) -> None:
    """Check the parameters of one of scikit-learn's estimators by the rules of its own."""
    from sklearn.utils._param_validation import validate_parameter_constraints

    rules = getattr(type(estimator), "_parameter_constraints", {})
    # Files of older versions lack some parameters.
    given = {name: value for name, value in vars(estimator).items() if name in rules}
    validate_parameter_constraints(rules, given, type(estimator).__name__)


def has_half_precision(precision: str) -> bool:
    """Return whether oneDNN has kernels for ``"bfloat16"`` or ``"float16"`` on this CPU."""
    import torch

    mkldnn = torch.ops.mkldnn
    if precision == "bfloat16":
        return bool(mkldnn._is_mkldnn_bf16_supported())
    return bool(mkldnn._is_mkldnn_fp16_supported())


def has_packed_linear(weight: Any) -> bool:
    """Return whether `linear_product` takes weights of this format, on this device and CPU."""
    import torch

    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    try:
        pack_linear_weight(weight[:1])
    except RuntimeError:  # the kernel of a format checks the CPU by itself
        return False
    return True


def int8_product(rows: Any, weight: Any, scales: Any, zeros: Any) -> Any:
    """Multiply uint8 ``rows`` by a packed int8 weight with a scale and zero for each channel."""
    import torch

    # Scale and zero point of the rows; bias; scale, zero point and type of the output, then the
    # operation that follows: none.
    output: tuple[Any, ...] = (1.0, 0, torch.float32, "none", [], "")
    return torch.ops.onednn.qlinear_pointwise(rows, 1.0, 0, weight, scales, zeros, None, *output)


def linear_product(
    rows: Any, weight: Any, bias: Any, activation: str | None = None, residual: Any = None
) -> Any:
    """Multiply ``rows`` by a weight of `pack_linear_weight`; apply a function, or add a residual.

    The functions are ``"gelu"``, ``"gelu_tanh"``, ``"relu"`` and ``"silu"``.
    """
    import torch

    if residual is not None:
        return torch.ops.mkldnn._linear_pointwise.binary(rows, residual, weight, bias, "add")
    name, algorithm = {
        None: ("none", ""),
        "gelu": ("gelu", "none"),
        "gelu_tanh": ("gelu", "tanh"),
        "silu": ("swish", ""),
    }.get(activation, (activation, ""))
    return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, name, [], algorithm)


def merge_adapter_layers(model: Any) -> None:
    """Merge the layers that PEFT has put into a transformers model into those that they changed."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    inside: tuple[str, ...] = ()  # a layer of PEFT has layers of its own
    for name, layer in list(model.named_modules()):
        if name.startswith(inside) or not isinstance(
            layer, (BaseTunerLayer, AuxiliaryTrainingWrapper)
        ):
            continue
        inside = (*inside, f"{name}.")
        if hasattr(layer, "unload_and_optionally_merge_module"):
            merged = layer.unload_and_optionally_merge_module(True, True, None)
        else:
            layer.merge(safe_merge=True)
            merged = layer.get_base_layer()
        parent, _, own_name = name.rpartition(".")
        setattr(model.get_submodule(parent), own_name, merged)
    del model.peft_config
    model._hf_peft_config_loaded = False


def multiplies_bfloat16() -> bool:
    """Return whether this CPU has instructions that multiply bfloat16 numbers.

    On x86, oneDNN takes them wherever there is AVX-512, and may convert them to float32 first; on
    other processors it asks for the instructions itself.
    """
    import torch

    if not has_half_precision("bfloat16"):
        return False
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def open_first_sheet(file: IO[bytes], archive: Any) -> Any:
    """Return the first sheet of a workbook, whose parts openpyxl reads through an open archive.

    None if there is none. Its other sheets and its properties are not read.
    """
    from openpyxl.reader.excel import ExcelReader
    from openpyxl.styles.stylesheet import apply_stylesheet
    from openpyxl.worksheet._read_only import ReadOnlyWorksheet

    reader = ExcelReader(file, read_only=True, data_only=True, keep_links=False)
    reader.archive = archive
    reader.read_manifest()
    reader.read_strings()
    reader.read_workbook()
    apply_stylesheet(archive, reader.wb)  # says which numbers are dates
    for sheet, part in reader.parser.find_sheets():
        if "chartsheet" not in part.Type and part.target in reader.valid_files:
            return ReadOnlyWorksheet(reader.wb, sheet.name, part.target, reader.shared_strings)
    return None


def output_container(transformer: Any) -> str:
    """Return what a transformer of scikit-learn returns: "default", "pandas" or "polars"."""
    from sklearn.utils._set_output import _get_output_config

    container: str = _get_output_config("transform", transformer)["dense"]
    return container


def pack_int8_weight(weight: Any) -> Any:
    """Return an int8 weight in the layout that `int8_product` takes."""
    import torch

    return torch.ops.onednn.qlinear_prepack(weight, None)


_no_messages = logging.NullHandler()


@contextmanager
def quiet_distiller() -> Iterator[None]:
    """Hide model2vec's progress bar, and print none of its messages unless the user logs them."""
    from model2vec.distill import inference

    for name in ("model2vec", "skeletoken"):
        logging.getLogger(name).addHandler(_no_messages)  # the same one is added only once
    bar = inference.tqdm
    own = bar.func if isinstance(bar, partial) else bar  # that of another thread, if it distils
    inference.tqdm = partial(own, disable=True)
    try:
        yield
    finally:
        inference.tqdm = own


def prints_as_estimator(function: Any) -> Any:
    """Let scikit-learn wrap the lines of estimators whose ``__repr__`` is ``function``."""
    from sklearn.utils._pprint import _EstimatorPrettyPrinter as Printer

    Printer._dispatch[function] = Printer._pprint_estimator
    return function


def pack_linear_weight(weight: Any) -> Any:
    """Return a weight, (out_features, in_features), in the layout that `linear_product` takes."""
    import torch

    return torch.ops.mkldnn._reorder_linear_weight(weight)


def quantize_rows(rows: Any) -> Any:
    """Map each float32 row from its least to its largest number onto 0 to 255.

    Returns uint8 of shape (n_rows, n_columns + 8): the last columns are the bytes of two float32
    numbers for each row, its step and its least number.
    """
    import torch

    return torch.ops.quantized.embedding_bag_byte_prepack(rows)


def score_function(scorer: Any) -> Any:
    """Return the metric within a scorer of scikit-learn; None for other callables."""
    return getattr(scorer, "_score_func", None)


def tree_nodes(tree: Any) -> tuple[Any, int] | None:
    """Return the nodes of a decision tree, and how many features it reads; None for others."""
    from sklearn.tree._tree import Tree

    return (tree.__getstate__()["nodes"], tree.n_features) if isinstance(tree, Tree) else None


def usage_error() -> Any:
    """Return the error of wrong arguments: click's, or typer's own in newer versions."""
    import typer

    return typer.BadParameter.__base__


@contextmanager
def without_hub_kernels() -> Iterator[None]:
    """Keep transformers from fetching compiled code from the hub, which some models ask for."""
    from transformers.integrations import hub_kernels

    def refuse(kernel_name: str, *_: Any, **__: Any) -> Any:
        raise FileNotFoundError(f"The kernel {kernel_name!r} is not fetched from the hub.")

    own, hub_kernels.get_kernel = hub_kernels.get_kernel, refuse
    try:
        yield
    finally:
        hub_kernels.get_kernel = own


@contextmanager
def without_socket_probe() -> Iterator[None]:
    """Let urllib3, which gensim imports, open no socket to see whether this machine has IPv6.

    It then assumes so where Python knows IPv6, and tries one address after another as ever.
    """
    name = "urllib3.util.connection"
    is_new = name not in sys.modules
    own, socket.has_ipv6 = socket.has_ipv6, False
    try:
        yield
    finally:
        socket.has_ipv6 = own
        if is_new and name in sys.modules:
            sys.modules[name].HAS_IPV6 = own  # type: ignore[attr-defined]
