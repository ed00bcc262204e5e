//! What `ecr images` prints: one repository at a time, as there may be a hundred thousand images in it.

use ecr_lifecycle::{Image, Timestamp};
use ecr_types::human::{count, money, short_age, size};
use ecr_types::{Digest, RepositoryName};
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use crate::cli::table::{Align, Cell, Table, Tone};
use crate::inventory::{AfterLifecycle, Detail, Figures, Inventory};
use crate::scan::{Counts, ScanStatus, Severity, counts_text};

/// One repository of `ecr images`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedRepository<'a> {
    /// Its name.
    pub name: &'a RepositoryName,
    /// The service that it belongs to.
    pub package: Option<&'a str>,
    /// Whether there is such a repository; null where that could not be read.
    pub exists: Option<bool>,
    /// Its images, the newest first; empty where they could not be read.
    #[serde(serialize_with = "images")]
    pub images: &'a Inventory,
    /// What they take and cost; null where they could not be read.
    pub storage: Option<Figures>,
    /// Why they could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What follows the repositories.
#[derive(Debug, Serialize)]
pub struct ImagesTotal {
    /// The sum over all repositories that could be read.
    pub total: Figures,
}

/// An image of a [`ListedRepository`].
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedImage<'a> {
    digest: &'a Digest,
    tags: &'a [String],
    pushed_at: Timestamp,
    last_pulled_at: Option<Timestamp>,
    size_bytes: u64,
    media_type: Option<&'a str>,
    artifact_type: Option<&'a str>,
    subject: Option<&'a Digest>,
    children: Option<&'a [Digest]>,
    storage_class: &'static str,
    last_archived_at: Option<Timestamp>,
    last_activated_at: Option<Timestamp>,
    scan_status: Option<&'a str>,
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
    /// Hands the lines for people to `print`, one after the other.
    pub fn print(&self, now: Timestamp, mut print: impl FnMut(&str)) {
        let name = Tone::Title.paint(self.name.as_str());
        if self.error.is_some() {
            return print(&format!("{name}: unknown"));
        }
        if self.images.images.is_empty() {
            let what = if self.exists == Some(true) { "no images" } else { "it does not exist" };
            return print(&format!("{name}: {what}"));
        }
        print(&name);
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
        table.lines(2).for_each(|it| print(it.trim_end()));
        if let Some(figures) = &self.storage {
            print(&format!("  {}", figures_text(figures)));
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

/// The tags; of what has none and stands below an image, what it is.
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

/// How a scan went, in a word or two.
fn scan_cell(image: &Image, detail: &Detail) -> Cell {
    match (&detail.scan_status, &detail.counts) {
        _ if image.is_index() || image.subject.is_some() => "".into(),
        // Enhanced scanning, and basic scanning's newer engine, say nothing in lists.
        (None, None) => Cell::new("-", Tone::Dim),
        (_, Some(counts)) => counts_cell(counts),
        (Some(status), None) => {
            let status = ScanStatus::from_api(status);
            Cell::new(status.short(), Tone::Dim)
        }
    }
}

/// The worst findings, and how many more there are.
pub fn counts_cell(counts: &Counts) -> Cell {
    let mut worst = counts.iter().rev().filter(|(_, n)| **n > 0);
    let Some((severity, n)) = worst.next() else {
        return Cell::new(counts_text(counts), Tone::Good);
    };
    let more: u64 = worst.map(|(_, n)| n).sum();
    let more = if more > 0 { format!(" +{more}") } else { String::new() };
    Cell::new(format!("{n} {severity}{more}"), tone_of(*severity))
}

/// How a severity looks.
pub fn tone_of(severity: Severity) -> Tone {
    match severity {
        Severity::Unknown | Severity::Critical | Severity::High => Tone::Bad,
        Severity::Medium => Tone::Warning,
        _ => Tone::Plain,
    }
}

/// `3 images, 4.5 MB stored, $0.45 a month; the lifecycle policy would leave 1 image, $0.10 a month`.
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
        text += &format!("\n  lifecycle leaves {}", left_text(&left));
    }
    text
}

/// `1 image, 1.5 MB, $0.10 a month`.
fn left_text(left: &AfterLifecycle) -> String {
    let bound = if left.storage.is_upper_bound { "at most " } else { "" };
    let (bytes, cost) = (size(left.storage.stored_bytes), money(left.cost_per_month));
    format!("{}, {bound}{bytes}, {bound}{cost} a month", count(left.storage.images, "image"))
}
