//! The program `xtask-ecr` for `cargo install`, which runs the tasks without an xtask.

fn main() -> std::process::ExitCode {
    xtask_ecr::main_with_args("xtask-ecr", std::env::args_os().skip(1))
}
