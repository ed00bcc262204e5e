//! `ecr scan`: shows the findings of ECR image scans, and applies the scan gate.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::Duration;

use ecr_types::document::{Place, Problem};
use ecr_types::human::{counted, some_of};
use ecr_types::text::NotText;
use futures_util::stream::{self, Stream, StreamExt};

use super::session::{Session, load_workspace};
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

pub use targets::{SCAN_START_TIMEOUT, ScanTarget, resolve_index};
use wait::ScanWaiter;

/// Runs `ecr scan`. Images are printed in order, as soon as their scans are complete.
pub async fn run(flags: &flags::Scan, shell: &Shell) -> Result<Exit, Failure> {
    let workspace = load_workspace(shell, &flags.common).await?;
    let gate = gate(&flags.gate, &workspace)?;
    let session = Session::connect(shell, &flags.common, workspace).await?;
    let (targets, failures) = targets::select(&session, flags, gate.is_some()).await?;
    if targets.is_empty() && failures.is_empty() {
        let nothing = Failure::new("no images found");
        return Err(
            nothing.with_help(format!("push an image with `cargo xtask push{}`", session.registry_flags()))
        );
    }
    let scanner = Scanner::new(&session, gate.as_ref(), flags.gate.timeout);
    let mut scans = std::pin::pin!(scanner.scan(targets));
    let mut totals = Totals { failures, ..Totals::default() };
    let mut json = shell.json_list("images");
    while let Some(scanned) = scans.next().await {
        match scanned {
            Ok(image) => {
                image.lines(shell.width()).iter().for_each(|it| shell.print(it));
                json.item(&image);
                totals.add(&image);
            }
            Err(failure) => totals.failures.push(failure),
        }
    }
    let is_everything = flags.common.selection.selects_all() && flags.tag.is_empty();
    let report = totals.report(gate.as_ref(), is_everything);
    print_summary(shell, &report, &totals, &flags.gate);
    session.warn_of_denials();
    json.end(&report);
    Ok(Exit::of_parts([totals.exit, if report.failures.is_empty() { Exit::Done } else { Exit::Failed }]))
}

/// The gate that the flags configure, with its ignore file; `None` without `--fail-on`.
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
            let help = NotText::of(&error).map(|it| it.help().to_owned());
            return Err(Failure::configuration(vec![Problem { place, message, help }]));
        }
    };
    let (ignore_unfixed, unsupported) = (flags.ignore_unfixed, flags.unsupported);
    Ok(Some(Gate { fail_on, ignore_unfixed, unsupported, ignored }))
}

/// The default ignore file, relative to the workspace.
const IGNORE_FILE: &str = "ecr/scan-ignore.toml";

fn today() -> Date {
    Date::from_unix_seconds(now().seconds())
}

/// Waits for scans and applies the gate to them.
pub struct Scanner<'a> {
    session: &'a Session<'a>,
    gate: Option<&'a Gate>,
    waiter: ScanWaiter,
}

/// The maximum number of images whose scans are polled concurrently.
const CONCURRENCY: usize = 256;

impl<'a> Scanner<'a> {
    /// `timeout` is the total time for all scans, from now on.
    pub fn new(session: &'a Session<'a>, gate: Option<&'a Gate>, timeout: Duration) -> Self {
        Self { session, gate, waiter: ScanWaiter::new(timeout) }
    }

    /// Waits for the scans of all targets concurrently, and returns them in the order of the targets.
    pub fn scan(&self, targets: Vec<ScanTarget>) -> impl Stream<Item = Result<ScannedImage, ScanFailure>> {
        stream::iter(targets).map(|target| self.scan_one(target)).buffered(CONCURRENCY)
    }

    async fn scan_one(&self, target: ScanTarget) -> Result<ScannedImage, ScanFailure> {
        let scan = self.waiter.scan(self.session, &target).await;
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

/// Totals of the images that were printed.
#[derive(Default)]
struct Totals {
    images: usize,
    /// Images whose scan is complete.
    done: usize,
    /// Images that nobody scanned, or that ECR cannot scan.
    unscanned: usize,
    /// Images that pass the gate.
    passed: usize,
    hints: Hints,
    /// The IDs of all findings.
    found: BTreeSet<String>,
    /// Whether ECR counted findings that it did not list.
    has_unlisted: bool,
    exit: Exit,
    failures: Vec<ScanFailure>,
}

impl Totals {
    fn add(&mut self, image: &ScannedImage) {
        self.images += 1;
        self.done += usize::from(image.is_done());
        self.unscanned += usize::from(image.is_unscanned());
        self.passed += usize::from(image.is_through());
        self.hints.add(image);
        self.found.extend(image.findings.iter().map(|it| it.finding.name.clone()));
        self.has_unlisted |= !image.unlisted.is_empty();
        self.exit = Exit::of_parts([self.exit, image_exit(image)]);
    }

    /// The report, with the expired and stale entries of the ignore file. An entry is known to be stale only
    /// if all findings of all images were read.
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

/// Prints failures, hints, warnings about the ignore file, and the counts.
fn print_summary(shell: &Shell, report: &ScanReport, totals: &Totals, flags: &flags::GateArgs) {
    for failure in &report.failures {
        shell.bad_status("Failed", &failure.error);
        failure.help.iter().for_each(|it| shell.help(it));
    }
    totals.hints.print(shell, flags, &BTreeSet::new());
    for ignore in report.ignore.iter() {
        warn_of_expired(shell, &ignore.expired);
        for id in ignore.stale.iter().flatten() {
            shell.warn(format!("ignore entry `{id}` is stale: no image has this finding"));
        }
    }
    let failed = (report.failures.len(), "failed");
    let without_result = totals.images - totals.done - totals.unscanned;
    let counts = match flags.fail_on {
        Some(_) => vec![(totals.passed, "passed"), (totals.images - totals.passed, "not passed"), failed],
        None => vec![
            (totals.done, "scanned"),
            (totals.unscanned, "not scanned"),
            (without_result, "without a result"),
            failed,
        ],
    };
    shell.status("Finished", counted(totals.images + report.failures.len(), "image", &counts));
}

/// Warns of expired entries of the ignore file.
pub fn warn_of_expired<'a>(shell: &Shell, ids: impl IntoIterator<Item = &'a String>) {
    for id in ids {
        shell.warn(format!("ignore entry `{id}` has expired: the finding is no longer ignored"));
    }
}

/// Hints about images that ECR cannot scan, and about findings for which ECR does not report fixes.
#[derive(Default)]
pub struct Hints {
    /// Packages whose images ECR cannot scan.
    unsupported: BTreeSet<String>,
    has_unknown_fixes: bool,
}

impl Hints {
    pub fn add(&mut self, image: &ScannedImage) {
        self.unsupported.extend(image.subject.package.clone().filter(|_| image.is_unsupported()));
        self.has_unknown_fixes |= image.has_unknown_fixes();
    }

    /// Prints the hints. `auditable` are the packages whose binaries contain `cargo auditable` data.
    pub fn print(&self, shell: &Shell, flags: &flags::GateArgs, auditable: &BTreeSet<String>) {
        let known: Vec<_> = self.unsupported.intersection(auditable).collect();
        if !known.is_empty() {
            shell.note(format!(
                "ECR cannot scan images built from scratch, but {} contains `cargo auditable` data: scan it \
                 with `cargo audit bin`, `trivy` or `grype`, and let it pass the gate with --unsupported \
                 pass",
                some_of(&known, 3)
            ));
        } else if !self.unsupported.is_empty() {
            shell.note(
                "ECR cannot scan images built from scratch. To scan such an image, build its binary with \
                 `cargo auditable` and use `cargo audit bin`, `trivy` or `grype`",
            );
        }
        if flags.ignore_unfixed && self.has_unknown_fixes {
            shell.warn(
                "basic scanning does not report whether a fix is available: --ignore-unfixed ignores none of \
                 its findings",
            );
        }
    }
}

/// The exit code that one image causes.
pub fn image_exit(image: &ScannedImage) -> Exit {
    if image.is_through() { Exit::Done } else { Exit::Gate }
}
