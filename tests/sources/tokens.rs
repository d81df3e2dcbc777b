//! A source file as tokens.
//!
//! Comments are no tokens, and the text of a string is one token that keeps its
//! quotes: neither can be taken for code.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// The tokens of one file.
pub(crate) struct Source {
    pub(crate) path: String,
    /// Words, literals, brackets and marks, in order. `::` is one token.
    pub(crate) tokens: Vec<String>,
    /// The line of each token, counted from 1.
    pub(crate) lines: Vec<usize>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let stream = text.parse().unwrap_or_else(|error| panic!("{path} is no Rust: {error}"));
        let mut source = Self { path: path.into(), tokens: Vec::new(), lines: Vec::new() };
        source.flatten(stream);
        source
    }

    fn flatten(&mut self, stream: TokenStream) {
        let mut stream = stream.into_iter().peekable();
        while let Some(tree) = stream.next() {
            let line = tree.span().start().line;
            match tree {
                TokenTree::Group(group) => {
                    let (open, close) = match group.delimiter() {
                        Delimiter::Parenthesis => ("(", ")"),
                        Delimiter::Brace => ("{", "}"),
                        Delimiter::Bracket => ("[", "]"),
                        Delimiter::None => ("", ""),
                    };
                    self.push(line, open);
                    self.flatten(group.stream());
                    self.push(group.span_close().start().line, close);
                }
                TokenTree::Punct(mark)
                    if mark.as_char() == ':' && mark.spacing() == Spacing::Joint =>
                {
                    let colon = |next: &TokenTree| matches!(next, TokenTree::Punct(p) if p.as_char() == ':');
                    let double = stream.next_if(colon).is_some();
                    self.push(line, if double { "::" } else { ":" });
                }
                other => self.push(line, &other.to_string()),
            }
        }
    }

    fn push(&mut self, line: usize, token: &str) {
        self.tokens.push(token.into());
        self.lines.push(line);
    }
}
