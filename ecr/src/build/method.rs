//! How the images of services are built, and the input of docker builds.

use std::path::PathBuf;

use anyhow::{Result, bail};
use ecr_oci::image::assemble::ImageSettings;

use super::docker::{BuildSource, ContextFolder, EngineBuild, Frontend};
use crate::config::desired::Service;

/// How the image of a service is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildMethod {
    /// By this tool, without an engine.
    Native,
    /// By an engine, from a Dockerfile of the workspace.
    Dockerfile(DockerfileBuild),
    /// By an engine, from a generated Dockerfile with the binary that this tool compiles.
    Wrapped,
}

/// A Dockerfile and its context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerfileBuild {
    /// The path of the Dockerfile.
    pub dockerfile: PathBuf,
    pub context: PathBuf,
}

/// The value of the flag `--builder`, which applies to all services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChosenBuilder {
    /// This tool, even if there is a Dockerfile.
    Native,
    /// An engine, even if there is no Dockerfile.
    Docker,
}

/// The options that determine how services are built.
#[derive(Debug, Clone)]
pub struct BuildMethods {
    /// The root of the workspace, which is the default build context.
    pub root: PathBuf,
    pub builder: Option<ChosenBuilder>,
    /// Paths that are excluded from all build contexts, unless an exception in `.dockerignore` names them.
    pub excluded: Vec<PathBuf>,
    /// Additional arguments of the engine's build command.
    pub args: Vec<String>,
    /// The platforms, separated by commas. `None` is the default platform of the engine.
    pub platform: Option<String>,
}

impl BuildMethods {
    /// How a service is built: by the chosen builder, otherwise by an engine if the service has a Dockerfile.
    ///
    /// # Errors
    /// The configured Dockerfile does not exist.
    pub fn method_for(&self, service: &Service) -> Result<BuildMethod> {
        let folder = self.root.join(&service.package.folder);
        let named = service.image.dockerfile.as_ref().map(|it| folder.join(&it.value));
        let own = service.package.has_dockerfile.then(|| folder.join("Dockerfile"));
        let dockerfile = match (self.builder, named.or(own)) {
            (Some(ChosenBuilder::Native), _) | (None, None) => return Ok(BuildMethod::Native),
            (Some(ChosenBuilder::Docker), None) => return Ok(BuildMethod::Wrapped),
            (_, Some(dockerfile)) => dockerfile,
        };
        if !dockerfile.is_file() {
            let place = service.image.dockerfile.as_ref().map_or(&service.place, |it| &it.place);
            bail!("{place}: Dockerfile `{}` does not exist", dockerfile.display());
        }
        let context = service.image.context.as_ref().map(|it| folder.join(&it.value));
        let context = context.unwrap_or_else(|| self.root.clone());
        Ok(BuildMethod::Dockerfile(DockerfileBuild { dockerfile, context }))
    }

    /// The input of a build from a Dockerfile of the workspace.
    ///
    /// # Errors
    /// The context, the Dockerfile or the file with exclusions cannot be read.
    pub fn dockerfile_build(&self, build: &DockerfileBuild, frontend: Frontend) -> Result<EngineBuild> {
        let folder = ContextFolder::open(&build.context, &build.dockerfile, &self.excluded, frontend)?;
        Ok(self.build(BuildSource::Folder(Box::new(folder))))
    }

    /// The input of a build from a generated Dockerfile.
    pub fn wrapped_build(&self, base: &str, layers: Vec<PathBuf>, settings: &ImageSettings) -> EngineBuild {
        let named = layers.into_iter().enumerate().map(|(n, path)| (format!("layer-{n}.tar.gz"), path));
        let files: Vec<_> = named.collect();
        let names = files.iter().map(|(name, _)| name.as_str());
        let dockerfile = dockerfile_around(base, names, settings);
        self.build(BuildSource::Generated { dockerfile, files })
    }

    fn build(&self, source: BuildSource) -> EngineBuild {
        EngineBuild { source, platform: self.platform.clone(), args: self.args.clone() }
    }
}

/// Generates the Dockerfile for a binary. `ADD` unpacks the archives of the layers.
fn dockerfile_around<'a>(
    base: &str,
    layers: impl Iterator<Item = &'a str>,
    settings: &ImageSettings,
) -> String {
    let quoted =
        |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$"));
    let list = |items: &[String]| serde_json::to_string(items).unwrap_or_default();
    let mut lines = vec![format!("FROM {base}")];
    lines.extend(layers.map(|it| format!("ADD {it} /")));
    lines.extend(settings.env.iter().map(|(key, value)| format!("ENV {key}={}", quoted(value))));
    lines.extend(settings.labels.iter().map(|(key, value)| format!("LABEL {key}={}", quoted(value))));
    lines.extend(settings.ports.iter().map(|it| format!("EXPOSE {it}/tcp")));
    lines.push(format!("WORKDIR {}", settings.workdir.as_deref().unwrap_or("/")));
    lines.push(format!("USER {}", settings.user));
    lines.push(format!("ENTRYPOINT {}", list(std::slice::from_ref(&settings.entrypoint))));
    lines.extend((!settings.args.is_empty()).then(|| format!("CMD {}", list(&settings.args))));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockerfile_around_a_binary() {
        let settings = ImageSettings {
            entrypoint: "/usr/local/bin/app".to_owned(),
            args: vec!["--port".to_owned(), "80".to_owned()],
            env: [("GREETING".to_owned(), "say \"hi\" for $5".to_owned())].into(),
            ports: vec![80],
            user: "65532:65532".to_owned(),
            ..ImageSettings::default()
        };
        expect_test::expect![[r#"
            FROM scratch
            ADD layer-0.tar.gz /
            ENV GREETING="say \"hi\" for \$5"
            EXPOSE 80/tcp
            WORKDIR /
            USER 65532:65532
            ENTRYPOINT ["/usr/local/bin/app"]
            CMD ["--port","80"]
        "#]]
        .assert_eq(&dockerfile_around("scratch", ["layer-0.tar.gz"].into_iter(), &settings));
    }
}
