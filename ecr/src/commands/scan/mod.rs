//! `ecr scan`: findings, and the gate that a pipeline passes or does not.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};

use crate::aws::ServiceError;
use crate::error::{Exit, Failure};
use crate::flags;
use crate::report::{IgnoreReport, ScanFailure, ScanReport, ScannedImage, Subject};
use crate::scan::{Date, Gate, IgnoreFile};
use crate::shell::Shell;
use crate::source::Place;
use crate::words::{counted, some_of};
use crate::workspace::Workspace;

use super::session::{Session, now};

mod targets;
mod wait;

pub use targets::Target;
use wait::Wait;

/// Shows the findings of the selected images.
pub async fn run(flags: &flags::Scan, shell: &Shell) -> Result<Exit, Failure> {
    let workspace = Workspace::load(flags.common.workspace.manifest_path.as_deref())?;
    let gate = gate(&flags.gate, &workspace)?;
    let session = Session::connect(shell, &flags.common, workspace).await?;
    let (targets, failures) = targets::of(&session, flags).await?;
    let is_everything = flags.common.selection.is_everything() && failures.is_empty();
    let scanned = Scanner::new(&session, gate.as_ref(), flags.gate.timeout).scan(targets).await;
    let report = scanned.report(gate.as_ref(), failures, is_everything);
    if report.images.is_empty() && report.failures.is_empty() {
        let nothing = Failure::new("there is no image to look at");
        return Err(nothing.with_help(format!("push one with `cargo xtask push{}`", session.local_flags())));
    }
    tell(shell, &report, &flags.gate);
    session.warn_of_denials();
    shell.json(&report);
    Ok(exit(&report))
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
    let ignored = match std::fs::read_to_string(&path) {
        Ok(text) => IgnoreFile::read(&file, &text, today()).map_err(Failure::configuration)?,
        Err(error) if is_default && error.kind() == std::io::ErrorKind::NotFound => IgnoreFile::default(),
        Err(error) => {
            let place = place.cloned().unwrap_or_else(|| Place::file(&file));
            let message = format!("`{file}` cannot be read: {error}");
            let problem = crate::source::Problem { place, message, help: None };
            return Err(Failure::configuration(vec![problem]));
        }
    };
    let (ignore_unfixed, unsupported) = (flags.ignore_unfixed, flags.unsupported);
    Ok(Some(Gate { fail_on, ignore_unfixed, unsupported, ignored }))
}

/// Where the ignore file is looked for.
const IGNORE_FILE: &str = "ecr/scan-ignore.toml";

fn today() -> Date {
    Date::of_seconds(now().seconds())
}

/// Waits for scans and judges them.
pub struct Scanner<'a> {
    session: &'a Session<'a>,
    gate: Option<&'a Gate>,
    wait: Wait,
}

/// Images that are waited for side by side.
const PARALLEL: usize = 256;

/// What became of the scans.
#[derive(Default)]
pub struct Scanned {
    /// The images.
    pub images: Vec<ScannedImage>,
    /// Those that could not be looked at.
    pub failures: Vec<ScanFailure>,
}

impl<'a> Scanner<'a> {
    /// A scanner that waits for all scans together no longer than `timeout` from now on.
    pub fn new(session: &'a Session<'a>, gate: Option<&'a Gate>, timeout: Duration) -> Self {
        Self { session, gate, wait: Wait::new(timeout) }
    }

    /// Waits for the scans of all targets side by side.
    pub async fn scan(&self, targets: Vec<Target>) -> Scanned {
        let each = targets.into_iter().map(|target| self.scan_one(target));
        let results: Vec<_> = stream::iter(each).buffered(PARALLEL).collect().await;
        let mut scanned = Scanned::default();
        for result in results {
            match result {
                Ok(image) => scanned.images.push(image),
                Err(failure) => scanned.failures.push(failure),
            }
        }
        scanned
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

impl Scanned {
    /// With what the ignore file has that is of no use any more. That an entry is stale can be said only once
    /// everything was looked at.
    fn report(self, gate: Option<&Gate>, failures: Vec<ScanFailure>, is_everything: bool) -> ScanReport {
        let failures: Vec<_> = failures.into_iter().chain(self.failures).collect();
        let is_known = is_everything && failures.is_empty() && self.images.iter().all(ScannedImage::is_done);
        let ignore = gate.map(|gate| {
            let found: BTreeSet<_> =
                self.images.iter().flat_map(|it| &it.findings).map(|it| it.name.clone()).collect();
            let stale = || gate.ignored.stale(&found).map(|it| it.id.clone()).collect();
            IgnoreReport {
                expired: gate.ignored.expired.iter().map(|it| it.id.clone()).collect(),
                stale: is_known.then(stale),
            }
        });
        ScanReport { images: self.images, failures, ignore }
    }
}

/// Prints findings for people, and says what to do.
fn tell(shell: &Shell, report: &ScanReport, flags: &flags::GateArgs) {
    for image in &report.images {
        image.lines().iter().for_each(|it| shell.print(it));
    }
    for failure in &report.failures {
        shell.bad_status("Failed", &failure.error);
        failure.help.iter().for_each(|it| shell.help(it));
    }
    hints(shell, &report.images, flags, &BTreeSet::new());
    for ignore in report.ignore.iter() {
        warn_of_expired(shell, &ignore.expired);
        for id in ignore.stale.iter().flatten() {
            shell.warn(format!("`{id}` in the ignore file is stale: no image has the finding any more"));
        }
    }
    let of = |is_wanted: fn(&&ScannedImage) -> bool| report.images.iter().filter(is_wanted).count();
    let counts = match flags.fail_on {
        Some(_) => {
            let through = of(|it| it.is_through());
            [
                (through, "passed"),
                (report.images.len() - through, "not passed"),
                (report.failures.len(), "failed"),
            ]
        }
        None => {
            let done = of(|it| it.is_done());
            [
                (done, "scanned"),
                (report.images.len() - done, "without findings"),
                (report.failures.len(), "failed"),
            ]
        }
    };
    shell.status("Finished", counted(report.images.len() + report.failures.len(), "image", &counts));
}

/// Entries whose time is over say so, until somebody looks at them again.
pub fn warn_of_expired<'a>(shell: &Shell, ids: impl IntoIterator<Item = &'a String>) {
    for id in ids {
        shell.warn(format!("the time of `{id}` in the ignore file is over: the finding counts again"));
    }
}

/// What to know of scans that looked into nothing, or that cannot tell about fixes.
///
/// `auditable` are packages whose binaries are known to carry the list of their crates.
pub fn hints(shell: &Shell, images: &[ScannedImage], flags: &flags::GateArgs, auditable: &BTreeSet<String>) {
    let unsupported = || images.iter().filter(|it| it.is_unsupported()).filter_map(|it| it.package.as_ref());
    let known: Vec<_> = unsupported().filter(|it| auditable.contains(*it)).cloned().collect();
    if !known.is_empty() {
        shell.note(format!(
            "{} carries `cargo auditable` data, into which ECR's scanner cannot see on scratch: `cargo audit bin`, \
             `trivy` and `grype` read it, and --unsupported pass leaves the matter to them",
            some_of(&known, 3)
        ));
    } else if unsupported().next().is_some() {
        shell.note(
            "ECR's scanner cannot see into a Rust binary on scratch. One that was built with `cargo auditable` carries \
             the list of its crates, which `cargo audit bin`, `trivy` and `grype` read",
        );
    }
    if flags.ignore_unfixed && images.iter().any(ScannedImage::has_unknown_fixes) {
        shell.warn(
            "basic scanning does not tell whether there is a fix: --ignore-unfixed lets none of its findings through",
        );
    }
}

/// A failure outranks the gate.
fn exit(report: &ScanReport) -> Exit {
    let failed = report.failures.iter().map(|_| Exit::Failed);
    Exit::of_parts(report.images.iter().map(exit_of).chain(failed))
}

/// What an image alone would make the command end with.
pub fn exit_of(image: &ScannedImage) -> Exit {
    if image.is_through() { Exit::Done } else { Exit::Gate }
}
