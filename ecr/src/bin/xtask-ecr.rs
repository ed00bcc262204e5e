//! `xtask-ecr`, for `cargo install`: the same commands as `cargo xtask`, outside of an xtask.

fn main() -> std::process::ExitCode {
    xtask_ecr::main_with_args("xtask-ecr", std::env::args_os().skip(1))
}
