//! What a binary needs at run time, read from its ELF headers.

use object::elf;
use object::read::elf::{Dyn, ElfFile, FileHeader, ProgramHeader};

/// What the headers of an executable or library say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Elf {
    /// The architecture in GOARCH spelling; `None` for one that has no such name here.
    pub architecture: Option<&'static str>,
    /// The dynamic loader (`PT_INTERP`); `None` in a static binary.
    pub interpreter: Option<String>,
    /// The libraries that are named (`DT_NEEDED`).
    pub needed: Vec<String>,
    /// Folders to look into (`DT_RUNPATH`, else `DT_RPATH`).
    pub search: Vec<String>,
}

impl Elf {
    /// Reads the headers of an ELF file, of either word size and byte order.
    ///
    /// # Errors
    /// Why the bytes are no ELF file.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let read = match object::FileKind::parse(bytes) {
            Ok(object::FileKind::Elf32) => read::<elf::FileHeader32<object::Endianness>>(bytes),
            Ok(object::FileKind::Elf64) => read::<elf::FileHeader64<object::Endianness>>(bytes),
            Ok(other) => return Err(format!("it is {other:?}, not ELF")),
            Err(_) => return Err("it is no executable of Linux".to_owned()),
        };
        read.map_err(|it| it.to_string())
    }

    /// Whether the kernel can start it without any other file.
    pub fn is_static(&self) -> bool {
        self.interpreter.is_none() && self.needed.is_empty()
    }
}

fn read<H: FileHeader<Endian = object::Endianness>>(bytes: &[u8]) -> object::Result<Elf> {
    let file = ElfFile::<H>::parse(bytes)?;
    let endian = file.endian();
    let mut found = Elf { architecture: architecture(file.elf_header().e_machine(endian)), ..Elf::default() };
    for segment in file.elf_program_headers() {
        if let Some(path) = segment.interpreter(endian, bytes)? {
            found.interpreter = Some(text(path));
        }
        if let Some(entries) = segment.dynamic(endian, bytes)? {
            read_dynamic(&file, entries, &mut found)?;
        }
    }
    Ok(found)
}

fn read_dynamic<H: FileHeader<Endian = object::Endianness>>(
    file: &ElfFile<'_, H>,
    entries: &[H::Dyn],
    found: &mut Elf,
) -> object::Result<()> {
    let endian = file.endian();
    let strings = dynamic_strings(file, entries)?;
    let string = |entry: &H::Dyn| entry.string(endian, strings).map(text);
    let of = |tag: elf::DynamicTag| entries.iter().filter(move |it| it.tag(endian) == tag);
    found.needed = of(elf::DT_NEEDED).map(string).collect::<object::Result<_>>()?;
    // DT_RPATH counts only where there is no DT_RUNPATH (ld.so(8)).
    let search = of(elf::DT_RUNPATH).next().or(of(elf::DT_RPATH).next()).map(string).transpose()?;
    found.search =
        search.iter().flat_map(|it| it.split(':')).filter(|it| !it.is_empty()).map(str::to_owned).collect();
    Ok(())
}

/// The string table that `DT_STRTAB` points to. Sections may be stripped; segments are what the loader reads.
fn dynamic_strings<'a, H: FileHeader<Endian = object::Endianness>>(
    file: &ElfFile<'a, H>,
    entries: &[H::Dyn],
) -> object::Result<object::read::StringTable<'a>> {
    let endian = file.endian();
    let value =
        |tag: elf::DynamicTag| entries.iter().find(|it| it.tag(endian) == tag).map(|it| it.val(endian));
    let (Some(address), Some(size)) = (value(elf::DT_STRTAB), value(elf::DT_STRSZ)) else {
        return Ok(object::read::StringTable::default());
    };
    for segment in file.elf_program_headers() {
        if let Ok(Some(data)) = segment.data_range(endian, file.data(), address, size) {
            return Ok(object::read::StringTable::new(data, 0, size));
        }
    }
    Ok(object::read::StringTable::default())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// GOARCH's name of a machine.
fn architecture(machine: elf::Machine) -> Option<&'static str> {
    match machine {
        elf::EM_X86_64 => Some("amd64"),
        elf::EM_AARCH64 => Some("arm64"),
        elf::EM_386 => Some("386"),
        elf::EM_ARM => Some("arm"),
        elf::EM_RISCV => Some("riscv64"),
        elf::EM_PPC64 => Some("ppc64le"),
        elf::EM_S390 => Some("s390x"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_elf_file_is_told() {
        assert_eq!(Elf::parse(b"#!/bin/sh\n").unwrap_err(), "it is no executable of Linux");
        assert!(Elf::parse(b"\x7fELF").is_err());
        assert!(Elf::parse(b"").is_err());
    }
}
