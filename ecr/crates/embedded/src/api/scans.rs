//! `StartImageScan` and `DescribeImageScanFindings`. Images are not scanned. Findings are read from files: `scans/HEX.json` in
//! the folder of the state for the image with the digest `sha256:HEX`, in the form of `DescribeImageScanFindings`:
//!
//! ```json
//! { "statuses": ["IN_PROGRESS", "COMPLETE"],
//!   "imageScanStatus": { "status": "COMPLETE", "description": "..." },
//!   "imageScanFindings": { "findings": [], "findingSeverityCounts": { "HIGH": 1 } } }
//! ```
//!
//! `statuses` is optional: consecutive requests get these statuses, and all further ones get the last status. Findings are
//! returned only if the status is COMPLETE or ACTIVE. An image without a file has the status UNSUPPORTED_IMAGE after a scan, so
//! that it is not mistaken for one without findings.

use ecr_types::media_type::is_index;
use ecr_types::{Digest, RepositoryName, text};
use serde_json::{Value, json};

use super::image_id::{ImageId, image_not_found, shown};
use super::page::{page, with_next};
use super::{ApiResult, Call, Found, Input};
use crate::error::ApiError;
use crate::model::{Image, Registry, RegistryKey};
use crate::store::Queries;

/// The minimum time between two scans of an image in seconds ("once per 24 hours").
const SCAN_INTERVAL: f64 = 24.0 * 60.0 * 60.0;

/// The scan of an image.
#[derive(Debug)]
pub struct Scan {
    file: Value,
    status: String,
}

impl Scan {
    /// `imageScanStatus`.
    pub fn status(&self) -> Value {
        let mut status = json!({ "status": self.status });
        let is_last = self.file["imageScanStatus"]["status"] == *self.status;
        let description = self.file["imageScanStatus"]["description"].as_str().filter(|_| is_last);
        if let Some(description) = description.or_else(|| default_description(&self.status)) {
            status["description"] = json!(description);
        }
        status
    }

    /// `imageScanFindings`, if the scan is complete.
    fn findings(&self) -> Option<&Value> {
        let is_done = matches!(self.status.as_str(), "COMPLETE" | "ACTIVE");
        Some(&self.file["imageScanFindings"]).filter(|it| it.is_object() && is_done)
    }

    /// `imageScanFindingsSummary`, if the scan is complete.
    pub fn summary(&self) -> Option<Value> {
        let findings = self.findings()?;
        let keys = ["imageScanCompletedAt", "vulnerabilitySourceUpdatedAt", "findingSeverityCounts"];
        let kept = keys.iter().filter(|key| !findings[**key].is_null());
        Some(
            kept.map(|key| ((*key).to_owned(), findings[*key].clone()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        )
    }
}

fn default_description(status: &str) -> Option<&'static str> {
    match status {
        "UNSUPPORTED_IMAGE" => {
            Some("UnsupportedImageError: The operating system and/or package manager are not supported.")
        }
        "COMPLETE" => Some("The scan was completed successfully."),
        "ACTIVE" => Some("Continuous scan is selected for image."),
        _ => None,
    }
}

/// The current scan of an image, without advancing its status; `None` if the image was never scanned.
pub fn scan_of(call: &Call<'_>, name: &RepositoryName, digest: &Digest, image: &Image) -> Option<Scan> {
    let requests = call.shared.count_scan_requests(&key(&call.registry, name, digest), 0);
    read(call, digest, image, requests)
}

/// The key under which the requests for an image's findings are counted.
fn key(registry: &RegistryKey, name: &RepositoryName, digest: &Digest) -> String {
    format!("{registry}/{name}@{digest}")
}

fn read(call: &Call<'_>, digest: &Digest, image: &Image, requests: usize) -> Option<Scan> {
    let path = call.shared.scan_path(digest);
    if !path.exists() {
        let status = "UNSUPPORTED_IMAGE".to_owned();
        return image.scan_requested_at.map(|_| Scan { file: Value::Null, status });
    }
    let text = std::fs::read(path).and_then(|it| Ok(text::decode(it)?)).map_err(|it| it.to_string());
    let file = text.and_then(|it| serde_json::from_str::<Value>(&it).map_err(|it| it.to_string()));
    let is_enhanced = call.registry_settings().is_ok_and(|it| it.is_enhanced());
    let scan =
        file.and_then(|file| status_of(&file, requests, is_enhanced).map(|status| Scan { file, status }));
    Some(scan.unwrap_or_else(unreadable))
}

/// The scan for a file that is not valid. Its status is FAILED, so that it is not mistaken for one without findings.
fn unreadable(error: String) -> Scan {
    let description = format!("the embedded ECR cannot read the file of this scan: {error}");
    let file = json!({"imageScanStatus": {"status": "FAILED", "description": description}});
    Scan { file, status: "FAILED".to_owned() }
}

/// The service model's `ScanStatus`.
const STATUSES: [&str; 11] = [
    "IN_PROGRESS",
    "COMPLETE",
    "FAILED",
    "UNSUPPORTED_IMAGE",
    "ACTIVE",
    "PENDING",
    "SCAN_ELIGIBILITY_EXPIRED",
    "FINDINGS_UNAVAILABLE",
    "LIMIT_EXCEEDED",
    "IMAGE_ARCHIVED",
    "IMAGE_SIZE_EXCEEDED",
];

/// The status of a scan. Amazon Inspector scans continuously, so that the status of its findings is ACTIVE where the file names
/// none (alexjurkiewicz/ecr-scan-image#45).
fn status_of(file: &Value, requests: usize, is_enhanced: bool) -> Result<String, String> {
    let status = match &file["statuses"] {
        Value::Null => &file["imageScanStatus"]["status"],
        Value::Array(listed) if !listed.is_empty() => &listed[requests.min(listed.len() - 1)],
        _ => return Err("`statuses` is not a list of statuses".to_owned()),
    };
    let status = status
        .as_str()
        .or(is_enhanced.then_some("ACTIVE"))
        .ok_or("neither `statuses` nor `imageScanStatus.status` is a status")?;
    if !STATUSES.contains(&status) {
        return Err(format!("`{status}` is not one of {}", STATUSES.join(", ")));
    }
    let are_objects = |key: &str| match &file["imageScanFindings"][key] {
        Value::Null => true,
        findings => findings.as_array().is_some_and(|it| it.iter().all(Value::is_object)),
    };
    if !are_objects("findings") || !are_objects("enhancedFindings") {
        return Err("the findings are not a list of objects".to_owned());
    }
    let counts = &file["imageScanFindings"]["findingSeverityCounts"];
    let is_count = |it: &Value| it.as_u64().is_some_and(|it| i32::try_from(it).is_ok());
    if !counts.is_null() && !counts.as_object().is_some_and(|it| it.values().all(is_count)) {
        return Err("the values of `findingSeverityCounts` are not numbers of findings".to_owned());
    }
    if matches!(status, "COMPLETE" | "ACTIVE") && !file["imageScanFindings"].is_object() {
        return Err(format!("`{status}` needs `imageScanFindings`, even if nothing was found"));
    }
    Ok(status.to_owned())
}

/// Starts a scan.
pub fn start(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let id = ImageId::new(input.part("imageId").unwrap_or(input));
    let now = call.shared.now();
    let (name, digest) = call.change(input.required("repositoryName"), |transaction, name, repository| {
        let found = id.find(transaction, repository)?;
        let (digest, image) = found.map_err(|_| image_not_found(call, name, &id))?;
        check_scannable(&transaction.registry(&call.registry)?, &image, now)?;
        let image = Image { scan_requested_at: Some(now), ..image };
        transaction.put_image(repository.id, &digest, &image)?;
        Ok((name.clone(), digest))
    })?;
    call.shared.reset_scan_requests(&key(&call.registry, &name, &digest));
    let id = ImageId { digest: Some(digest.to_string()), tag: id.tag };
    Ok(call.about(&name, json!({"imageId": id.json(), "imageScanStatus": {"status": "IN_PROGRESS"}})))
}

fn check_scannable(registry: &Registry, image: &Image, now: f64) -> Result<(), ApiError> {
    // alexjurkiewicz/ecr-scan-image#44: Amazon Inspector decides when it scans.
    if registry.is_enhanced() {
        return Err(ApiError::new("ValidationException", "This feature is disabled"));
    }
    if image.status(now) == "ARCHIVED" {
        let message = "The specified image is archived and cannot be scanned.";
        return Err(ApiError::new("ImageArchivedException", message));
    }
    if is_index(&image.media_type) {
        let message = format!(
            "An artifact with media type '{}' cannot be scanned. For more information, see the Amazon ECR documentation.",
            image.media_type
        );
        return Err(ApiError::new("UnsupportedImageTypeException", message));
    }
    if image.scan_requested_at.is_some_and(|it| now - it < SCAN_INTERVAL) {
        let message = "The scan quota per image has been exceeded. Wait and try again.";
        return Err(ApiError::new("LimitExceededException", message));
    }
    Ok(())
}

pub fn describe(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let id = ImageId::new(input.part("imageId").unwrap_or(input));
    let (name, digest, image) = find(call, input, &id)?;
    // The request of a further page does not advance the status.
    let is_new_request = input.text("nextToken").is_none() && call.shared.scan_path(&digest).exists();
    let key = key(&call.registry, &name, &digest);
    let requests = call.shared.count_scan_requests(&key, usize::from(is_new_request));
    let Some(scan) = read(call, &digest, &image, requests) else {
        let account = &call.registry.account;
        let message = format!(
            "Image scan does not exist for the image with '{}' in the repository with name '{name}' \
             in the registry with id '{account}'",
            shown(&id)
        );
        return Err(ApiError::new("ScanNotFoundException", message));
    };
    let id = ImageId { digest: Some(digest.to_string()), tag: id.tag };
    let mut response = call.about(&name, json!({"imageId": id.json(), "imageScanStatus": scan.status()}));
    if let Some(findings) = scan.findings() {
        let (findings, next) = findings_page(findings, input)?;
        response["imageScanFindings"] = findings;
        response = with_next(response, next);
    }
    Ok(response)
}

/// The findings with one page of `findings` or `enhancedFindings`, and the token of the next page.
fn findings_page(findings: &Value, input: Input<'_>) -> Result<(Value, Option<String>), ApiError> {
    let mut shown = findings.clone();
    let mut next = None;
    for key in ["findings", "enhancedFindings"] {
        if let Value::Array(items) = shown[key].take() {
            let (items, token) = page(items, input)?;
            shown[key] = json!(items);
            next = next.or(token);
        } else if let Some(object) = shown.as_object_mut() {
            object.remove(key);
        }
    }
    Ok((shown, next))
}

fn find(
    call: &Call<'_>,
    input: Input<'_>,
    id: &ImageId,
) -> Result<(RepositoryName, Digest, Image), ApiError> {
    let Found { rows, name, repository } = call.find(input)?;
    match id.find(&rows, &repository)? {
        Ok((digest, image)) => Ok((name, digest, image)),
        Err(_) => Err(image_not_found(call, &name, id)),
    }
}
