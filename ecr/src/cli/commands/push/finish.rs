//! The end of a push: references on stdout and in files, the summary, the report, and the exit code.

use super::connect::Connected;
use super::outcome::{ServiceResult, summary};
use crate::cli::commands::session::Session;
use crate::cli::error::{Exit, Failure};
use crate::cli::report::{PushReport, ScannedImage, SignedManifest};
use crate::cli::shell::{OutputFile, Shell};
use crate::references::References;

/// The input of [`finish`].
pub(super) struct FinishedPush<'a> {
    pub shell: &'a Shell,
    /// `None` if the images were not pushed to a registry.
    pub connected: Option<&'a Connected<'a>>,
    pub done: Vec<ServiceResult>,
}

/// Prints the results and returns the exit code.
pub(super) fn finish(finish: FinishedPush<'_>, file: Option<OutputFile>) -> Result<Exit, Failure> {
    let FinishedPush { shell, connected, mut done } = finish;
    done.sort_by_key(|it| it.index);
    let session = connected.map(|it| &it.session);
    let references: Vec<_> = done.iter().filter(|it| is_present(it)).collect();
    let references: Vec<_> = references.iter().filter_map(|it| it.entry.reference.clone()).collect();
    let names = done.iter().flat_map(|it| it.entry.names.iter().flatten());
    let lines: Vec<_> = references.iter().chain(names).map(String::as_str).collect();
    if !lines.is_empty() {
        shell.print(lines.join("\n"));
    }
    session.into_iter().for_each(Session::warn_of_denials);
    let written = file.map_or(Ok(()), |it| it.update(|old| updated(old, connected, &done)));
    let written =
        written.inspect_err(|it| shell.bad_status("Failed", format!("to write the references: {it}")));
    summary(shell, &done, shell.elapsed());
    if let Some(session) = session.filter(|it| it.has_own_server() && !references.is_empty()) {
        let data = session.data_flag();
        shell.help(format!(
            "to keep the embedded ECR running at this address, run `cargo xtask ecr serve{data}`"
        ));
    }
    let of_file = if written.is_ok() { Exit::Done } else { Exit::Failed };
    let exit = Exit::of_parts(done.iter().map(|it| it.exit).chain([of_file]));
    let registry = connected.and_then(Connected::shown_host);
    let interrupted = exit == Exit::Interrupted;
    let images = done.into_iter().map(|it| it.entry).collect();
    let report = PushReport { registry, images, interrupted };
    shell.github_outputs(&references.join("\n"), &report);
    shell.json(&report);
    Ok(exit)
}

/// The list of `--image-refs` after this push. A service without an image loses the line that an earlier push has written.
fn updated(old: &str, connected: Option<&Connected<'_>>, done: &[ServiceResult]) -> String {
    // It was readable when the push began.
    let mut list: References = old.parse().unwrap_or_default();
    for it in done {
        match (&it.entry.reference, connected.and_then(|it| it.shown_host())) {
            (Some(reference), _) if is_present(it) => drop(list.set(reference)),
            (_, Some(host)) => list.remove(&host, it.entry.repository.as_str()),
            _ => {}
        }
    }
    list.to_string()
}

/// Whether the image is in the registry and passed the gates. The reference of an image that did not pass, or whose
/// scan or signature cannot be read, is not printed, although the image was pushed.
fn is_present(done: &ServiceResult) -> bool {
    done.entry.outcome.is_in_registry()
        && done.entry.error.is_none()
        && done.entry.scans.iter().flatten().all(ScannedImage::is_through)
        && done.entry.signatures.iter().flatten().all(SignedManifest::is_signed)
}
