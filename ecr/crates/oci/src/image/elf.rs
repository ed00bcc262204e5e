//! The run-time requirements of a binary, from its ELF headers (elf(5), ld.so(8)).

use std::io::{self, ErrorKind, Read, Seek};

use elf::ElfStream;
use elf::abi;
use elf::endian::AnyEndian;
use elf::segment::ProgramHeader;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The properties of an executable or shared library.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elf {
    /// The machine code of the architecture (`e_machine`), such as 62 for x86-64.
    pub machine: u16,
    /// The path of the dynamic loader (`PT_INTERP`); `None` for a static binary.
    pub interpreter: Option<String>,
    /// The file names of the required shared libraries (`DT_NEEDED`), in their order.
    pub needed: Vec<String>,
    /// The folders in which libraries are searched first (`DT_RUNPATH`, else `DT_RPATH`).
    pub search: Vec<String>,
    /// Whether these folders come from `DT_RUNPATH`. Those of `DT_RPATH` are searched for the needs of libraries, too.
    pub is_runpath: bool,
    /// Whether the binary contains the list of its crates that `cargo auditable` embeds (section `.dep-v0`).
    pub is_auditable: bool,
}

/// Why the headers of a binary cannot be used.
#[derive(Debug, Error)]
pub enum InvalidElf {
    /// The file does not begin with the magic bytes of ELF.
    #[error("not a Linux executable (no ELF header)")]
    NotElf,
    /// The headers contradict each other, or the file is too short for them.
    #[error("malformed ELF headers: {0}")]
    Headers(#[from] elf::ParseError),
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

type File<R> = ElfStream<AnyEndian, R>;

impl Elf {
    /// Reads the headers of an ELF file of any word size and byte order, and the segment with the names of libraries. The rest
    /// of the file is not read.
    ///
    /// # Errors
    /// The file is not an ELF file, its headers are malformed, or it cannot be read.
    pub fn read<R: Read + Seek>(mut file: R) -> Result<Self, InvalidElf> {
        let mut magic = [0; 4];
        match file.rewind().and_then(|()| file.read_exact(&mut magic)) {
            Ok(()) if magic == abi::ELFMAGIC[..4] => {}
            Err(error) if error.kind() != ErrorKind::UnexpectedEof => return Err(error.into()),
            _ => return Err(InvalidElf::NotElf),
        }
        let mut file = File::open_stream(file)?;
        let mut found = Self { machine: file.ehdr.e_machine, ..Self::default() };
        let interpreter = file.segments().iter().rfind(|it| it.p_type == abi::PT_INTERP).copied();
        if let Some(segment) = interpreter {
            found.interpreter = file.segment_data(&segment).ok().map(|it| text(it, 0));
        }
        found.read_dynamic(&mut file)?;
        found.is_auditable = file.section_header_by_name(".dep-v0").is_ok_and(|it| it.is_some());
        Ok(found)
    }

    /// The architecture in the spelling of GOARCH, such as `amd64`; `None` for one that is not supported here.
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

    /// Whether the kernel can start the binary without any other file.
    pub fn is_static(&self) -> bool {
        self.interpreter.is_none() && self.needed.is_empty()
    }

    fn read_dynamic<R: Read + Seek>(&mut self, file: &mut File<R>) -> Result<(), elf::ParseError> {
        let entries: Vec<(i64, u64)> =
            file.dynamic()?.iter().flat_map(|it| it.iter()).map(|it| (it.d_tag, it.d_val())).collect();
        let all = |tag: i64| entries.iter().filter(move |it| it.0 == tag).map(|it| it.1);
        let strings = all(abi::DT_STRTAB).next().map(|at| from_address(file, at)).unwrap_or_default();
        self.needed = all(abi::DT_NEEDED).take(MAX_NEEDED).map(|at| text(strings, at)).collect();
        // DT_RPATH counts only where there is no DT_RUNPATH (ld.so(8)).
        let runpath = all(abi::DT_RUNPATH).next();
        self.is_runpath = runpath.is_some();
        let search = runpath.or_else(|| all(abi::DT_RPATH).next()).map(|at| text(strings, at));
        let folders = search.iter().flat_map(|it| it.split(':')).filter(|it| !it.is_empty());
        self.search = folders.map(str::to_owned).collect();
        Ok(())
    }
}

/// The bytes from a virtual address to the end of its segment. Segments are used because sections may be stripped.
fn from_address<R: Read + Seek>(file: &mut File<R>, address: u64) -> &[u8] {
    let contains = |it: &&ProgramHeader| {
        it.p_type == abi::PT_LOAD && address.checked_sub(it.p_vaddr).is_some_and(|at| at < it.p_filesz)
    };
    let Some(segment) = file.segments().iter().find(contains).copied() else { return &[] };
    let offset = usize::try_from(address - segment.p_vaddr).unwrap_or(usize::MAX);
    file.segment_data(&segment).ok().and_then(|it| it.get(offset..)).unwrap_or_default()
}

/// The number of libraries that are read. Many entries may lead to the same long string.
const MAX_NEEDED: usize = 4096;
/// The number of bytes of the longest path of Linux (limits.h, PATH_MAX).
const MAX_PATH: usize = 4096;

/// The zero-terminated string at an offset, as far as it can be a path.
fn text(strings: &[u8], at: u64) -> String {
    let rest = usize::try_from(at).ok().and_then(|at| strings.get(at..)).unwrap_or_default();
    let rest = &rest[..rest.len().min(MAX_PATH)];
    String::from_utf8_lossy(rest.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn elf_read_rejects_other_files() {
        let error = |bytes: &[u8]| Elf::read(Cursor::new(bytes)).unwrap_err().to_string();
        assert_eq!(error(b"#!/bin/sh\n"), "not a Linux executable (no ELF header)");
        assert_eq!(error(b""), "not a Linux executable (no ELF header)");
        assert!(error(b"\x7fELF").starts_with("malformed ELF headers"));
        assert!(error(&[b"\x7fELF".as_slice(), &[0xff; 100]].concat()).starts_with("malformed ELF headers"));
    }
}
