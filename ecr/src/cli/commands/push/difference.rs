//! Why the image of an immutable tag is another one: what can be told of two images of one version or commit.

use ecr_types::Digest;
use serde_json::Value;

use super::Push;
use crate::build::image::NativeImage;
use crate::clock;
use crate::config::desired::Service;

/// Says which layers differ from those of another image, of which the manifest is given, and which build scripts tell the time.
pub(super) fn explain(push: &Push<'_>, service: &Service, image: &NativeImage, manifest: &str) {
    let name = &service.name;
    let differing = differing_layers(image, manifest);
    let what = match differing.as_slice() {
        [] => "only its settings, such as variables, labels and the version".to_owned(),
        layers => format!("the layers: {}", layers.join(", ")),
    };
    push.shell.note(format!("of the image of `{name}` and that of the tag, these differ: {what}"));
    if !differing.contains(&BINARY) || service.image.source_date_epoch.is_some() {
        return;
    }
    let clocks = push.builder.options.scripts.clocks(clock::now());
    for (package, variables) in clocks {
        let variables = variables.into_iter().collect::<Vec<_>>().join(", ");
        push.shell.note(format!("the build script of `{package}` tells the time of the build ({variables})"));
        push.shell.help(
            "`source-date-epoch = \"commit\"` below [package.metadata.ecr.image] tells it the time of the commit",
        );
    }
}

/// The name of the layer with the binary.
const BINARY: &str = "binary";

/// The layers that another image does not have.
fn differing_layers(image: &NativeImage, manifest: &str) -> Vec<&'static str> {
    let manifest: Value = serde_json::from_str(manifest).unwrap_or_default();
    let layers = manifest["layers"].as_array().into_iter().flatten();
    let theirs: Vec<&str> = layers.filter_map(|it| it["digest"].as_str()).collect();
    let is_missing = |digest: &Digest| !theirs.contains(&digest.as_str());
    let missing = image.own_layers.iter().filter(|(_, digest)| is_missing(digest));
    let mut names: Vec<_> = missing.map(|(text, _)| text.trim_start_matches("xtask-ecr: ")).collect();
    names.dedup();
    names
}
