//! Images, where a real file is needed.

use ecr_oci::image::elf::Elf;

/// The test itself is a dynamic binary, where it runs on Linux with glibc.
#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn elf_of_a_dynamic_binary_names_its_loader_and_libraries() {
    let elf = Elf::read(std::fs::File::open(std::env::current_exe().unwrap()).unwrap()).unwrap();
    assert!(elf.interpreter.is_some() && elf.needed.iter().any(|it| it == "libc.so.6"), "{elf:?}");
    assert!(!elf.is_static());
}
