//! The tasks of this monorepo: `cargo xtask ecr plan`, `cargo xtask push` and the rest of `xtask-ecr`.

fn main() -> std::process::ExitCode {
    xtask_ecr::main()
}
