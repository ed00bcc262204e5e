//! What a binary needs at run time, read from its ELF headers.

use elf::ElfBytes;
use elf::abi;
use elf::endian::AnyEndian;
use serde::{Deserialize, Serialize};

/// What the headers of an executable or library say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elf {
    /// The machine that it runs on (`e_machine`).
    pub machine: u16,
    /// The dynamic loader (`PT_INTERP`); `None` in a static binary.
    pub interpreter: Option<String>,
    /// The libraries that are named (`DT_NEEDED`).
    pub needed: Vec<String>,
    /// Folders to look into (`DT_RUNPATH`, else `DT_RPATH`).
    pub search: Vec<String>,
    /// Whether it carries the list of its crates, as `cargo auditable` puts it there (section `.dep-v0`).
    pub is_auditable: bool,
}

type File<'a> = ElfBytes<'a, AnyEndian>;

impl Elf {
    /// Reads the headers of an ELF file, of either word size and byte order.
    ///
    /// # Errors
    /// Why the bytes are no ELF file.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if !bytes.starts_with(b"\x7fELF") {
            return Err("it is no executable of Linux".to_owned());
        }
        let broken = |it: elf::ParseError| format!("its ELF headers are broken: {it}");
        let file = File::minimal_parse(bytes).map_err(broken)?;
        let mut found = Self { machine: file.ehdr.e_machine, ..Self::default() };
        for segment in file.segments().iter().flat_map(|it| it.iter()) {
            if segment.p_type == abi::PT_INTERP {
                found.interpreter = file.segment_data(&segment).ok().map(|it| text(it, 0));
            }
        }
        found.read_dynamic(&file).map_err(broken)?;
        found.is_auditable = file.section_header_by_name(".dep-v0").is_ok_and(|it| it.is_some());
        Ok(found)
    }

    /// The architecture in GOARCH spelling; `None` for one that has no such name here.
    pub fn architecture(&self) -> Option<&'static str> {
        match self.machine {
            abi::EM_X86_64 => Some("amd64"),
            abi::EM_AARCH64 => Some("arm64"),
            abi::EM_386 => Some("386"),
            abi::EM_ARM => Some("arm"),
            abi::EM_RISCV => Some("riscv64"),
            abi::EM_PPC64 => Some("ppc64le"),
            abi::EM_S390 => Some("s390x"),
            _ => None,
        }
    }

    /// Whether the kernel can start it without any other file.
    pub fn is_static(&self) -> bool {
        self.interpreter.is_none() && self.needed.is_empty()
    }

    fn read_dynamic(&mut self, file: &File<'_>) -> Result<(), elf::ParseError> {
        let entries: Vec<(i64, u64)> =
            file.dynamic()?.iter().flat_map(|it| it.iter()).map(|it| (it.d_tag, it.d_val())).collect();
        let all = |tag: i64| entries.iter().filter(move |it| it.0 == tag).map(|it| it.1);
        let strings = all(abi::DT_STRTAB).next().map(|at| from_address(file, at)).unwrap_or_default();
        self.needed = all(abi::DT_NEEDED).map(|at| text(strings, at)).collect();
        // DT_RPATH counts only where there is no DT_RUNPATH (ld.so(8)).
        let search =
            all(abi::DT_RUNPATH).next().or_else(|| all(abi::DT_RPATH).next()).map(|at| text(strings, at));
        let folders = search.iter().flat_map(|it| it.split(':')).filter(|it| !it.is_empty());
        self.search = folders.map(str::to_owned).collect();
        Ok(())
    }
}

/// The bytes from a virtual address on. Sections may be stripped; segments are what the loader reads.
fn from_address<'a>(file: &File<'a>, address: u64) -> &'a [u8] {
    let segments = file.segments();
    let loaded = segments.iter().flat_map(|it| it.iter()).filter(|it| it.p_type == abi::PT_LOAD);
    let mut holding = loaded.filter_map(|it| {
        let offset = usize::try_from(address.checked_sub(it.p_vaddr)?).ok()?;
        file.segment_data(&it).ok()?.get(offset..)
    });
    holding.next().unwrap_or_default()
}

/// The string at an offset, which ends with a zero.
fn text(strings: &[u8], at: u64) -> String {
    let rest = usize::try_from(at).ok().and_then(|at| strings.get(at..)).unwrap_or_default();
    String::from_utf8_lossy(rest.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_elf_file_is_told() {
        assert_eq!(Elf::parse(b"#!/bin/sh\n").unwrap_err(), "it is no executable of Linux");
        assert_eq!(Elf::parse(b"").unwrap_err(), "it is no executable of Linux");
        assert!(Elf::parse(b"\x7fELF").unwrap_err().starts_with("its ELF headers are broken"));
        assert!(Elf::parse(&[b"\x7fELF".as_slice(), &[0xff; 100]].concat()).is_err());
    }
}
