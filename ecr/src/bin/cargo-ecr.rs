//! The program that cargo starts for `cargo ecr`, where `cargo install` has put it.

fn main() -> std::process::ExitCode {
    xtask_ecr::cargo_ecr()
}
