"""Read notebooks as editors really write them, for the grader, the starter and the report."""

import json
import re
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import convert
from nbformat.validator import NotebookValidationError

MAX_BYTES = 50 * 2**20  # the assignment with all its figures has 0.6 MiB
MAX_PARTS = 1_000_000  # objects and lists: a file full of empty ones would fill the memory
MAX_CELLS = 50_000  # with their outputs: more would take minutes
# What is no text in any encoding that JSON may have, by its first bytes.
OTHER_FILES = {b"PK\x03\x04": "a zip archive", b"%PDF": "a PDF", b"\x1f\x8b": "compressed by gzip"}
# Metadata of a cell that the notebook format gives a type; what has another one goes.
CELL_METADATA = {"tags": list, "jupyter": dict, "collapsed": bool, "format": str}
NOTEBOOK_METADATA = {"kernelspec": dict, "language_info": dict, "title": str, "authors": list}

IS_ID = re.compile("[a-zA-Z0-9_-]{1,64}")


class ReadError(ValueError):
    """The file cannot be read as a notebook; the message is a sentence that says why."""


def read_notebook(source: Path | bytes) -> NotebookNode:
    """Read a file in notebook format 3 or 4, or its bytes, as valid format 4.5.

    What editors leave out or add is repaired: ids, counts, names of kernels, keys of other
    versions. Halves of characters become question marks. What was format 3 has
    `metadata.orig_nbformat` 3.

    Raises:
        ReadError: if it is missing, too large, or no notebook.
    """
    try:
        return _notebook(_content(_bytes(source)))
    except ReadError:
        raise
    except NotebookValidationError as error:
        raise ReadError(f"The file is no valid notebook: see {_place(error)}.") from None
    except RecursionError:
        raise ReadError("The file is nested too deeply for a notebook.") from None
    except MemoryError:
        raise ReadError("The file is too large for the memory.") from None
    except Exception as error:  # a file can fail to be a notebook in many ways
        raise ReadError("The file is JSON, but not a Jupyter notebook.") from error


def _bytes(source: Path | bytes) -> bytes:
    try:
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        if size > MAX_BYTES:
            limit = f"{MAX_BYTES >> 20} MiB"
            raise ReadError(f"The file is larger than {limit}: clear its largest outputs.")
        return source if isinstance(source, bytes) else source.read_bytes()
    except OSError as error:
        raise ReadError(f"The file cannot be read: {error.strerror}.") from error


def _content(data: bytes) -> dict[str, Any]:
    """The JSON of a notebook in UTF-8, UTF-16 or UTF-32, with or without a byte order mark."""
    for start, kind in OTHER_FILES.items():
        if data.startswith(start):
            raise ReadError(f"The file is {kind}, not a notebook.")
    try:
        text = data.decode(json.detect_encoding(data), "surrogatepass").strip("\0 \t\r\n")
    except UnicodeDecodeError:
        raise ReadError("The file is not text in UTF-8 or UTF-16.") from None
    if not text:
        raise ReadError("The file is empty.")
    if text.startswith("<"):
        raise ReadError("The file is a web page: download the notebook itself (.ipynb).")
    if text.count("{") + text.count("[") > MAX_PARTS:
        raise ReadError(f"The file has more than {MAX_PARTS:,} parts: clear its largest outputs.")
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ReadError(f"The file is not JSON (line {error.lineno}).") from None
    return json.loads(json.dumps(content, ensure_ascii=False).encode("utf-8", "replace"))


def _notebook(content: dict[str, Any]) -> NotebookNode:
    version = content.get("nbformat", 4 if "cells" in content else None)
    if version not in (3, 4):
        raise ReadError(f"Notebook format {version!r:.40} cannot be read, only 3 and 4.")
    content = nbformat.from_dict(content)
    cells = _upgraded(content) if version == 3 else content.cells
    if sum(1 + len(cell.get("outputs") or []) for cell in cells) > MAX_CELLS:
        raise ReadError(f"The file has more than {MAX_CELLS:,} cells and outputs: clear some.")
    metadata = _typed(content.get("metadata"), NOTEBOOK_METADATA)
    for kind in ("kernelspec", "language_info"):
        about = metadata.get(kind, {})
        if not isinstance(about.get("name"), str):
            metadata.pop(kind, None)
        elif not isinstance(about.get("display_name"), str):
            about["display_name"] = about["name"]
    metadata |= {"orig_nbformat": 3} if version == 3 else {}
    notebook = nbformat.v4.new_notebook(metadata=metadata)
    notebook.cells = [_cell(cell) for cell in cells]
    _give_ids(notebook.cells)
    nbformat.validate(notebook, relax_add_props=True)
    return notebook


def _upgraded(content: NotebookNode) -> list[NotebookNode]:
    """The cells of format 3; nbformat's own way there logs all that it finds amiss."""
    cells = [cell for sheet in content.worksheets for cell in sheet.cells]
    for cell in cells:
        cell |= {key: _joined(cell[key]) for key in ("source", "input") if key in cell}
        cell |= {"outputs": cell.get("outputs") or []} if cell.cell_type == "code" else {}
    return [convert.upgrade_cell(cell) for cell in cells]


def _typed(metadata: object, kinds: dict[str, type]) -> NotebookNode:
    """Metadata without what has another type than it must have."""
    items = metadata.items() if isinstance(metadata, dict) else ()
    return NotebookNode({k: v for k, v in items if isinstance(v, kinds.get(k, object))})


def _cell(cell: NotebookNode) -> NotebookNode:
    """The cell with what its kind must have, and without what it must not."""
    metadata = _typed(cell.get("metadata"), CELL_METADATA)
    for key in ("name", "scrolled", "execution"):  # an editor's own
        metadata.pop(key, None)
    if "tags" in metadata:
        names = [tag for tag in metadata.tags if isinstance(tag, str) and tag and "," not in tag]
        metadata.tags = list(dict.fromkeys(names))
    kept = {"cell_type": cell.cell_type, "metadata": metadata, "id": cell.get("id")}
    kept["source"] = _joined(cell.get("source") or "")
    if cell.cell_type == "code":
        kept["execution_count"] = _count(cell)
        kept["outputs"] = [_output(output) for output in cell.get("outputs") or []]
    elif isinstance(cell.get("attachments"), dict):
        kept["attachments"] = {name: _bundle(one) for name, one in cell.attachments.items()}
    return nbformat.from_dict(kept)


def _output(output: NotebookNode) -> NotebookNode:
    kind = output.output_type
    kept: dict[str, Any] = {"output_type": kind}
    if kind == "stream":
        kept |= {"name": output.get("name") or "stdout", "text": _joined(output.get("text") or "")}
    elif kind == "error":
        kept |= {key: output.get(key) or "" for key in ("ename", "evalue")}
        kept["traceback"] = output.get("traceback") or []
    else:
        kept |= {
            "data": _bundle(output.get("data")),
            "metadata": _typed(output.get("metadata"), {}),
        }
    if kind == "execute_result":
        kept["execution_count"] = _count(output)
    return nbformat.from_dict(kept)


def _bundle(data: object) -> dict[str, Any]:
    """Data by kind: text, except for the kinds of JSON."""
    items = data.items() if isinstance(data, dict) else ()
    return {kind: one if kind.endswith("json") else _joined(one) for kind, one in items}


def _joined(text: object) -> str:
    """Text that may come as a list of its lines; anything else as JSON writes it."""
    if isinstance(text, list) and all(isinstance(line, str) for line in text):
        return "".join(text)
    return text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)


def _count(node: NotebookNode) -> int | None:
    count = node.get("execution_count")
    return count if type(count) is int and count >= 0 else None


def _give_ids(cells: list[NotebookNode]) -> None:
    """Number the cells whose id is missing, taken or not one; valid ids stay."""
    seen: set[str] = set()
    for number, cell in enumerate(cells, start=1):
        if not isinstance(cell.id, str) or cell.id in seen or not IS_ID.fullmatch(cell.id):
            cell.id = f"cell-{number}"
            while cell.id in seen:
                cell.id += "-"
        seen.add(cell.id)


def _place(error: NotebookValidationError) -> str:
    """Where a notebook is not valid: `cell 3, source`."""
    first, *path = [*error.relative_path, "its first level"]
    if first == "cells" and isinstance(path[0], int):
        return ", ".join([f"cell {path[0] + 1}", *map(str, path[1:-1])])
    return str(first)
