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
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

MAX_BYTES = 50 * 2**20  # of a notebook; the model answer with all its figures has 1 MiB
MAX_ZIP_BYTES = 100 * 2**20  # of a zip that a student made
MAX_MEMBERS = 10_000  # of a zip that a student made
MAX_RATIO = 100  # of what is unpacked to the zip's size; a notebook shrinks to a fifth
MAX_DEPTH = 4  # of zips within zips
DOWNLOAD = timedelta(minutes=10)  # times that lie closer together are those of the download

CANVAS = re.compile(
    r"(?:(?P<person>(?!LATE_).*?)_)?(?:(?P<late>LATE)_)?(?P<student>\d+|anon_[^_]+)_"
    r"(?:(?P<number>\d+)_.+|(?:text|link)\.html)"
)
MOODLE = re.compile(r"(?P<person>.*)_(?P<student>\d+)_assignsubmission_[a-z]+(?:_.*)?")
METADATA = "submission_metadata.yml"  # of Gradescope
NOBODYS = {"__MACOSX", "lost+found"}
ADVICE = {
    r"\.ipynb": "its name does not end in .ipynb: rename it, or ask for the notebook",
    r"\.(7z|rar|tar|tgz|gz|bz2|xz)$": "only zips are unpacked: ask for the notebook",
    r"\.(html?|json)$": "it is a page or data, no notebook: ask for the .ipynb file",
}
# What a file is: nothing, something to tell of, a hand-in that cannot be graded, a notebook.
OTHER, TOLD, REFUSED, NOTEBOOK = range(4)


@dataclass
class HandIn:
    """One row of the class.

    Attributes:
        name: shown in the results, and unlike all others; could be the path of a file.
        student: the platform's number or id of who handed in; empty where nothing tells it.
        person: the name that the platform gives to the student.
        platform: "Canvas", "Moodle", "Gradescope" or nothing.
        file: a regular file to grade; none if there is only a problem.
        problem: why there is nothing to grade, and what to do.
        late: what the platform says, if it does.
        submitted: local time, where there is one that means something.
        others: further hand-ins of the same student, which do not count.
    """

    name: str
    student: str = ""
    person: str = ""
    platform: str = ""
    file: Path | None = None
    problem: str = ""
    late: bool | None = None
    submitted: datetime | None = None
    others: tuple[str, ...] = ()

    def is_late(self, due: datetime | None) -> bool | None:
        """Whether it came late: the platform says so, or its time does; None if nothing tells."""
        if due and self.submitted and not self.late:
            return self.submitted > due
        return self.late


@dataclass
class Collected:
    """The rows of a class, by name, and what a teacher should know about the other files."""

    hand_ins: list[HandIn]
    notes: list[str]


@dataclass
class _Found:
    """A file, the times of the zips around it and its own, and what makes it no notebook."""

    parts: tuple[str, ...]
    rank: int
    times: tuple[datetime, ...]
    file: Path | None = None
    problem: str = ""

    @property
    def path(self) -> str:
        return shown("/".join(self.parts))

    @property
    def order(self) -> tuple:
        return self.times, self.parts


@dataclass
class _Owner:
    """Who handed something in, as far as the names around it tell."""

    platform: str = ""
    student: str = ""
    person: str = ""
    late: bool | None = None
    number: int = 0  # grows with every hand-in
    submitted: datetime | None = None


def collect(source: Path, into: Path) -> Collected:
    """Find the hand-ins of a class in a folder or a zip; nothing in it is changed or run.

    Args:
        source: the folder or zip. Links in it are never followed.
        into: an empty folder for what must be unpacked.

    Raises:
        ValueError: if `source` is neither, or a broken zip.
    """
    walk = _Walk(into)
    if source.is_dir():
        walk.folder(source)
    elif zipfile.is_zipfile(source):
        walk.zip(source, (), ())
        if walk.found and not walk.found[-1].parts:
            raise ValueError(f"{source} {walk.found[-1].problem}")
    else:
        raise ValueError(f"{source} is neither a folder nor a zip.")
    return _rows(walk)


def shown(name: str) -> str:
    """A name for tables, XML and terminals, that leads nowhere: what cannot be seen is escaped."""
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)
    parts = ["(..)" if part == ".." else _cut(part, 255) for part in text.split("/") if part]
    return _cut("/".join(parts), 1000)


def _cut(text: str, most: int) -> str:
    """At most so many bytes: a longer name cannot be a file's."""
    whole = text.encode()
    return text if len(whole) <= most else whole[: most - 20].decode(errors="ignore") + "…"


class _Walk:
    """All files of a class: `found`, in the order of their names, and how many are nobody's."""

    def __init__(self, into: Path) -> None:
        self.into, self.found, self.skipped, self.notes = into, [], 0, []
        self._count, self._left = 0, 0

    def folder(self, top: Path) -> None:
        """Without recursion: a class can be nested deeper than Python's stack."""
        folders = [top]
        while folders:
            folder = Path(folders.pop())
            try:
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError as error:
                self.notes.append(f"{shown(str(folder))}: cannot be read ({error.strerror})")
                continue
            for entry in entries:
                parts = Path(entry.path).relative_to(top).parts
                if self._is_nobodys(parts[-1:]):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    facts = entry.stat(follow_symlinks=False)
                    time = _time(lambda facts=facts: datetime.fromtimestamp(facts.st_mtime))
                    kept = partial(Path, entry.path)
                    self._take(parts, facts.st_size, facts.st_mode, time, kept)

    def zip(self, archive: Path, parts: tuple[str, ...], times: tuple[datetime, ...]) -> None:
        """Go through a zip, and the zips in it."""
        try:
            with zipfile.ZipFile(archive) as opened:
                members = opened.infolist()
                if parts and len(members) > MAX_MEMBERS:
                    raise ValueError(f"more than {MAX_MEMBERS:,} files")
                if archive.parent != self.into:  # those within it share its budget
                    self._left = MAX_RATIO * archive.stat().st_size + MAX_BYTES
                names = Counter(member.filename for member in members)
                for member in members:
                    if not member.is_dir():
                        self._member(opened, member, parts, times, names[member.filename] > 1)
        except Exception as error:  # a file can fail to be a zip in many ways
            problem = f"cannot be unpacked ({shown(str(error))[:100]}): ask for the notebook"
            self.found.append(_Found(parts, REFUSED, times, problem=problem))

    def _member(
        self,
        opened: zipfile.ZipFile,
        member: zipfile.ZipInfo,
        parts: tuple[str, ...],
        times: tuple[datetime, ...],
        twice: bool,
    ) -> None:
        name = member.filename
        if not member.flag_bits & 0x800:  # not marked as UTF-8, but often it is
            with suppress(UnicodeError):
                name = name.encode("cp437").decode("utf-8")
        inner = tuple(part for part in re.split(r"[/\\]", name) if part not in ("", "."))
        if not inner or self._is_nobodys(inner):
            return
        problem = ""
        if ".." in inner or name[:1] in ("/", "\\") or name[1:2] == ":":
            problem = "its name leads out of the zip"
        elif twice:
            problem = "the zip holds several files of this name"
        elif member.flag_bits & 1:
            problem = "it is encrypted"
        mode = member.external_attr >> 16 if member.create_system == 3 else 0
        time = _time(lambda: datetime(*member.date_time))
        unpack = partial(self._unpack, opened, member)
        self._take((*parts, *inner), member.file_size, mode, (*times, *time), unpack, problem)

    def _take(
        self,
        parts: tuple[str, ...],
        size: int,
        mode: int,
        times: tuple[datetime, ...],
        fetch: Callable[[], Path],
        problem: str = "",
    ) -> None:
        """Add one file, or what a zip holds; sizes and kinds are looked at before contents."""
        name = parts[-1].lower()
        is_zip = name.endswith(".zip")
        if not (is_zip or name.endswith(".ipynb") or name == METADATA):
            self.found.append(_other(parts, times, mode))
            return
        most = MAX_ZIP_BYTES if is_zip else MAX_BYTES
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            problem = "it is a link or no regular file"
        elif size > most:
            problem = problem or f"it is larger than {most >> 20} MiB"
        elif is_zip and sum(part.lower().endswith(".zip") for part in parts) > MAX_DEPTH:
            problem = "it lies in too many zips"
        file = None
        if not problem:
            try:
                file = fetch()
            except Exception as error:  # see `zip`
                problem = f"it cannot be unpacked ({shown(str(error))[:100]})"
        if not file:
            problem += ": ask for the notebook itself"
            self.found.append(_Found(parts, REFUSED, times, problem=problem))
        elif is_zip:
            self.zip(file, parts, times)
            if file.parent == self.into:
                file.unlink()
        else:
            rank = OTHER if name == METADATA else NOTEBOOK
            self.found.append(_Found(parts, rank, times, file))

    def _unpack(self, opened: zipfile.ZipFile, member: zipfile.ZipInfo) -> Path:
        self._left -= member.file_size  # more than this is never read
        if self._left < 0:
            raise ValueError(f"the zip unpacks to more than {MAX_RATIO} times its size")
        self._count += 1
        file = self.into / f"{self._count}{Path(member.filename).suffix}"
        with opened.open(member) as source, file.open("xb") as target:
            shutil.copyfileobj(source, target)
        return file

    def _is_nobodys(self, parts: tuple[str, ...]) -> bool:
        """What systems and editors leave behind: hidden, or kept for themselves."""
        hidden = any((p.startswith(".") and p != "..") or p in NOBODYS for p in parts)
        self.skipped += hidden
        return hidden


def _other(parts: tuple[str, ...], times: tuple[datetime, ...], mode: int) -> _Found:
    if stat.S_ISLNK(mode):
        return _Found(parts, TOLD, times, problem="it is a link, which is not followed")
    name = parts[-1].lower()
    for number, (pattern, advice) in enumerate(ADVICE.items()):
        if re.search(pattern, name):
            return _Found(parts, TOLD if number == 2 else REFUSED, times, problem=advice)
    return _Found(parts, OTHER, times, problem="it is no notebook: ask for the .ipynb file")


def _time(make: Callable[[], datetime]) -> tuple[datetime, ...]:
    with suppress(ValueError, LookupError, OverflowError, OSError):
        time = make()
        return (time,) if time.year > 1980 else ()  # a zip's zero
    return ()


def _rows(walk: _Walk) -> Collected:
    """One row for each student, and for each hand-in that nothing recognises."""
    owner_of, groups, rows, notes = _owners(walk.found), defaultdict(list), [], walk.notes
    for number, found in enumerate(walk.found):
        owner = owner_of(found.parts)
        groups[(owner.platform, owner.student) if owner.platform else number].append((owner, found))
    notebooks = {found.path[:-6] for found in walk.found if found.rank == NOTEBOOK}
    for group in groups.values():
        owner, found = group[0]
        if owner.platform or found.rank >= REFUSED:
            rows.append(_row(group))
        elif (
            found.rank == TOLD and f"{found.path.rpartition('.')[0]}.ipynb".lower() not in notebooks
        ):
            notes.append(f"{found.path}: {found.problem}")  # and no report beside its notebook
    times = [row.submitted for row in rows if row.submitted]
    if len(times) > 1 and max(times) - min(times) < DOWNLOAD:
        for row in rows:
            row.submitted = None
    seen = Counter()
    for row in sorted(rows, key=lambda row: (row.name, row.student)):
        seen[row.name] += 1
        row.name += f" ({seen[row.name]})" * (seen[row.name] > 1)
        if row.problem:
            notes.append(f"{row.name}: {row.problem}")
        if row.others:
            notes.append(f"{row.name}: these do not count: {', '.join(row.others)}")
    if walk.skipped:
        notes.append(f"{walk.skipped} hidden files or folders and the like were skipped")
    return Collected(sorted(rows, key=lambda row: row.name), notes)


def _row(group: list[tuple[_Owner, _Found]]) -> HandIn:
    """The newest notebook counts, then whatever says best why there is none."""
    owner, best = max(group, key=lambda pair: (pair[1].rank, pair[0].number, *pair[1].order))
    return HandIn(
        name=shown(f"{owner.person} {owner.student}".strip()) or best.path,
        student=owner.student,
        person=shown(owner.person),
        platform=owner.platform,
        file=best.file,
        problem=best.problem,
        late=owner.late,
        submitted=owner.submitted or (best.times or (None,))[0],
        others=tuple(f.path for _, f in group if f is not best and f.rank >= REFUSED),
    )


def _owners(all_found: list[_Found]) -> Callable[[tuple[str, ...]], _Owner]:
    """How to tell who handed something in, from the names of all."""
    siblings, known = defaultdict(set), {}
    for found in all_found:
        for depth, part in enumerate(found.parts):
            siblings[found.parts[:depth]].add(part)
        if found.parts[-1:] == (METADATA,) and found.file:
            for folder, owner in _gradescope(found.file.read_text("utf-8", "replace")).items():
                known[(*found.parts[:-1], folder)] = owner
    for parent, names in siblings.items():
        matches = [CANVAS.fullmatch(name) for name in names]
        numbers = [match["number"] for match in matches if match and match["number"]]
        # Canvas gives each file a number of its own; "homework_1_2_anna.ipynb" is not from there.
        is_canvas = 2 * sum(map(bool, matches)) > len(names) and len({*numbers}) == len(numbers)
        for name in names:
            if match := MOODLE.fullmatch(name):
                known[(*parent, name)] = _Owner("Moodle", match["student"], match["person"])
            elif is_canvas and (match := CANVAS.fullmatch(name)):
                number, late = int(match["number"] or 0), bool(match["late"])
                person = match["person"] or ""
                known[(*parent, name)] = _Owner("Canvas", match["student"], person, late, number)
    nobody = _Owner()

    def owner_of(parts: tuple[str, ...]) -> _Owner:
        paths = (parts[:depth] for depth in range(1, len(parts) + 1))
        return next((known[path] for path in paths if path in known), nobody)

    return owner_of


def _gradescope(metadata: str) -> dict[str, _Owner]:
    """Who submitted each folder. Of the YAML only lines of the upper levels are needed."""
    owners = {}
    for text in re.split(r"^(?=\S)", metadata, flags=re.M):
        facts = defaultdict(list)
        for key, value in re.findall(r"^  (?:- |  )?:(\w+): *(.*?) *$", text, re.M):
            facts[key] += filter(None, [value.strip("\"'")])
        folder = text.partition(":")[0]
        ids = [*facts["sid"], *facts["email"], folder.rpartition("_")[2]]
        times = _time(lambda facts=facts: _local(facts["created_at"][0]))
        if names := " and ".join(facts["name"]):
            owners[folder] = _Owner("Gradescope", ids[0], names, submitted=(*times, None)[0])
    return owners


def _local(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone().replace(tzinfo=None)
