"""One YAML text → plain data and a place for every path in it; the only room that knows YAML.

Nothing is typed here: every scalar stays the text that the person wrote (`010`, `on`, `1:30`, `8080`), only a plain
`null`, `~` or nothing at all is None. What a text means is for the setting to say, so YAML 1.1 has nothing to change.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import yaml

from zap.errors import Problem
from zap.plan import Where

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Path = tuple[str | int, ...]
"""The way to a value: keys of mappings, and indexes (from 0) of lists."""

_NODES = 250_000  # visited through aliases too, so that ten lines cannot become a billion values
_DEPTH = 50
_DEEP_AT_MOST = 5000  # libyaml's binding recurses in C: 30 000 levels overflow its stack

_TAG = "tag:yaml.org,2002:"
_TAGS = {_TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "value", "map", "seq", "merge")}
_UNPRINTABLE = yaml.reader.Reader.NON_PRINTABLE

_ADVICE = (
    (
        r"mapping values are not allowed",
        'a ":" that YAML does not expect here — quote the text, or check the indentation',
    ),
    (r"did not find expected '?(,|key|-)", "the line does not fit what is above it — check indentation and brackets"),
    (r"undefined alias", "this alias has no anchor above it"),
    (r"unexpected end of stream", "a quote is not closed"),
    (r"unknown escape character", "a backslash in double quotes must be doubled, or use single quotes"),
    (r"duplicate anchor", "this anchor exists already — anchors must differ"),
    (r"another document", "a second document begins here — one file holds one document"),
)


class Document:
    """What one file says. `data` is made of dict, list, str and None; it is None when the text is no YAML at all."""

    __slots__ = ("_blocks", "_keys", "_lines", "_values", "data", "file", "problems")

    def __init__(self, file: str) -> None:
        self.file = file
        self.data: Any = None
        self.problems: list[Problem] = []
        self._values: dict[Path, tuple[int, int]] = {}
        self._keys: dict[Path, tuple[int, int]] = {}
        self._blocks: set[Path] = set()
        self._lines: list[str] = []

    def written(self, path: Path) -> Path:
        """The part of `path` that stands in the file: a short form leaves out steps that its long form has."""
        found: Path = ()
        for step in path:
            if (*found, step) in self._values:
                found = (*found, step)
        return found

    def is_list(self, path: Path) -> bool:
        return (*self.written(path), 0) in self._values

    def value(self, path: Path) -> Where:
        """Where the value begins; that of the nearest value around it when there is none at `path`."""
        return self._where(self._values.get(self.written(path), (0, 0)))

    def key(self, path: Path) -> Where:
        """Where the key of the value begins; the value itself for an item of a list."""
        found = self.written(path)
        return self._where(self._keys.get(found) or self._values.get(found, (0, 0)))

    def row(self, path: Path, row: int) -> Where:
        """Where a row (from 0) of a text begins, when the text is a block (`|`); else where the text begins."""
        found = self.written(path)
        if found not in self._blocks:
            return self.value(path)
        line = self._values[found][0] + 1 + row
        text = self._lines[line] if line < len(self._lines) else ""
        return self._where((line, len(text) - len(text.lstrip())))

    def add(self, place: tuple[int, int], what: str, path: str = "") -> None:
        self.problems.append(Problem(self._where(place), path, what))

    def _where(self, place: tuple[int, int]) -> Where:
        return Where(self.file, place[0] + 1, place[1] + 1)


def parse(content: bytes, file: str) -> Document:
    """Never raises: what is wrong with the text is in the document's problems. `file` names it in places."""
    document = Document(file)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", "replace")
        document.add(_place(before), f"byte 0x{content[error.start]:02x} is not UTF-8 — save the file as UTF-8")
        return document
    if unprintable := _UNPRINTABLE.search(text):
        what = f"character U+{ord(unprintable[0]):04X} is not allowed in YAML"
        document.add(_place(text[: unprintable.start()]), what)
        return document
    document._lines = text.splitlines()
    try:
        if _may_be_deep(text) and _is_deep(text):
            document.add((0, 0), f"nested more than {_DEPTH} levels deep")
            return document
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line, mark.column) if mark else (0, 0)
        document.add(place, _explain(error, document._lines, place))
        return document
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:
        document.add((0, 0), f"not YAML: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
        return document
    if root is not None:
        try:
            document.data = _Walk(document).value(root, ())
        except _TooMuch as error:
            document.add(error.place, str(error))
    return document


class _TooMuch(Exception):
    def __init__(self, node: yaml.Node, what: str) -> None:
        super().__init__(what)
        self.place = _start(node)


class _Pair(NamedTuple):
    key: yaml.ScalarNode
    value: yaml.Node


class _Walk:
    """One walk over the nodes: builds the data, notes the places, and finds what YAML itself lets pass."""

    __slots__ = ("_document", "_open", "_visited")

    def __init__(self, document: Document) -> None:
        self._document = document
        self._open: list[yaml.Node] = []
        self._visited = 0

    def value(self, node: yaml.Node, path: Path) -> Any:
        self._visited += 1
        if self._visited > _NODES:
            raise _TooMuch(node, f"more than {_NODES} values, counting each use of an alias")
        document = self._document
        document._values[path] = _start(node)
        if node.tag not in _TAGS:
            document.add(_start(node), f'the tag "{node.tag.replace(_TAG, "!!")}" has no meaning here — leave it out')
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if node in self._open:
            raise _TooMuch(node, "this value contains itself through an alias")
        if len(self._open) >= _DEPTH:
            raise _TooMuch(node, f"nested more than {_DEPTH} levels deep")
        self._open.append(node)
        data: Any
        if isinstance(node, yaml.MappingNode):
            data = {}
            for key, value in self._pairs(node):
                document._keys[(*path, key.value)] = _start(key)
                data[key.value] = self.value(value, (*path, key.value))
        else:
            data = [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        self._open.pop()
        return data

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> str | None:
        if node.tag == _TAG + "null" and not node.style and node.value in ("", "~", "null"):
            return None
        if node.style == "|":
            self._document._blocks.add(path)
        text: str = node.value
        if "\0" in text:
            self._document.add(_start(node), "a NUL character cannot be part of a text")
            text = text.replace("\0", "")
        return text

    def _pairs(self, node: yaml.MappingNode) -> list[_Pair]:
        """The mapping's own pairs, then those that `<<` brings along and that are not written here."""
        own: dict[str, _Pair] = {}
        merged: dict[str, _Pair] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._document.add(_start(key), "a key must be text, not a list or a mapping")
            elif key.tag == _TAG + "merge":
                for pair in self._merged(value):
                    merged.setdefault(pair.key.value, pair)
            elif first := own.get(key.value):
                line = first.key.start_mark.line + 1
                self._document.add(_start(key), f'"{key.value}" is written twice in one mapping, first in line {line}')
            elif not key.value:
                self._document.add(_start(key), "a key is missing before the colon")
            else:
                own[key.value] = _Pair(key, value)
        return [*own.values(), *(pair for name, pair in merged.items() if name not in own)]

    def _merged(self, value: yaml.Node) -> list[_Pair]:
        self._visited += 1
        if self._visited > _NODES or len(self._open) >= _DEPTH or value in self._open:
            raise _TooMuch(value, "<<: merges too much, or itself")
        self._open.append(value)
        pairs: list[_Pair] = []
        if isinstance(value, yaml.MappingNode):
            pairs = self._pairs(value)
            self._visited += len(pairs)
        elif isinstance(value, yaml.SequenceNode):
            pairs = [pair for item in value.value for pair in self._merged(item)]
        else:
            self._document.add(_start(value), "<<: merges a mapping or a list of mappings, such as *name")
        self._open.pop()
        return pairs


def _start(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line, node.start_mark.column


def _place(before: str) -> tuple[int, int]:
    return before.count("\n"), len(before) - before.rfind("\n") - 1


def _explain(error: yaml.MarkedYAMLError, lines: list[str], place: tuple[int, int]) -> str:
    said = f"{error.context or ''} {error.problem or ''}"
    rest = lines[place[0]][place[1] :] if place[0] < len(lines) else ""
    if rest.startswith("\t"):
        return "a tab cannot indent YAML — use spaces"
    if "cannot start any token" in said and rest:
        return f'a text cannot begin with "{rest[0]}" — quote it'
    for pattern, advice in _ADVICE:
        if re.search(pattern, said):
            return advice
    return f"not YAML: {error.problem or error.context}"


def _may_be_deep(text: str) -> bool:
    flow = text.count("[") + text.count("{")
    return flow + max(map(len, text.splitlines()), default=0) > _DEEP_AT_MOST


def _is_deep(text: str) -> bool:
    """Reads no further than that takes: each `[` costs as much as there are already."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEPTH:
                return True
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return False
