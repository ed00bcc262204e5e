//! One invocation of cargo for several services.

use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Result;
use cargo_metadata::diagnostic::DiagnosticLevel;
use cargo_metadata::{Message, TargetKind};

use super::groups::{Request, groups};
use super::linkage::{KnownLinkage, Linkage};
use super::stop::Stop;
use super::{BuildTarget, Options, cargo, environment, feature_flags};
use crate::config::desired::Service;

/// An executable that was built together with others.
#[derive(Debug, Clone)]
pub struct Compiled {
    pub(super) path: PathBuf,
    pub(super) linkage: Linkage,
    /// What the cache said of its linkage before.
    pub(super) known: Option<KnownLinkage>,
    /// The diagnostics of its own crate.
    pub(super) diagnostics: String,
}

/// What a build of several services tells.
pub enum Event<'a> {
    /// The executable of the request with this number is there.
    Built(usize, Compiled),
    /// The compiler's warnings about a crate that services share, rendered for the terminal.
    Warnings(&'a str),
}

/// Gets each line that cargo prints about its progress.
pub type OnLine<'a> = &'a (dyn Fn(&str) + Sync);

/// Builds services, as many as possible by one invocation of cargo. `on_event` is called as soon as an executable is there,
/// while the others are still being built. A request without an executable has to be built by itself, which tells why it
/// failed, or links it in another way. `stop` ends the build.
///
/// # Errors
/// cargo cannot be run, or the configuration of cargo cannot be read.
pub fn build(
    options: &Options,
    requests: &[(&Service, &BuildTarget)],
    stop: &Stop,
    on_line: OnLine<'_>,
    mut on_event: impl FnMut(Event<'_>),
) -> Result<()> {
    let (numbers, wanted) = requests_of(options, requests);
    for group in groups(options, &wanted) {
        // One by itself is built when its image is.
        if group.len() < 2 {
            continue;
        }
        let members: Vec<_> = group.iter().map(|n| (numbers[*n], &wanted[*n])).collect();
        let is_unique = |bin: &str| wanted.iter().filter(|it| it.bin == bin).count() == 1;
        Invocation { options, stop, members }.run(&is_unique, on_line, &mut on_event)?;
    }
    Ok(())
}

/// Finds out which services [`build`] may build together. cargo says so, which takes a while if it is asked for the first time.
pub fn prepare(options: &Options, requests: &[(&Service, &BuildTarget)]) {
    groups(options, &requests_of(options, requests).1);
}

/// Whether all of these services have been built before, so that the next build is probably short.
pub fn were_built(options: &Options, requests: &[(&Service, &BuildTarget)]) -> bool {
    requests.iter().all(|(service, target)| options.linkages.of(options, service, target).is_some())
}

/// The requests to cargo, each with the number of what it is for.
fn requests_of<'a>(
    options: &Options,
    requests: &[(&'a Service, &BuildTarget)],
) -> (Vec<usize>, Vec<Request<'a>>) {
    let wanted = requests.iter().enumerate().filter_map(|(n, (service, target))| {
        let bin = super::bin_name(service).ok()?;
        let known = options.linkages.of(options, service, target);
        let linkage = known.as_ref().map_or_else(|| target.first().clone(), |it| it.linkage.clone());
        let is_foreign = target.is_foreign(&linkage);
        Some((n, Request { service, bin, linkage, known, is_foreign }))
    });
    wanted.unzip()
}

/// An invocation of cargo for a group of requests, each with its number.
struct Invocation<'a> {
    options: &'a Options,
    stop: &'a Stop,
    members: Vec<(usize, &'a Request<'a>)>,
}

impl Invocation<'_> {
    fn run(
        &self,
        is_unique: &dyn Fn(&str) -> bool,
        on_line: OnLine<'_>,
        on_event: &mut impl FnMut(Event<'_>),
    ) -> Result<()> {
        let Some((_, first)) = self.members.first() else { return Ok(()) };
        let mut command = cargo::command(self.options, &first.linkage, first.is_foreign)?;
        command.arg("--manifest-path").arg(self.options.root.join("Cargo.toml")).arg("--keep-going");
        for (_, Request { service, bin, .. }) in &self.members {
            command.arg(format!("--package={}@{}", service.package.name, service.package.version));
            command.arg(format!("--bin={bin}"));
        }
        command.args(self.features());
        command.envs(environment::clock(self.options, first.service)?);
        // cargo does not see the terminal that its lines go to.
        if std::io::stderr().is_terminal() && !self.options.flags.iter().any(|it| it.starts_with("--color")) {
            command.arg("--color=always");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let Some((output, lines)) = self.stop.start(&mut command)? else { return Ok(()) };
        let mut diagnostics = vec![String::new(); self.members.len()];
        std::thread::scope(|scope| {
            let lines = BufReader::new(lines).lines().map_while(Result::ok);
            scope.spawn(|| lines.filter(|it| !is_failure(it)).for_each(|it| on_line(&it)));
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                self.read(&line, &mut diagnostics, is_unique, on_event);
            }
        });
        // Whether it failed is told by the builds of the services that have no executable.
        self.stop.wait()
    }

    /// The features of all members, each with the name of its package.
    fn features(&self) -> Vec<String> {
        let mut features = Vec::new();
        let mut others = Vec::new();
        for (_, request) in &self.members {
            let mut flags = feature_flags(request.service).into_iter();
            while let Some(flag) = flags.next() {
                match flag.as_str() {
                    "--features" => {
                        let names = flags.next().unwrap_or_default();
                        let package = &request.service.package.name;
                        features.extend(names.split(',').map(|it| format!("{package}/{it}")));
                    }
                    _ => others.push(flag),
                }
            }
        }
        others.sort();
        others.dedup();
        if !features.is_empty() {
            others.extend(["--features".to_owned(), features.join(",")]);
        }
        others
    }

    fn read(
        &self,
        line: &str,
        diagnostics: &mut [String],
        is_unique: &dyn Fn(&str) -> bool,
        on_event: &mut impl FnMut(Event<'_>),
    ) {
        if cargo::is_about_library(line) {
            return;
        }
        match Message::parse_stream(line.as_bytes()).next() {
            Some(Ok(Message::CompilerArtifact(artifact))) => {
                let member = self.member(artifact.manifest_path.as_std_path(), &artifact.target);
                if let (Some(member), Some(path)) = (member, artifact.executable) {
                    let (number, request) = self.members[member];
                    let path = path.into_std_path_buf();
                    // The next invocation replaces an executable of the same name.
                    let kept =
                        if is_unique(request.bin) { Ok(path) } else { keep(self.options, request, &path) };
                    let Ok(path) = kept else { return };
                    let diagnostics = std::mem::take(&mut diagnostics[member]);
                    let Request { linkage, known, .. } = request;
                    let (linkage, known) = (linkage.clone(), known.clone());
                    on_event(Event::Built(number, Compiled { path, linkage, known, diagnostics }));
                }
            }
            Some(Ok(Message::BuildScriptExecuted(script))) => self.options.scripts.add(&script),
            Some(Ok(Message::CompilerMessage(it))) if it.message.level != DiagnosticLevel::Error => {
                let Some(rendered) = it.message.rendered.as_deref() else { return };
                let package = it.package_id.repr.as_str();
                let own = self.members.iter().position(|(_, request)| {
                    it.target.is_bin() && it.target.name == request.bin && is_of(package, request.service)
                });
                match own {
                    Some(member) => diagnostics[member] += rendered,
                    None => on_event(Event::Warnings(rendered)),
                }
            }
            _ => {}
        }
    }

    /// The member whose binary target this is.
    fn member(&self, manifest: &Path, target: &cargo_metadata::Target) -> Option<usize> {
        let is_bin = target.kind.contains(&TargetKind::Bin);
        self.members.iter().position(|(_, request)| {
            let own = self.options.root.join(&request.service.package.folder).join("Cargo.toml");
            is_bin && target.name == request.bin && own == manifest
        })
    }
}

/// Whether a line tells a failure, which is told again by the builds of the services that have no executable.
fn is_failure(line: &str) -> bool {
    let text = anstream::adapter::strip_str(line).to_string();
    text.starts_with("error") || text.starts_with("warning: build failed")
}

/// Whether a package ID is that of a service: `path+file:///…/FOLDER#NAME@VERSION`, or `…/NAME#VERSION`.
fn is_of(package: &str, service: &Service) -> bool {
    let Some((url, name)) = package.split_once('#') else { return false };
    let named =
        name.split_once('@').map_or_else(|| url.rsplit('/').next().unwrap_or_default(), |(name, _)| name);
    named == service.package.name
}

/// A second name of an executable, which stays when cargo replaces the first.
pub(super) fn keep(options: &Options, request: &Request<'_>, path: &Path) -> Result<PathBuf> {
    let folder = options.target.join("xtask-ecr/executables-of").join(&request.service.package.name);
    let kept = folder.join(format!("{}-{}", request.linkage.triple, request.bin));
    std::fs::create_dir_all(&folder)?;
    let _ = std::fs::remove_file(&kept);
    std::fs::hard_link(path, &kept).or_else(|_| std::fs::copy(path, &kept).map(drop))?;
    Ok(kept)
}
