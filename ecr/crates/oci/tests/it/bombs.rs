//! Layers that were made to cost time or memory.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ecr_oci::image::tree::{FileTree, InvalidLayer, LayerTree, Node};
use tar::EntryType;

fn header(kind: EntryType, name: &str, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// An archive of `n` empty files that is made while it is read, so that it is never in memory.
fn files(n: usize) -> impl Read {
    let name = |it: usize| format!("usr/share/folder-{:03}/file-{it:07}", it % 1000);
    let mut blocks = (0..n).map(move |it| header(EntryType::Regular, &name(it), 0));
    let mut rest: Vec<u8> = Vec::new();
    Reader(move |buffer: &mut [u8]| {
        if rest.is_empty() {
            rest = blocks.next().unwrap_or_default();
        }
        let n = rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&rest[..n]);
        rest.drain(..n);
        n
    })
}

struct Reader<F>(F);

impl<F: FnMut(&mut [u8]) -> usize> Read for Reader<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok((self.0)(buffer))
    }
}

/// Counts the bytes that are read of an archive.
fn counted(mut archive: impl Read) -> (impl Read, Rc<Cell<usize>>) {
    let count = Rc::new(Cell::new(0));
    let counter = count.clone();
    let reader = Reader(move |buffer: &mut [u8]| {
        let n = archive.read(buffer).unwrap();
        counter.set(counter.get() + n);
        n
    });
    (reader, count)
}

/// The archive of entries with content, one after another.
fn archive(entries: &[(EntryType, &str, &[u8])]) -> Vec<u8> {
    let entry = |(kind, name, content): &(EntryType, &str, &[u8])| {
        let mut bytes = header(*kind, name, content.len() as u64);
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    };
    entries.iter().flat_map(entry).collect()
}

#[test]
fn bomb_of_many_entries_costs_what_it_is() {
    let cost = |n: usize| {
        let began = Instant::now();
        let layer = LayerTree::read(files(n)).unwrap();
        let mut tree = FileTree::default();
        tree.apply(&layer).unwrap();
        assert!(tree.iter().count() > n);
        began.elapsed()
    };
    let small = cost(10_000).min(cost(10_000));
    let large = cost(80_000);
    // Linear is 8 times as much, quadratic 64 times.
    assert!(large < small * 24, "{small:?} for 10,000 entries, {large:?} for 80,000");
}

#[test]
fn bomb_of_a_long_name_is_not_read() {
    for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader] {
        let long = io::Cursor::new(header(kind, "././@LongLink", 1 << 30)).chain(io::repeat(b'a'));
        let (reader, read) = counted(long);
        let error = LayerTree::read(reader).unwrap_err();
        assert!(error.to_string().contains("more than 4 MiB"), "{error}");
        assert!(read.get() <= (4 << 20) + 1024, "{} bytes", read.get());
    }
    // A name of 1 MiB is read, and refused for its length.
    let name = vec![b'a'; 1 << 20];
    let entries =
        [(EntryType::GNULongName, "././@LongLink", name.as_slice()), (EntryType::Regular, "a", b"")];
    let error = LayerTree::read(archive(&entries).as_slice()).unwrap_err();
    assert!(matches!(error, InvalidLayer::TooLong(_)), "{error}");
}

#[test]
fn bomb_of_a_large_file_is_not_held() {
    let size = 256 << 20;
    for name in ["zeros", "lib/libzeros.so"] {
        let content = io::repeat(0).take(size);
        let next = io::Cursor::new(header(EntryType::Regular, "next", 0));
        let whole = io::Cursor::new(header(EntryType::Regular, name, size)).chain(content).chain(next);
        let (reader, read) = counted(whole);
        let mut tree = FileTree::default();
        tree.apply(&LayerTree::read(reader).unwrap()).unwrap();
        assert!(tree.node("next").is_some() && read.get() as u64 > size);
    }
}

#[test]
fn bomb_of_paths_or_texts_has_an_end() {
    let mut layer = LayerTree::default();
    let deep = "a/".repeat(1900);
    let began = Instant::now();
    let many = (0..10_000).find_map(|n| layer.add(&format!("{n}/{deep}"), Node::Folder(None)).err());
    assert!(matches!(many, Some(InvalidLayer::TooLarge)) && layer.size() < 600 << 20, "{many:?}");
    assert!(began.elapsed() < Duration::from_secs(120), "{:?}", began.elapsed());

    // A text of 16 MB that many names share.
    let text = vec![b'/'; 16 << 20];
    let whole = archive(&[(EntryType::Regular, "etc/ld-musl-x86_64.path", text.as_slice())]);
    let mut layer = LayerTree::read(whole.as_slice()).unwrap();
    let link = || Node::HardLink("etc/ld-musl-x86_64.path".to_owned());
    let many = (0..1000).find_map(|n| layer.add(&format!("{n}"), link()).err());
    assert!(matches!(many, Some(InvalidLayer::TooLarge)), "{many:?}");
}

#[test]
fn bomb_of_links_is_a_loop() {
    let mut layer = LayerTree::default();
    // Each link leads through the next one a thousand times.
    for n in 0..200 {
        let target = format!("../{}/", n + 1).repeat(500);
        layer.add(&format!("{n}"), Node::Link(target)).unwrap();
    }
    let began = Instant::now();
    let error = layer.add("0/file", Node::Special).unwrap_err();
    assert!(matches!(error, InvalidLayer::TooManyLinks(_)), "{error}");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}
