"""The checker finds each kind of import and no others, on crates of a few lines."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path
from unittest.mock import patch

from . import circles, rust

# What makes `b` import `a`; each case adds one way for `a` to import `b`.
B_IMPORTS_A = {"lib.rs": "mod a; mod b;", "b.rs": "use crate::a::A; pub struct B; pub fn f(_: A) {} macro_rules! m { () => {} }"}

# What counts as an import of `b`, as the text of `a.rs`.
IMPORTS = {
    "a use line": "use crate::b::B; pub struct A;",
    "a tree of names": "use super::{b::{self, f}, b::B as Other}; pub struct A;",
    "a path in a body": "pub struct A; fn g() { super::b::f(A) }",
    "a path in a macro's arguments": "pub struct A; fn g() { println!(\"{:?}\", crate::b::f(A)) }",
    "a module that is imported, then a path": "use crate::b; pub struct A; fn g() { b::f(A) }",
    "a use line in a body": "pub struct A; fn g() { use crate::b::f; f(A) }",
    "a glob": "use crate::b::*; pub struct A; fn g() { f(A) }",
    "a re-export that the file itself uses": "pub use crate::b::B; pub struct A(B);",
    "an attribute's item": "#[derive(Debug)] #[cfg(feature = \"x\")] pub struct A(crate::b::B);",
    "an inline module": "pub struct A; mod inner { use crate::b::B; }",
    "after text that looks like an end": "pub struct A; const S: &str = r#\"}\" {\"#; const C: char = '}'; fn g<'a>(_: &'a crate::b::B) {}",
}

# What does not.
NO_IMPORTS = {
    "a module alone": "use crate::b; pub struct A;",
    "a re-export alone": "pub use crate::b::B; pub struct A;",
    "a comment": "//! crate::b::f\npub struct A; // use crate::b::B;\n/* use crate::b::B; */",
    "a text": "pub struct A; fn g() { println!(\"crate::b::f {}\", '\\'') }",
    "a test": "pub struct A; #[cfg(test)] mod tests { use crate::b::B; } #[cfg(test)] fn g() { crate::b::f(A) }",
    "another crate's item of that name": "use std::b::B; pub struct A;",
    "a method of that name": "pub struct A; fn g(a: A) { a.b::<A>() }",
}

# Whole crates, and the files of their circle.
CRATES = {
    "a re-export is followed to what it exports": (
        {
            "lib.rs": "mod p; mod q;",
            "p.rs": "mod c; pub use c::C; fn f() { crate::q::g() }",
            "p/c.rs": "pub struct C;",
            "q.rs": "use crate::p::C; pub fn g() {}",
        },
        set(),
    ),
    "a chain of re-exports and a new name": (
        {
            "lib.rs": "pub mod p; mod q; pub use p::Other;",
            "p.rs": "mod c; pub use c::C as Other;",
            "p/c.rs": "use crate::q::g; pub struct C;",
            "q.rs": "use crate::Other; pub fn g() {}",
        },
        {"p/c.rs", "q.rs"},
    ),
    "a parent and its child": (
        {"lib.rs": "mod p;", "p.rs": "mod c; pub struct P; fn f() { c::g() }", "p/c.rs": "use super::P; pub fn g() {}"},
        {"p.rs", "p/c.rs"},
    ),
    "a child alone imports": ({"lib.rs": "mod p;", "p.rs": "mod c; pub struct P;", "p/c.rs": "use super::P; pub fn g() {}"}, set()),
    "a function and a module of one name": (
        {
            "lib.rs": "mod p; mod q;",
            "p/mod.rs": "mod c; pub use c::c;",
            "p/c.rs": "pub fn c() { crate::q::g() }",
            "q.rs": "pub fn g() { crate::p::c() }",
        },
        {"p/c.rs", "q.rs"},
    ),
    "three files": (
        {
            "lib.rs": "mod x; mod y; mod z;",
            "x.rs": "pub fn f() { crate::y::f() }",
            "y.rs": "pub fn f() { crate::z::f() }",
            "z.rs": "pub fn f() { crate::x::f() }",
        },
        {"x.rs", "y.rs", "z.rs"},
    ),
    "an item that a macro makes": (
        {"lib.rs": "mod x; mod y;", "x.rs": "made!(Made); pub fn f() { crate::y::f() }", "y.rs": "use crate::x::Made; pub fn f() {}"},
        {"x.rs", "y.rs"},
    ),
}


class Circles(unittest.TestCase):
    def crate(self, files: dict[str, str]) -> Path:
        """A crate of these files; its first one."""
        folder = Path(self.enterContext(tempfile.TemporaryDirectory())).resolve()
        for name, text in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        return folder / "lib.rs"

    def circles(self, files: dict[str, str]) -> list[set[str]]:
        first = self.crate(files)
        found = circles.circles(circles.graph(rust.crate(first)))
        return [{str(file.relative_to(first.parent)) for file in circle} for circle in found]

    def test_every_kind_of_import_closes_a_circle(self) -> None:
        for what, text in IMPORTS.items():
            with self.subTest(what):
                self.assertEqual(self.circles(B_IMPORTS_A | {"a.rs": text}), [{"a.rs", "b.rs"}])

    def test_nothing_else_does(self) -> None:
        for what, text in NO_IMPORTS.items():
            with self.subTest(what):
                self.assertEqual(self.circles(B_IMPORTS_A | {"a.rs": text}), [])

    def test_circles_of_whole_crates(self) -> None:
        for what, (files, expected) in CRATES.items():
            with self.subTest(what):
                self.assertEqual(self.circles(files), [expected] if expected else [])

    def test_an_import_from_a_later_layer_and_a_module_without_a_layer_are_reported(self) -> None:
        files = {"x.rs": "fn f() {\n    crate::y::g()\n}", "y.rs": "pub fn g() {}", "z.rs": "use crate::y::g;"}
        first = self.crate({"lib.rs": "mod x; mod y; mod z;"} | files)
        with patch.dict(circles.LAYERS, {"lib.rs": [{"x"}, {"y"}]}):
            found = list(circles.findings(first, first.parent))
        against = ["against the layers:", "  x.rs imports y.rs", "    line 2: crate::y::g"]
        self.assertEqual(found, [*against, "lib.rs: modules without a layer: z"])

    def test_lines_of_tests_are_counted_apart(self) -> None:
        first = self.crate({"lib.rs": "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    fn g() {}\n}\n"})
        self.assertEqual(rust.crate(first).test_lines, 4)


if __name__ == "__main__":
    unittest.main()
