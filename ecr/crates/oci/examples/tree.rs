//! Prints the file system that a container gets from layers, the lowest first: one line for each path, with its kind, and
//! mode and owner of a folder or the target of a link.
//!
//! ```sh
//! skopeo copy docker://debian:12-slim dir:debian
//! cargo run --package ecr-oci --example tree -- debian/LAYER...
//! ```

use std::path::Path;

use ecr_oci::image::tree::{FileTree, Node};
use ecr_oci::trees;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut tree = FileTree::default();
    for layer in std::env::args_os().skip(1) {
        tree.apply(&trees::read(Path::new(&layer))?)?;
    }
    for (path, node) in tree.iter() {
        match node {
            Node::Folder(attributes) => {
                let it = attributes.unwrap_or_default();
                println!("folder {path} {:o} {}:{}", it.mode, it.uid, it.gid);
            }
            Node::Link(target) => println!("link {path} {target}"),
            Node::File(_) => println!("file {path}"),
            Node::Special | Node::HardLink(_) => println!("special {path}"),
        }
    }
    Ok(())
}
