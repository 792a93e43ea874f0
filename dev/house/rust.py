"""Reads the modules of a crate from its source files: what each defines, what it imports, and which paths it names.

Only what the product is built from counts: items under `#[cfg(test)]` are left out. Items that a macro makes are not seen; a path to one
is taken to lead to the file of the module that it names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

TOKEN = re.compile(
    r"""(?P<skip> \s+ | //[^\n]* | /\*.*?\*/ )
      | (?P<literal> [bc]?r(?P<hashes>\#*)".*?"(?P=hashes) | [bc]?"(?:\\.|[^"\\])*" | b?'(?:\\.[^']*|[^'\\])' | '\w+ | \d\w* )
      | (?P<word> (?:r\#)?[A-Za-z_]\w* )
      | (?P<mark> :: | . )""",
    re.VERBOSE | re.DOTALL,
)
OPENING, CLOSING = set("([{"), set(")]}")
# What defines a name; the others of these end with a semicolon even if braces come before it.
DEFINES = {"struct", "enum", "union", "trait", "type", "const", "static", "fn", "macro_rules"}
UNTIL_SEMICOLON = {"use", "type", "const", "static", "extern"}
MODIFIERS = {"const", "async", "unsafe", "extern"}


@dataclass(frozen=True)
class Token:
    text: str
    line: int
    is_word: bool


@dataclass(frozen=True)
class Named:
    """A path of an import or of an expression, and the name that an import binds; `*` binds all."""

    path: tuple[str, ...]
    line: int
    name: str = ""
    is_reexport: bool = False


@dataclass
class Module:
    file: Path
    parent: Module | None = None
    children: dict[str, Module] = field(default_factory=dict)
    items: set[str] = field(default_factory=set)
    imports: list[Named] = field(default_factory=list)
    paths: list[Named] = field(default_factory=list)
    words: dict[str, int] = field(default_factory=dict)
    test_lines: int = 0

    def all(self) -> Iterator[Module]:
        yield self
        for child in self.children.values():
            yield from child.all()


def tokens(text: str) -> list[Token]:
    found, line = [], 1
    for match in TOKEN.finditer(text):
        if match.lastgroup in ("word", "mark"):
            found.append(Token(match[0].removeprefix("r#"), line, match.lastgroup == "word"))
        elif match["literal"]:
            found.append(Token("", line, False))
        line += match[0].count("\n")
    return found


def closing(code: list[Token], at: int) -> int:
    """The index of what closes the bracket at `at`."""
    depth = 0
    for index in range(at, len(code)):
        depth += (code[index].text in OPENING) - (code[index].text in CLOSING)
        if depth == 0:
            return index
    raise ValueError(f"line {code[at].line}: `{code[at].text}` is not closed")


def item_end(code: list[Token], at: int, until_semicolon: bool) -> int:
    """The index after the item that begins at `at`."""
    while at < len(code):
        text = code[at].text
        if text == ";":
            return at + 1
        if text in OPENING:
            at = closing(code, at)
            if text == "{" and not until_semicolon:
                return at + 1
        at += 1
    return at


def use_tree(code: list[Token], at: int, prefix: tuple[str, ...], is_reexport: bool) -> tuple[list[Named], int]:
    """The names that the tree at `at` binds, and the index after it."""
    path, found, line = list(prefix), [], code[at].line
    while at < len(code):
        token = code[at]
        if token.text == "{":
            end = closing(code, at)
            at += 1
            while at < end:
                more, at = use_tree(code[:end], at, tuple(path), is_reexport)
                found += more
                at += 1
            return found, end + 1
        if token.text in {",", ";"}:
            break
        if token.text == "as":
            return [Named(tuple(path), line, code[at + 1].text, is_reexport)], at + 2
        if token.is_word or token.text == "*":
            path.append(token.text)
        at += 1
    if path[-1] == "self":
        path.pop()
    return [Named(tuple(path), line, path[-1], is_reexport)], at


def collect(code: list[Token], module: Module) -> None:
    """The paths and words of an item, and the imports that stand in its body."""
    at = 0
    while at < len(code):
        token = code[at]
        before = code[at - 1].text if at else "{"
        if token.text == "use" and before in {"{", "}", ";"} and at:
            found, at = use_tree(code, at + 1, (), False)
            module.imports += found
        elif token.is_word and before != ".":
            path = [token.text]
            while at + 2 < len(code) and code[at + 1].text == "::" and code[at + 2].is_word:
                at += 2
                path.append(code[at].text)
            if len(path) > 1:
                module.paths.append(Named(tuple(path), token.line))
            module.words.setdefault(path[0], token.line)
            at += 1
        else:
            at += 1


def read_items(code: list[Token], module: Module, folder: Path) -> None:
    at = 0
    while at < len(code):
        start, attributes = at, []
        while code[at].text == "#":
            bracket = at + (2 if code[at + 1].text == "!" else 1)
            end = closing(code, bracket)
            attributes.append(code[bracket + 1 : end])
            at = end + 1
            if at == len(code):
                return
        is_reexport = code[at].text == "pub"
        if is_reexport:
            at += 1
            at = closing(code, at) + 1 if code[at].text == "(" else at
        kind = code[at].text
        while kind in MODIFIERS and code[at + 1].text in MODIFIERS | {"fn", "", "trait", "impl"}:
            at += 1
            kind = code[at].text or kind
        end = item_end(code, at, kind in UNTIL_SEMICOLON)
        is_test = any([token.text for token in one[:4]] == ["cfg", "(", "test", ")"] for one in attributes)
        if is_test:
            module.test_lines += code[end - 1].line - code[start].line + 1
        elif kind == "use":
            found, _ = use_tree(code, at + 1, (), is_reexport)
            module.imports += found
        elif kind == "mod":
            read_module(code[at:end], module, folder)
        else:
            if kind in DEFINES:
                named = at + (2 if kind == "macro_rules" else 1)
                module.items.add(code[named + (code[named].text == "mut")].text)
            collect(code[start:end], module)
        at = end


def read_module(code: list[Token], parent: Module, folder: Path) -> None:
    """`mod name;` or `mod name { … }`."""
    name = code[1].text
    if code[2].text == "{":
        child = parent.children[name] = Module(parent.file, parent)
        read_items(code[3:-1], child, folder / name)
        return
    file = next(path for path in (folder / f"{name}.rs", folder / name / "mod.rs") if path.exists())
    child = parent.children[name] = Module(file, parent)
    read_items(tokens(file.read_text()), child, folder / name)


def crate(root: Path) -> Module:
    """The modules of the crate whose first file is `root`."""
    module = Module(root)
    read_items(tokens(root.read_text()), module, root.parent)
    return module
