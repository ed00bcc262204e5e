//! The gates of a promotion: what an image must have passed before it is promoted.

use ecr_types::error::one_line;
use futures_util::stream::StreamExt;

use super::plan::{Promotion, Reason, ReasonKind, State};
use super::sides::Sides;
use crate::cli::commands::scan::{
    self, SCAN_START_TIMEOUT, ScanTarget, Scanner, resolve_index, warn_of_expired,
};
use crate::cli::commands::signing::SigningGate;
use crate::cli::error::Failure;
use crate::cli::flags;
use crate::cli::report::{PromotedEntry, ScannedImage, SignedManifest, Subject};
use crate::scan::Gate;
use crate::signing::RequiredProfile;

/// Adds a reason to each promotion whose image does not pass the gates that the flags ask for. The images are judged where they
/// are.
pub(super) async fn apply(
    flags: &flags::Promote,
    sides: &Sides<'_>,
    promotions: &mut [(usize, PromotedEntry, Promotion)],
) -> Result<(), Failure> {
    let gate = scan::gate(&flags.gate, &sides.source().session.workspace)?;
    let required = flags.require_signed.as_ref().map(|it| RequiredProfile::new(it));
    if let Some(gate) = &gate {
        warn_of_expired(sides.source().session.shell, gate.ignored.expired.iter().map(|it| &it.id));
    }
    for (_, entry, promotion) in promotions.iter_mut().filter(|(_, _, it)| matches!(it.state, State::Tag(_)))
    {
        let mut reasons = Vec::new();
        if let Some(gate) = &gate {
            reasons.extend(scans(flags, sides, gate, promotion).await);
        }
        if let Some(required) = &required {
            reasons.extend(signatures(flags, sides, required, promotion).await);
        }
        entry.reasons.extend(reasons.iter().cloned());
        promotion.reasons.extend(reasons.into_iter().map(|text| Reason { text, kind: ReasonKind::Gate }));
    }
    Ok(())
}

/// Why an image does not pass the gate of scans.
async fn scans(
    flags: &flags::Promote,
    sides: &Sides<'_>,
    gate: &Gate,
    promotion: &Promotion,
) -> Option<String> {
    let session = &sides.source().session;
    let subject = Subject {
        repository: promotion.from.clone(),
        package: None,
        digest: promotion.digest.clone(),
        tags: Vec::new(),
        index: None,
        platform: None,
    };
    let target = ScanTarget { subject, start_timeout: SCAN_START_TIMEOUT };
    let targets = match resolve_index(session, target).await {
        Ok(targets) => targets,
        Err(error) => return Some(format!("its scan cannot be read: {}", one_line(error.as_ref()))),
    };
    let scanner = Scanner::new(session, Some(gate), flags.gate.timeout);
    let scanned: Vec<_> = scanner.scan(targets).collect().await;
    let mut reason = None;
    for image in scanned {
        match image {
            Ok(image) => {
                session.shell.detail(!image.is_through(), &image.lines(session.shell.width()));
                if !ScannedImage::is_through(&image) {
                    reason = Some(format!("it did not pass the gate --fail-on {}", gate.fail_on));
                }
            }
            Err(failure) => reason = Some(format!("its scan cannot be read: {}", failure.error)),
        }
    }
    reason
}

/// Why an image does not pass the gate of signatures.
async fn signatures(
    flags: &flags::Promote,
    sides: &Sides<'_>,
    required: &RequiredProfile,
    promotion: &Promotion,
) -> Option<String> {
    let session = &sides.source().session;
    let gate = SigningGate::new(session, required, flags.gate.timeout);
    match gate.image(&promotion.from, &promotion.digest).await {
        Ok(manifests) if manifests.iter().all(SignedManifest::is_signed) => None,
        Ok(manifests) => {
            session.shell.detail(true, &manifests.iter().map(SignedManifest::line).collect::<Vec<_>>());
            Some("ECR has not signed it".to_owned())
        }
        Err(error) => Some(format!("its signature cannot be read: {}", one_line(error.as_ref()))),
    }
}
