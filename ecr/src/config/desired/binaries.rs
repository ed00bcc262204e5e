//! Which binary of a package an image is made of: what cargo would only say when it compiles.

use std::collections::BTreeSet;

use ecr_types::document::{Problems, did_you_mean};
use ecr_types::human::listed;

use super::Package;
use crate::config::metadata::PackageMetadata;

/// Reports a binary that does not exist, one that is not chosen among several, and one whose features are not enabled. A
/// Dockerfile may make an image of anything.
pub(super) fn check(package: &Package, metadata: &PackageMetadata, problems: &Problems) {
    let (bins, has_dockerfile) =
        (&package.bins, package.has_dockerfile || metadata.image.dockerfile.is_some());
    let bin = match (&metadata.image.bin, bins.as_slice()) {
        (Some(bin), _) if bins.contains(&bin.value) => &bin.value,
        (Some(bin), _) => {
            let message = format!("package `{}` has no binary `{}`", package.name, bin.value);
            let help = match did_you_mean(&bin.value, bins.iter().map(String::as_str)) {
                Some(similar) => format!("did you mean `{similar}`?"),
                None if bins.is_empty() => "add src/main.rs, or a [[bin]] table".to_owned(),
                None => format!("its binaries are: {}", listed(bins)),
            };
            return problems.add_with_help(&bin.place, message, help);
        }
        (None, [only]) => only,
        (None, _) if has_dockerfile => return,
        (None, []) => {
            let message = format!(
                "package `{}` has no binary, so that there is nothing to make an image of",
                package.name
            );
            return problems.add_with_help(&metadata.place, message, "add src/main.rs, or a [[bin]] table");
        }
        (None, several) => match several.iter().find(|it| **it == package.name) {
            Some(own) => own,
            None => {
                let message = format!("package `{}` has several binaries: {}", package.name, listed(several));
                let first = &several[0];
                let help = format!(
                    "choose one with `bin = \"{first}\"` in [package.metadata.ecr.image], or make each a service: \
                     [package.metadata.ecr.services.{first}]"
                );
                return problems.add_with_help(&metadata.place, message, help);
            }
        },
    };
    let enabled = enabled_features(package, metadata);
    let required = package.required_features.get(bin).map_or(&[][..], Vec::as_slice);
    let missing: Vec<_> = required.iter().filter(|it| !enabled.contains(it.as_str())).cloned().collect();
    if !missing.is_empty() && !has_dockerfile {
        let message = format!(
            "the binary `{bin}` of package `{}` requires the features {}",
            package.name,
            listed(&missing)
        );
        let values = missing.iter().map(|it| format!("\"{it}\"")).collect::<Vec<_>>().join(", ");
        let help = format!("enable them in [package.metadata.ecr.image]: features = [{values}]");
        problems.add_with_help(&metadata.place, message, help);
    }
}

/// The features of the package that its image is compiled with, and those that they enable.
fn enabled_features<'a>(package: &'a Package, metadata: &'a PackageMetadata) -> BTreeSet<&'a str> {
    let image = &metadata.image;
    let has_default = !image.no_default_features.as_ref().is_some_and(|it| it.value);
    let configured = image.features.iter().flat_map(|it| &it.value).map(|it| it.value.as_str());
    let mut open: Vec<&str> = configured.chain(has_default.then_some("default")).collect();
    let mut enabled = BTreeSet::new();
    while let Some(feature) = open.pop() {
        if enabled.insert(feature) {
            open.extend(package.features.get(feature).into_iter().flatten().map(String::as_str));
        }
    }
    enabled
}
