//! x
pub mod name; pub mod source; pub mod settings; pub mod metadata; pub mod definitions; pub mod desired; pub mod lifecycle; pub mod image; pub mod observed; pub mod plan; pub mod aws;
/// m
pub fn main() -> std::process::ExitCode { std::process::ExitCode::SUCCESS }
/// m
pub fn main_with_args(_n: &str, _a: impl Iterator<Item = std::ffi::OsString>) -> std::process::ExitCode { main() }
