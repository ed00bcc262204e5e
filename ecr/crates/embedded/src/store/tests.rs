use super::*;
use crate::model::{Image, Layer, RegistryKey, RepositorySettings};
use ecr_types::{ImageTag, RepositoryName};

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let lock = lock::take(folder.path()).unwrap();
    let store = Store::open(folder.path(), lock).unwrap();
    (folder, store)
}

fn repository(store: &Store) -> (RegistryKey, RepositoryName, crate::model::Repository) {
    let (key, name) = ("111122223333/us-east-1".parse().unwrap(), "my-app".parse().unwrap());
    let made = store.write(|it| it.create_repository(&key, &name, RepositorySettings::new(0.0)));
    (key, name, made.unwrap())
}

/// An image of one layer, attached to another and naming a third, at a time whose digits JSON does not give back.
fn image(n: u32) -> (Digest, Image) {
    let of = |what: &str| Digest::of(format!("{what} {n}").as_bytes());
    let text = serde_json::json!({"media_type": "x", "pushed_at": 1_795_724_631.123_456_7 + f64::from(n) * 0.777_777_7,
        "size": 1, "manifest_size": 1, "artifact_media_type": null, "subject": of("subject"),
        "children": [of("child")], "layers": [of("layer"), of("layer")]});
    (of("image"), serde_json::from_value(text).unwrap())
}

fn add(transaction: &mut Transaction<'_>, id: crate::model::RepositoryId, n: u32) -> Result<Digest> {
    let (digest, image) = image(n);
    transaction.put_layer(id, &image.layers[0], &Layer::new(1))?;
    transaction.add_image(id, &digest, &image, b"text")?;
    transaction.put_tag(id, &format!("tag-{n}").parse::<ImageTag>()?, &digest)?;
    Ok(digest)
}

fn rows_of(store: &Store, id: crate::model::RepositoryId) -> Vec<Vec<u8>> {
    let rows = store.read().unwrap();
    let prefixes = key::parts(id).chain([key::layers(id)]);
    prefixes.flat_map(|it| rows.each(&it).map(|row| row.unwrap().0).collect::<Vec<_>>()).collect()
}

#[test]
fn deleted_images_leave_no_rows() {
    let (_folder, store) = store();
    let id = repository(&store).2.id;
    store
        .write(|transaction| {
            let digests: Vec<_> = (0..300).map(|n| add(transaction, id, n)).collect::<Result<_>>()?;
            for digest in digests {
                let image = transaction.image(id, &digest)?.context("it was added")?;
                transaction.delete_image(id, &digest, &image)?;
            }
            Ok::<_, anyhow::Error>(())
        })
        .unwrap();
    assert_eq!(rows_of(&store, id), [key::counts(id)]);
    assert_eq!(store.read().unwrap().counts(id).unwrap(), Default::default());
}

#[test]
fn deleted_repository_leaves_no_rows_and_no_blobs() {
    let (_folder, store) = store();
    let (key, name, first) = repository(&store);
    store.write(|it| (0..700).try_for_each(|n| add(it, first.id, n).map(drop))).unwrap();
    let layer = image(0).1.layers[0].clone();
    std::fs::write(store.blobs().path(&layer), "x").unwrap();
    store.write(|it| it.delete_repository(&key, &name, &first)).unwrap();
    // Another one of the same name begins empty, while the rows of the first one are removed.
    let second = repository(&store).2;
    assert!(rows_of(&store, second.id).is_empty());
    while store.purge().unwrap() {}
    assert!(rows_of(&store, first.id).is_empty() && !store.blobs().has(&layer));
}

#[test]
fn loose_blob_is_swept_by_the_time_of_its_last_upload() {
    let (_folder, store) = store();
    let id = repository(&store).2.id;
    let (old, fresh) = (Digest::of(b"old"), Digest::of(b"fresh"));
    let put = |digest: &Digest, uploaded_at| {
        store.write(|it| it.put_layer(id, digest, &Layer { size: 1, uploaded_at })).unwrap();
    };
    put(&old, 100);
    put(&fresh, 100);
    put(&fresh, 300);
    while store.write(|it| it.sweep(200)).unwrap() {}
    let rows = store.read().unwrap();
    assert!(rows.layer(id, &old).unwrap().is_none());
    assert!(rows.layer(id, &fresh).unwrap().is_some());
}

#[test]
fn file_of_an_upload_is_moved_by_the_next_start() {
    let (folder, store) = store();
    let id = repository(&store).2.id;
    let digest = Digest::of(b"x");
    let upload = "00000000-0000-0000-0000-000000000000";
    // As if the process had been killed between the transaction and the move.
    let made = store.database.write(|it| {
        it.put_layer(id, &digest, &Layer::new(1))?;
        it.adopt(&digest, upload)
    });
    made.unwrap();
    std::fs::write(store.upload_path(upload), "x").unwrap();
    drop(store);
    let store = Store::open(folder.path(), lock::take(folder.path()).unwrap()).unwrap();
    assert_eq!(std::fs::read(store.blobs().path(&digest)).unwrap(), b"x");
    assert!(store.read().unwrap().first(key::FILES).unwrap().is_none());
}
