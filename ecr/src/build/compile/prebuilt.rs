//! Binaries that were built elsewhere: `--binary PLATFORM=PATH`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ecr_types::Platform;
use thiserror::Error;

/// The paths of prebuilt binaries by platform. A path is a file, or a folder with files named after binary targets.
pub type PrebuiltPaths = BTreeMap<Platform, PathBuf>;

/// A package that takes its binary for a platform from [`PrebuiltPaths`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrebuiltUser<'a> {
    pub package: &'a str,
    /// The name of the binary target.
    pub bin: &'a str,
}

/// A prebuilt binary that cannot be used as it was given.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PrebuiltError {
    #[error("--binary is given twice for {platform}: `{}` and `{}`", first.display(), second.display())]
    Twice { platform: String, first: PathBuf, second: PathBuf },
    #[error("`{}` is a single binary, but it would be that of {}", path.display(), listed(packages))]
    OneFile { path: PathBuf, platform: String, packages: Vec<String>, bins: Vec<String> },
    #[error("`{}` would be the binary of {}", path.display(), listed(packages))]
    SameName { path: PathBuf, platform: String, packages: Vec<String> },
    #[error("`{}` does not exist", .0.display())]
    NoPath(PathBuf),
    #[error("the folder `{}` has no file `{bin}`, the binary of `{package}`{}", folder.display(), instead(files))]
    NoFile { folder: PathBuf, platform: String, package: String, bin: String, files: Vec<String> },
}

fn listed(names: &[String]) -> String {
    let quoted: Vec<_> = names.iter().map(|it| format!("`{it}`")).collect();
    match quoted.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        _ => quoted.join(""),
    }
}

fn instead(files: &[String]) -> String {
    if files.is_empty() { String::new() } else { format!("; it has {}", listed(files)) }
}

impl PrebuiltError {
    /// What to type instead.
    pub fn help(&self) -> Option<String> {
        let one_by_one = |platform: &str, packages: &[String]| {
            let package = packages.first().map_or("PACKAGE", String::as_str);
            format!("push one service at a time, each with its file: `-p {package} --binary {platform}=FILE`")
        };
        match self {
            Self::Twice { .. } => {
                Some("pass one path, which may be a folder with the files of all services".to_owned())
            }
            Self::OneFile { platform, packages, bins, .. } => Some(match is_unique(bins) {
                true => format!(
                    "select one service, such as `-p {}`, or pass a folder with the files {}",
                    packages.first().map_or("PACKAGE", String::as_str),
                    listed(bins)
                ),
                false => one_by_one(platform, packages),
            }),
            Self::SameName { platform, packages, .. } => Some(one_by_one(platform, packages)),
            Self::NoPath(_) => None,
            Self::NoFile { platform, package, bin, .. } => Some(format!(
                "name the file `{bin}`, or pass the file itself: `-p {package} --binary {platform}=FILE`"
            )),
        }
    }
}

fn is_unique(names: &[String]) -> bool {
    names.iter().enumerate().all(|(n, it)| !names[..n].contains(it))
}

/// The paths by platform.
///
/// # Errors
/// A platform is given twice.
pub fn by_platform(
    given: impl IntoIterator<Item = (Platform, PathBuf)>,
) -> Result<PrebuiltPaths, PrebuiltError> {
    let mut paths = PrebuiltPaths::new();
    for (platform, second) in given {
        if let Some(first) = paths.get(&platform) {
            return Err(PrebuiltError::Twice {
                platform: platform.to_string(),
                first: first.clone(),
                second,
            });
        }
        paths.insert(platform, second);
    }
    Ok(paths)
}

/// The files that more than one package would take for its own.
///
/// Two packages may have binary targets of one name. cargo warns of that, and writes both to the same file
/// (rust-lang/cargo#6313).
pub fn collisions(platform: &Platform, path: &Path, users: &[PrebuiltUser<'_>]) -> Vec<PrebuiltError> {
    shared_files(platform, path, path.is_dir(), users)
}

fn shared_files(
    platform: &Platform,
    path: &Path,
    is_folder: bool,
    users: &[PrebuiltUser<'_>],
) -> Vec<PrebuiltError> {
    let packages = |users: &[PrebuiltUser<'_>]| users.iter().map(|it| it.package.to_owned()).collect();
    if !is_folder {
        let (path, platform) = (path.to_owned(), platform.to_string());
        let bins = users.iter().map(|it| it.bin.to_owned()).collect();
        let error = PrebuiltError::OneFile { path, platform, packages: packages(users), bins };
        return if users.len() > 1 { vec![error] } else { Vec::new() };
    }
    let mut by_bin: BTreeMap<&str, Vec<PrebuiltUser<'_>>> = BTreeMap::new();
    users.iter().for_each(|it| by_bin.entry(it.bin).or_default().push(*it));
    let shared = by_bin.into_iter().filter(|(_, users)| users.len() > 1);
    let error = |(bin, users): (&str, Vec<PrebuiltUser<'_>>)| PrebuiltError::SameName {
        path: path.join(bin),
        platform: platform.to_string(),
        packages: packages(&users),
    };
    shared.map(error).collect()
}

/// The file with the binary of a package.
///
/// # Errors
/// There is no such path, or the folder has no file with the name of the binary target.
pub fn file_of(platform: &Platform, path: &Path, user: PrebuiltUser<'_>) -> Result<PathBuf, PrebuiltError> {
    if !path.exists() {
        return Err(PrebuiltError::NoPath(path.to_owned()));
    }
    let file = if path.is_dir() { path.join(user.bin) } else { path.to_owned() };
    match file.is_file() || !path.is_dir() {
        true => Ok(file),
        false => Err(PrebuiltError::NoFile {
            folder: path.to_owned(),
            platform: platform.to_string(),
            package: user.package.to_owned(),
            bin: user.bin.to_owned(),
            files: some_files(path),
        }),
    }
}

/// The names of the first files in a folder, to show what is there. Those that cargo writes beside binaries are left out.
fn some_files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter(|it| it.path().is_file());
    let mut names: Vec<_> = files.filter_map(|it| it.file_name().into_string().ok()).collect();
    names.retain(|it| !it.starts_with('.') && !it.ends_with(".d") && !it.ends_with(".rlib"));
    names.sort();
    names.truncate(5);
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform() -> Platform {
        "linux/amd64".parse().unwrap()
    }

    const A: PrebuiltUser<'_> = PrebuiltUser { package: "svc-a", bin: "server" };
    const B: PrebuiltUser<'_> = PrebuiltUser { package: "svc-b", bin: "server" };
    const C: PrebuiltUser<'_> = PrebuiltUser { package: "svc-c", bin: "other" };

    fn told(path: &str, is_folder: bool, users: &[PrebuiltUser<'_>]) -> String {
        let errors = shared_files(&platform(), Path::new(path), is_folder, users);
        let lines = errors.iter().map(|it| format!("{it}\nhelp: {}\n", it.help().unwrap_or_default()));
        lines.collect()
    }

    #[test]
    fn prebuilt_file_belongs_to_one_package() {
        assert_eq!(told("bins", true, &[A, C]), "");
        assert_eq!(told("server", false, &[A]), "");
        expect_test::expect![[r#"
            `bins/server` would be the binary of `svc-a` and `svc-b`
            help: push one service at a time, each with its file: `-p svc-a --binary linux/amd64=FILE`
        "#]]
        .assert_eq(&told("bins", true, &[A, C, B]));
        expect_test::expect![[r#"
            `server` is a single binary, but it would be that of `svc-a` and `svc-c`
            help: select one service, such as `-p svc-a`, or pass a folder with the files `server` and `other`
        "#]]
        .assert_eq(&told("server", false, &[A, C]));
        expect_test::expect![[r#"
            `server` is a single binary, but it would be that of `svc-a`, `svc-c` and `svc-b`
            help: push one service at a time, each with its file: `-p svc-a --binary linux/amd64=FILE`
        "#]]
        .assert_eq(&told("server", false, &[A, C, B]));
    }

    #[test]
    fn prebuilt_path_is_given_once_for_a_platform() {
        let given = |paths: [&str; 2]| by_platform(paths.map(|it| (platform(), it.into())));
        let error = given(["a", "b"]).unwrap_err();
        assert_eq!(error.to_string(), "--binary is given twice for linux/amd64: `a` and `b`");
        // The same folder may serve several platforms, whose architecture is checked.
        let other = ("linux/arm64".parse().unwrap(), PathBuf::from("a"));
        assert_eq!(by_platform([(platform(), "a".into()), other]).unwrap().len(), 2);
    }

    #[test]
    fn prebuilt_folder_names_what_it_lacks() {
        let folder = tempfile::tempdir().unwrap();
        let find = || file_of(&platform(), folder.path(), A);
        assert!(matches!(find(), Err(PrebuiltError::NoFile { files, .. }) if files.is_empty()));
        fs::write(folder.path().join("other"), "").unwrap();
        let error = find().unwrap_err();
        let text = error.to_string().replace(folder.path().to_str().unwrap(), "bins");
        assert_eq!(text, "the folder `bins` has no file `server`, the binary of `svc-a`; it has `other`");
        assert!(error.help().unwrap().contains("-p svc-a --binary linux/amd64=FILE"));
        fs::write(folder.path().join("server"), "").unwrap();
        assert_eq!(find().unwrap(), folder.path().join("server"));
        let missing = file_of(&platform(), Path::new("/nowhere"), A).unwrap_err();
        assert_eq!(missing.to_string(), "`/nowhere` does not exist");
    }
}
