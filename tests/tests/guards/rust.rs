//! A reader of Rust sources for the guards: crates, modules, what a module defines, imports and names.
//! Code behind `#[cfg(test)]` is left out. The reader resolves nothing: `imports` does.
//!
//! The sources are parsed by `syn`. Rejected: lines and regular expressions, which a line break inside
//! a `use`, a nested group or a name in a macro deceives.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, Item, ItemMod, ItemUse, Macro, UseTree, visit::Visit};

/// The modules of one crate by their path; the root's path is empty.
pub(crate) type Crate = BTreeMap<Vec<String>, Module>;

/// One module, in a file of its own or inside one.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// The file that holds it.
    pub(crate) file: PathBuf,
    /// The names that it defines, modules aside.
    pub(crate) items: BTreeSet<String>,
    /// The structs, enums, traits and type aliases among them.
    pub(crate) types: Vec<String>,
    /// The modules that it declares.
    pub(crate) children: BTreeSet<String>,
    /// Its `use` declarations.
    pub(crate) uses: Vec<Use>,
    /// Every path of two or more names in its code.
    pub(crate) paths: Vec<Vec<String>>,
    /// Its documentation comments and the lines where they begin.
    pub(crate) docs: Vec<(usize, String)>,
}

/// One name that a `use` declaration brings.
#[derive(Debug)]
pub(crate) struct Use {
    /// The name in this module; `None` brings all names, as `*` does.
    pub(crate) name: Option<String>,
    /// The path as written.
    pub(crate) path: Vec<String>,
    /// `pub use`: the name is passed on.
    pub(crate) public: bool,
}

/// Reads the crate whose root is this file; `text` gives the content of a file, or `None` where none is.
pub(crate) fn read(root: &Path, text: &dyn Fn(&Path) -> Option<String>) -> Crate {
    let mut found = Crate::new();
    file(root, root.parent().unwrap_or(Path::new("")), Vec::new(), text, &mut found);
    found
}

/// Reads one file and the files of the modules that it declares in `folder`.
fn file(
    path: &Path,
    folder: &Path,
    module: Vec<String>,
    text: &dyn Fn(&Path) -> Option<String>,
    found: &mut Crate,
) {
    let content = text(path).unwrap_or_else(|| panic!("{} is declared and does not exist", path.display()));
    let parsed = syn::parse_file(&content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut reader = Reader::new(path);
    reader.visit_file(&parsed);
    let Reader { module: read, inline, declared, .. } = reader;
    for (name, inner) in inline {
        found.insert(below(&module, &name), inner);
    }
    for (inside, name, written) in declared {
        let home = inside.iter().fold(folder.to_owned(), |home, part| home.join(part));
        let owner = module.iter().chain(&inside).cloned().collect::<Vec<_>>();
        let (path, folder) = match written {
            Some(written) => {
                let path = path.parent().unwrap_or(Path::new("")).join(written);
                let folder = path.parent().unwrap_or(Path::new("")).to_owned();
                (path, folder)
            }
            None => {
                let beside = home.join(format!("{name}.rs"));
                let path = if text(&beside).is_some() { beside } else { home.join(&name).join("mod.rs") };
                (path, home.join(&name))
            }
        };
        file(&path, &folder, below(&owner, std::slice::from_ref(&name)), text, found);
    }
    found.insert(module, read);
}

fn below(module: &[String], more: &[String]) -> Vec<String> {
    module.iter().chain(more).cloned().collect()
}

/// A declared module: the inline modules around it, its name, and its `#[path]`.
type Declared = (Vec<String>, String, Option<String>);

/// Collects from one file.
#[derive(Default)]
struct Reader {
    module: Module,
    /// The inline module that is being read, from the file's own.
    inside: Vec<String>,
    inline: BTreeMap<Vec<String>, Module>,
    declared: Vec<Declared>,
    /// The line of the last documentation comment, and whether it was a `//!`: many lines are many attributes.
    last_doc: (usize, bool),
}

impl Reader {
    fn new(path: &Path) -> Self {
        let module = Module { file: path.to_owned(), ..Module::default() };
        Self { module, ..Self::default() }
    }

    fn current(&mut self) -> &mut Module {
        match self.inline.get_mut(&self.inside) {
            Some(module) => module,
            None => &mut self.module,
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if attributes(item).iter().any(for_tests) {
            return;
        }
        let (name, is_type) = match item {
            Item::Struct(item) => (Some(&item.ident), true),
            Item::Enum(item) => (Some(&item.ident), true),
            Item::Union(item) => (Some(&item.ident), true),
            Item::Trait(item) => (Some(&item.ident), true),
            Item::Type(item) => (Some(&item.ident), true),
            Item::Const(item) => (Some(&item.ident), false),
            Item::Static(item) => (Some(&item.ident), false),
            Item::Fn(item) => (Some(&item.sig.ident), false),
            Item::Macro(item) => (item.ident.as_ref(), false),
            _ => (None, false),
        };
        if let Some(name) = name {
            let name = name.to_string();
            if is_type {
                self.current().types.push(name.clone());
            }
            self.current().items.insert(name);
        }
        syn::visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        let name = item.ident.to_string();
        self.current().children.insert(name.clone());
        for attribute in &item.attrs {
            self.visit_attribute(attribute);
        }
        let Some((_, items)) = &item.content else {
            self.declared.push((self.inside.clone(), name, written_path(&item.attrs)));
            return;
        };
        let file = self.module.file.clone();
        self.inside.push(name);
        self.inline.insert(self.inside.clone(), Module { file, ..Module::default() });
        for item in items {
            self.visit_item(item);
        }
        self.inside.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        // `use ::name` leads out of the crate.
        if item.leading_colon.is_none() {
            let public = !matches!(item.vis, syn::Visibility::Inherited);
            let mut found = Vec::new();
            flatten(&item.tree, &mut Vec::new(), public, &mut found);
            self.current().uses.extend(found);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() && path.segments.len() > 1 {
            let names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.current().paths.push(names);
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        self.visit_path(&called.path);
        paths_of(called.tokens.clone(), &mut self.current().paths);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Some(line) = doc_line(attribute) {
            let at = attribute.pound_token.spans[0].start().line;
            let inner = matches!(attribute.style, syn::AttrStyle::Inner(_));
            let before = std::mem::replace(&mut self.last_doc, (at, inner));
            match self.current().docs.last_mut() {
                Some((_, text)) if before == (at - 1, inner) => {
                    text.push('\n');
                    text.push_str(&line);
                }
                _ => self.current().docs.push((at, line)),
            }
        }
    }

    /// `pub(in path)` imports nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Is this `#[cfg(test)]`, alone or with more conditions?
fn for_tests(attribute: &Attribute) -> bool {
    let syn::Meta::List(list) = &attribute.meta else { return false };
    let condition = list.tokens.to_string();
    list.path.is_ident("cfg") && (condition == "test" || condition.starts_with("all (test"))
}

fn written_path(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| text_of(attribute, "path"))
}

fn doc_line(attribute: &Attribute) -> Option<String> {
    text_of(attribute, "doc")
}

/// The string of `#[name = "…"]`.
fn text_of(attribute: &Attribute, name: &str) -> Option<String> {
    let syn::Meta::NameValue(pair) = &attribute.meta else { return None };
    match &pair.value {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) if pair.path.is_ident(name) => {
            Some(text.value())
        }
        _ => None,
    }
}

fn flatten(tree: &UseTree, before: &mut Vec<String>, public: bool, found: &mut Vec<Use>) {
    let with = |before: &[String], last: String| -> Vec<String> {
        // `a::{self}` is `a`.
        let own = if last == "self" && !before.is_empty() { None } else { Some(last) };
        before.iter().cloned().chain(own).collect()
    };
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, public, found);
            before.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|item| flatten(item, before, public, found)),
        UseTree::Glob(_) => found.push(Use { name: None, path: before.clone(), public }),
        UseTree::Name(name) => {
            let path = with(before, name.ident.to_string());
            found.push(Use { name: path.last().cloned(), path, public });
        }
        UseTree::Rename(rename) => {
            let path = with(before, rename.ident.to_string());
            found.push(Use { name: Some(rename.rename.to_string()), path, public });
        }
    }
}

/// The paths of two or more names among the tokens of a macro, which are not parsed as Rust.
fn paths_of(tokens: TokenStream, found: &mut Vec<Vec<String>>) {
    let mut path: Vec<String> = Vec::new();
    let mut colons = 0;
    for token in tokens {
        match token {
            TokenTree::Ident(name) if colons == 2 => path.push(name.to_string()),
            TokenTree::Ident(name) => {
                let done = std::mem::replace(&mut path, vec![name.to_string()]);
                found.extend(Some(done).filter(|done| done.len() > 1));
            }
            TokenTree::Punct(mark) if mark.as_char() == ':' => {
                colons += 1;
                continue;
            }
            TokenTree::Group(group) => {
                found.extend(Some(std::mem::take(&mut path)).filter(|done| done.len() > 1));
                paths_of(group.stream(), found);
            }
            _ => found.extend(Some(std::mem::take(&mut path)).filter(|done| done.len() > 1)),
        }
        colons = 0;
    }
    found.extend(Some(path).filter(|done| done.len() > 1));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::read;

    #[test]
    fn the_reader_sees_modules_imports_macros_and_comments_but_no_tests() {
        let text = |path: &Path| match path.to_str()? {
            "src/lib.rs" => Some("mod a;\npub mod in_line { mod b; }\n#[cfg(test)] mod gone;".to_owned()),
            "src/a.rs" => Some(
                "use crate::{in_line::{self, b as c}, x::*};\n/// One.\n///\n/// Two.\npub struct A;\n\
                 fn f() { assert!(matches!(v, crate::in_line::b::B::One { .. })); }\n\
                 #[cfg(test)] mod tests { use crate::gone; struct Hidden; }"
                    .to_owned(),
            ),
            "src/in_line/b/mod.rs" => Some("type B = u8;".to_owned()),
            _ => None,
        };
        let found = read(Path::new("src/lib.rs"), &text);
        let names: Vec<String> = found.keys().map(|path| path.join("::")).collect();
        assert_eq!(names, ["", "a", "in_line", "in_line::b"]);

        let a = &found[&vec!["a".to_owned()]];
        let uses: Vec<(Option<&str>, String)> =
            a.uses.iter().map(|one| (one.name.as_deref(), one.path.join("::"))).collect();
        assert_eq!(
            uses,
            [
                (Some("in_line"), "crate::in_line".to_owned()),
                (Some("c"), "crate::in_line::b".to_owned()),
                (None, "crate::x".to_owned())
            ]
        );
        assert_eq!(a.types, ["A"]);
        assert_eq!(a.docs, [(2, " One.\n\n Two.".to_owned())]);
        assert!(a.paths.contains(&["crate", "in_line", "b", "B", "One"].map(str::to_owned).to_vec()));
    }
}
