//! Which services cargo may build in one invocation.
//!
//! With several packages cargo unifies the features of the crates that they share, so that a binary would depend on what else
//! is selected. Services whose shared crates have the same features anyway are built together: their binaries are those of a
//! build of each alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use anyhow::{Context, Result, ensure};
use ecr_oci::files;
use ecr_types::{Digest, lock};
use serde::{Deserialize, Serialize};

use super::linkage::{KnownLinkage, Linkage};
use super::resolution::{FORMAT, Resolution};
use super::{Options, environment, feature_flags, resolver, rustflags};
use crate::config::desired::Service;
use crate::process::{self, Patience};
use crate::threads::side_by_side;

/// A service that is to be built for a target.
#[derive(Debug, Clone)]
pub(super) struct Request<'a> {
    pub service: &'a Service,
    /// The name of the binary target.
    pub bin: &'a str,
    pub linkage: Linkage,
    /// What the cache says of the linkage.
    pub known: Option<KnownLinkage>,
    /// Whether the linker of the host does not support the target.
    pub is_foreign: bool,
}

/// The services whose features are known to agree, as long as the inputs are the same.
#[derive(Debug, Serialize, Deserialize)]
struct KnownAgreements {
    inputs: Digest,
    agreements: Vec<BTreeSet<String>>,
}

impl Request<'_> {
    /// What decides which crates the service is built from, beside the lock file and the manifests.
    fn title(&self) -> String {
        format!(
            "{} {} {}",
            self.service.package.name,
            feature_flags(self.service).join(" "),
            self.linkage.triple
        )
    }

    /// What several services with the same crates have in common.
    fn class(&self) -> (String, Vec<String>, String) {
        let dependencies = self.service.package.dependencies.clone();
        (dependencies, feature_flags(self.service), self.linkage.triple.clone())
    }

    /// Whether two requests can be parts of one command line, and leave no file of the same name.
    fn fits(&self, other: &Self) -> bool {
        let has_no_defaults =
            |it: &Self| feature_flags(it.service).iter().any(|it| it == "--no-default-features");
        let is_alien = |it: &Self, other: &Self| !other.service.package.bins.iter().any(|bin| bin == it.bin);
        let has_clock = |it: &Self| it.service.image.source_date_epoch.is_some();
        self.linkage == other.linkage
            && has_clock(self) == has_clock(other)
            && has_no_defaults(self) == has_no_defaults(other)
            && is_alien(self, other)
            && is_alien(other, self)
    }
}

/// Divides requests into groups, each for one invocation of cargo. A request whose crates are not known is alone.
pub(super) fn groups(options: &Options, requests: &[Request<'_>]) -> Vec<Vec<usize>> {
    let agreements = agreements(options, requests);
    let mut groups: Vec<(Option<usize>, Vec<usize>)> = Vec::new();
    for (n, request) in requests.iter().enumerate() {
        let title = request.title();
        let agreement = agreements.iter().position(|it| it.contains(&title));
        let is_possible = |(of, members): &&mut (Option<usize>, Vec<usize>)| {
            agreement.is_some() && *of == agreement && members.iter().all(|it| requests[*it].fits(request))
        };
        match groups.iter_mut().find(is_possible) {
            Some((_, members)) => members.push(n),
            None => groups.push((agreement, vec![n])),
        }
    }
    groups.into_iter().map(|(_, members)| members).collect()
}

/// Which services agree, as far as this run has found out.
#[derive(Debug, Default)]
pub struct Agreements(Mutex<Asked>);

#[derive(Debug, Default)]
struct Asked {
    /// The titles of all requests that were asked about.
    titles: BTreeSet<String>,
    /// Those that agree, in sets. One that cargo did not tell about is in none.
    sets: Vec<BTreeSet<String>>,
}

/// The titles of requests whose features agree, in sets. A second caller waits for what the first one asks.
fn agreements(options: &Options, requests: &[Request<'_>]) -> Vec<BTreeSet<String>> {
    let mut asked = lock(&options.agreements.0);
    let titles: BTreeSet<_> = requests.iter().map(Request::title).collect();
    if !titles.is_subset(&asked.titles) {
        *asked = Asked { titles, sets: stored_agreements(options, requests) };
    }
    asked.sets.clone()
}

/// The same, from the target folder. They are remembered there until the inputs change.
fn stored_agreements(options: &Options, requests: &[Request<'_>]) -> Vec<BTreeSet<String>> {
    let root = std::fs::read_to_string(options.root.join("Cargo.toml")).unwrap_or_default();
    if !root.parse().is_ok_and(|it| resolver::keeps_features_apart(&it)) {
        // `cargo tree` does not show what development dependencies and the host change.
        return Vec::new();
    }
    let file = options.target.join("xtask-ecr/agreements.json");
    let before = inputs(options);
    let known = before.as_ref().and_then(|inputs| {
        let known: KnownAgreements = serde_json::from_slice(&std::fs::read(&file).ok()?).ok()?;
        (known.inputs == *inputs).then_some(known.agreements)
    });
    let is_known = |title: &String| known.iter().flatten().any(|it| it.contains(title));
    if requests.iter().all(|it| is_known(&it.title())) {
        return known.unwrap_or_default();
    }
    let agreements = ask(options, requests);
    // The first `cargo tree` writes a missing lock file.
    let after = inputs(options);
    if let Some(inputs) = after.filter(|it| before.is_none_or(|before| before == *it))
        && let Ok(json) = serde_json::to_vec(&KnownAgreements { inputs, agreements: agreements.clone() })
    {
        let _ = files::write(&file, &json);
    }
    agreements
}

/// Asks cargo for the crates of each service, and divides the services into sets that agree.
fn ask(options: &Options, requests: &[Request<'_>]) -> Vec<BTreeSet<String>> {
    let mut classes: BTreeMap<_, Vec<&Request<'_>>> = BTreeMap::new();
    for request in requests {
        classes.entry(request.class()).or_default().push(request);
    }
    let classes: Vec<_> = classes.into_values().collect();
    let firsts: Vec<_> = classes.iter().filter_map(|it| it.first().copied()).collect();
    let resolutions = side_by_side(&firsts, |it| resolution(options, it));
    let mut sets: Vec<(Resolution, BTreeSet<String>)> = Vec::new();
    for (requests, resolution) in classes.iter().zip(resolutions) {
        let Ok(resolution) = resolution else { continue };
        let titles = requests.iter().map(|it| it.title());
        match sets.iter_mut().find(|(all, _)| all.agrees_with(&resolution)) {
            Some((all, members)) => {
                all.add(&resolution);
                members.extend(titles);
            }
            None => sets.push((resolution, titles.collect())),
        }
    }
    sets.into_iter().map(|(_, titles)| titles).collect()
}

pub(super) fn resolution(options: &Options, request: &Request<'_>) -> Result<Resolution> {
    let manifest = options.root.join(&request.service.package.folder).join("Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(&options.root).args(["tree", "--manifest-path"]).arg(manifest);
    command.args(["--target", &request.linkage.triple, "--edges", "normal,build", "--color", "never"]);
    command.args(["--charset", "ascii", "--prefix", "indent", "--format", FORMAT]);
    command.args(feature_flags(request.service));
    command
        .args(options.flags.iter().filter(|it| matches!(it.as_str(), "--locked" | "--offline" | "--frozen")));
    environment::apply(&mut command, &options.target);
    let output = process::output(&mut command, &[], &Patience::silent())?;
    ensure!(output.status.success(), "cargo tree failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    Resolution::parse(&String::from_utf8_lossy(&output.stdout)).context("unexpected output of `cargo tree`")
}

/// The digest of what the answers of `cargo tree` depend on; `None` if that is not known: without a lock file, and where
/// manifests outside of the workspace have a say that are not looked at.
fn inputs(options: &Options) -> Option<Digest> {
    let mut bytes = std::fs::read(options.root.join("Cargo.lock")).ok()?;
    let mut add = |path: &Path| -> Option<String> {
        let text = std::fs::read_to_string(path).ok()?;
        bytes.extend(path.as_os_str().as_encoded_bytes());
        bytes.extend(text.as_bytes());
        Some(text)
    };
    let root = add(&options.root.join("Cargo.toml"))?;
    options.manifests.iter().try_for_each(|it| add(it).map(drop))?;
    for outside in &options.outside {
        // Its own path dependencies would have to be read, too.
        let text = add(outside)?;
        if text.contains("path") {
            return None;
        }
    }
    let configs = rustflags::configs(&options.root).ok()?;
    let configs: Vec<String> = configs.iter().filter_map(|(file, _)| add(file)).collect();
    if root.contains("patch") || configs.iter().any(|it| it.contains("patch") || it.contains("paths")) {
        return None;
    }
    bytes.extend(options.toolchain.as_os_str().as_encoded_bytes());
    let is_relevant = |key: &str| {
        ["CARGO_RESOLVER_", "CARGO_UNSTABLE_", "RUSTUP_TOOLCHAIN"].iter().any(|it| key.starts_with(it))
    };
    let mut variables: Vec<_> =
        std::env::vars_os().filter(|(key, _)| key.to_str().is_some_and(is_relevant)).collect();
    variables.sort();
    variables.iter().for_each(|(key, value)| {
        bytes.extend(key.as_encoded_bytes());
        bytes.extend(value.as_encoded_bytes());
    });
    Some(Digest::of(&bytes))
}
