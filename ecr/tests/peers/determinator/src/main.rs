//! Prints the packages of a workspace that determinator, with its default rules, finds affected by a change. The arguments are
//! the folders of both sides; stdin has the paths that have changed, one a line.

use std::io::Write;

use determinator::Determinator;
use guppy::MetadataCommand;
use guppy::graph::{DependencyDirection, PackageGraph};

fn graph(folder: &str) -> PackageGraph {
    MetadataCommand::new().current_dir(folder).build_graph().unwrap()
}

fn main() {
    let folders: Vec<_> = std::env::args().skip(1).collect();
    let paths: Vec<_> = std::io::stdin().lines().map(Result::unwrap).collect();
    let (old, new) = (graph(&folders[0]), graph(&folders[1]));
    let mut determinator = Determinator::new(&old, &new);
    determinator.add_changed_paths(&paths);
    for package in determinator.compute().affected_set.packages(DependencyDirection::Forward) {
        writeln!(std::io::stdout(), "{}", package.name()).unwrap();
    }
}
