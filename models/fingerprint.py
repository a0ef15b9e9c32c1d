"""What a model is, by content: not its path, and not the name of a branch."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

__all__ = ["directory_fingerprint", "sha256"]

_CONTENT_SUFFIXES = {".json", ".jsonl", ".txt", ".model", ".safetensors", ".bpe", ".py", ".spm"}
_OTHER_FORMATS = {"onnx", "openvino", "coreml", "runs", "__pycache__"}


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal.

    The digest is remembered for as long as the file's identity, size and both times stay as they were; the
    time of change (ctime) can't be set back, so a file rewritten under an old date is read anew.
    """
    state = path.stat()
    return _sha256(str(path), state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


@lru_cache(maxsize=1024)
def _sha256(path: str, *_state: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def directory_fingerprint(directory: Path) -> str:
    """Return a digest of everything in a model directory that can change its numbers.

    Parameters
    ----------
    directory : Path
        Holds weights (safetensors), configuration, tokenizer and modules.

    Returns
    -------
    str
        32 hexadecimal digits: BLAKE2b over the sorted names and SHA-256 digests of the files.
    """
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(directory.rglob("*")):
        relative = path.relative_to(directory)
        hidden = any(part.startswith(".") for part in relative.parts)
        if path.suffix not in _CONTENT_SUFFIXES or hidden or _OTHER_FORMATS & set(relative.parts) or not path.is_file():
            continue
        digest.update(f"{len(str(relative))}:{relative.as_posix()}{sha256(path)}".encode())
    return digest.hexdigest()
