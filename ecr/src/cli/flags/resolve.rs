//! The flags of `resolve`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::CommonArgs;
use crate::config::tag_template::TagTemplate;
use crate::deployment::{UnknownFormat, ValuesFormat};

/// `resolve`: replace ecr://NAME in deployment files by references of images
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Resolve {
    /// File, or folder with YAML, JSON, Terraform, .env and .tpl files, to resolve; `-` is stdin (repeatable)
    #[arg(short, long = "file", value_name = "FILE", required_unless_present = "write")]
    pub(crate) file: Vec<PathBuf>,
    /// Also resolve the files in the folders below a folder
    #[arg(short = 'R', long, requires = "file")]
    pub(crate) recursive: bool,
    /// Tag of the images [default: the configured tags, which must all be of one image]
    #[arg(short, long, value_name = "TAG")]
    pub(crate) tag: Option<TagTemplate>,
    /// Take the images from FILE, which `push` or `promote` has written with --format json or --image-refs, and ask no registry
    /// (repeatable)
    #[arg(long, value_name = "FILE")]
    pub(crate) images: Vec<PathBuf>,
    /// Take the image that the environment runs, as `ecr deployed` shows it
    #[arg(long, conflicts_with_all = ["tag", "images"])]
    pub(crate) current: bool,
    /// Write the files below the folder DIR instead of stdout
    #[arg(short, long, value_name = "DIR", requires = "file", conflicts_with_all = ["in_place", "check"])]
    pub(crate) output: Option<PathBuf>,
    /// Change the files themselves
    #[arg(long, requires = "file", conflicts_with = "check")]
    pub(crate) in_place: bool,
    /// Change nothing, and exit with code 2 if --in-place would change a file
    #[arg(long, requires = "file")]
    pub(crate) check: bool,
    /// Also write the images as values to FILE; FORMAT is kustomize (a component), helm, tfvars, env or json (repeatable).
    /// Without --file they are those of all selected services
    #[arg(long, value_name = "FORMAT=FILE")]
    pub(crate) write: Vec<ValuesFile>,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// A file with values: `helm=values.yaml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValuesFile {
    pub format: ValuesFormat,
    pub path: PathBuf,
}

/// An invalid value of `--write`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidValuesFile {
    #[error("`{0}` is not FORMAT=FILE, such as helm=values.yaml")]
    Syntax(String),
    #[error(transparent)]
    Format(#[from] UnknownFormat),
}

impl FromStr for ValuesFile {
    type Err = InvalidValuesFile;

    fn from_str(text: &str) -> Result<Self, InvalidValuesFile> {
        let wrong = || InvalidValuesFile::Syntax(text.to_owned());
        let (format, path) = text.split_once('=').filter(|(_, path)| !path.is_empty()).ok_or_else(wrong)?;
        Ok(Self { format: format.parse()?, path: path.into() })
    }
}

impl fmt::Display for ValuesFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.format, self.path.display())
    }
}
