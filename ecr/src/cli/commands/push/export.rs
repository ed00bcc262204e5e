//! Ends that are no registry: an OCI layout, docker or podman.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use ecr_oci::image::bundle::Bundle;
use ecr_oci::layout;
use ecr_types::Platform;

use crate::build::docker::Engine;
use crate::cli::error::Failure;
use crate::cli::flags;

/// Where images go instead of a registry.
#[derive(Debug, Clone)]
pub(super) struct Export {
    layout: Option<PathBuf>,
    engine: Option<Engine>,
    /// The platform of this machine: what an engine runs.
    host: Platform,
    /// Services are built side by side, and a layout has one index.
    turn: Arc<Mutex<()>>,
}

impl Export {
    /// The ends that the flags name; `None` where the registry is the end.
    pub(super) fn new(flags: &flags::Push, host: &Platform) -> Result<Option<Self>, Failure> {
        if flags.oci_layout.is_none() && !flags.load {
            return Ok(None);
        }
        let engine = match flags.load {
            true => Some(super::docker::engine(flags)?),
            false => None,
        };
        Ok(Some(Self { layout: flags.oci_layout.clone(), engine, host: host.clone(), turn: Arc::default() }))
    }

    /// Whether an OCI layout is wanted, which only a native build can fill.
    pub(super) fn has_layout(&self) -> bool {
        self.layout.is_some()
    }

    /// Writes an image, and gives what it can be named by: `oci:DIR:NAME` as skopeo takes it, `NAME` as docker does.
    pub(super) fn write(&self, bundle: &Bundle) -> Result<Vec<String>> {
        let _turn = self.turn.lock().unwrap_or_else(|it| it.into_inner());
        let mut names = Vec::new();
        if let Some(folder) = &self.layout {
            layout::write(folder, bundle)?;
            names.extend(bundle.names.iter().map(|it| format!("oci:{}:{it}", folder.display())));
        }
        if let Some(engine) = &self.engine {
            let load = engine.load(|output| layout::archive(output, bundle, &self.host));
            load.with_context(|| format!("failed to load the image into {}", engine.name()))?;
            names.extend(bundle.names.iter().cloned());
        }
        Ok(names)
    }
}
