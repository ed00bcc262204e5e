//! Images in files: OCI image layouts, and archives for `docker load` and `podman load`.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use ecr_types::{ImageIndex, Platform};

use crate::files;
use crate::image::bundle::{Bundle, Content, LAYOUT, blob_path, layout_index};

/// Adds an image to the OCI image layout in `folder`, which is created if it does not exist (OCI image specification,
/// "Image Layout"). Other images of the layout stay. `index.json` is written last, so that it references existing blobs only.
///
/// # Errors
/// The folder is neither empty nor an OCI layout, `index.json` is not valid, a blob cannot be read, or a file cannot be
/// written.
pub fn write(folder: &Path, bundle: &Bundle) -> Result<()> {
    let context = || format!("failed to write the OCI layout `{}`", folder.display());
    let index = folder.join("index.json");
    let existing: Option<ImageIndex> = match fs::read(&index) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .with_context(|| format!("`{}` is not an OCI image index", index.display()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let is_empty = fs::read_dir(folder).map_or(true, |mut it| it.next().is_none());
            if !is_empty {
                bail!("`{}` is neither empty nor an OCI layout", folder.display());
            }
            None
        }
        Err(error) => return Err(error).with_context(context),
    };
    let write_all = || -> io::Result<()> {
        for blob in &bundle.blobs {
            let path = folder.join(blob_path(&blob.digest));
            if !path.exists() {
                match &blob.content {
                    Content::Bytes(bytes) => files::write(&path, bytes)?,
                    Content::File(from) => files::copy(from, &path)?,
                }
            }
        }
        for (path, bytes) in bundle.manifests() {
            files::write(&folder.join(path), bytes)?;
        }
        files::write(&folder.join("oci-layout"), LAYOUT.as_bytes())?;
        let merged = layout_index(existing, bundle.layout_entries());
        files::write(&index, &serde_json::to_vec_pretty(&merged)?)
    };
    write_all().with_context(context)
}

/// Writes a tar archive that is both an OCI image layout and an archive of `docker save`. The latter has one image only:
/// that of `platform`, or the first one.
///
/// # Errors
/// A blob cannot be read, or the output cannot be written.
pub fn archive(output: impl Write, bundle: &Bundle, platform: &Platform) -> io::Result<()> {
    let mut archive = tar::Builder::new(output);
    let index = layout_index(None, bundle.layout_entries());
    let docker: Vec<_> = bundle.docker_entry(platform).into_iter().collect();
    append(&mut archive, "oci-layout", LAYOUT.as_bytes())?;
    append(&mut archive, "index.json", &serde_json::to_vec(&index)?)?;
    append(&mut archive, "manifest.json", &serde_json::to_vec(&docker)?)?;
    for (path, bytes) in bundle.manifests() {
        append(&mut archive, &path, bytes)?;
    }
    for blob in &bundle.blobs {
        let path = blob_path(&blob.digest);
        match &blob.content {
            Content::Bytes(bytes) => append(&mut archive, &path, bytes)?,
            Content::File(from) => append_from(&mut archive, &path, blob.size, File::open(from)?)?,
        }
    }
    archive.into_inner()?.flush()
}

fn append(archive: &mut tar::Builder<impl Write>, path: &str, bytes: &[u8]) -> io::Result<()> {
    append_from(archive, path, bytes.len() as u64, bytes)
}

fn append_from(
    archive: &mut tar::Builder<impl Write>,
    path: &str,
    size: u64,
    bytes: impl Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(size);
    header.set_mtime(0);
    archive.append_data(&mut header, path, bytes.take(size))
}
