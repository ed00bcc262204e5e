//! The file system of layers. The cases are in `tests/trees.json`; `ecr/tests/peers/test_tree.py` gives the same ones to
//! containerd, docker and umoci.

use std::io;

use ecr_oci::image::tree::{FileTree, InvalidLayer, LayerTree, Node};
use serde_json::Value;
use tar::EntryType;

/// An archive of entries, each `KIND:NAME` or `KIND:NAME=TARGET`; see `test_tree.py`.
pub fn archive(entries: &str) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for entry in entries.split_whitespace() {
        let (kind, rest) = entry.split_once(':').unwrap();
        let (name, target) = rest.split_once('=').unwrap_or((rest, ""));
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_entry_type(match kind {
            "d" => EntryType::Directory,
            "f" => EntryType::Regular,
            "l" => EntryType::Symlink,
            "h" => EntryType::Link,
            "p" => EntryType::Fifo,
            _ => EntryType::Char,
        });
        match kind {
            "d" if !target.is_empty() => header.set_mode(u32::from_str_radix(target, 8).unwrap()),
            "l" | "h" => header.set_link_name_literal(target).unwrap(),
            _ => {}
        }
        if name.len() > 100 {
            archive.append_data(&mut header, name, io::empty()).unwrap();
            continue;
        }
        // The library refuses names such as `../x`.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        archive.append(&header, io::empty()).unwrap();
    }
    archive.into_inner().unwrap()
}

pub fn tree(layers: &[&str]) -> Result<FileTree, InvalidLayer> {
    let mut tree = FileTree::default();
    for layer in layers {
        tree.apply(&LayerTree::read(archive(layer).as_slice())?)?;
    }
    Ok(tree)
}

pub fn shown(tree: &FileTree) -> String {
    let node = |(path, node): (&str, &Node)| match node {
        Node::Folder(attributes) => match attributes.unwrap_or_default().mode {
            0o755 => format!("{path}/"),
            mode => format!("{path}/={mode:o}"),
        },
        Node::File(_) => path.to_owned(),
        Node::Link(target) => format!("{path}->{target}"),
        Node::Special | Node::HardLink(_) => format!("{path}!"),
    };
    tree.iter().map(node).collect::<Vec<_>>().join(" ")
}

#[test]
fn tree_of_layers_is_that_of_a_container() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../trees.json")).unwrap();
    let mut wrong = Vec::new();
    for case in &cases {
        let layers: Vec<_> =
            case["layers"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
        let found = tree(&layers).map_or("refused".to_owned(), |it| shown(&it));
        if found != case["tree"].as_str().unwrap() {
            wrong.push(format!("{}: {layers:?}\n  found  {found}\n  wanted {}", case["case"], case["tree"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases.len() > 40);
}

#[test]
fn tree_is_searched_through_links() {
    let tree =
        tree(&["d:usr d:usr/lib f:usr/lib/a l:lib=usr/lib l:abs=/lib l:up=../../lib/a l:loop=loop f:x"])
            .unwrap();
    for (path, found) in [
        ("/lib/a", Some("usr/lib/a")),
        ("abs//a", Some("usr/lib/a")),
        ("/up", Some("usr/lib/a")),
        ("/lib/../lib/./a", Some("usr/lib/a")),
        ("/../../lib", Some("usr/lib")),
        ("/loop", None),
        ("/lib/b", None),
        ("/x/y", None),
        ("/", None),
    ] {
        assert_eq!(tree.find(path).map(|it| it.0).as_deref(), found, "{path}");
    }
    assert!(
        tree.is_folder("/") && tree.is_folder("/abs") && !tree.is_folder("/up") && !tree.is_folder("/no")
    );
}

#[test]
fn tree_of_a_damaged_archive_is_an_error() {
    let whole = archive("d:a f:a/b l:c=a");
    assert!(LayerTree::read(&whole[..600]).is_err());
    assert!(
        LayerTree::read(&b"not an archive, but longer than the header of one"[..].repeat(20)[..]).is_err()
    );
    let long = format!("f:{}", "a/".repeat(3000) + "b");
    let error = tree(&[&long]).unwrap_err();
    assert!(error.to_string().ends_with("...`: the path is too long"), "{error}");
}

#[test]
fn tree_is_read_again_as_it_was_stored() {
    let layer =
        LayerTree::read(archive("d:a=1777 f:a/b l:c=a p:d h:e=other f:.wh.x f:a/.wh..wh..opq").as_slice());
    let layer = layer.unwrap();
    let stored = serde_json::to_vec(&layer).unwrap();
    assert_eq!(serde_json::from_slice::<LayerTree>(&stored).unwrap(), layer);
}
