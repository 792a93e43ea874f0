"""Import circles between the files of a crate, and imports against its layers.

The rule: a file imports another when its code names an item that the other defines, in a `use` line or by a path (`crate::a::Item`,
`super::Item`, `module::function`). The item counts, not the modules that the path leads through: a re-export is followed to the file that
defines the item. `mod x;` alone is no import, nor is `pub use x::Item` unless the file's own code names `Item` too. A parent may import
what its child defines, and a child what its parent defines, but not both. Tests (`#[cfg(test)]`) may import what they like.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .rust import Module, Named, crate

# The modules of a crate from the first layer to the last: each imports from its own layer and from those before it.
LAYERS: dict[str, list[set[str]]] = {
    "src/lib.rs": [
        {"names", "error"},
        {"identity"},
        {"aws"},
        {"ports"},
        {"protocol"},
        {"billing"},
        {"connection", "delivery"},
        {"request"},
        {"decide"},
        {"handler"},
        {"actions", "sdk"},
    ],
}
# How many of the lines that make one import are shown.
SHOWN = 3


@dataclass(frozen=True)
class Import:
    line: int
    path: str


Graph = dict[Path, dict[Path, list[Import]]]


def root(module: Module) -> Module:
    return module if module.parent is None else root(module.parent)


def find(module: Module, name: str, wants_module: bool, seen: frozenset) -> Module | Path | None:
    """What a module means by a name: another module, the file that defines the item, or nothing that this crate has."""
    key = (id(module), name, wants_module)
    if key in seen:
        return None
    seen |= {key}
    if name in module.children and wants_module:
        return module.children[name]
    if name in module.items:
        return module.file
    for one in module.imports:
        if one.name == name and (found := resolve(module, one.path, wants_module, seen)):
            return found
    if name in module.children:
        return module.children[name]
    for one in module.imports:
        if one.name == "*":
            inside = resolve(module, one.path[:-1], True, seen)
            if isinstance(inside, Module) and (found := find(inside, name, wants_module, seen)):
                return found
    return None


def resolve(module: Module, path: tuple[str, ...], wants_module: bool = False, seen: frozenset = frozenset()) -> Module | Path | None:
    """What a path that stands in a module leads to."""
    here: Module | Path | None = module
    for at, segment in enumerate(path):
        if segment == "crate":
            here = root(module)
        elif segment == "super":
            here = here.parent
        elif segment != "self":
            inside, here = here, find(here, segment, wants_module or at + 1 < len(path), seen)
            if here is None and at > 0:
                return inside.file
        if not isinstance(here, Module):
            return here
    return here


def imported(module: Module) -> Iterator[tuple[Named, Path]]:
    """What a module names, with the file that defines it."""
    for one in module.imports:
        if one.name == "*":
            inside = resolve(module, one.path[:-1], True)
            if isinstance(inside, Module):
                for word, line in module.words.items():
                    if word not in module.items and isinstance(found := find(inside, word, False, frozenset()), Path):
                        yield Named((*one.path[:-1], word), line), found
        elif not one.is_reexport or one.name in module.words:
            if isinstance(found := resolve(module, one.path), Path):
                yield one, found
    for one in module.paths:
        if isinstance(found := resolve(module, one.path), Path):
            yield one, found


def graph(top: Module) -> Graph:
    edges: Graph = defaultdict(lambda: defaultdict(list))
    for module in top.all():
        for named, file in imported(module):
            if file != module.file:
                edges[module.file][file].append(Import(named.line, "::".join(named.path)))
    return edges


def reached(edges: Graph, start: Path) -> set[Path]:
    found, left = set(), [start]
    while left:
        for file in edges.get(left.pop(), {}):
            if file not in found:
                found.add(file)
                left.append(file)
    return found


def circles(edges: Graph) -> list[set[Path]]:
    """Files that import each other, each circle once."""
    reach = {file: reached(edges, file) for file in list(edges)}
    found: list[set[Path]] = []
    for file in sorted(reach):
        if file in reach[file] and not any(file in circle for circle in found):
            found.append({other for other in reach[file] if file in reach.get(other, ())})
    return found


def shown(edges: Graph, source: Path, target: Path, folder: Path) -> Iterator[str]:
    imports = sorted(edges[source][target], key=lambda one: one.line)
    yield f"  {source.relative_to(folder)} imports {target.relative_to(folder)}"
    yield from (f"    line {one.line}: {one.path}" for one in imports[:SHOWN])
    if len(imports) > SHOWN:
        yield f"    and {len(imports) - SHOWN} more"


def findings(first_file: Path, folder: Path) -> Iterator[str]:
    """What is wrong with the imports of the crate that begins with a file."""
    top = crate(first_file)
    edges = graph(top)
    for circle in circles(edges):
        yield f"{first_file.relative_to(folder)}: {len(circle)} files import each other"
        for source in sorted(circle):
            for target in sorted(circle & edges[source].keys()):
                yield from shown(edges, source, target, folder)
    if layers := LAYERS.get(str(first_file.relative_to(folder))):
        yield from against(layers, top, edges, folder)


def against(layers: list[set[str]], top: Module, edges: Graph, folder: Path) -> Iterator[str]:
    """Imports from a later layer, and modules that no layer names."""
    levels = {name: level for level, names in enumerate(layers) for name in names}
    level = {module.file: levels[name] for name, child in top.children.items() if name in levels for module in child.all()}
    for source in sorted(level):
        for target in sorted(edges.get(source, {})):
            if level.get(target, -1) > level[source]:
                yield "against the layers:"
                yield from shown(edges, source, target, folder)
    if missing := sorted(top.children.keys() - levels.keys()):
        yield f"{top.file.relative_to(folder)}: modules without a layer: {', '.join(missing)}"
