//! The files that a service adds to its image: the key `files`, as docker's `COPY` reads it.

use std::path::Path;

use anyhow::Result;
use ecr_oci::cache::OnRead;
use ecr_oci::image::layer::Files;
use ecr_oci::image::place::Misplaced;
use ecr_oci::image::tree::FileTree;
use ecr_oci::sources::{Source, SourceProblem};
use ecr_types::document::Problem;
use thiserror::Error;

use crate::config::metadata::FileCopy;

/// Files that cannot be copied. Displayed as one line for each problem.
#[derive(Debug, Error)]
#[error("{}", shown(.0))]
pub struct FilesError(pub Vec<Problem>);

fn shown(problems: &[Problem]) -> String {
    let line = |it: &Problem| match &it.help {
        Some(help) => format!("{}: {} (help: {help})", it.place, it.message),
        None => format!("{}: {}", it.place, it.message),
    };
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Copies the files of a service in their order, each on top of those before it.
pub struct FileCopier<'a> {
    /// The folder of the package.
    pub package: &'a Path,
    /// The path of the binary in the image, which no file may take.
    pub binary: &'a str,
    /// The files of the base.
    pub tree: FileTree,
    /// Is told of files that are read.
    pub on_read: &'a OnRead,
}

impl FileCopier<'_> {
    /// The layer of the files. Their content is read for the digests.
    ///
    /// # Errors
    /// [`FilesError`] with all files that cannot be copied; or a file cannot be read.
    pub fn copy(self, copies: &[FileCopy]) -> Result<Files> {
        let on_read = self.on_read;
        self.run(copies, |source, files, to| source.add_to(files, to, &*on_read(source.size())))
    }

    /// Looks for problems without opening a file. With `has_build_script`, what does not exist may be created until it is copied.
    ///
    /// # Errors
    /// [`FilesError`] with all files that cannot be copied.
    pub fn check(self, copies: &[FileCopy], has_build_script: bool) -> Result<()> {
        let exists = |it: &&FileCopy| self.package.join(&it.from.value).symlink_metadata().is_ok();
        let checked: Vec<_> = copies.iter().filter(|it| !has_build_script || exists(it)).cloned().collect();
        self.run(&checked, |source, files, to| source.outline(files, to)).map(drop)
    }

    fn run(
        mut self,
        copies: &[FileCopy],
        add: impl Fn(&Source, &mut Files, &str) -> Result<()>,
    ) -> Result<Files> {
        let (mut all, mut problems) = (Files::default(), Vec::new());
        for copy in copies {
            let source = match Source::find(self.package, &copy.from.value) {
                Ok(source) => source,
                Err(found) => {
                    problems.extend(found.iter().map(|it| source_problem(copy, it)));
                    continue;
                }
            };
            let mut files = Files::default();
            add(&source, &mut files, &self.target(&source, &copy.to.value))?;
            match self.placed(files) {
                Ok(placed) => all.extend(placed),
                Err(misplaced) => problems.push(target_problem(copy, &misplaced)),
            }
        }
        if problems.is_empty() { Ok(all) } else { Err(FilesError(problems).into()) }
    }

    /// Where a source goes. Links at the target are followed. A file goes into the target if that is a folder, or ends with a
    /// slash (Dockerfile reference, "COPY").
    fn target(&self, source: &Source, to: &str) -> String {
        let target = self.tree.resolve(to).unwrap_or_else(|_| to.to_owned());
        let is_into = !source.is_folder() && (to.ends_with('/') || self.tree.is_folder(&target));
        if is_into { format!("{target}/{}", source.name()) } else { target }
    }

    /// The files on top of what is there, which they become part of.
    fn placed(&mut self, files: Files) -> Result<Files, Misplaced> {
        let placed = files.onto(&self.tree)?;
        let mut tree = self.tree.clone();
        // These files contain no hard links, which alone could fail.
        let _ = tree.apply(&placed.tree());
        let mut binary = Files::default();
        binary.bytes(self.binary, 0o755, "");
        let path = tree.resolve_parent(self.binary).unwrap_or_default();
        if placed.has_file(&path) || tree.is_folder(&path) {
            return Err(Misplaced::IsBinary(path));
        }
        let in_the_way = |_| Misplaced::IsBinary(self.binary.trim_start_matches('/').to_owned());
        binary.onto(&tree).map_err(in_the_way)?;
        self.tree = tree;
        Ok(placed)
    }
}

fn source_problem(copy: &FileCopy, problem: &SourceProblem) -> Problem {
    Problem {
        place: copy.from.place.clone(),
        message: format!("`files`: {problem}"),
        help: problem.help().map(str::to_owned),
    }
}

fn target_problem(copy: &FileCopy, misplaced: &Misplaced) -> Problem {
    Problem {
        place: copy.to.place.clone(),
        message: format!(
            "`files`: `{}` cannot be copied to `{}`: {misplaced}",
            copy.from.value, copy.to.value
        ),
        help: None,
    }
}
