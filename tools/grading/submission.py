"""Read the file that was handed in, whatever is in it."""

import json
from pathlib import Path

from tools.grading.text import whole_json

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

MAX_BYTES = 50 * 2**20  # of a submission's file; the notebook with all its figures has 1 MiB


class SubmissionError(Exception):
    """The file cannot be graded at all; the message says why."""


def read_submission(path: Path) -> tuple[NotebookNode, str]:
    """Read a submission of any notebook format as format 4; return it with a remark, or "".

    Raises:
        SubmissionError: if the file is empty, too large, or no notebook.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SubmissionError(f"the file is larger than {MAX_BYTES >> 20} MiB")
        text = path.read_text(encoding="utf-8-sig")
        if not text.strip():
            raise SubmissionError("the file is empty")
        content = whole_json(json.loads(text))
        version = content["nbformat"]
        if not isinstance(version, int) or not 3 <= version <= 4:
            raise SubmissionError(f"notebook format {version!r:.40} cannot be read, only 3 and 4")
        notebook = nbformat.convert(nbformat.from_dict(content), 4)
        # Rebuilt cell by cell: ids, outputs and counts of a submission are of no use here.
        cells = [_clean(cell) for cell in notebook.cells]
        remark = "was in notebook format 3 (converted)" if version == 3 else ""
        return new_notebook(cells=cells), remark
    except OSError as error:
        raise SubmissionError(f"the file cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise SubmissionError("the file is not text in UTF-8") from error
    except json.JSONDecodeError as error:
        raise SubmissionError(f"the file is not JSON (line {error.lineno})") from error
    except SubmissionError:
        raise
    except Exception as error:  # a file can fail to be a notebook in many ways, recursion included
        raise SubmissionError("the file is JSON but not a notebook") from error


def _clean(cell: NotebookNode) -> NotebookNode:
    """The same cell without outputs, with the metadata that the report looks at."""
    source = cell.source if isinstance(cell.source, str) else "".join(cell.source)
    if cell.cell_type != "code":
        pictures = cell.get("attachments")
        kept = {"attachments": pictures} if isinstance(pictures, dict) else {}
        return new_markdown_cell(source, **kept)
    tags = cell.get("metadata", {}).get("tags")
    is_facts = isinstance(tags, list) and "facts" in tags  # for the head of the report
    return new_code_cell(source, metadata={"tags": ["facts"]} if is_facts else {})
