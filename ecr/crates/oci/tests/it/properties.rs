//! Random layers. `ecr/tests/peers/test_tree.py` compares such layers with containerd.

use ecr_oci::image::layer::Files;
use ecr_oci::image::tree::{FileTree, LayerTree, Node};
use ecr_types::property::hold;
use proptest::prelude::*;

use crate::trees::{archive, shown};

const NAMES: [&str; 12] =
    ["a", "b", "c", "a/b", "b/a", "a/b/c", "c/a", "c/a/b", "./a", "/b", "../c/b", "b/../a"];
const TARGETS: [&str; 10] = ["a", "b", "c", "/a", "/b/a", "../a", "../../b", "b/a", "nowhere", "/"];

/// An entry in the notation of [`archive`].
fn entry() -> impl Strategy<Value = String> {
    let (name, target) = (prop::sample::select(NAMES.to_vec()), prop::sample::select(TARGETS.to_vec()));
    (name, target, 0..12u8).prop_map(|(name, target, kind)| {
        let (folder, last) = name.rsplit_once('/').map_or(("", name), |(folder, last)| (folder, last));
        let below = if name.contains('/') { format!("{folder}/") } else { String::new() };
        match kind {
            0..=2 => format!("d:{name}=700"),
            3..=5 => format!("f:{name}"),
            6..=8 => format!("l:{name}={target}"),
            9 => format!("h:{name}={target}"),
            10 => format!("f:{below}.wh.{last}"),
            _ => format!("f:{name}/.wh..wh..opq"),
        }
    })
}

fn layer() -> impl Strategy<Value = String> {
    prop::collection::vec(entry(), 0..8).prop_map(|it| it.join(" "))
}

/// The tree of the layers that can be unpacked; others are left out.
fn tree(layers: &[String]) -> FileTree {
    let mut tree = FileTree::default();
    for layer in layers {
        let mut above = tree.clone();
        let applied = LayerTree::read(archive(layer).as_slice()).and_then(|it| above.apply(&it));
        if applied.is_ok() {
            tree = above;
        }
    }
    tree
}

/// Everything that a path leads to, by the path of each entry.
fn found(tree: &FileTree) -> Vec<(String, Option<String>)> {
    tree.iter().map(|(path, _)| (path.to_owned(), tree.find(path).map(|it| it.0))).collect()
}

#[test]
fn tree_of_random_layers_is_read_soundly() {
    hold(prop::collection::vec(layer(), 0..5), |layers| {
        let tree = tree(&layers);
        for (path, node) in tree.iter() {
            let parts: Vec<_> = path.split('/').collect();
            prop_assert!(
                !parts.iter().any(|it| ["", ".", ".."].contains(it) || it.starts_with(".wh.")),
                "{path}"
            );
            prop_assert!(!matches!(node, Node::HardLink(_)), "{path}");
            for end in 1..parts.len() {
                let folder = parts[..end].join("/");
                prop_assert!(matches!(tree.node(&folder), Some(Node::Folder(_))), "{folder} above {path}");
            }
        }
        Ok(())
    });
}

#[test]
fn tree_of_a_layer_again_is_the_same() {
    // The target of a hard link may be gone the second time.
    let top = layer().prop_filter("hard link", |it| !it.contains("h:"));
    hold((prop::collection::vec(layer(), 0..4), top), |(layers, top)| {
        let Ok(layer) = LayerTree::read(archive(&top).as_slice()) else { return Ok(()) };
        let mut once = tree(&layers);
        if once.apply(&layer).is_ok() {
            let mut twice = once.clone();
            if twice.apply(&layer).is_ok() {
                prop_assert_eq!(shown(&once), shown(&twice));
            }
        }
        Ok(())
    });
}

#[test]
fn files_on_a_tree_are_found_and_hide_nothing() {
    let names = prop::collection::vec((prop::sample::select(NAMES[..8].to_vec()), any::<bool>()), 1..4);
    hold((prop::collection::vec(layer(), 0..4), names), |(layers, names)| {
        let before = tree(&layers);
        for (name, is_folder) in names {
            let mut files = Files::default();
            if is_folder {
                files.folder(name, 0o755)
            } else {
                files.bytes(name, 0o644, "")
            }
            let Ok(placed) = files.onto(&before) else { continue };
            let mut after = before.clone();
            prop_assert!(after.apply(&placed.tree()).is_ok());
            let is_there = if is_folder { after.is_folder(name) } else { after.find(name).is_some() };
            prop_assert!(is_there, "{name} in {}", shown(&after));
            for (path, old) in found(&before) {
                let Some(old) = old else { continue };
                // A file may replace a file or a link to one, through which other paths may lead.
                let is_replaced = !is_folder && placed.has_file(&after.resolve(&path).unwrap_or_default());
                let new = after.find(&path).map(|it| it.0);
                prop_assert!(
                    new.as_ref() == Some(&old) || is_replaced,
                    "{path}: {old}, then {new:?} by {name}"
                );
            }
            for (path, node) in before.iter().filter(|it| matches!(it.1, Node::Folder(_))) {
                prop_assert_eq!(
                    after.node(path).cloned().map(attributes),
                    Some(attributes(node.clone())),
                    "{}",
                    path
                );
            }
        }
        Ok(())
    });
}

/// A folder without attributes is one with those that engines give it.
fn attributes(node: Node) -> Node {
    match node {
        Node::Folder(it) => Node::Folder(Some(it.unwrap_or_default())),
        other => other,
    }
}
