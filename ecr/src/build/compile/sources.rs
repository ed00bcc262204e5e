//! What a service is compiled from, for the question whether a change affects it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Result;
use ecr_types::error::one_line;

use super::groups::{Request, resolution};
use super::resolver::keeps_features_apart;
use super::{BuildTarget, Options, bin_name, feature_flags};
use crate::affected::Crate;
use crate::config::desired::Service;
use crate::threads::side_by_side;

/// The crates that each service is built from for its targets, and for the host, as `cargo tree` tells; or why they are not
/// known. Services with the same dependencies are asked about once.
pub fn crates(
    options: &Options,
    services: &[(&Service, Vec<BuildTarget>)],
) -> Vec<Result<BTreeSet<Crate>, String>> {
    let class = |(service, _): &(&Service, Vec<BuildTarget>)| {
        (service.package.dependencies.clone(), feature_flags(service))
    };
    let firsts: BTreeMap<_, _> = services.iter().rev().map(|it| (class(it), it)).collect();
    let asked: Vec<_> = firsts.values().copied().collect();
    let answers = side_by_side(&asked, |(service, targets)| {
        let found = crates_of(options, service, targets).map_err(|it| one_line(it.as_ref()))?;
        Ok((own(service), found))
    });
    let answers: BTreeMap<_, _> = firsts.keys().zip(answers).collect();
    let each = services.iter().map(|it| match &answers[&class(it)] {
        Ok((other, found)) => {
            let mut found = found.clone();
            found.remove(other);
            found.insert(own(it.0));
            Ok(found)
        }
        Err(error) => Err(String::clone(error)),
    });
    each.collect()
}

fn own(service: &Service) -> Crate {
    Crate { name: service.package.name.clone(), version: service.package.version.clone() }
}

fn crates_of(options: &Options, service: &Service, targets: &[BuildTarget]) -> Result<BTreeSet<Crate>> {
    let bin = bin_name(service)?;
    let mut crates = BTreeSet::new();
    // The linkage that succeeds may be any.
    let linkages = targets.iter().flat_map(|it| it.linkages());
    let by_triple: BTreeMap<_, _> = linkages.map(|it| (&it.triple, it)).collect();
    for linkage in by_triple.into_values() {
        let request = Request { service, bin, linkage: linkage.clone(), known: None, is_foreign: false };
        crates.extend(resolution(options, &request)?.crates());
    }
    Ok(crates)
}

/// The dep-info files that cargo may have written for a service: one for each linkage.
pub fn dep_info(options: &Options, service: &Service, target: &BuildTarget) -> Vec<PathBuf> {
    let Ok(bin) = bin_name(service) else { return Vec::new() };
    // The output folder of the profile dev has another name (The Cargo Book, "Build cache").
    let profile = match options.profile.as_str() {
        "dev" | "test" => "debug",
        "bench" => "release",
        other => other,
    };
    let file = |linkage: &super::Linkage| {
        let folder = linkage.target_folder(&options.target).join(&linkage.triple).join(profile);
        folder.join(format!("{bin}.d"))
    };
    target.linkages().iter().map(file).collect()
}

/// Whether development dependencies may change what a service is made of, as with resolver 1.
pub fn unifies_development(options: &Options) -> bool {
    let root = std::fs::read_to_string(options.root.join("Cargo.toml")).unwrap_or_default();
    !root.parse().is_ok_and(|it| keeps_features_apart(&it))
}
