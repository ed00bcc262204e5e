//! x
pub mod definitions;
pub mod desired;
pub mod image;
pub mod lifecycle;
pub mod metadata;
pub mod name;
pub mod settings;
pub mod source;
/// m
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
/// m
pub fn main_with_args(_n: &str, _a: impl Iterator<Item = std::ffi::OsString>) -> std::process::ExitCode {
    main()
}
