//! The document of `ecr images`. It is printed one repository at a time: a repository may have a hundred
//! thousand images.

use ecr_lifecycle::{Image, Timestamp};
use ecr_types::human::{count, money, short_age, size};
use ecr_types::{Digest, RepositoryName};
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

#[cfg(test)]
use super::Interrupted;
#[cfg(test)]
use super::schema::{self, SCAN_STATUSES, rules};
use crate::cli::shell::Printable;
use crate::cli::table::{Align, Cell, Table, Tone};
use crate::inventory::{AfterLifecycle, Detail, Figures, Inventory};
use crate::scan::{Counts, ScanStatus, Severity, counts_text};

/// The document of `ecr images`, which is written one repository at a time.
#[cfg(test)]
#[derive(schemars::JsonSchema)]
#[schemars(
    untagged,
    description = "The images in the repositories, their sizes and their cost. Ctrl-C ends the list early."
)]
#[expect(dead_code, reason = "only its schema is used")]
pub enum ImagesDocument {
    /// The complete list.
    Complete {
        /// The repositories of the selected services.
        repositories: Vec<ListedRepository<'static>>,
        /// The end of the list.
        #[schemars(flatten)]
        end: ImagesTotal,
    },
    /// The beginning of the list, until Ctrl-C.
    Interrupted {
        /// The repositories that were read before the interruption.
        repositories: Vec<ListedRepository<'static>>,
        /// The end of the list.
        #[schemars(flatten)]
        end: Interrupted,
    },
}

/// A repository and its images.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(transform = rules::unread_images))]
#[serde(rename_all = "camelCase")]
pub struct ListedRepository<'a> {
    /// The name of the repository.
    pub name: &'a RepositoryName,
    /// The package that uses the repository. Null if there is none.
    pub package: Option<&'a str>,
    /// Whether the repository exists. Null if that could not be determined.
    pub exists: Option<bool>,
    /// The images, the youngest first. Empty if they could not be read.
    #[serde(serialize_with = "images")]
    #[cfg_attr(test, schemars(with = "Vec<ListedImage<'static>>"))]
    pub images: &'a Inventory,
    /// The storage of the images and its cost. Null if the images could not be read.
    pub storage: Option<Figures>,
    /// The reason why the images could not be read. Absent if they were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub error: Option<String>,
}

/// The members that follow the list of repositories.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ImagesTotal {
    /// The sum over all repositories that could be read.
    pub total: Figures,
}

/// An image, an artifact or an index.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct ListedImage<'a> {
    /// The digest of the manifest.
    digest: &'a Digest,
    /// The tags.
    tags: &'a [String],
    /// The time of the push (`imagePushedAt`).
    pushed_at: Timestamp,
    /// The time of the last pull that ECR recorded (`lastRecordedPullTime`). Null if there is none.
    last_pulled_at: Option<Timestamp>,
    /// The size in bytes (`imageSizeInBytes`).
    size_bytes: u64,
    /// The media type of the manifest. Null if ECR does not return it.
    media_type: Option<&'a str>,
    /// The type of the artifact (`artifactMediaType`). For a container image it is the media type of its
    /// configuration. Null if ECR does not return it.
    artifact_type: Option<&'a str>,
    /// The digest of the image that the artifact refers to (OCI `subject`). Null if there is none.
    subject: Option<&'a Digest>,
    /// The digests in an index. Empty if this is not an index. Null if the manifest could not be read.
    children: Option<&'a [Digest]>,
    /// The storage class.
    #[cfg_attr(test, schemars(extend("enum" = ["standard", "archive"])))]
    storage_class: &'static str,
    /// The time at which the image was last archived. Null if it never was.
    last_archived_at: Option<Timestamp>,
    /// The time at which the image was last restored from the archive. Null if it never was.
    last_activated_at: Option<Timestamp>,
    /// The status of the scan (`imageScanStatus.status`). Null if the list of images does not contain it.
    /// Values that this version does not know are possible.
    #[cfg_attr(test, schemars(extend("examples" = SCAN_STATUSES)))]
    scan_status: Option<&'a str>,
    /// The number of findings of each severity. Null if the list of images does not contain it.
    #[cfg_attr(test, schemars(with = "Option<schema::Counts>"))]
    findings: Option<&'a Counts>,
}

impl<'a> ListedImage<'a> {
    fn new(image: &'a Image, detail: &'a Detail) -> Self {
        Self {
            digest: &image.digest,
            tags: &image.tags,
            pushed_at: image.pushed_at,
            last_pulled_at: image.last_pulled_at,
            size_bytes: image.size_bytes,
            media_type: image.media_type.as_deref(),
            artifact_type: detail.artifact_type.as_deref(),
            subject: image.subject.as_ref(),
            children: image.children.as_deref(),
            storage_class: image.storage_class.as_str(),
            last_archived_at: image.last_archived_at,
            last_activated_at: image.last_activated_at,
            scan_status: detail.scan_status.as_deref(),
            findings: detail.counts.as_ref(),
        }
    }
}

fn images<S: Serializer>(inventory: &Inventory, to: S) -> Result<S::Ok, S::Error> {
    let mut list = to.serialize_seq(Some(inventory.images.len()))?;
    for (image, detail) in inventory.images.iter().zip(&inventory.details) {
        list.serialize_element(&ListedImage::new(image, detail))?;
    }
    list.end()
}

impl ListedRepository<'_> {
    /// Calls `print` with each line for people, in a terminal of this width.
    pub fn print(&self, now: Timestamp, width: Option<usize>, mut print: impl FnMut(Printable)) {
        let name = Tone::Title.paint(self.name.as_str());
        if self.error.is_some() {
            return print(name + ": unknown");
        }
        if self.images.images.is_empty() {
            let what = if self.exists == Some(true) { "no images" } else { "the repository does not exist" };
            return print(name + ": " + what);
        }
        print(name);
        let columns = [
            ("TAGS", Align::Flexible),
            ("DIGEST", Align::Left),
            ("PUSHED", Align::Left),
            ("LAST PULLED", Align::Left),
            ("SIZE", Align::Right),
            ("SCAN", Align::Flexible),
        ];
        let mut table = Table::new(&columns);
        for row in self.images.rows() {
            let (image, detail) = (&self.images.images[row.image], &self.images.details[row.image]);
            table.add(cells(image, detail, row.depth, now));
        }
        table.lines(2, width).for_each(&mut print);
        if let Some(figures) = &self.storage {
            print(format!("  {}", figures_text(figures)).into());
        }
    }
}

fn cells(image: &Image, detail: &Detail, depth: usize, now: Timestamp) -> Vec<Cell> {
    let ago = |time: Timestamp| short_age(now.since(time) as f64 / 1e9);
    let pulled = image.last_pulled_at.map_or("never".to_owned(), ago);
    vec![
        title(image, detail, depth),
        image.digest.short().into(),
        ago(image.pushed_at).into(),
        pulled.into(),
        size(image.size_bytes).into(),
        scan_cell(image, detail),
    ]
}

/// The tags of an image. If it has none, its kind.
fn title(image: &Image, detail: &Detail, depth: usize) -> Cell {
    let branch = if depth == 0 { String::new() } else { format!("{}└ ", "  ".repeat(depth - 1)) };
    if !image.tags.is_empty() {
        return format!("{branch}{}", image.tags.join(", ")).into();
    }
    let kind = match (&image.subject, &detail.artifact_type) {
        (Some(_), Some(kind)) => kind.trim_start_matches("application/").trim_start_matches("vnd."),
        (Some(_), None) => "artifact",
        (None, _) if depth > 0 => "image",
        (None, _) => "untagged",
    };
    Cell::new(format!("{branch}{kind}"), Tone::Dim)
}

/// The findings of a scan, or its status.
fn scan_cell(image: &Image, detail: &Detail) -> Cell {
    match (&detail.scan_status, &detail.counts) {
        _ if image.is_index() || image.subject.is_some() => "".into(),
        // Lists do not contain the results of enhanced scanning and of the newer version of basic scanning.
        (None, None) => Cell::new("-", Tone::Dim),
        (_, Some(counts)) => counts_cell(counts),
        (Some(status), None) => {
            let status = ScanStatus::from_api(status);
            Cell::new(status.short(), Tone::Dim)
        }
    }
}

/// The number of the most severe findings, and the number of all others.
pub fn counts_cell(counts: &Counts) -> Cell {
    let mut worst = counts.iter().rev().filter(|(_, n)| **n > 0);
    let Some((severity, n)) = worst.next() else {
        return Cell::new(counts_text(counts), Tone::Good);
    };
    let more: u64 = worst.map(|(_, n)| n).sum();
    let more = if more > 0 { format!(" +{more}") } else { String::new() };
    Cell::new(format!("{n} {severity}{more}"), tone_of(*severity))
}

/// The colour of a severity.
pub fn tone_of(severity: Severity) -> Tone {
    match severity {
        Severity::Unknown | Severity::Critical | Severity::High => Tone::Bad,
        Severity::Medium => Tone::Warning,
        _ => Tone::Plain,
    }
}

/// The number of images, their size and cost, now and after the lifecycle policy has been applied.
pub fn figures_text(figures: &Figures) -> String {
    let storage = figures.storage;
    let bound = if storage.is_upper_bound { "at most " } else { "" };
    let mut text = format!(
        "{}, {bound}{} stored, {bound}{} a month",
        count(storage.images, "image"),
        size(storage.stored_bytes),
        money(figures.cost_per_month)
    );
    if storage.archived_bytes > 0 {
        text += &format!(" and {} archived", size(storage.archived_bytes));
    }
    if let Some(left) = figures.after_lifecycle.filter(|it| it.storage != storage) {
        text += &format!("\n  after the lifecycle policy: {}", left_text(&left));
    }
    text
}

/// Such as `1 image, 1.5 MB, $0.10 a month`.
fn left_text(left: &AfterLifecycle) -> String {
    let bound = if left.storage.is_upper_bound { "at most " } else { "" };
    let (bytes, cost) = (size(left.storage.stored_bytes), money(left.cost_per_month));
    format!("{}, {bound}{bytes}, {bound}{cost} a month", count(left.storage.images, "image"))
}
