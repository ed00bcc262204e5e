//! Layers -> config -> manifest -> digest (OCI image specification 1.1).

use std::collections::BTreeMap;

use serde::Serialize;

use super::layer::Layer;
use crate::metadata::Platform;
use crate::name::Digest;

/// The media type of a manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Nothing of the clock goes into an image; this is what others that build reproducibly write.
const EPOCH: &str = "1970-01-01T00:00:00Z";

/// An image: immutable, its digests derived from its bytes.
#[derive(Debug, Clone)]
pub struct Image {
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// The manifest's digest, which is the image's.
    pub digest: Digest,
    /// The config's bytes.
    pub config: Vec<u8>,
    /// The config's digest.
    pub config_digest: Digest,
}

/// How the process is started, and what the image says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The binary and nothing else.
    pub entrypoint: String,
    /// Arguments after it.
    pub args: Vec<String>,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// TCP ports.
    pub ports: Vec<u16>,
    /// `UID:GID`.
    pub user: String,
    /// Working directory.
    pub workdir: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u32,
    media_type: &'a str,
    config: Descriptor<'a>,
    layers: Vec<Descriptor<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    media_type: &'a str,
    digest: &'a Digest,
    size: u64,
}

#[derive(Serialize)]
struct Config<'a> {
    created: &'a str,
    architecture: &'a str,
    os: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<&'a str>,
    config: Execution<'a>,
    rootfs: RootFs<'a>,
    history: Vec<History<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Execution<'a> {
    user: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    exposed_ports: BTreeMap<String, Empty>,
    env: Vec<String>,
    entrypoint: [&'a str; 1],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    cmd: &'a [String],
    working_dir: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct RootFs<'a> {
    r#type: &'a str,
    diff_ids: Vec<&'a Digest>,
}

#[derive(Serialize)]
struct History<'a> {
    created: &'a str,
    created_by: &'a str,
}

impl Image {
    /// The image of `layers`, each with a line of history, for one platform.
    pub fn assemble(platform: &Platform, settings: &Settings, layers: &[(&str, Layer)]) -> Self {
        let config = serde_json::to_vec(&config(platform, settings, layers)).unwrap_or_default();
        let config_digest = Digest::of(&config);
        let manifest = Manifest {
            schema_version: 2,
            media_type: MANIFEST,
            config: Descriptor { media_type: CONFIG, digest: &config_digest, size: config.len() as u64 },
            layers: layers.iter().map(|(_, layer)| layer_descriptor(layer)).collect(),
        };
        let manifest = serde_json::to_vec(&manifest).unwrap_or_default();
        Self { digest: Digest::of(&manifest), manifest, config, config_digest }
    }
}

/// A list of images, one for each platform.
#[derive(Debug, Clone)]
pub struct Index {
    /// Its bytes.
    pub manifest: Vec<u8>,
    /// Its digest.
    pub digest: Digest,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IndexManifest<'a> {
    schema_version: u32,
    media_type: &'a str,
    manifests: Vec<PlatformDescriptor<'a>>,
}

#[derive(Serialize)]
struct PlatformDescriptor<'a> {
    #[serde(flatten)]
    descriptor: Descriptor<'a>,
    platform: PlatformName<'a>,
}

#[derive(Serialize)]
struct PlatformName<'a> {
    architecture: &'a str,
    os: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<&'a str>,
}

impl Index {
    /// The index of images, in their order (OCI image specification, "Image Index").
    pub fn assemble<'a>(images: impl IntoIterator<Item = (&'a Platform, &'a Image)>) -> Self {
        let descriptor = |(platform, image): (&'a Platform, &'a Image)| PlatformDescriptor {
            descriptor: Descriptor {
                media_type: MANIFEST,
                digest: &image.digest,
                size: image.manifest.len() as u64,
            },
            platform: PlatformName {
                architecture: &platform.architecture,
                os: &platform.os,
                variant: platform.variant.as_deref(),
            },
        };
        let manifests = images.into_iter().map(descriptor).collect();
        let index = IndexManifest { schema_version: 2, media_type: INDEX, manifests };
        let manifest = serde_json::to_vec(&index).unwrap_or_default();
        Self { digest: Digest::of(&manifest), manifest }
    }
}

fn layer_descriptor(layer: &Layer) -> Descriptor<'_> {
    Descriptor { media_type: LAYER, digest: &layer.digest, size: layer.size }
}

fn config<'a>(platform: &'a Platform, settings: &'a Settings, layers: &'a [(&str, Layer)]) -> Config<'a> {
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned();
    let path = (!settings.env.contains_key("PATH")).then_some(path);
    let env = settings.env.iter().map(|(key, value)| format!("{key}={value}"));
    Config {
        created: EPOCH,
        architecture: &platform.architecture,
        os: &platform.os,
        variant: platform.variant.as_deref(),
        config: Execution {
            user: &settings.user,
            exposed_ports: settings.ports.iter().map(|it| (format!("{it}/tcp"), Empty {})).collect(),
            env: path.into_iter().chain(env).collect(),
            entrypoint: [&settings.entrypoint],
            cmd: &settings.args,
            working_dir: settings.workdir.as_deref().unwrap_or("/"),
            labels: &settings.labels,
        },
        rootfs: RootFs { r#type: "layers", diff_ids: layers.iter().map(|(_, it)| &it.diff_id).collect() },
        history: layers.iter().map(|(text, _)| History { created: EPOCH, created_by: text }).collect(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn an_image_says_how_its_process_starts() {
        let layer = Layer { digest: Digest::of(b"gz"), diff_id: Digest::of(b"tar"), size: 2 };
        let settings = Settings {
            entrypoint: "/usr/local/bin/my-app".to_owned(),
            env: [("RUST_LOG".to_owned(), "info".to_owned())].into(),
            ports: vec![8080],
            user: super::super::base::USER.to_owned(),
            labels: [("org.opencontainers.image.title".to_owned(), "my-app".to_owned())].into(),
            ..Settings::default()
        };
        let platform = "linux/amd64".parse().unwrap();
        let image = Image::assemble(&platform, &settings, &[("binary", layer)]);
        expect![[r#"{"created":"1970-01-01T00:00:00Z","architecture":"amd64","os":"linux","config":{"User":"65532:65532","ExposedPorts":{"8080/tcp":{}},"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","RUST_LOG=info"],"Entrypoint":["/usr/local/bin/my-app"],"WorkingDir":"/","Labels":{"org.opencontainers.image.title":"my-app"}},"rootfs":{"type":"layers","diff_ids":["sha256:90aebae315675cbf04612de4f7d5874850f48e0b8dd82becbeaa47ca93f5ebfb"]},"history":[{"created":"1970-01-01T00:00:00Z","created_by":"binary"}]}"#]]
        .assert_eq(&String::from_utf8(image.config.clone()).unwrap());
        let manifest: serde_json::Value = serde_json::from_slice(&image.manifest).unwrap();
        assert_eq!(manifest["config"]["digest"], image.config_digest.as_str());
        assert_eq!(manifest["config"]["size"], image.config.len());
        assert_eq!(image.digest, Digest::of(&image.manifest));
    }
}
