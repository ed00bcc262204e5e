//! What a binary needs at run time, read from its ELF headers.

use std::io::{ErrorKind, Read, Seek};

use elf::ElfStream;
use elf::abi;
use elf::endian::AnyEndian;
use elf::segment::ProgramHeader;
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

type File<R> = ElfStream<AnyEndian, R>;

impl Elf {
    /// Reads the headers of an ELF file, of either word size and byte order, and of the rest only the segment that holds names.
    ///
    /// # Errors
    /// Why it is no ELF file, or cannot be read.
    pub fn read<R: Read + Seek>(mut file: R) -> Result<Self, String> {
        let mut magic = [0; 4];
        match file.rewind().and_then(|()| file.read_exact(&mut magic)) {
            Ok(()) if magic == abi::ELFMAGIC[..4] => {}
            Err(error) if error.kind() != ErrorKind::UnexpectedEof => return Err(error.to_string()),
            _ => return Err("it is no executable of Linux".to_owned()),
        }
        let broken = |it: elf::ParseError| format!("its ELF headers are broken: {it}");
        let mut file = File::open_stream(file).map_err(broken)?;
        let mut found = Self { machine: file.ehdr.e_machine, ..Self::default() };
        let interpreter = file.segments().iter().rfind(|it| it.p_type == abi::PT_INTERP).copied();
        if let Some(segment) = interpreter {
            found.interpreter = file.segment_data(&segment).ok().map(|it| text(it, 0));
        }
        found.read_dynamic(&mut file).map_err(broken)?;
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

    fn read_dynamic<R: Read + Seek>(&mut self, file: &mut File<R>) -> Result<(), elf::ParseError> {
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
fn from_address<R: Read + Seek>(file: &mut File<R>, address: u64) -> &[u8] {
    let holds = |it: &&ProgramHeader| {
        it.p_type == abi::PT_LOAD && address.checked_sub(it.p_vaddr).is_some_and(|at| at < it.p_filesz)
    };
    let Some(segment) = file.segments().iter().find(holds).copied() else { return &[] };
    let offset = usize::try_from(address - segment.p_vaddr).unwrap_or(usize::MAX);
    file.segment_data(&segment).ok().and_then(|it| it.get(offset..)).unwrap_or_default()
}

/// The string at an offset, which ends with a zero.
fn text(strings: &[u8], at: u64) -> String {
    let rest = usize::try_from(at).ok().and_then(|at| strings.get(at..)).unwrap_or_default();
    String::from_utf8_lossy(rest.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn what_is_no_elf_file_is_told() {
        let told = |bytes: &[u8]| Elf::read(Cursor::new(bytes)).unwrap_err();
        assert_eq!(told(b"#!/bin/sh\n"), "it is no executable of Linux");
        assert_eq!(told(b""), "it is no executable of Linux");
        assert!(told(b"\x7fELF").starts_with("its ELF headers are broken"));
        assert!(
            told(&[b"\x7fELF".as_slice(), &[0xff; 100]].concat()).starts_with("its ELF headers are broken")
        );
    }
}
