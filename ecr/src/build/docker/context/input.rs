//! A build context in the form that an engine takes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::archive::GeneratedFile;
use super::entries::list;
use super::{Archive, BuildSource, ContextFolder, IGNORE_FILE, daemon_ignore};
use crate::build::docker::frontend::Frontend;
use crate::build::docker::ignore::{DockerIgnore, escaped};

/// The path of a Dockerfile that is added to an archive.
const DOCKERFILE: &str = ".xtask-ecr.Dockerfile";

/// The arguments of a build command, and what it reads.
#[derive(Debug)]
pub struct BuildInput {
    /// The argument of `--file`.
    pub dockerfile: PathBuf,
    /// The last argument: a folder, or `-` for standard input.
    pub context: PathBuf,
    /// The argument of podman's `--ignorefile`.
    pub ignore_file: Option<PathBuf>,
    /// What is written to standard input.
    pub archive: Option<Archive>,
}

impl BuildSource {
    /// The input for an engine. `private` is an empty folder for generated files, which must exist until the build ends.
    ///
    /// # Errors
    /// The context cannot be read, or the private folder cannot be written.
    pub fn input(&self, frontend: Frontend, private: &Path) -> Result<BuildInput> {
        match (self, frontend) {
            (Self::Folder(it), Frontend::Legacy) => it.archive_for_daemon(),
            (Self::Folder(it), Frontend::BuildKit) => it.folder_for_buildkit(private),
            (Self::Folder(it), Frontend::Podman) => it.copy_for_podman(private),
            (Self::Generated { dockerfile, files }, frontend) => {
                generated(dockerfile, files.clone(), frontend, private)
            }
        }
    }
}

/// The input with a generated Dockerfile. It copies single files only, so that the Dockerfile may be among them.
fn generated(
    dockerfile: &str,
    files: Vec<(String, PathBuf)>,
    frontend: Frontend,
    private: &Path,
) -> Result<BuildInput> {
    let text = GeneratedFile { path: DOCKERFILE.to_owned(), text: dockerfile.into(), original: None };
    let archive = Archive { files, texts: vec![text], ..Archive::default() };
    match frontend {
        Frontend::Legacy | Frontend::BuildKit => Ok(BuildInput::of_archive(DOCKERFILE, archive)),
        Frontend::Podman => {
            let context = unpacked(&archive, private)?;
            let dockerfile = context.join(DOCKERFILE);
            Ok(BuildInput { dockerfile, context, ignore_file: None, archive: None })
        }
    }
}

impl BuildInput {
    fn of_archive(dockerfile: &str, archive: Archive) -> Self {
        Self { dockerfile: dockerfile.into(), context: "-".into(), ignore_file: None, archive: Some(archive) }
    }
}

impl ContextFolder {
    /// An archive for the builder in docker's daemon. It takes the Dockerfile from the archive, and then removes it and
    /// `.dockerignore` from the context, if the `.dockerignore` in the archive excludes them (`removeDockerfile` in
    /// moby's builder/remotecontext).
    fn archive_for_daemon(&self) -> Result<BuildInput> {
        let daemon = daemon_ignore(&self.folder);
        let daemon =
            daemon.with_context(|| format!("failed to read `{IGNORE_FILE}` of the build context"))?;
        match self.dockerfile.inside.as_deref().filter(|it| self.is_like_daemon(daemon.as_deref(), it)) {
            Some(dockerfile) => {
                let ignore = self.ignore.clone().with_exceptions(&[dockerfile, IGNORE_FILE]);
                Ok(BuildInput::of_archive(dockerfile, self.archive(&ignore, Vec::new())?))
            }
            None => self.archive_with_generated_dockerfile(daemon.unwrap_or_default()),
        }
    }

    /// Whether the daemon removes what the rules exclude of the Dockerfile and `.dockerignore`, whose text is given.
    fn is_like_daemon(&self, text: Option<&[u8]>, dockerfile: &str) -> bool {
        let Ok(rules) = DockerIgnore::parse(text.unwrap_or_default()) else { return false };
        let is_same = |path: &str| rules.excludes(path.as_bytes()) == self.ignore.excludes(path.as_bytes());
        is_same(dockerfile) && (text.is_none() || is_same(IGNORE_FILE))
    }

    /// The Dockerfile under a name of its own, which a line of `.dockerignore` makes the daemon remove. docker's client
    /// does so with a Dockerfile outside of the context (`AddDockerfileToBuildContext` in docker/cli).
    fn archive_with_generated_dockerfile(&self, daemon: Vec<u8>) -> Result<BuildInput> {
        let original = fs::symlink_metadata(self.folder.join(IGNORE_FILE)).ok();
        let is_kept = original.is_some() && !self.ignore.excludes(IGNORE_FILE.as_bytes());
        let (mut text, own) = if is_kept { (daemon, "!.dockerignore") } else { (Vec::new(), IGNORE_FILE) };
        text.extend(format!("\n{DOCKERFILE}\n{own}\n").bytes());
        let texts = vec![
            GeneratedFile { path: DOCKERFILE.into(), text: self.dockerfile.text.clone(), original: None },
            GeneratedFile { path: IGNORE_FILE.into(), text, original },
        ];
        let archive = self.archive(&self.ignore, texts)?;
        Ok(BuildInput::of_archive(DOCKERFILE, archive))
    }

    /// The files that the rules do not exclude. Generated files take the place of those with the same path.
    fn archive(&self, ignore: &DockerIgnore, texts: Vec<GeneratedFile>) -> Result<Archive> {
        let mut entries = list(&self.folder, ignore)?;
        entries.retain(|entry| texts.iter().all(|it| entry.path != Path::new(&it.path)));
        Ok(Archive { root: self.folder.clone(), entries, texts, ..Archive::default() })
    }

    /// The folder itself, which BuildKit reads by its own rules: it sends only what has changed since the last build and
    /// what the Dockerfile copies. The rules are in a file beside a copy of the Dockerfile, where they take precedence
    /// over `.dockerignore`.
    fn folder_for_buildkit(&self, private: &Path) -> Result<BuildInput> {
        let dockerfile = self.private_dockerfile(private)?;
        let own = self.excluded.iter().map(|it| escaped(it) + "\n");
        let mut text = own.collect::<String>().into_bytes();
        // BuildKit takes an empty file for no file.
        text.extend(if self.user.text.is_empty() { b"# no rules\n" } else { self.user.text.as_slice() });
        let rules = private.join(format!("{}{IGNORE_FILE}", self.dockerfile.name));
        fs::write(&rules, text).context("failed to write the rules of the build context")?;
        Ok(BuildInput { dockerfile, context: self.folder.clone(), ignore_file: None, archive: None })
    }

    /// A copy of the folder. podman takes no archive, and its rules differ from docker's in details such as line ends.
    fn copy_for_podman(&self, private: &Path) -> Result<BuildInput> {
        let dockerfile = self.private_dockerfile(private)?;
        let context = unpacked(&self.archive(&self.ignore, Vec::new())?, private)?;
        // The rules have been applied. An ignore file in the copy is one of its files, which podman would read if the
        // file that takes its place had no rule.
        let has_rules = [".containerignore", IGNORE_FILE].iter().any(|it| context.join(it).exists());
        let ignore_file = private.join("no-rules");
        fs::write(&ignore_file, ".xtask-ecr-no-such-file\n")
            .context("failed to write to the private folder")?;
        Ok(BuildInput { dockerfile, context, ignore_file: has_rules.then_some(ignore_file), archive: None })
    }

    /// A copy of the Dockerfile in a folder of its own, so that it is not part of the context.
    fn private_dockerfile(&self, private: &Path) -> Result<PathBuf> {
        let path = private.join(&self.dockerfile.name);
        fs::write(&path, &self.dockerfile.text).context("failed to copy the Dockerfile")?;
        Ok(path)
    }
}

fn unpacked(archive: &Archive, private: &Path) -> Result<PathBuf> {
    let folder = private.join("xtask-ecr-context");
    archive.unpack(&folder).context("failed to copy the build context")?;
    Ok(folder)
}
