//! Layers -> config -> manifest -> digest (OCI image specification 1.1, "Image Configuration" and "Image Manifest").

use std::collections::BTreeMap;

use ecr_types::media_type::{
    DOCKER_CONFIG, DOCKER_LAYER_GZIP, DOCKER_MANIFEST, OCI_CONFIG, OCI_LAYER_GZIP, OCI_LAYER_ZSTD,
    OCI_MANIFEST,
};
use ecr_types::{Descriptor, Digest, ImageIndex, ImageManifest, Platform, media_type};
use serde::Serialize;
use serde_json::{Value, json};

use super::base::{self, BaseImage};
use super::compression::Compression;
use super::layer::Layer;

/// The creation time of all images, as in other reproducible builds.
const EPOCH: &str = "1970-01-01T00:00:00Z";

/// An assembled image for one platform.
#[derive(Debug, Clone)]
pub struct Image {
    /// The media type of the manifest: OCI's or Docker's.
    pub media_type: &'static str,
    /// The manifest, as JSON.
    pub manifest: Vec<u8>,
    /// The digest of the manifest, by which the image is referenced.
    pub digest: Digest,
    /// The config, as JSON.
    pub config: Vec<u8>,
    /// The digest of the config, which Docker calls the image ID.
    pub config_digest: Digest,
    /// The layers of the manifest, those of the base image included, from the lowest to the highest.
    pub layers: Vec<Descriptor>,
}

/// The execution parameters and labels of an image (OCI image specification, "Image Configuration", `config`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageSettings {
    /// `Entrypoint`: the absolute path of the binary, which is its only element.
    pub entrypoint: String,
    /// `Cmd`: the default arguments of the binary.
    pub args: Vec<String>,
    /// `Env`: environment variables, in addition to those of the base image. `PATH` is added if it is missing.
    pub env: BTreeMap<String, String>,
    /// `ExposedPorts`: TCP ports.
    pub ports: Vec<u16>,
    /// `User`, in the form `UID:GID`.
    pub user: String,
    /// `WorkingDir`. Without one, that of the base image is used, else `/`.
    pub workdir: Option<String>,
    /// `Labels`, in addition to those of the base image.
    pub labels: BTreeMap<String, String>,
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
    /// Assembles the image of `layers`, each with the text of its history entry, the lowest first.
    ///
    /// The layers, environment, labels, working directory and history of `base` are inherited. The media types are Docker's
    /// if those of `base` are and no layer is compressed with Zstandard, else OCI's.
    pub fn assemble(
        platform: &Platform,
        settings: &ImageSettings,
        layers: &[(&str, Layer)],
        base: Option<&BaseImage>,
    ) -> Self {
        let config = serde_json::to_vec(&config(platform, settings, layers, base)).unwrap_or_default();
        let config_digest = Digest::of(&config);
        let is_docker = keeps_docker_types(base, layers);
        let types = if is_docker { &DOCKER } else { &OCI };
        let below = base.iter().flat_map(|it| &it.layers).map(|it| {
            let media_type =
                if is_docker { it.media_type.as_str() } else { media_type::to_oci(&it.media_type) };
            // Annotations are read by lazy pulling, and the URLs of a layer may be the only place that has it.
            Descriptor { media_type: media_type.to_owned(), ..it.clone() }
        });
        let own = layers.iter().map(|(_, layer)| {
            Descriptor::new(types.layer(layer.compression), layer.digest.clone(), layer.size)
        });
        let layers: Vec<_> = below.chain(own).collect();
        let descriptor = Descriptor::new(types.config, config_digest.clone(), config.len() as u64);
        let manifest = ImageManifest::new(types.manifest, descriptor, layers.clone());
        let manifest = serde_json::to_vec(&manifest).unwrap_or_default();
        let digest = Digest::of(&manifest);
        Self { media_type: types.manifest, manifest, digest, config, config_digest, layers }
    }
}

/// Whether the image has Docker's media types: its base has them, and they exist for all of its layers.
fn keeps_docker_types(base: Option<&BaseImage>, layers: &[(&str, Layer)]) -> bool {
    let is_zstd = |(_, layer): &(&str, Layer)| layer.compression == Compression::Zstd;
    base.is_some_and(|it| it.is_docker) && !layers.iter().any(is_zstd)
}

/// Media types of one kind, which an image must not mix with others.
struct MediaTypes {
    manifest: &'static str,
    config: &'static str,
    gzip: &'static str,
}

impl MediaTypes {
    fn layer(&self, compression: Compression) -> &'static str {
        match compression {
            Compression::Gzip => self.gzip,
            // Docker defines no media type for Zstandard.
            Compression::Zstd => OCI_LAYER_ZSTD,
        }
    }
}

const OCI: MediaTypes = MediaTypes { manifest: OCI_MANIFEST, config: OCI_CONFIG, gzip: OCI_LAYER_GZIP };
/// Docker Image Manifest V2, Schema 2.
const DOCKER: MediaTypes =
    MediaTypes { manifest: DOCKER_MANIFEST, config: DOCKER_CONFIG, gzip: DOCKER_LAYER_GZIP };

/// An assembled image index (OCI image specification, "Image Index").
#[derive(Debug, Clone)]
pub struct Index {
    /// The index, as JSON.
    pub manifest: Vec<u8>,
    /// The digest of the index.
    pub digest: Digest,
}

impl Index {
    /// Assembles the index of `images`, in their order.
    pub fn assemble<'a>(images: impl IntoIterator<Item = (&'a Platform, &'a Image)>) -> Self {
        let descriptor = |(platform, image): (&'a Platform, &'a Image)| Descriptor {
            platform: Some(platform.clone()),
            ..Descriptor::new(image.media_type, image.digest.clone(), image.manifest.len() as u64)
        };
        let index = ImageIndex::new(images.into_iter().map(descriptor).collect());
        let manifest = serde_json::to_vec(&index).unwrap_or_default();
        Self { digest: Digest::of(&manifest), manifest }
    }
}

fn config<'a>(
    platform: &'a Platform,
    settings: &'a ImageSettings,
    layers: &'a [(&str, Layer)],
    base: Option<&'a BaseImage>,
) -> Config<'a> {
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned();
    let mut variables = base.map(|it| base::environment(&it.config)).unwrap_or_default();
    variables.extend(settings.env.clone());
    let path = (!variables.contains_key("PATH")).then_some(path);
    let env = variables.into_iter().map(|(key, value)| format!("{key}={value}"));
    let inherited = |key: &str| base.map_or(&Value::Null, |it| &it.config["config"][key]);
    let below = base.iter().flat_map(|it| it.config["rootfs"]["diff_ids"].as_array()).flatten();
    let below = below.filter_map(Value::as_str);
    let mut labels = base::labels(inherited("Labels"));
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
        history: base.map(base::history).unwrap_or_default().into_iter().chain(history).collect(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn image_config_has_the_settings() {
        let compression = Compression::Gzip;
        let layer = Layer { digest: Digest::of(b"gz"), diff_id: Digest::of(b"tar"), size: 2, compression };
        let settings = ImageSettings {
            entrypoint: "/usr/local/bin/my-app".to_owned(),
            env: [("RUST_LOG".to_owned(), "info".to_owned())].into(),
            ports: vec![8080],
            user: super::super::scratch::USER.to_owned(),
            labels: [("org.opencontainers.image.title".to_owned(), "my-app".to_owned())].into(),
            ..ImageSettings::default()
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
