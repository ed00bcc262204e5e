//! Validates every JSON document that a command prints against its published schema.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{LazyLock, Mutex};

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;

type Compiled = (Schemas, HashMap<String, SchemaIndex>);

static SCHEMAS: LazyLock<Mutex<Compiled>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    let (mut schemas, mut compiler, mut all) = (Schemas::new(), Compiler::new(), HashMap::new());
    for file in super::files_below(&folder) {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let index = compiler.compile(file.to_str().unwrap(), &mut schemas);
        all.insert(name, index.unwrap_or_else(|error| panic!("{}: {error:#}", file.display())));
    }
    Mutex::new((schemas, all))
});

/// Fails unless a document is valid under the schema of its command. Fatal errors have a schema of their own.
pub fn check(args: &[String], document: &Value) {
    let name = match document {
        it if it.get("error").is_some() => "error".to_owned(),
        it if it.get("environments").is_some() && name(args) == "plan" => "plan-environments".to_owned(),
        _ => name(args),
    };
    let guard = SCHEMAS.lock().unwrap_or_else(|it| it.into_inner());
    let (schemas, all) = &*guard;
    // `ecr serve` prints its URL, and has no schema.
    let Some(index) = all.get(&name) else { return assert_eq!(name, "serve", "no schema") };
    if let Err(error) = schemas.validate(document, *index) {
        panic!("{args:?} does not keep to {name}.json: {error}\n{document:#}");
    }
}

fn name(args: &[String]) -> String {
    let words: Vec<_> = args.iter().take_while(|it| !it.starts_with('-')).map(String::as_str).collect();
    match words.as_slice() {
        ["ecr", "lifecycle", command, ..] => format!("lifecycle-{command}"),
        ["ecr", "iam-policy", ..] if args.iter().any(|it| it == "--trust") => "iam-trust".to_owned(),
        ["push", ..] if args.iter().any(|it| it == "--list") => "push-list".to_owned(),
        ["push", ..] if args.iter().any(|it| it == "--merge-refs") => "push-merge-refs".to_owned(),
        ["ecr", command, ..] | [command, ..] => (*command).to_owned(),
        [] => String::new(),
    }
}
