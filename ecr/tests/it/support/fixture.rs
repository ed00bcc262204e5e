//! A workspace together with a registry: what most tests begin with.

use serde_json::{Value, json};

use super::scans::basic_scan;
use super::{Output, Registry, Run, Workspace};

/// A workspace, and the registry that its commands talk to.
pub struct Fixture {
    pub workspace: Workspace,
    pub registry: Registry,
}

impl Fixture {
    /// A workspace with one service, `my-app`, which has no settings.
    pub fn service() -> Self {
        Workspace::new().service("my-app", "").start()
    }

    /// The services of [`Workspace::example`].
    pub fn example() -> Self {
        Workspace::example().start()
    }

    /// The services of [`Workspace::example`]. `my-app` contains two versions that share a layer, an index of two images, an
    /// artifact, and scans of some of them.
    pub fn filled() -> Self {
        let it = Self::example().created();
        let base = ('B', 300_000);
        let image = |layers: &[(char, usize)], tag| it.registry.layered("my-app", layers, json!({}), tag);
        let old = image(&[base, ('a', 50_000)], Some("1.0.0"));
        let new = image(&[base, ('b', 70_000)], Some("1.0.1"));
        let subject =
            json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": old, "size": 1});
        let sbom = json!({"subject": subject, "artifactType": "application/spdx+json"});
        it.registry.layered("my-app", &[('s', 2000)], sbom, None);
        let (amd, arm) = (image(&[base, ('x', 10_000)], None), image(&[base, ('y', 10_000)], None));
        it.registry.index("my-app", &[("amd64", &amd), ("arm64", &arm)], "2.0.0");
        let findings = [("CVE-2024-6119", "CRITICAL"), ("CVE-2024-1", "HIGH"), ("CVE-2024-2", "HIGH")];
        it.registry.scan(&new, &basic_scan(&findings));
        it.registry.scan(&arm, &basic_scan(&[]));
        it
    }

    /// Replaces the registry by an empty one with faults; see [`Registry::with_faults`].
    pub fn with_faults(self, faults: &[&str]) -> Self {
        Self { registry: Registry::with_faults(faults), ..self }
    }

    /// The same, with the state that the registry has.
    pub fn with_faults_kept(self, faults: &[&str]) -> Self {
        let state = self.registry.stop();
        Self { registry: Registry::on_copy(&state, faults), workspace: self.workspace }
    }

    /// Creates the repositories of the workspace, and forgets the calls that this took.
    pub fn created(self) -> Self {
        self.run(&["ecr", "create"]).good();
        self.registry.calls();
        self
    }

    /// Runs a command against the registry.
    pub fn run(&self, args: &[&str]) -> Output {
        self.workspace.on(&self.registry, args)
    }

    /// The same command, before it runs.
    pub fn command(&self, args: &[&str]) -> Run {
        self.workspace.command(args).registry(&self.registry)
    }
}

impl Workspace {
    /// The workspace with a registry of its own, which has no faults.
    pub fn start(self) -> Fixture {
        Fixture { workspace: self, registry: Registry::start() }
    }
}

/// Builds and pushes in the profile `dev`, with a report in JSON.
pub fn push(fixture: &Fixture, args: &[&str]) -> Output {
    fixture.run(&[&["push", "--profile", "dev", "--format", "json"], args].concat())
}

/// The only image in the report of a push.
pub fn image(output: &Output, code: i32) -> Value {
    let json = output.json_with(code);
    assert_eq!(json["images"].as_array().unwrap().len(), 1, "{json}");
    json["images"][0].clone()
}
