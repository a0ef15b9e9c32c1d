"""Files that were written before modules moved are still read."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bertvectorizer import load_pipeline, save_pipeline
from bertvectorizer.pipeline import SavedPipeline
from bertvectorizer.pipeline.saving.type_names import FORMER_NAMES, OWN_TYPES, public_names


def unpacked(name: str, directory: Path) -> Path:
    path = directory / f"{name}.skops"
    packed = Path(__file__).with_name(f"before_rooms_{name}.skops.gz")
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    return path


def check(saved: SavedPipeline) -> None:
    sample = saved.metadata["sample"]
    if "tags" in saved.metadata:
        assert saved.pipeline.predict(sample) == saved.metadata["tags"]
    else:
        decision = saved.pipeline.decision_function(sample)
        np.testing.assert_allclose(decision, saved.metadata["decision"], atol=1e-5)


def own_names(path: Path) -> set[str]:
    """Return the names of our types in a file."""

    def found(value: object) -> set[str]:
        inside = value.values() if isinstance(value, dict) else value
        names = set().union(*map(found, inside)) if isinstance(value, (dict, list)) else set()
        if isinstance(value, dict) and str(value.get("__module__")).startswith("bertvectorizer"):
            names.add(f"{value['__module__']}.{value['__class__']}")
        return names

    with zipfile.ZipFile(path) as archive:
        return found(json.loads(archive.read("schema.json")))


@pytest.mark.filterwarnings("ignore:The pipeline in .* was saved with other versions")
@pytest.mark.parametrize("name", ["texts", "crf", "words"])
def test_a_file_from_before_is_read_and_written_anew_by_public_names(
    name: str, tmp_path: Path, default_model_directory: Path
) -> None:
    path = unpacked(name, tmp_path)
    assert own_names(path) <= set(FORMER_NAMES)
    saved = load_pipeline(path)
    check(saved)
    save_pipeline(saved.pipeline, path, metadata=saved.metadata)
    assert own_names(path)
    assert own_names(path) <= OWN_TYPES
    check(load_pipeline(path))


def test_public_names_are_those_of_distinct_types() -> None:
    assert sorted(public_names().values()) == sorted(OWN_TYPES)
    assert all(name.rpartition(".")[0].count(".") <= 2 for name in OWN_TYPES)
