//! `ecr scan`: findings, and the gate that a pipeline passes or does not.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::Duration;

use ecr_types::document::Place;
use ecr_types::human::{counted, some_of};
use futures_util::stream::{self, Stream, StreamExt};

use super::session::Session;
use crate::aws::ServiceError;
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::report::{IgnoreReport, ScanFailure, ScanReport, ScannedImage, Subject};
use crate::cli::shell::Shell;
use crate::clock::now;
use crate::config::files;
use crate::config::workspace::Workspace;
use crate::scan::{Date, Gate, IgnoreFile};

mod targets;
mod wait;

pub use targets::{GRACE, Target, resolve};
use wait::Wait;

/// Shows the findings of the selected images, one after the other.
pub async fn run(flags: &flags::Scan, shell: &Shell) -> Result<Exit, Failure> {
    let workspace = Workspace::load(flags.common.workspace.manifest_path.as_deref())?;
    let gate = gate(&flags.gate, &workspace)?;
    let session = Session::connect(shell, &flags.common, workspace).await?;
    let (targets, failures) = targets::of(&session, flags, gate.is_some()).await?;
    if targets.is_empty() && failures.is_empty() {
        let nothing = Failure::new("there is no image to look at");
        return Err(nothing.with_help(format!("push one with `cargo xtask push{}`", session.local_flags())));
    }
    let scanner = Scanner::new(&session, gate.as_ref(), flags.gate.timeout);
    let mut scans = std::pin::pin!(scanner.scan(targets));
    let mut tally = Tally { failures, ..Tally::default() };
    let mut json = shell.json_list("images");
    while let Some(scanned) = scans.next().await {
        match scanned {
            Ok(image) => {
                image.lines().iter().for_each(|it| shell.print(it));
                json.item(&image);
                tally.add(&image);
            }
            Err(failure) => tally.failures.push(failure),
        }
    }
    let is_everything = flags.common.selection.is_everything() && flags.tag.is_empty();
    let report = tally.report(gate.as_ref(), is_everything);
    tell(shell, &report, &tally, &flags.gate);
    session.warn_of_denials();
    json.end(&report);
    Ok(Exit::of_parts([tally.exit, if report.failures.is_empty() { Exit::Done } else { Exit::Failed }]))
}

/// The gate that the flags ask for, with the ignore file; `None` without `--fail-on`.
pub fn gate(flags: &flags::GateArgs, workspace: &Workspace) -> Result<Option<Gate>, Failure> {
    let Some(fail_on) = flags.fail_on else { return Ok(None) };
    let (place, path) = match (&flags.ignore_file, &workspace.desired.scan_ignore) {
        (Some(path), _) => (None, path.clone()),
        (None, Some(configured)) => (Some(&configured.place), workspace.root.join(&configured.value)),
        (None, None) => (None, workspace.root.join(IGNORE_FILE)),
    };
    let is_default = flags.ignore_file.is_none() && place.is_none();
    let file = path.strip_prefix(&workspace.root).unwrap_or(&path).display().to_string();
    let ignored = match files::text(&path) {
        Ok(text) => IgnoreFile::read(&file, &text, today()).map_err(Failure::configuration)?,
        Err(error) if is_default && error.kind() == ErrorKind::NotFound => IgnoreFile::default(),
        Err(error) => {
            let place = place.cloned().unwrap_or_else(|| Place::file(&file));
            let message = format!("`{file}` cannot be read: {error}");
            let problem = ecr_types::document::Problem { place, message, help: None };
            return Err(Failure::configuration(vec![problem]));
        }
    };
    let (ignore_unfixed, unsupported) = (flags.ignore_unfixed, flags.unsupported);
    Ok(Some(Gate { fail_on, ignore_unfixed, unsupported, ignored }))
}

/// Where the ignore file is looked for.
const IGNORE_FILE: &str = "ecr/scan-ignore.toml";

fn today() -> Date {
    Date::from_unix_seconds(now().seconds())
}

/// Waits for scans and judges them.
pub struct Scanner<'a> {
    session: &'a Session<'a>,
    gate: Option<&'a Gate>,
    wait: Wait,
}

/// Images that are waited for side by side.
const PARALLEL: usize = 256;

impl<'a> Scanner<'a> {
    /// A scanner that waits for all scans together no longer than `timeout` from now on.
    pub fn new(session: &'a Session<'a>, gate: Option<&'a Gate>, timeout: Duration) -> Self {
        Self { session, gate, wait: Wait::new(timeout) }
    }

    /// Waits for the scans of all targets side by side, and gives them in their order.
    pub fn scan(&self, targets: Vec<Target>) -> impl Stream<Item = Result<ScannedImage, ScanFailure>> {
        stream::iter(targets).map(|target| self.scan_one(target)).buffered(PARALLEL)
    }

    async fn scan_one(&self, target: Target) -> Result<ScannedImage, ScanFailure> {
        let scan = self.wait.scan(self.session, &target).await;
        let scan = scan.map_err(|error| failure(&target.subject, &error))?;
        Ok(ScannedImage::new(target.subject, scan.as_ref(), self.gate))
    }
}

fn failure(subject: &Subject, error: &ServiceError) -> ScanFailure {
    ScanFailure {
        repository: subject.repository.clone(),
        error: format!("{subject}: {error}"),
        help: error.help().map(str::to_owned),
    }
}

/// What is remembered of images that were told already.
#[derive(Default)]
struct Tally {
    images: usize,
    /// Those whose findings are there.
    done: usize,
    /// Those that the gate lets through.
    through: usize,
    hints: Hints,
    /// Identifiers of all findings.
    found: BTreeSet<String>,
    /// Whether some findings are counted and not listed.
    has_unlisted: bool,
    exit: Exit,
    failures: Vec<ScanFailure>,
}

impl Tally {
    fn add(&mut self, image: &ScannedImage) {
        self.images += 1;
        self.done += usize::from(image.is_done());
        self.through += usize::from(image.is_through());
        self.hints.add(image);
        self.found.extend(image.findings.iter().map(|it| it.finding.name.clone()));
        self.has_unlisted |= !image.unlisted.is_empty();
        self.exit = Exit::of_parts([self.exit, exit_of(image)]);
    }

    /// With what the ignore file has that is of no use any more. That an entry is stale can be said only once
    /// everything was looked at.
    fn report(&self, gate: Option<&Gate>, is_everything: bool) -> ScanReport {
        let is_known =
            is_everything && self.failures.is_empty() && self.done == self.images && !self.has_unlisted;
        let ignore = gate.map(|gate| {
            let stale = || gate.ignored.stale(&self.found).map(|it| it.id.clone()).collect();
            IgnoreReport {
                expired: gate.ignored.expired.iter().map(|it| it.id.clone()).collect(),
                stale: is_known.then(stale),
            }
        });
        ScanReport { failures: self.failures.clone(), ignore }
    }
}

/// What is to be said after all images.
fn tell(shell: &Shell, report: &ScanReport, tally: &Tally, flags: &flags::GateArgs) {
    for failure in &report.failures {
        shell.bad_status("Failed", &failure.error);
        failure.help.iter().for_each(|it| shell.help(it));
    }
    tally.hints.tell(shell, flags, &BTreeSet::new());
    for ignore in report.ignore.iter() {
        warn_of_expired(shell, &ignore.expired);
        for id in ignore.stale.iter().flatten() {
            shell.warn(format!("`{id}` in the ignore file is stale: none of these images has the finding"));
        }
    }
    let failed = (report.failures.len(), "failed");
    let counts = match flags.fail_on {
        Some(_) => [(tally.through, "passed"), (tally.images - tally.through, "not passed"), failed],
        None => [(tally.done, "scanned"), (tally.images - tally.done, "without findings"), failed],
    };
    shell.status("Finished", counted(tally.images + report.failures.len(), "image", &counts));
}

/// Entries whose time is over say so, until somebody looks at them again.
pub fn warn_of_expired<'a>(shell: &Shell, ids: impl IntoIterator<Item = &'a String>) {
    for id in ids {
        shell.warn(format!("the time of `{id}` in the ignore file is over: the finding counts again"));
    }
}

/// What to know of scans that looked into nothing, or that cannot tell about fixes.
#[derive(Default)]
pub struct Hints {
    /// Packages whose images ECR cannot scan.
    unsupported: BTreeSet<String>,
    has_unknown_fixes: bool,
}

impl Hints {
    /// Looks at an image.
    pub fn add(&mut self, image: &ScannedImage) {
        self.unsupported.extend(image.subject.package.clone().filter(|_| image.is_unsupported()));
        self.has_unknown_fixes |= image.has_unknown_fixes();
    }

    /// Says it. `auditable` are packages whose binaries are known to carry the list of their crates.
    pub fn tell(&self, shell: &Shell, flags: &flags::GateArgs, auditable: &BTreeSet<String>) {
        let known: Vec<_> = self.unsupported.intersection(auditable).collect();
        if !known.is_empty() {
            shell.note(format!(
                "{} carries `cargo auditable` data, into which ECR's scanner cannot see on scratch: `cargo audit bin`, \
                 `trivy` and `grype` read it, and --unsupported pass leaves the matter to them",
                some_of(&known, 3)
            ));
        } else if !self.unsupported.is_empty() {
            shell.note(
                "ECR's scanner cannot see into a Rust binary on scratch. One that was built with `cargo auditable` \
                 carries the list of its crates, which `cargo audit bin`, `trivy` and `grype` read",
            );
        }
        if flags.ignore_unfixed && self.has_unknown_fixes {
            shell.warn(
                "basic scanning does not tell whether there is a fix: --ignore-unfixed lets none of its findings \
                 through",
            );
        }
    }
}

/// What an image alone would make the command end with.
pub fn exit_of(image: &ScannedImage) -> Exit {
    if image.is_through() { Exit::Done } else { Exit::Gate }
}
