//! Who may import whom: the layers of each crate as one table, read from the `use` lines and paths of its files.
//!
//! A file may import files of its own layer and of those below it, and no two files may import each other, however
//! many files lie in between. A folder's head (`mod.rs`) imports the folder's files to publish them, so a file that
//! imports its own head closes a circle. Tests are left out, since a test may use whatever it needs.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

/// A crate, and what holds in it.
struct Rules {
    /// The file with which the crate begins, from the top of the workspace.
    root: &'static str,
    /// Files and folders by the layer that they are in, the lowest first, without `.rs`. A file may import its own
    /// layer and lower ones.
    /// Where there are none, only circles are refused.
    layers: &'static [&'static [&'static str]],
    /// Circles that are still there, each by the number of its files. It may only shrink, and goes with the last one.
    debts: &'static [usize],
}

/// The rules. The root publishes everything and is in no layer.
const RULES: &[Rules] = &[
    Rules {
        root: "monitor-core/src/lib.rs",
        layers: &[
            &[
                "parse_error",
                "names",
                "time",
                "run",
                "signal",
                "scope",
                "exit",
                "event",
                "state",
                "action",
            ],
            &["policy", "backoff", "preset"],
            &["text", "policy_text", "explain", "wire"],
            &["step"],
            &["monitor", "manual"],
        ],
        debts: &[],
    },
    Rules {
        root: "monitor-os/src/lib.rs",
        layers: &[
            &["driver", "block_on", "by_identity", "hex", "telemetry"],
            &["record"],
            &["linux"],
            &["output"],
            &["command"],
            &["backend/output", "backend/store"],
            &["backend/start"],
            &["backend/health", "backend/readiness"],
            &["backend/run"],
            &["backend/status"],
            &["backend/reactor"],
            &["backend"],
            &["handle"],
            &["exports"],
        ],
        debts: &[],
    },
    Rules {
        root: "monitor-os/cli/src/main.rs",
        layers: &[
            &["names", "report"],
            &["completion", "view"],
            &["config"],
            &["cli", "units"],
            &["control"],
            &["logs", "state_dir"],
            &["command"],
        ],
        debts: &[],
    },
    Rules {
        root: "sim/src/lib.rs",
        layers: &[
            &["case", "machine"],
            &["oracle"],
            &["model", "world"],
            &["generate"],
            &["search"],
            &["bugs", "report"],
            &["conform/record"],
            &["verification"],
            &["fuzz", "real"],
            &["conform/backend"],
            &["conform"],
            &["observe"],
        ],
        debts: &[],
    },
    Rules {
        root: "sim/cli/src/main.rs",
        layers: &[
            &["exit_status", "options", "progress"],
            &["input"],
            &["bugs", "campaign", "check", "graph", "observe", "replay", "timeline", "real"],
        ],
        debts: &[],
    },
];

#[test]
fn imports_go_down_and_in_no_circle() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let read = |path: &Path| std::fs::read_to_string(workspace.join(path)).ok();
    for rules in RULES {
        let graph = Graph::read(Path::new(rules.root), &read);
        let faults = graph.faults(rules);
        assert!(faults.is_empty(), "{}:\n{}", rules.root, faults.join("\n"));
    }
}

/// The files of a crate, and which of them each one imports.
struct Graph {
    imports: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
}

/// A module: the names on the way to it.
type Module = Vec<String>;

impl Graph {
    /// Reads a crate from its root on. `read` has the text of a file.
    fn read(root: &Path, read: &dyn Fn(&Path) -> Option<String>) -> Self {
        let mut files = BTreeMap::new();
        find(root, Vec::new(), read, &mut files);
        let modules: BTreeMap<Module, PathBuf> =
            files.iter().map(|(module, (path, _))| (module.clone(), path.clone())).collect();
        let mut imports = BTreeMap::<_, BTreeSet<_>>::new();
        for (module, (path, file)) in &files {
            let mut visitor =
                Imports { modules: &modules, module: module.clone(), found: BTreeSet::new() };
            visitor.visit_file(file);
            visitor.found.remove(path);
            imports.entry(path.clone()).or_default().extend(visitor.found);
        }
        Self { imports }
    }

    /// What breaks the rules, a line each.
    fn faults(&self, rules: &Rules) -> Vec<String> {
        let mut faults = Vec::new();
        let root = Path::new(rules.root);
        let layer = |path: &Path| {
            let name = path.strip_prefix(root.parent().unwrap()).unwrap().with_extension("");
            rules.layers.iter().position(|layer| layer.iter().any(|place| name.starts_with(place)))
        };
        if !rules.layers.is_empty() {
            for (from, to) in self.imports.iter().filter(|(from, _)| *from != root) {
                let Some(own) = layer(from) else {
                    faults.push(format!("{} is in no layer", from.display()));
                    continue;
                };
                for to in to.iter().filter(|to| layer(to).is_none_or(|other| other > own)) {
                    let (from, to) = (from.display(), to.display());
                    faults.push(format!("{from} imports {to}, which is above it"));
                }
            }
        }
        let circles = self.circles();
        let mut sizes: Vec<_> = circles.iter().map(BTreeSet::len).collect();
        sizes.sort_unstable();
        if sizes != rules.debts {
            faults.push(format!(
                "circles of {sizes:?} files instead of {:?}; a smaller one is to be written into the table",
                rules.debts
            ));
            let names = |circle: &BTreeSet<&PathBuf>| {
                circle.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
            };
            faults.extend(circles.iter().map(|circle| format!("  in a circle: {}", names(circle))));
        }
        faults
    }

    /// The largest sets of files of which each imports each, maybe through others.
    fn circles(&self) -> Vec<BTreeSet<&PathBuf>> {
        let reached: BTreeMap<_, _> =
            self.imports.keys().map(|path| (path, self.reached_from(path))).collect();
        let mut circles: Vec<BTreeSet<_>> = Vec::new();
        for (&path, reach) in &reached {
            let circle = reach.iter().filter(|other| reached[*other].contains(path)).copied();
            let circle: BTreeSet<_> = circle.collect();
            if circle.len() > 1 && !circles.contains(&circle) {
                circles.push(circle);
            }
        }
        circles
    }

    fn reached_from<'a>(&'a self, path: &'a PathBuf) -> BTreeSet<&'a PathBuf> {
        let (mut reached, mut left) = (BTreeSet::new(), vec![path]);
        while let Some(next) = left.pop() {
            left.extend(self.imports[next].iter().filter(|&to| reached.insert(to)));
        }
        reached
    }
}

/// Finds the files of a module and of those in it.
fn find(
    path: &Path,
    module: Module,
    read: &dyn Fn(&Path) -> Option<String>,
    files: &mut BTreeMap<Module, (PathBuf, syn::File)>,
) {
    let text = read(path).unwrap_or_else(|| panic!("{}: there is no such file", path.display()));
    let file = syn::parse_file(&text).unwrap();
    let is_head = module.is_empty() || path.ends_with("mod.rs");
    let folder = if is_head { path.parent().unwrap().into() } else { path.with_extension("") };
    for item in &file.items {
        if let syn::Item::Mod(item) = item
            && item.content.is_none()
            && !is_test(&item.attrs)
        {
            let name = item.ident.to_string();
            let leaf = folder.join(&name).with_extension("rs");
            let inner = [&module[..], std::slice::from_ref(&name)].concat();
            let found = if read(&leaf).is_some() { leaf } else { folder.join(name).join("mod.rs") };
            find(&found, inner, read, files);
        }
    }
    files.insert(module, (path.into(), file));
}

/// Whether an item is there for tests alone.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let list = attribute.meta.require_list();
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && list.is_ok_and(|list| list.tokens.to_string() == "test")
    })
}

/// Collects the files that a file names by paths within its crate.
struct Imports<'a> {
    modules: &'a BTreeMap<Module, PathBuf>,
    module: Module,
    found: BTreeSet<PathBuf>,
}

impl Imports<'_> {
    /// Takes a path for what it names: the longest module with which it begins.
    fn take(&mut self, names: &[String]) {
        let Some((first, rest)) = names.split_first() else { return };
        let mut base = self.module.clone();
        let mut rest = rest;
        match first.as_str() {
            "crate" => base.clear(),
            "self" => {}
            "super" => {
                base.pop();
                while let Some(("super", after)) =
                    rest.split_first().map(|(next, after)| (next.as_str(), after))
                {
                    base.pop();
                    rest = after;
                }
            }
            _ if self.modules.contains_key(&[&base[..], std::slice::from_ref(first)].concat()) => {
                rest = names
            }
            _ => return,
        }
        for name in rest {
            base.push(name.clone());
            if !self.modules.contains_key(&base) {
                base.pop();
                break;
            }
        }
        self.found.insert(self.modules[&base].clone());
    }

    fn take_tree(&mut self, before: &[String], tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => {
                self.take_tree(&[before, &[path.ident.to_string()]].concat(), &path.tree);
            }
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.take_tree(before, tree));
            }
            syn::UseTree::Name(name) => self.take(&[before, &[name.ident.to_string()]].concat()),
            syn::UseTree::Rename(name) => self.take(&[before, &[name.ident.to_string()]].concat()),
            syn::UseTree::Glob(_) => self.take(before),
        }
    }
}

impl<'ast> Visit<'ast> for Imports<'_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_test(&item.attrs) {
            self.take_tree(&[], &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            let names: Vec<_> = path.segments.iter().map(|part| part.ident.to_string()).collect();
            self.take(&names);
        }
        visit::visit_path(self, path);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if is_test(&item.attrs) || item.content.is_none() {
            return;
        }
        // `super` in it is this file.
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    // A path in a documentation link imports nothing.
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
}

/// A crate whose files are planted here.
fn planted(files: &[(&str, &str)]) -> Graph {
    let files: BTreeMap<_, _> =
        files.iter().map(|(path, text)| (PathBuf::from(path), *text)).collect();
    Graph::read(Path::new("x/lib.rs"), &|path| files.get(path).map(|&text| text.to_owned()))
}

const LAYERED: Rules =
    Rules { root: "x/lib.rs", layers: &[&["low", "lower"], &["high"]], debts: &[] };

#[test]
fn import_that_goes_down_is_taken() {
    let graph = planted(&[
        ("x/lib.rs", "mod low; mod high; mod lower; pub use high::H;"),
        ("x/low.rs", "use crate::lower::L; use std::fmt; pub struct A;"),
        ("x/lower.rs", "pub struct L; #[cfg(test)] mod tests { use crate::high::H; }"),
        ("x/high.rs", "use crate::low::A; pub struct H;"),
    ]);
    assert_eq!(graph.faults(&LAYERED), [""; 0]);
}

#[test]
fn import_that_goes_up_is_refused() {
    for import in
        ["use crate::high::H;", "use super::high::{self, H};", "fn f(_: crate::high::H) {}"]
    {
        let graph = planted(&[
            ("x/lib.rs", "mod low; mod high; mod lower;"),
            ("x/low.rs", import),
            ("x/lower.rs", ""),
            ("x/high.rs", "pub struct H;"),
        ]);
        let faults = graph.faults(&LAYERED);
        assert_eq!(faults, ["x/low.rs imports x/high.rs, which is above it"], "{import}");
    }
}

#[test]
fn file_without_a_layer_is_refused() {
    let graph = planted(&[("x/lib.rs", "mod other;"), ("x/other.rs", "")]);
    assert_eq!(graph.faults(&LAYERED), ["x/other.rs is in no layer"]);
}

#[test]
fn circle_is_refused_also_through_the_head_of_a_folder() {
    let free = Rules { layers: &[], ..LAYERED };
    let three = planted(&[
        ("x/lib.rs", "mod low; mod high; mod lower;"),
        ("x/low.rs", "use crate::lower::L;"),
        ("x/lower.rs", "use crate::high::H;"),
        ("x/high.rs", "use crate::low::A;"),
    ]);
    assert_eq!(three.faults(&free)[1], "  in a circle: x/high.rs x/low.rs x/lower.rs");
    let head = planted(&[
        ("x/lib.rs", "mod folder;"),
        ("x/folder/mod.rs", "mod leaf; pub use leaf::L; pub struct M;"),
        ("x/folder/leaf.rs", "use super::M; pub struct L;"),
    ]);
    assert_eq!(head.faults(&free)[1], "  in a circle: x/folder/leaf.rs x/folder/mod.rs");
}

#[test]
fn debt_that_is_paid_is_to_be_taken_off() {
    let indebted = Rules { layers: &[], debts: &[3], ..LAYERED };
    let graph = planted(&[("x/lib.rs", "mod low;"), ("x/low.rs", "")]);
    assert!(graph.faults(&indebted)[0].starts_with("circles of [] files instead of [3]"));
}
