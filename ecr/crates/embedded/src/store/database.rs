//! Rows of bytes in a file: sorted by their keys, in transactions, and read from snapshots that no transaction holds up.
//!
//! The file is a redb database (<https://www.redb.org>). It is not synced to the disk, so that a transaction takes no longer
//! than its writes: what was committed outlives the process, also after `kill -9`, but not a loss of power. Each value carries
//! a checksum of its row, so that a bit that flips on the disk is an error when the row is read.

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use anyhow::{Context, Result};
use redb::backends::FileBackend;
use redb::{Durability, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition};
use sha2::{Digest as _, Sha256};

use super::unsynced::Unsynced;

/// All rows. One table costs a transaction less than one for each kind of row; [`super::key`] separates the kinds.
const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
/// The maximum size of the pages that are held in memory, in bytes.
const CACHE: usize = 16 * 1024 * 1024;
/// The number of bytes of a row's checksum: 64 bits of SHA-256.
const CHECKSUM: usize = 8;
/// The number of rows that an iterator reads at once.
const CHUNK: usize = 256;

/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Rows that can be read: those of a snapshot, or of a transaction with its own changes.
pub trait Rows {
    /// The value of a key.
    ///
    /// # Errors
    /// The file cannot be read, or the row is damaged.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// The first rows of a range, at most `limit`.
    ///
    /// # Errors
    /// The file cannot be read, or a row is damaged.
    fn page(&self, from: Bound<&[u8]>, to: Bound<&[u8]>, limit: usize) -> Result<Vec<Row>>;

    /// The rows whose key begins with `prefix`, read in chunks. After an error there are no more.
    fn each<'a>(&'a self, prefix: &[u8]) -> Each<'a, Self> {
        let from = Bound::Included(prefix.to_vec());
        Each { rows: self, from, to: after_prefix(prefix), chunk: Vec::new().into_iter(), is_done: false }
    }

    /// The first row whose key begins with `prefix`.
    ///
    /// # Errors
    /// The file cannot be read, or the row is damaged.
    fn first(&self, prefix: &[u8]) -> Result<Option<Row>> {
        let to = after_prefix(prefix);
        Ok(self.page(Bound::Included(prefix), as_slice(&to), 1)?.pop())
    }
}

/// The bound behind all keys that begin with `prefix`.
pub fn after_prefix(prefix: &[u8]) -> Bound<Vec<u8>> {
    let mut next = prefix.to_vec();
    while let Some(last) = next.pop() {
        if last < u8::MAX {
            next.push(last + 1);
            return Bound::Excluded(next);
        }
    }
    Bound::Unbounded
}

pub fn as_slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}

/// See [`Rows::each`].
pub struct Each<'a, R: ?Sized> {
    rows: &'a R,
    from: Bound<Vec<u8>>,
    to: Bound<Vec<u8>>,
    chunk: std::vec::IntoIter<Row>,
    is_done: bool,
}

impl<R: Rows + ?Sized> Iterator for Each<'_, R> {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(row) = self.chunk.next() {
            return Some(Ok(row));
        }
        if self.is_done {
            return None;
        }
        match self.rows.page(as_slice(&self.from), as_slice(&self.to), CHUNK) {
            Ok(chunk) => {
                self.is_done = chunk.len() < CHUNK;
                if let Some((key, _)) = chunk.last() {
                    self.from = Bound::Excluded(key.clone());
                }
                self.chunk = chunk.into_iter();
                self.chunk.next().map(Ok)
            }
            Err(error) => {
                self.is_done = true;
                Some(Err(error))
            }
        }
    }
}

/// A database in a file.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    /// `None` while the file is opened again, and if that failed.
    open: RwLock<Option<redb::Database>>,
    /// Whether a write failed, such as for want of space. Then redb reads no more until the file is opened again.
    has_failed: AtomicBool,
}

impl Database {
    /// Opens the file, or creates it with no rows.
    ///
    /// # Errors
    /// The file cannot be opened, or it is damaged.
    pub fn open(path: &Path) -> Result<Self> {
        let open = opened(path).with_context(|| format!("failed to open `{}`", path.display()))?;
        Ok(Self { path: path.to_owned(), open: RwLock::new(Some(open)), has_failed: AtomicBool::new(false) })
    }

    /// The rows as they are now. Later transactions do not change them.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&self) -> Result<Snapshot> {
        self.with(|database| Ok(Snapshot { transaction: database.begin_read().map_err(told)? }))
    }

    /// Calls `change` with a transaction, and commits it if the result is one and if it has changed something. Another
    /// transaction is waited for.
    ///
    /// # Errors
    /// Those of `change`, and that the file cannot be written. Then nothing was changed.
    pub fn write<T, E: From<anyhow::Error>>(
        &self,
        change: impl FnOnce(&mut Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut begun = self.with(|database| database.begin_write().map_err(told))?;
        begun.set_durability(Durability::Immediate).map_err(told)?;
        // Without this, a file whose process was killed is read from end to end when it is opened.
        begun.set_quick_repair(true);
        let (result, is_changed) = {
            let table = begun.open_table(ROWS).map_err(told)?;
            let mut transaction = Transaction { table, is_changed: false, files: Vec::new() };
            (change(&mut transaction), transaction.is_changed)
        };
        match result {
            Ok(value) if is_changed => {
                begun.commit().map_err(|it| self.failed(told(it)))?;
                Ok(value)
            }
            Ok(value) => {
                begun.abort().map_err(|it| self.failed(told(it)))?;
                Ok(value)
            }
            // The first error tells more than one of the end.
            Err(error) => {
                let _ = begun.abort().map_err(|it| self.failed(told(it)));
                Err(error)
            }
        }
    }

    /// Verifies the pages of the file. It is `false` if they were damaged and an older state of them was restored.
    ///
    /// # Errors
    /// The file cannot be read, or it is damaged beyond repair.
    pub fn verify(&self) -> Result<bool> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let database = open.as_mut().context("the database is closed")?;
        database.check_integrity().map_err(told)
    }

    /// Calls `begin` with the open file. After a failed write, such as for want of space, the file is opened again first.
    fn with<T>(&self, begin: impl Fn(&redb::Database) -> Result<T>) -> Result<T> {
        let failed = || format!("failed to read `{}`", self.path.display());
        if !self.has_failed.load(Ordering::Relaxed) {
            let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
            match open.as_ref().map(&begin) {
                Some(Err(error)) if is_previous(&error) => {}
                Some(begun) => return begun.with_context(failed),
                None => {}
            }
        }
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        *open = None;
        let database = opened(&self.path).with_context(failed)?;
        let begun = begin(&database).with_context(failed);
        *open = Some(database);
        self.has_failed.store(false, Ordering::Relaxed);
        begun
    }

    fn failed(&self, error: anyhow::Error) -> anyhow::Error {
        self.has_failed.store(true, Ordering::Relaxed);
        error.context(format!("failed to write `{}`", self.path.display()))
    }
}

/// An error of the database. One of the operating system, such as that there is no space, is kept as such.
fn told(error: impl Into<redb::Error>) -> anyhow::Error {
    match error.into() {
        redb::Error::Io(error) => error.into(),
        error => error.into(),
    }
}

/// Whether an error only says that there was one before.
fn is_previous(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(redb::Error::PreviousIo | redb::Error::DatabaseClosed))
}

fn opened(path: &Path) -> Result<redb::Database> {
    if !path.exists() {
        // A process that is killed while it creates the file leaves none that cannot be read.
        let new = path.with_extension("new");
        let _ = std::fs::remove_file(&new);
        let database = with_rows(&new)?;
        database.close().map_err(told)?;
        std::fs::rename(&new, path)?;
    }
    with_rows(path)
}

/// Opens or creates a file with the table.
fn with_rows(path: &Path) -> Result<redb::Database> {
    let file = std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let file = Unsynced(FileBackend::new(file).map_err(told)?);
    let database = redb::Builder::new().set_cache_size(CACHE).create_with_backend(file).map_err(told)?;
    if database.begin_read().map_err(told)?.open_table(ROWS).is_err() {
        let begun = database.begin_write().map_err(told)?;
        begun.open_table(ROWS).map_err(told)?;
        begun.commit().map_err(told)?;
    }
    Ok(database)
}

/// The rows at one moment.
pub struct Snapshot {
    transaction: ReadTransaction,
}

impl Rows for Snapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        get(&self.transaction.open_table(ROWS).map_err(told)?, key)
    }

    fn page(&self, from: Bound<&[u8]>, to: Bound<&[u8]>, limit: usize) -> Result<Vec<Row>> {
        page(&self.transaction.open_table(ROWS).map_err(told)?, from, to, limit)
    }
}

/// A transaction. Its own changes are visible in it.
pub struct Transaction<'a> {
    table: Table<'a, &'static [u8], &'static [u8]>,
    is_changed: bool,
    /// The rows about files of blobs that were put.
    files: Vec<Row>,
}

impl Transaction<'_> {
    /// Whether a row was put or removed.
    pub fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// The rows about files of blobs that were put: what is to be done after the transaction.
    pub fn take_files(&mut self) -> Vec<Row> {
        std::mem::take(&mut self.files)
    }

    /// Adds a row, or replaces its value.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.is_changed = true;
        if key.starts_with(super::key::FILES) {
            self.files.retain(|(it, _)| it != key);
            self.files.push((key.to_vec(), value.to_vec()));
        }
        let sealed = [&checksum(key, value)[..], value].concat();
        self.table.insert(key, sealed.as_slice()).map_err(told)?;
        Ok(())
    }

    /// Removes a row with the next change. It is none by itself.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn forget(&mut self, key: &[u8]) -> Result<()> {
        self.table.remove(key).map_err(told)?;
        Ok(())
    }

    /// Removes a row, if there is one with this key.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn remove(&mut self, key: &[u8]) -> Result<()> {
        if self.table.remove(key).map_err(told)?.is_some() {
            self.is_changed = true;
        }
        Ok(())
    }
}

impl Rows for Transaction<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        get(&self.table, key)
    }

    fn page(&self, from: Bound<&[u8]>, to: Bound<&[u8]>, limit: usize) -> Result<Vec<Row>> {
        page(&self.table, from, to, limit)
    }
}

fn get(table: &impl ReadableTable<&'static [u8], &'static [u8]>, key: &[u8]) -> Result<Option<Vec<u8>>> {
    match table.get(key).map_err(told)? {
        Some(value) => unsealed(key, value.value()).map(Some),
        None => Ok(None),
    }
}

fn page(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    from: Bound<&[u8]>,
    to: Bound<&[u8]>,
    limit: usize,
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for row in table.range::<&[u8]>((from, to)).map_err(told)?.take(limit) {
        let (key, value) = row.map_err(told)?;
        rows.push((key.value().to_vec(), unsealed(key.value(), value.value())?));
    }
    Ok(rows)
}

fn checksum(key: &[u8], value: &[u8]) -> [u8; CHECKSUM] {
    // The length separates the key from the value.
    let length = (key.len() as u64).to_be_bytes();
    let hash = Sha256::new().chain_update(length).chain_update(key).chain_update(value).finalize();
    let mut checksum = [0; CHECKSUM];
    checksum.copy_from_slice(&hash[..CHECKSUM]);
    checksum
}

fn unsealed(key: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
    match sealed.split_at_checked(CHECKSUM) {
        Some((found, value)) if found == checksum(key, value) => Ok(value.to_vec()),
        _ => Err(Damaged.into()),
    }
}

/// A record was changed from outside. No other attempt reads it.
#[derive(Debug, thiserror::Error)]
#[error("a record of the embedded ECR's state is damaged: it has another checksum (see `ecr serve --check`)")]
pub struct Damaged;
