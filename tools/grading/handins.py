"""Find what a class has handed in: a folder or a zip as Canvas, Moodle or Gradescope give it.

Names from outside are never used as paths: what is unpacked gets a number for a name.
"""

import os
import re
import shutil
import stat
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple

MAX_NOTEBOOK = 50 * 2**20  # bytes; the model answer with all its figures has 1 MiB
MAX_ZIP = 2**30  # bytes of a zip in a class, and of all that comes out of it
MAX_MEMBERS = 10_000  # of a zip in a class
MAX_DEPTH = 3  # of zips in zips
DOWNLOAD = timedelta(minutes=10)  # times that lie closer together are those of the download

CANVAS = re.compile(
    r"(?:(?P<person>(?!LATE_).*?)_)?(?:(?P<late>LATE)_)?(?P<student>\d+|anon_[^_]+)_"
    r"(?:(?P<number>\d+)_(?P<file>.+)|(?:text|link)\.html)"
)
MOODLE = re.compile(r"(.*)_(\d+)_assignsubmission_[a-z]+(?:_.*)?")
METADATA = "submission_metadata.yml"  # of Gradescope
Parts, Times, Fetch = tuple[str, ...], tuple[datetime, ...], Callable[[], Path]
ARCHIVES = (".7z", ".rar", ".tar", ".tgz", ".gz", ".bz2", ".xz")
# What a file is: nothing, something to tell of, a hand-in that cannot be graded, a notebook.
OTHER, TOLD, REFUSED, NOTEBOOK = range(4)


@dataclass
class HandIn:
    """One row of the class."""

    name: str = ""  # in the results: unlike all others, harmless wherever it is shown
    platform: str = ""  # Canvas, Moodle or Gradescope; empty where nothing tells it
    student: str = ""  # the platform's number or id
    late: bool | None = None  # what the platform says, if it does
    submitted: datetime | None = None  # local time, where there is one that means something
    file: Path | None = None  # a regular file to grade
    problem: str = ""  # why there is none, and what to do
    others: tuple[str, ...] = ()  # further hand-ins of the student, which do not count

    def is_late(self, due: datetime | None) -> bool | None:
        """Whether the platform or its time says that it came late; None if neither tells."""
        if due and self.submitted and not self.late:
            return (
                self.submitted.replace(second=0, microsecond=0) > due
            )  # the last minute is in time
        return self.late


class Collected(NamedTuple):
    """The rows of a class, by name; what a teacher should know about all other files."""

    hand_ins: list[HandIn]
    notes: list[str]


class _Found(NamedTuple):
    """A file of the class, and its times: those of the zips around it, and its own."""

    rank: int
    parts: Parts
    times: Times
    file: Path | None
    problem: str

    @property
    def path(self) -> str:
        return shown("/".join(self.parts))


def collect(source: Path, into: Path) -> Collected:
    """Find the hand-ins of a class. Only `into`, an empty folder, is written; no link is followed.

    Raises:
        ValueError: if `source` is neither a folder nor a whole zip.
    """
    walk = _Walk(into)
    try:
        if source.is_dir():
            walk.folder(source)
        else:
            walk.zip(source, (), ())
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        why = getattr(error, "strerror", None) or error
        raise ValueError(f"{source} is neither a folder nor a whole zip: {why}.") from error
    return _rows(walk)


def shown(name: str) -> str:
    """A name for tables, XML, terminals and files: what cannot be seen in it is escaped."""
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)
    parts = ["(..)" if part == ".." else _cut(part, 255) for part in text.split("/") if part]
    return _cut("/".join(parts), 1000)


def _cut(text: str, most: int) -> str:
    whole = text.encode()
    return text if len(whole) <= most else whole[: most - 20].decode(errors="ignore") + "…"


class _Walk:
    """All files of a class; Gradescope's metadata; how many are nobody's work."""

    def __init__(self, into: Path) -> None:
        self.found: list[_Found] = []
        self.metadata: list[tuple[Parts, str]] = []
        self.skipped = 0
        self._names = (into / str(number) for number in count())
        self._left = MAX_ZIP

    def folder(self, top: Path) -> None:
        """Without recursion: a class can be nested deeper than Python's stack."""
        folders = [top]
        while folders:
            folder = folders.pop()
            try:
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError as error:
                parts, problem = folder.relative_to(top).parts, f"not read: {error.strerror}"
                self.found.append(_Found(TOLD, parts, (), None, problem))
                continue
            for entry in entries:
                path = Path(entry.path)
                if self._is_nobodys(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(path)
                    continue
                facts = entry.stat(follow_symlinks=False)
                where = path.relative_to(top).parts, _time(datetime.fromtimestamp, facts.st_mtime)
                self._take(*where, facts.st_size, facts.st_mode, partial(Path, path))

    def zip(self, archive: Path, parts: Parts, times: Times) -> None:
        """Take the members of a zip, which itself lies at `parts`."""
        depth = sum(part.lower().endswith(".zip") for part in parts)
        if depth == 1:
            self._left = MAX_ZIP
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
            if depth > MAX_DEPTH or (depth and len(members) > MAX_MEMBERS):
                raise ValueError("it holds too much")
            often = Counter(member.filename for member in members)
            for member in members:
                name = member.filename
                with suppress(UnicodeError):  # UTF-8 that is not marked as such
                    name = name if member.flag_bits & 0x800 else name.encode("cp437").decode()
                inner = [part for part in re.split(r"[/\\]", name) if part not in ("", ".")]
                if member.is_dir() or self._is_nobodys(*inner):
                    continue
                problem = ""
                if ".." in inner or re.match(r"[/\\]|.:", name):
                    problem = "its name leads out of the zip"
                elif often[member.filename] > 1:
                    problem = "the zip holds several files of this name"
                elif member.flag_bits & 1:
                    problem = "it is encrypted"
                where = (*parts, *inner), (*times, *_time(datetime, *member.date_time))
                fetch = partial(self._unpack, opened, member, depth)
                self._take(*where, member.file_size, member.external_attr >> 16, fetch, problem)

    def _take(
        self, parts: Parts, times: Times, size: int, mode: int, fetch: Fetch, problem: str = ""
    ) -> None:
        """Add a file, or what it holds; kinds and sizes are looked at before contents."""
        name, file = parts[-1].lower(), None
        is_zip = name.endswith(".zip")
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            problem = "it is a link, which is not followed, or no regular file"
        elif not name.endswith((".zip", ".ipynb", METADATA)):
            problem = "its name does not end in .ipynb (rename it)"
            problem = problem if ".ipynb" in name else "it is no notebook"
        elif size > (MAX_ZIP if is_zip else MAX_NOTEBOOK):
            problem = "it is too large"
        if not problem:
            try:
                file = fetch()
                if is_zip:
                    return self.zip(file, parts, times)
                if name == METADATA:
                    self.metadata.append((parts[:-1], file.read_text("utf-8", "replace")))
                    return None
            except Exception as error:  # a file can fail to be a zip in many ways
                file, problem = None, f"it cannot be unpacked ({shown(str(error))[:100]})"
        rank = TOLD if name.endswith((".html", ".htm", ".json")) or stat.S_ISLNK(mode) else OTHER
        if is_zip or ".ipynb" in name or name.endswith(ARCHIVES):
            rank = NOTEBOOK if file else REFUSED
        problem += ": ask for the .ipynb file itself" if problem else ""
        self.found.append(_Found(rank, parts, times, file, problem))
        return None

    def _unpack(self, opened: zipfile.ZipFile, member: zipfile.ZipInfo, depth: int) -> Path:
        if depth:
            self._left -= member.file_size  # more than this is never read
            if self._left < 0:
                raise ValueError("its zip holds too much")
        file = next(self._names)
        with opened.open(member) as source, file.open("xb") as target:
            shutil.copyfileobj(source, target)
        return file

    def _is_nobodys(self, *parts: str) -> bool:
        """Whether systems and editors left it behind: hidden, or kept for themselves."""
        hidden = any((p.startswith(".") and p != "..") or p == "__MACOSX" for p in parts)
        self.skipped += hidden
        return hidden


def _time(make: Callable[..., datetime], *facts: float | str) -> Times:
    with suppress(TypeError, ValueError, OverflowError, OSError):
        time = make(*facts).astimezone().replace(tzinfo=None)
        return (time,) if time.year > 1980 else ()  # a zip's zero
    return ()


def _rows(walk: _Walk) -> Collected:
    """One row for each student, and for each hand-in that nothing recognises."""
    owners, groups, rows, notes = _owners(walk), defaultdict(list), [], []
    for number, found in enumerate(walk.found):
        paths = (found.parts[:depth] for depth in range(1, len(found.parts) + 1))
        owner, order = next((owners[path] for path in paths if path in owners), (HandIn(), 0))
        key = (owner.platform, owner.student) if owner.platform else number
        groups[key].append((found.rank, order, found.times, found.parts, owner, found))
    notebooks = {found.path[:-6] for found in walk.found if found.rank == NOTEBOOK}
    for group in groups.values():
        *_, owner, found = max(group, key=lambda item: item[:4])  # the newest notebook counts
        others = [item[-1].path for item in group if item[-1] is not found and item[0] > TOLD]
        time = owner.submitted or (*found.times, None)[0]
        row = replace(owner, name=owner.name or found.path, submitted=time, file=found.file)
        row.problem, row.others = found.problem, tuple(others)
        if owner.platform or found.rank > TOLD:
            rows.append(row)
        elif found.rank == TOLD and found.path.rpartition(".")[0] not in notebooks:
            notes.append(f"{row.name}: {row.problem}")  # and no report beside its notebook
    times = [row.submitted for row in rows if row.submitted]
    are_told = len(times) < 2 or max(times) - min(times) > DOWNLOAD
    names = set()
    for row in sorted(rows, key=lambda row: (row.name, row.student)):
        row.submitted = row.submitted if are_told else None
        again = (f"{row.name} ({number})" for number in count(2))
        row.name = next(again) if row.name in names else row.name
        names.add(row.name)
        notes += [f"{row.name}: {row.problem}"] if row.problem else []
        notes += [f"{row.name}: does not count: {', '.join(row.others)}"] if row.others else []
    if walk.skipped:
        notes.append(f"skipped: {walk.skipped} hidden files or folders, checkpoints and the like")
    return Collected(sorted(rows, key=lambda row: row.name), notes)


def _owners(walk: _Walk) -> dict[Parts, tuple[HandIn, int]]:
    """Who handed in what lies at a path, from all names; and a number that grows with time."""
    siblings, owners = defaultdict(set), {}
    for parent, text in walk.metadata:
        owners |= {(*parent, name): (owner, 0) for name, owner in _gradescope(text).items()}
    for found in walk.found:
        for depth, part in enumerate(found.parts):
            siblings[found.parts[:depth]].add(part)
    for parent, names in siblings.items():
        canvas = {name: match for name in names if (match := CANVAS.fullmatch(name))}
        files = {match.group("number", "file") for match in canvas.values() if match["number"]}
        # Canvas gives each file a number of its own; "homework_1_2_anna.ipynb" is not from there.
        is_canvas = 2 * len(canvas) > len(names) and len(dict(files)) == len(files)
        for name in names:
            if match := MOODLE.fullmatch(name):
                owner = HandIn(shown(f"{match[1]} {match[2]}"), "Moodle", match[2])
                owners[*parent, name] = owner, 0
            elif is_canvas and (match := canvas.get(name)):
                title = shown(f"{match['person'] or ''} {match['student']}".strip())
                owner = HandIn(title, "Canvas", match["student"], bool(match["late"]))
                owners[*parent, name] = owner, int(match["number"] or 0)
    return owners


def _gradescope(metadata: str) -> dict[str, HandIn]:
    """Who submitted each folder. Of the YAML only lines of the upper levels are needed."""
    owners = {}
    for text in re.split(r"^(?=\S)", metadata, flags=re.M):
        facts = defaultdict(list)
        for key, value in re.findall(r"^  (?:- |  )?:(\w+): *(.*?) *$", text, re.M):
            facts[key] += filter(None, [value.strip("\"'")])
        folder = text.partition(":")[0]
        if person := " and ".join(facts["name"]):
            student = [*facts["sid"], *facts["email"], folder.rpartition("_")[2]][0]
            time = (*_time(datetime.fromisoformat, *facts["created_at"][:1]), None)[0]
            name = shown(f"{person} {student}")
            owners[folder] = HandIn(name, "Gradescope", student, submitted=time)
    return owners
