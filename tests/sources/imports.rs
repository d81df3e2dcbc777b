//! What a file says about other modules.
//!
//! An import is a path through the library, in a `use` or in any other place, inside
//! macros too. Modules under `#[cfg(test)]` are passed over.

use std::collections::BTreeSet;

use crate::tokens::Source;

/// The names from the crate's root to a module or an item; none for the root.
pub(crate) type Names = Vec<String>;

/// The module that a file holds: `src/a/b.rs` and `src/a/b/mod.rs` hold `a::b`.
pub(crate) fn module_of(path: &str) -> Names {
    let path =
        path.strip_prefix("src/").and_then(|path| path.strip_suffix(".rs")).expect("a path in src");
    let mut names: Names = path.split('/').map(String::from).collect();
    if matches!(names.last().map(String::as_str), Some("mod" | "lib")) {
        names.pop();
    }
    names
}

/// What a file says about modules.
#[derive(Default)]
pub(crate) struct Facts {
    /// Absolute paths through the library, each with its line.
    pub(crate) imports: Vec<(usize, Names)>,
    /// Lines that re-export.
    pub(crate) reexports: Vec<usize>,
    /// Modules of other files that are there for tests only.
    pub(crate) test_modules: Vec<Names>,
}

impl Facts {
    /// The facts of one file, when `modules` are those of all files.
    pub(crate) fn of(source: &Source, modules: &BTreeSet<Names>) -> Self {
        let tokens: Vec<_> = source.tokens.iter().map(String::as_str).collect();
        let end = tokens.len();
        let mut reader = Reader { tokens, lines: &source.lines, modules, facts: Self::default() };
        reader.items(0, end, &module_of(&source.path));
        reader.facts
    }
}

/// Reads the facts off a file's tokens.
struct Reader<'a> {
    tokens: Vec<&'a str>,
    lines: &'a [usize],
    modules: &'a BTreeSet<Names>,
    facts: Facts,
}

impl Reader<'_> {
    /// Reads from `at` to `end`, which lies in the module `here`.
    fn items(&mut self, mut at: usize, end: usize, here: &[String]) {
        while at < end {
            at = match self.tokens[at..end] {
                ["#", "[", "cfg", "(", "test", ")", "]", ..]
                | ["#", "[", "cfg", "(", "all", "(", "test", ",", ..] => self.test_item(at, here),
                ["mod", name, "{", ..] => {
                    let close = self.past_brackets(at + 2);
                    self.items(at + 3, close - 1, &joined(here, name));
                    close
                }
                ["pub", ..] => {
                    let after = self.past_visibility(at);
                    if self.tokens.get(after) == Some(&"use") {
                        self.facts.reexports.push(self.lines[at]);
                    }
                    after
                }
                ["crate", "::", ..] => self.path(at + 2, Names::new()),
                ["self", "::", ..] => self.path(at + 2, here.to_vec()),
                ["super", "::", ..] => self.path(at, here.to_vec()),
                // A child of this module, as its parent names it.
                [name, "::", ..]
                    if !self.follows_a_path(at) && self.modules.contains(&joined(here, name)) =>
                {
                    self.path(at, here.to_vec())
                }
                _ => at + 1,
            };
        }
    }

    /// Passes a test module, or only the attribute if it belongs to another item.
    fn test_item(&mut self, at: usize, here: &[String]) -> usize {
        let after_attribute = self.past_brackets(at + 1);
        let mut item = after_attribute;
        while let ["#", "[", ..] = self.tokens[item..] {
            item = self.past_brackets(item + 1);
        }
        item = self.past_visibility(item);
        match self.tokens[item..] {
            ["mod", _, "{", ..] => self.past_brackets(item + 2),
            ["mod", name, ";", ..] => {
                self.facts.test_modules.push(joined(here, name));
                item + 3
            }
            _ => after_attribute,
        }
    }

    /// Reads the rest of a path, or of a tree of paths, below `base`.
    fn path(&mut self, mut at: usize, mut base: Names) -> usize {
        let line = self.lines[at];
        loop {
            match self.tokens[at] {
                "super" => drop(base.pop()),
                "self" => {}
                "{" => {
                    let end = self.past_brackets(at);
                    at += 1;
                    while at < end - 1 {
                        at = self.path(at, base.clone());
                        // A name behind `as` is none of the library's.
                        while at < end - 1 && self.tokens[at] != "," {
                            at += 1;
                        }
                        at += 1;
                    }
                    return end;
                }
                name if name.starts_with(|c: char| c.is_alphabetic() || c == '_') => {
                    base.push(name.into());
                }
                // Everything in `base`, or generic arguments of it.
                _ => break,
            }
            at += 1;
            match self.tokens.get(at) {
                Some(&"::") => at += 1,
                _ => break,
            }
        }
        self.facts.imports.push((line, base));
        at
    }

    fn past_visibility(&self, at: usize) -> usize {
        match self.tokens[at..] {
            ["pub", "(", ..] => self.past_brackets(at + 1),
            ["pub", ..] => at + 1,
            _ => at,
        }
    }

    /// The place behind the bracket that closes the one at `open`.
    fn past_brackets(&self, open: usize) -> usize {
        let mut depth = 0;
        for (at, token) in self.tokens.iter().enumerate().skip(open) {
            match *token {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return at + 1;
            }
        }
        unreachable!("the lexer pairs brackets");
    }

    fn follows_a_path(&self, at: usize) -> bool {
        at > 0 && self.tokens[at - 1] == "::"
    }
}

pub(crate) fn joined(module: &[String], name: &str) -> Names {
    let mut names = module.to_vec();
    names.push(name.into());
    names
}

/// As it is written in code.
pub(crate) fn shown(names: &[String]) -> String {
    let names = names.iter().map(String::as_str);
    ["crate"].into_iter().chain(names).collect::<Vec<_>>().join("::")
}
