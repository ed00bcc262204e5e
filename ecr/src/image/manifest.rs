//! Layers -> config -> manifest -> digest (OCI image specification 1.1).

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::compression::Compression;
use super::layer::Layer;
use super::parent::{self, Parent};
use crate::metadata::Platform;
use crate::name::Digest;

/// The media type of a manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Nothing of the clock goes into an image; this is what others that build reproducibly write.
const EPOCH: &str = "1970-01-01T00:00:00Z";

/// An image: immutable, its digests derived from its bytes.
#[derive(Debug, Clone)]
pub struct Image {
    /// The manifest's media type.
    pub media_type: &'static str,
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
    history: Vec<Value>,
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
    labels: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct RootFs<'a> {
    r#type: &'a str,
    diff_ids: Vec<&'a str>,
}

impl Image {
    /// The image of `layers`, each with a line of history, for one platform.
    ///
    /// Below them are those of `parent`, if there is one, with its environment and labels; then the media types are of the
    /// kind that it uses.
    pub fn assemble(
        platform: &Platform,
        settings: &Settings,
        layers: &[(&str, Layer)],
        parent: Option<&Parent>,
    ) -> Self {
        let config = serde_json::to_vec(&config(platform, settings, layers, parent)).unwrap_or_default();
        let config_digest = Digest::of(&config);
        let is_docker = keeps_docker_types(parent, layers);
        let types = if is_docker { &DOCKER } else { &OCI };
        let below = parent.iter().flat_map(|it| &it.layers).map(|it| Descriptor {
            media_type: if is_docker { &it.media_type } else { it.oci_media_type() },
            digest: &it.digest,
            size: it.size,
        });
        let own = layers.iter().map(|(_, layer)| Descriptor {
            media_type: types.layer(layer.compression),
            digest: &layer.digest,
            size: layer.size,
        });
        let manifest = Manifest {
            schema_version: 2,
            media_type: types.manifest,
            config: Descriptor {
                media_type: types.config,
                digest: &config_digest,
                size: config.len() as u64,
            },
            layers: below.chain(own).collect(),
        };
        let manifest = serde_json::to_vec(&manifest).unwrap_or_default();
        Self { digest: Digest::of(&manifest), media_type: types.manifest, manifest, config, config_digest }
    }
}

/// Whether an image stays with docker's media types, which its base uses: only as long as they have names for its layers.
fn keeps_docker_types(parent: Option<&Parent>, layers: &[(&str, Layer)]) -> bool {
    let is_zstd = |(_, layer): &(&str, Layer)| layer.compression == Compression::Zstd;
    parent.is_some_and(|it| it.is_docker) && !layers.iter().any(is_zstd)
}

/// Media types that go together.
struct MediaTypes {
    manifest: &'static str,
    config: &'static str,
    gzip: &'static str,
}

/// There is no other for it: docker's know no zstd.
const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

impl MediaTypes {
    fn layer(&self, compression: Compression) -> &'static str {
        match compression {
            Compression::Gzip => self.gzip,
            Compression::Zstd => ZSTD,
        }
    }
}

const OCI: MediaTypes =
    MediaTypes { manifest: MANIFEST, config: CONFIG, gzip: "application/vnd.oci.image.layer.v1.tar+gzip" };
/// Docker image manifest V2, schema 2.
const DOCKER: MediaTypes = MediaTypes {
    manifest: "application/vnd.docker.distribution.manifest.v2+json",
    config: "application/vnd.docker.container.image.v1+json",
    gzip: "application/vnd.docker.image.rootfs.diff.tar.gzip",
};

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
                media_type: image.media_type,
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

fn config<'a>(
    platform: &'a Platform,
    settings: &'a Settings,
    layers: &'a [(&str, Layer)],
    parent: Option<&'a Parent>,
) -> Config<'a> {
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned();
    let mut variables = parent.map(|it| parent::environment(&it.config)).unwrap_or_default();
    variables.extend(settings.env.clone());
    let path = (!variables.contains_key("PATH")).then_some(path);
    let env = variables.into_iter().map(|(key, value)| format!("{key}={value}"));
    let inherited = |key: &str| parent.map_or(&Value::Null, |it| &it.config["config"][key]);
    let below = parent.iter().flat_map(|it| it.config["rootfs"]["diff_ids"].as_array()).flatten();
    let below = below.filter_map(Value::as_str);
    let mut labels = parent::labels(inherited("Labels"));
    labels.extend(settings.labels.clone());
    let history = layers.iter().map(|(text, _)| json!({"created": EPOCH, "created_by": text}));
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
            working_dir: settings
                .workdir
                .as_deref()
                .or(inherited("WorkingDir").as_str().filter(|it| !it.is_empty()))
                .unwrap_or("/"),
            labels,
        },
        rootfs: RootFs {
            r#type: "layers",
            diff_ids: below.chain(layers.iter().map(|(_, it)| it.diff_id.as_str())).collect(),
        },
        history: parent.map(parent::history).unwrap_or_default().into_iter().chain(history).collect(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn an_image_says_how_its_process_starts() {
        let compression = Compression::Gzip;
        let layer = Layer { digest: Digest::of(b"gz"), diff_id: Digest::of(b"tar"), size: 2, compression };
        let settings = Settings {
            entrypoint: "/usr/local/bin/my-app".to_owned(),
            env: [("RUST_LOG".to_owned(), "info".to_owned())].into(),
            ports: vec![8080],
            user: super::super::base::USER.to_owned(),
            labels: [("org.opencontainers.image.title".to_owned(), "my-app".to_owned())].into(),
            ..Settings::default()
        };
        let platform = "linux/amd64".parse().unwrap();
        let image = Image::assemble(&platform, &settings, &[("binary", layer)], None);
        expect![[r#"{"created":"1970-01-01T00:00:00Z","architecture":"amd64","os":"linux","config":{"User":"65532:65532","ExposedPorts":{"8080/tcp":{}},"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","RUST_LOG=info"],"Entrypoint":["/usr/local/bin/my-app"],"WorkingDir":"/","Labels":{"org.opencontainers.image.title":"my-app"}},"rootfs":{"type":"layers","diff_ids":["sha256:90aebae315675cbf04612de4f7d5874850f48e0b8dd82becbeaa47ca93f5ebfb"]},"history":[{"created":"1970-01-01T00:00:00Z","created_by":"binary"}]}"#]]
        .assert_eq(&String::from_utf8(image.config.clone()).unwrap());
        let manifest: serde_json::Value = serde_json::from_slice(&image.manifest).unwrap();
        assert_eq!(manifest["config"]["digest"], image.config_digest.as_str());
        assert_eq!(manifest["config"]["size"], image.config.len());
        assert_eq!(image.digest, Digest::of(&image.manifest));
    }
}
