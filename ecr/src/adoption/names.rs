//! Names for what cargo and file systems name in more ways than AWS.

use ecr_types::RepositoryName;

use crate::config::settings::is_resource_tag_character;

/// A project of the name of a folder, with `-` for what cannot be in the value of a resource tag.
pub(super) fn project(folder: &str) -> String {
    let replaced: String =
        folder.chars().map(|it| if is_resource_tag_character(it) { it } else { '-' }).collect();
    let words: Vec<_> = replaced.split(['-', ' ']).filter(|it| !it.is_empty()).collect();
    if replaced == folder { replaced } else { words.join("-") }
}

/// The repository of a package whose name is not valid for one: `my-app` for `MyApp`. `None` if it is valid, or none comes of it.
pub(super) fn repository(package: &str) -> Option<String> {
    if package.parse::<RepositoryName>().is_ok() {
        return None;
    }
    let (mut name, mut is_in_word) = (String::new(), false);
    for c in package.chars() {
        if c.is_uppercase() && is_in_word {
            name.push('-');
        }
        is_in_word = c.is_lowercase() || c.is_numeric();
        name.extend(c.to_lowercase());
    }
    Some(name.trim_matches(['-', '_']).to_owned()).filter(|it| it.parse::<RepositoryName>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_valid() {
        for (folder, wanted) in
            [("shop", "shop"), ("demo (copy)", "demo-copy"), ("my shop", "my shop"), ("a&b", "a-b")]
        {
            assert_eq!(project(folder), wanted);
        }
        for (package, wanted) in [
            ("my-app", None),
            ("MyApp", Some("my-app")),
            ("My_App2Go", Some("my_app2-go")),
            ("_x_y_", Some("x_y")),
            ("HTTPServer", Some("httpserver")),
        ] {
            assert_eq!(repository(package).as_deref(), wanted, "{package}");
        }
    }
}
