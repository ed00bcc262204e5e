//! Tables that are nearly those that this tool reads. Cargo accepts any table below `metadata`, so that nobody else
//! reports them.

use ecr_types::document::{Node, Problem, Value};

/// The tables that this tool reads.
const TABLES: [&[&str]; 2] = [&["workspace", "metadata", "ecr"], &["package", "metadata", "ecr"]];

/// The places where the table of a package or of the workspace is written by mistake, and the table that is meant.
const ELSEWHERE: [(&[&str], &str); 4] = [
    (&["package", "ecr"], "package.metadata.ecr"),
    (&["metadata", "ecr"], "package.metadata.ecr"),
    (&["workspace", "ecr"], "workspace.metadata.ecr"),
    (&["workspace", "package", "metadata", "ecr"], "package.metadata.ecr"),
];

/// A problem for each table of a manifest that is probably a mistyped one. They are warnings: a table may belong to
/// another tool.
pub fn near_misses(manifest: &Node) -> Vec<Problem> {
    let mistyped = TABLES.iter().flat_map(|path| mistyped(manifest, &path[..2]));
    let elsewhere = ELSEWHERE.iter().filter_map(|(path, meant)| {
        let node = manifest.get_path(path).filter(|it| matches!(it.value, Value::Table(_)))?;
        Some(problem(&path.join("."), meant, &node.place))
    });
    mistyped.chain(elsewhere).collect()
}

/// The tables beside the one named `ecr`, unless that is there.
fn mistyped(manifest: &Node, parent: &[&str]) -> Vec<Problem> {
    let parent_table = manifest.get_path(parent).filter(|it| it.get("ecr").is_none());
    let Some(Value::Table(entries)) = parent_table.map(|it| &it.value) else { return Vec::new() };
    let parent = parent.join(".");
    let similar = entries.iter().filter(|it| is_similar(&it.key));
    similar.map(|it| problem(&format!("{parent}.{}", it.key), &format!("{parent}.ecr"), &it.place)).collect()
}

fn problem(found: &str, meant: &str, place: &ecr_types::document::Place) -> Problem {
    Problem {
        place: place.clone(),
        message: format!("the table [{found}] is not read"),
        help: Some(format!("did you mean `ecr`? write [{meant}]")),
    }
}

/// Whether a key is `ecr` in another case, with two letters exchanged, or with one character too many. Another letter in
/// place of one makes another word: `ecs` and `ec2` are other services.
fn is_similar(key: &str) -> bool {
    let key = key.to_lowercase();
    let mut letters: Vec<_> = key.chars().collect();
    let without =
        |n: usize| key.char_indices().filter(|(at, _)| *at != n).map(|(_, c)| c).collect::<String>();
    let has_one_more = letters.len() == 4 && key.char_indices().any(|(n, _)| without(n) == "ecr");
    letters.sort_unstable();
    letters == ['c', 'e', 'r'] || has_one_more
}

#[cfg(test)]
mod tests {
    use super::*;
    use ecr_types::document::parse_toml;

    #[test]
    fn near_misses_are_tables_that_were_meant_for_this_tool() {
        let found = |text: &str| {
            let problems = near_misses(&parse_toml("Cargo.toml", text).unwrap());
            let lines = problems
                .iter()
                .map(|it| format!("{}: {} / {}", it.place, it.message, it.help.as_deref().unwrap()));
            lines.collect::<Vec<_>>()
        };
        for table in
            ["package.metadata.erc", "package.metadata.ECR", "package.metadata.cer", "package.metadata.ecrs"]
        {
            let parent_column = "[package.metadata.".len() + 1;
            assert_eq!(
                found(&format!("[package]\nname = \"x\"\n[{table}]\n")),
                [format!(
                    "Cargo.toml:3:{parent_column}: the table [{table}] is not read / did you mean `ecr`? write [package.metadata.ecr]"
                )]
            );
        }
        assert_eq!(
            found("[workspace.metadata.erc.tags]\nteam = \"web\"\n"),
            [
                "Cargo.toml:1:21: the table [workspace.metadata.erc] is not read / did you mean `ecr`? write [workspace.metadata.ecr]"
            ]
        );
        for (table, meant) in [
            ("package.ecr", "package.metadata.ecr"),
            ("metadata.ecr", "package.metadata.ecr"),
            ("workspace.ecr", "workspace.metadata.ecr"),
            ("workspace.package.metadata.ecr", "package.metadata.ecr"),
        ] {
            let found = found(&format!("[{table}]\n"));
            assert!(
                found.len() == 1 && found[0].ends_with(&format!("write [{meant}]")),
                "{table}: {found:?}"
            );
        }
        for good in [
            "[package.metadata.ecr]\n[package.metadata.erc]\n",
            "[package.metadata.ecs]\n[package.metadata.ec2]\n[package.metadata.efr]\n",
            "[package.metadata.docs.rs]\n[package.metadata.deb]\n[package.metadata.er]\n",
            "[workspace.metadata.ecr]\n",
            "[dependencies.ecr]\nversion = \"1\"\n",
        ] {
            assert_eq!(found(good), [""; 0], "{good}");
        }
    }
}
