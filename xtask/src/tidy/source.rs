//! One Rust file as the rules see it: its lines, its functions and its words, tests told apart.
//! Decides nothing about what is allowed.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::Finding;
use super::tree::Tree;

/// A parsed Rust file.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
    /// Lines before the first `#[cfg(test)] mod`; 0 for a file that is a test altogether.
    pub(crate) lines: usize,
    /// All other lines.
    pub(crate) test_lines: usize,
    /// Functions outside tests.
    pub(crate) functions: Vec<Function>,
    /// Identifiers, punctuation and brackets outside tests, in order.
    pub(crate) words: Vec<Word>,
    /// Identifiers inside tests.
    pub(crate) test_words: Vec<Word>,
    /// Lines that start inside a literal: their indentation is content.
    pub(crate) literal_lines: BTreeSet<usize>,
}

/// A function with a body; lines count from 1, both ends included.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) first: usize,
    pub(crate) last: usize,
    /// Arguments, `self` left out.
    pub(crate) arguments: usize,
}

impl Function {
    pub(crate) fn lines(&self) -> usize {
        self.last - self.first + 1
    }
}

/// One token's text and line.
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) line: usize,
}

impl Source {
    /// Whether the whole file serves tests.
    pub(crate) fn is_test(&self) -> bool {
        self.lines == 0
    }

    /// Lines of every place outside tests where these words follow each other.
    pub(crate) fn lines_with<'a>(&'a self, pattern: &'a [&'a str]) -> impl Iterator<Item = usize> + 'a {
        sequences(&self.words, pattern)
    }

    /// The same, within tests.
    pub(crate) fn test_lines_with<'a>(&'a self, pattern: &'a [&'a str]) -> impl Iterator<Item = usize> + 'a {
        sequences(&self.test_words, pattern)
    }
}

fn sequences<'a>(words: &'a [Word], pattern: &'a [&'a str]) -> impl Iterator<Item = usize> + 'a {
    let fits = move |window: &&[Word]| window.iter().zip(pattern).all(|(word, wanted)| word.text == *wanted);
    words.windows(pattern.len()).filter(fits).map(|window| window[0].line)
}

/// Parses every Rust file of the tree; one that does not parse is a finding.
pub(crate) fn parse_all(tree: &Tree) -> (Vec<Source>, Vec<Finding>) {
    let mut sources = Vec::new();
    let mut findings = Vec::new();
    let mut test_files = BTreeSet::new();
    let mut parsed = Vec::new();
    for (path, text) in tree.ending(".rs") {
        match syn::parse_file(text) {
            Ok(file) => {
                test_files.extend(test_modules_elsewhere(path, &file));
                parsed.push((path, text, file));
            }
            Err(error) => {
                let advice = format!("does not parse: {error}");
                findings.push(Finding::new(path, error.span().start().line, "syntax", advice));
            }
        }
    }
    for (path, text, file) in parsed {
        let whole = path.contains("/tests/") || test_files.contains(path);
        sources.push(measure(path, text, &file, whole));
    }
    (sources, findings)
}

/// Measures one parsed file; `whole` says that all of it serves tests.
pub(crate) fn measure(path: &str, text: &str, file: &syn::File, whole: bool) -> Source {
    let mut survey = Survey::default();
    survey.visit_file(file);
    let total = text.lines().count();
    let lines = if whole { 0 } else { survey.first_test_module.map_or(total, |line| line - 1) };
    let in_test = |line: usize| whole || survey.tests.iter().any(|(from, to)| (*from..=*to).contains(&line));
    let mut reader = Reader::default();
    reader.read(file.to_token_stream());
    let (test_words, words) = reader.words.into_iter().partition(|word| in_test(word.line));
    survey.functions.retain(|function| !in_test(function.first));
    Source {
        path: path.to_owned(),
        text: text.to_owned(),
        lines,
        test_lines: total - lines,
        functions: survey.functions,
        words,
        test_words,
        literal_lines: reader.literal_lines,
    }
}

/// Files that `#[cfg(test)] mod name;` points to, with or without `#[path]`.
fn test_modules_elsewhere(path: &str, file: &syn::File) -> Vec<String> {
    let (here, name) = path.rsplit_once('/').unwrap_or(("", path));
    let below = match name {
        "mod.rs" | "lib.rs" | "main.rs" => here,
        _ => path.trim_end_matches(".rs"),
    };
    let modules = file.items.iter().filter_map(|item| match item {
        syn::Item::Mod(module) if module.content.is_none() && is_test(&module.attrs) => Some(module),
        _ => None,
    });
    let places = |module: &syn::ItemMod| match path_attribute(&module.attrs) {
        Some(said) => vec![format!("{here}/{said}")],
        None => vec![format!("{below}/{}.rs", module.ident), format!("{below}/{}/mod.rs", module.ident)],
    };
    modules.flat_map(places).collect()
}

fn path_attribute(attributes: &[syn::Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| match &attribute.meta {
        syn::Meta::NameValue(said) if said.path.is_ident("path") => {
            Some(said.value.to_token_stream().to_string().trim_matches('"').to_owned())
        }
        _ => None,
    })
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::Path(path) => path.segments.last().is_some_and(|segment| segment.ident == "test"),
        syn::Meta::List(list) if list.path.is_ident("cfg") => list.tokens.to_string() == "test",
        syn::Meta::List(list) => list.path.segments.last().is_some_and(|segment| segment.ident == "test"),
        syn::Meta::NameValue(_) => false,
    })
}

/// What a walk over the syntax tree collects.
#[derive(Default)]
struct Survey {
    functions: Vec<Function>,
    tests: Vec<(usize, usize)>,
    first_test_module: Option<usize>,
}

impl Survey {
    fn add(&mut self, attributes: &[syn::Attribute], signature: &syn::Signature, body: &syn::Block) {
        let (first, last) = (signature.span().start().line, body.span().end().line);
        if is_test(attributes) {
            self.tests.push((first, last));
        }
        let typed = signature.inputs.iter().filter(|input| matches!(input, syn::FnArg::Typed(_)));
        let arguments = typed.count();
        self.functions.push(Function { name: signature.ident.to_string(), first, last, arguments });
    }
}

impl<'ast> Visit<'ast> for Survey {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add(&item.attrs, &item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add(&item.attrs, &item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.add(&item.attrs, &item.sig, body);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let (first, last) = (item.span().start().line, item.span().end().line);
        if is_test(&item.attrs) && item.content.is_some() {
            self.tests.push((first, last));
            self.first_test_module.get_or_insert(first);
        }
        visit::visit_item_mod(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if is_test(&item.attrs) {
            self.tests.push((item.span().start().line, item.span().end().line));
        }
        visit::visit_item_impl(self, item);
    }
}

/// Flattens a token stream into words.
#[derive(Default)]
struct Reader {
    words: Vec<Word>,
    literal_lines: BTreeSet<usize>,
}

impl Reader {
    fn read(&mut self, stream: TokenStream) {
        for token in stream {
            let span = token.span();
            let (from, to) = (span.start().line, span.end().line);
            match token {
                TokenTree::Group(group) => {
                    let (open, close) = brackets(group.delimiter());
                    self.push(open, from);
                    self.read(group.stream());
                    self.push(close, to);
                }
                TokenTree::Literal(_) => self.literal_lines.extend(from + 1..=to),
                TokenTree::Ident(ident) => self.push(&ident.to_string(), from),
                TokenTree::Punct(punct) => self.push(&punct.to_string(), from),
            }
        }
    }

    fn push(&mut self, text: &str, line: usize) {
        self.words.push(Word { text: text.to_owned(), line });
    }
}

fn brackets(delimiter: Delimiter) -> (&'static str, &'static str) {
    match delimiter {
        Delimiter::Parenthesis => ("(", ")"),
        Delimiter::Brace => ("{", "}"),
        Delimiter::Bracket => ("[", "]"),
        Delimiter::None => ("", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "//! Head.\nfn plain(&self, a: u8, b: u8) {\n    a.unwrap();\n}\n\n\
        #[test]\nfn alone() {\n    x.unwrap();\n}\n\n#[cfg(test)]\nmod tests {\n    fn inner() {\n        y.unwrap();\n    }\n}\n";

    fn example() -> Source {
        let text = EXAMPLE.replace("&self, ", "");
        let file = syn::parse_file(&text).expect("the example is Rust");
        measure("a.rs", &text, &file, false)
    }

    #[test]
    fn tests_are_told_apart_from_source() {
        let source = example();
        let pattern = [".", "unwrap", "(", ")"];
        assert_eq!(source.lines_with(&pattern).collect::<Vec<_>>(), [3]);
        assert_eq!(source.test_lines_with(&pattern).collect::<Vec<_>>(), [8, 14]);
        assert_eq!((source.lines, source.test_lines), (10, 6));
    }

    #[test]
    fn functions_are_measured_without_their_attributes() {
        let source = example();
        let [function] = source.functions.as_slice() else { panic!("one function outside tests") };
        assert_eq!((function.name.as_str(), function.lines(), function.arguments), ("plain", 3, 2));
    }

    #[test]
    fn a_test_module_in_a_file_of_its_own_is_a_test() {
        let parent = "//! A.\n#[cfg(test)]\n#[path = \"a_tests.rs\"]\nmod tests;\n#[cfg(test)]\nmod world;\n";
        let files = [("src/a.rs", parent), ("src/a_tests.rs", "//! B.\n"), ("src/a/world.rs", "//! C.\n")];
        let (sources, findings) = parse_all(&Tree::of(&files));
        let tests: Vec<&str> =
            sources.iter().filter(|source| source.is_test()).map(|source| &*source.path).collect();
        assert_eq!((tests, findings), (vec!["src/a/world.rs", "src/a_tests.rs"], vec![]));
    }

    #[test]
    fn words_in_strings_and_comments_do_not_count() {
        let text = "//! Head.\n// x.unwrap()\nconst A: &str = \"x.unwrap()\";\n";
        let file = syn::parse_file(text).expect("the example is Rust");
        let source = measure("a.rs", text, &file, false);
        assert_eq!(source.lines_with(&[".", "unwrap"]).count(), 0);
    }
}
