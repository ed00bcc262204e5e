//! The table `[package.metadata.ecr.image]`: the settings of a service's image.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use ecr_oci::image::compression::Compression;
use ecr_types::Platform;
use ecr_types::document::{Fields, Located, Node, Problems, Value};

use crate::config::InvalidSetting;
use crate::config::tag_template::TagTemplate;

/// The image table. `[workspace.metadata.ecr.image]` contains the defaults for all services.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImageMetadata {
    /// The binary target.
    ///
    /// Value: name. Default: the only one of the package, or the one with its name.
    pub bin: Option<Located<String>>,
    /// The tags to push. Placeholders are `{version}`, `{git-sha}`, `{git-short-sha}`, `{branch}`, `{pr}` and
    /// `{digest}`.
    ///
    /// Value: list of templates. Default: `["{version}"]`.
    pub tags: Option<Located<Vec<Located<TagTemplate>>>>,
    /// The TCP ports on which the service listens.
    ///
    /// Value: list of numbers.
    pub ports: Option<Located<Vec<u16>>>,
    /// Environment variables.
    pub env: BTreeMap<String, Located<String>>,
    /// Files and folders to copy into the image, in order.
    ///
    /// Value: list of `{ from, to }`.
    pub files: Option<Located<Vec<FileCopy>>>,
    /// Features of cargo.
    ///
    /// Value: list of names.
    pub features: Option<Located<Vec<Located<String>>>>,
    /// Whether it is built without the default features.
    ///
    /// Default: `false`.
    pub no_default_features: Option<Located<bool>>,
    /// The arguments of the binary.
    ///
    /// Value: list of texts.
    pub args: Option<Located<Vec<Located<String>>>>,
    /// The user of the process, as numbers.
    ///
    /// Value: `UID:GID`. Default: `65532:65532`.
    pub user: Option<Located<String>>,
    /// The working directory of the process.
    ///
    /// Value: absolute path. Default: `/`.
    pub workdir: Option<Located<String>>,
    /// Labels beside the annotations of the OCI image specification.
    pub labels: BTreeMap<String, Located<String>>,
    /// The base image.
    ///
    /// Value: `scratch` or an image reference. Default: `scratch`.
    pub base: Option<Located<String>>,
    /// The compression of the layers.
    ///
    /// Value: `gzip` or `zstd`. Default: `gzip`.
    pub compression: Option<Located<Compression>>,
    /// The level of the compression: 1 to 12 for gzip, 1 to 22 for zstd.
    ///
    /// Value: number. Default: the compressor's.
    pub compression_level: Option<Located<i32>>,
    /// What build scripts and macros that ask for the time are told: that of the commit.
    ///
    /// Value: `commit`. Default: not set.
    pub source_date_epoch: Option<Located<SourceDateEpoch>>,
    /// The platforms to build for, such as `linux/arm64`.
    ///
    /// Value: list of platforms. Default: this machine's.
    pub platforms: Option<Located<Vec<Platform>>>,
    /// The Dockerfile with which docker or podman builds the image.
    ///
    /// Value: path. Default: `Dockerfile` in the folder of the package, if it exists.
    pub dockerfile: Option<Located<String>>,
    /// The build context of the Dockerfile.
    ///
    /// Value: path. Default: the root of the workspace.
    pub context: Option<Located<String>>,
}

/// A value of `source-date-epoch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceDateEpoch {
    /// The time of the commit.
    Commit,
}

impl FromStr for SourceDateEpoch {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        let message = || format!("`{text}` is not a value of `source-date-epoch`: use `commit`");
        (text == "commit").then_some(Self::Commit).ok_or_else(|| InvalidSetting(message()))
    }
}

/// A file or folder to copy into the image.
#[derive(Debug, Clone, PartialEq)]
pub struct FileCopy {
    /// A path relative to the folder of the manifest.
    pub from: Located<String>,
    /// An absolute path in the image. A slash at its end means a folder.
    pub to: Located<String>,
}

impl ImageMetadata {
    /// Reads the image table of a package.
    pub(super) fn read_package(parent: &mut Fields<'_>, problems: &Problems) -> Self {
        Self::read(parent, problems, true)
    }

    /// Reads the image table of the workspace, which has no keys that can concern only one package.
    pub(super) fn read_workspace(parent: &mut Fields<'_>, problems: &Problems) -> Self {
        Self::read(parent, problems, false)
    }

    fn read(parent: &mut Fields<'_>, problems: &Problems, of_package: bool) -> Self {
        let Some(mut fields) = parent.fields("image") else { return Self::default() };
        let mut image = Self {
            tags: fields.list("tags", |node, problems| parsed(node, "tags", problems)),
            ports: fields.list("ports", port),
            env: fields.string_map("env"),
            args: fields.strings("args"),
            user: fields.parsed::<NumericUser>("user").map(|it| it.map(|user| user.0)),
            workdir: fields.parsed::<AbsolutePath>("workdir").map(|it| it.map(|path| path.0)),
            labels: fields.string_map("labels"),
            base: fields.string("base"),
            compression: fields.parsed("compression"),
            compression_level: fields.number("compression-level"),
            source_date_epoch: fields.parsed("source-date-epoch"),
            platforms: fields.list("platforms", platform),
            ..Self::default()
        };
        if of_package {
            image.bin = fields.string("bin");
            image.files = fields.list("files", file_copy);
            image.features = fields.strings("features");
            image.no_default_features = fields.boolean("no-default-features");
            image.dockerfile = fields.string("dockerfile");
            image.context = fields.string("context");
        }
        image.check_env(problems);
        fields.finish();
        image
    }

    fn check_env(&self, problems: &Problems) {
        for (name, value) in self.env.iter().filter(|(name, _)| name.is_empty() || name.contains('=')) {
            problems.add(&value.place, format!("`{name}` is not a valid name of an environment variable"));
        }
    }

    /// The settings of `self`, completed with those of `lower`. Environment variables and labels are merged by key.
    pub fn or(self, lower: Self) -> Self {
        let joined = |mut low: BTreeMap<_, _>, high| {
            low.extend(high);
            low
        };
        Self {
            bin: self.bin.or(lower.bin),
            tags: self.tags.or(lower.tags),
            ports: self.ports.or(lower.ports),
            env: joined(lower.env, self.env),
            files: self.files.or(lower.files),
            features: self.features.or(lower.features),
            no_default_features: self.no_default_features.or(lower.no_default_features),
            args: self.args.or(lower.args),
            user: self.user.or(lower.user),
            workdir: self.workdir.or(lower.workdir),
            labels: joined(lower.labels, self.labels),
            base: self.base.or(lower.base),
            // The level is one of that compression.
            compression_level: match self.compression {
                Some(_) => self.compression_level,
                None => self.compression_level.or(lower.compression_level),
            },
            compression: self.compression.or(lower.compression),
            source_date_epoch: self.source_date_epoch.or(lower.source_date_epoch),
            platforms: self.platforms.or(lower.platforms),
            dockerfile: self.dockerfile.or(lower.dockerfile),
            context: self.context.or(lower.context),
        }
    }
}

fn parsed<T: FromStr>(node: &Node, key: &str, problems: &Problems) -> Option<Located<T>>
where
    T::Err: fmt::Display,
{
    let Value::String(text) = &node.value else {
        problems.add(&node.place, format!("`{key}` must be a list of strings, found {}", node.kind()));
        return None;
    };
    let value = text.parse().map_err(|error: T::Err| problems.add(&node.place, error.to_string()));
    value.ok().map(|value| Located { place: node.place.clone(), value })
}

fn platform(node: &Node, problems: &Problems) -> Option<Platform> {
    parsed(node, "platforms", problems).map(|it| it.value)
}

fn port(node: &Node, problems: &Problems) -> Option<u16> {
    let number = match &node.value {
        Value::Number(text) => text.parse().ok().filter(|port| *port != 0),
        _ => None,
    };
    if number.is_none() {
        problems.add(&node.place, "`ports` must be a list of numbers from 1 to 65535");
    }
    number
}

fn file_copy(node: &Node, problems: &Problems) -> Option<FileCopy> {
    let mut fields = Fields::new(node, "an entry of `files`", problems);
    let from = fields.string("from");
    let to = fields.parsed::<CopyTarget>("to").map(|it| it.map(|path| path.0));
    let place = fields.place();
    if fields.node("from").is_none() || fields.node("to").is_none() {
        problems.add(place, "an entry of `files` needs `from` and `to`");
    }
    fields.finish();
    Some(FileCopy { from: from?, to: to? })
}

struct NumericUser(String);

impl FromStr for NumericUser {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        // Kubernetes can verify `runAsNonRoot` for numeric users only.
        let number = |it: &str| it.parse::<u32>().is_ok();
        let is_valid = match text.split_once(':') {
            Some((user, group)) => number(user) && number(group),
            None => number(text),
        };
        let message = || format!("`{text}` is not a numeric user: write UID or UID:GID, such as 65532:65532");
        is_valid.then(|| Self(text.to_owned())).ok_or_else(|| InvalidSetting(message()))
    }
}

struct AbsolutePath(String);

impl FromStr for AbsolutePath {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        let is_valid = text.starts_with('/') && !text.split('/').any(|it| it == ".." || it == ".");
        let message = || format!("`{text}` must be an absolute path in the image, without `.` or `..`");
        is_valid.then(|| Self(text.to_owned())).ok_or_else(|| InvalidSetting(message()))
    }
}

struct CopyTarget(String);

impl FromStr for CopyTarget {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        let AbsolutePath(path) = text.parse()?;
        let message = || {
            format!(
                "`{text}` has a part that begins with `.wh.`: in a layer, it would remove a file of the base"
            )
        };
        let is_whiteout = path.split('/').any(|it| it.starts_with(".wh."));
        if is_whiteout { Err(InvalidSetting(message())) } else { Ok(Self(path)) }
    }
}
