//! An embedded ECR for one test: on a free port, with a log of its calls.

use std::collections::BTreeMap;

use aws_sdk_ecr::config::{BehaviorVersion, Credentials, Region};
use ecr_embedded::{Builder, Server};
use ecr_types::Digest;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// A running server, and a client of the real SDK for it.
pub struct Registry {
    runtime: Runtime,
    server: Server,
    client: aws_sdk_ecr::Client,
    state: std::path::PathBuf,
    _data: Option<tempfile::TempDir>,
}

impl Registry {
    /// A registry without faults.
    pub fn start() -> Self {
        Self::with_faults(&[])
    }

    /// A registry with faults, as `ecr serve --fault` takes them.
    pub fn with_faults(faults: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        Self::open(&data.path().join("state"), "123456789012", faults, Some(data))
    }

    /// Ends the server, and returns the folder of its state.
    pub fn stop(mut self) -> tempfile::TempDir {
        let data = self._data.take().unwrap();
        drop(self);
        data
    }

    /// A registry with faults, on a copy of the state that [`Registry::stop`] left.
    pub fn on_copy(of: &tempfile::TempDir, faults: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let state = data.path().join("state");
        for file in super::files_below(&of.path().join("state")) {
            let copy = state.join(file.strip_prefix(of.path().join("state")).unwrap());
            std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
            std::fs::copy(file, copy).unwrap();
        }
        Self::open(&state, "123456789012", faults, Some(data))
    }

    /// A registry on the state that `--local` commands leave.
    pub fn on(state: &std::path::Path) -> Self {
        Self::open(state, "000000000000", &[], None)
    }

    fn open(
        state: &std::path::Path,
        account: &str,
        faults: &[&str],
        data: Option<tempfile::TempDir>,
    ) -> Self {
        let runtime = Runtime::new().unwrap();
        let builder = Server::builder().data(state).account(account.parse().unwrap()).keep_operations();
        let builder = faults.iter().map(|it| it.parse().unwrap()).fold(builder, Builder::fault);
        let server = runtime.block_on(builder.start()).unwrap();
        let client = client(&server.url());
        Self { runtime, server, client, state: state.to_owned(), _data: data }
    }

    /// The URL of the server.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The host and port of the server.
    pub fn host(&self) -> String {
        self.url().replace("http://", "")
    }

    /// The number of calls of each operation since this method was last called.
    pub fn calls(&self) -> BTreeMap<String, usize> {
        let mut calls = BTreeMap::new();
        for operation in self.server.take_operations() {
            *calls.entry(operation).or_default() += 1;
        }
        calls
    }

    /// Whether an operation was called since `calls` or this method was last called.
    pub fn has_calls(&self, operation: &str) -> bool {
        self.calls().contains_key(operation)
    }

    /// The number of repositories.
    pub fn repositories(&self) -> usize {
        self.sdk(async |ecr| ecr.describe_repositories().send().await).repositories().len()
    }

    /// The number of images in a repository.
    pub fn images(&self, name: &str) -> usize {
        self.sdk(async |ecr| ecr.list_images().repository_name(name).send().await).image_ids().len()
    }

    /// The calls that write something, in order, since this method or `calls` was last called.
    pub fn writes(&self) -> Vec<String> {
        let reads = ["Get", "Describe", "List", "Batch"];
        self.server
            .take_operations()
            .into_iter()
            .filter(|it| !reads.iter().any(|read| it.starts_with(read)))
            .collect()
    }

    /// Makes a request with the SDK.
    pub fn sdk<T, E: std::fmt::Debug>(
        &self,
        request: impl AsyncFnOnce(&aws_sdk_ecr::Client) -> Result<T, E>,
    ) -> T {
        self.try_sdk(request).unwrap()
    }

    /// The same, for requests that may fail.
    pub fn try_sdk<T, E>(
        &self,
        request: impl AsyncFnOnce(&aws_sdk_ecr::Client) -> Result<T, E>,
    ) -> Result<T, E> {
        self.runtime.block_on(request(&self.client))
    }

    /// Creates a repository with the defaults of ECR: mutable, without scans and tags.
    pub fn create_plain(&self, name: &str) {
        self.sdk(async |ecr| ecr.create_repository().repository_name(name).send().await);
        self.calls();
    }

    /// Adds resource tags.
    pub fn tag(&self, name: &str, tags: &[(&str, &str)]) {
        let arn = format!("arn:aws:ecr:us-east-1:123456789012:repository/{name}");
        let tags = tags
            .iter()
            .map(|(key, value)| aws_sdk_ecr::types::Tag::builder().key(*key).value(*value).build().unwrap())
            .collect();
        self.sdk(async |ecr| ecr.tag_resource().resource_arn(arn).set_tags(Some(tags)).send().await);
        self.calls();
    }

    /// Pushes an image whose only blob is the name of its tag. Returns its digest.
    pub fn image(&self, name: &str, tag: &str) -> String {
        let blob = Digest::of(tag.as_bytes());
        self.upload(name, tag.as_bytes());
        let descriptor =
            |kind: &str| serde_json::json!({"mediaType": kind, "digest": blob, "size": tag.len()});
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json"),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar")],
        });
        self.put(name, &manifest, Some(tag))
    }

    /// Pushes an image of several layers, each a letter and the number of its repetitions. `more` are further fields of the
    /// manifest. Returns the digest.
    pub fn layered(&self, name: &str, layers: &[(char, usize)], more: Value, tag: Option<&str>) -> String {
        let descriptor = |kind: &str, bytes: &[u8]| {
            let digest = self.upload(name, bytes);
            json!({"mediaType": kind, "digest": digest, "size": bytes.len()})
        };
        let config = json!({"letters": layers, "more": more}).to_string();
        let layer = |(letter, size): &(char, usize)| {
            descriptor("application/vnd.oci.image.layer.v1.tar", letter.to_string().repeat(*size).as_bytes())
        };
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", config.as_bytes()),
            "layers": layers.iter().map(layer).collect::<Vec<_>>(),
        });
        let more = more.as_object().cloned().unwrap_or_default();
        manifest.as_object_mut().unwrap().extend(more);
        self.put(name, &manifest, tag)
    }

    /// Pushes an index of images, each with its architecture. Returns its digest.
    pub fn index(&self, name: &str, images: &[(&str, &str)], tag: &str) -> String {
        let descriptor = |(architecture, digest): &(&str, &str)| {
            json!({
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": digest,
                "size": 1,
                "platform": {"os": "linux", "architecture": architecture},
            })
        };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": images.iter().map(descriptor).collect::<Vec<_>>(),
        });
        self.put(name, &manifest, Some(tag))
    }

    /// Pushes a manifest, under a tag or without. Returns its digest.
    pub fn put(&self, name: &str, manifest: &Value, tag: Option<&str>) -> String {
        let manifest = manifest.to_string();
        let put = async |ecr: &aws_sdk_ecr::Client| {
            let request = ecr.put_image().repository_name(name).image_manifest(&manifest);
            request.set_image_tag(tag.map(str::to_owned)).send().await
        };
        self.sdk(put);
        self.calls();
        Digest::of(manifest.as_bytes()).to_string()
    }

    /// Sets the scan of an image, in the form of `DescribeImageScanFindings`.
    pub fn scan(&self, digest: &str, scan: &Value) {
        self.scan_file(digest, scan.to_string());
    }

    /// Writes the file of the findings in an image.
    pub fn scan_file(&self, digest: &str, content: impl AsRef<[u8]>) {
        let folder = self.state.join("scans");
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{}.json", digest.replace("sha256:", "")));
        std::fs::write(file, content).unwrap();
    }

    /// Sets what ECR says of the signatures of an image, in the form of `DescribeImageSigningStatus`.
    pub fn signatures(&self, digest: &str, statuses: &Value) {
        let folder = self.state.join("signing");
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{}.json", digest.replace("sha256:", "")));
        std::fs::write(file, json!({ "signingStatuses": statuses }).to_string()).unwrap();
    }

    /// Uploads a blob in one request.
    pub fn upload(&self, name: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let (basic, length) = (self.basic(), bytes.len());
        let head = format!(
            "POST /v2/{name}/blobs/uploads/?digest={digest} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\
             authorization: {basic}\r\ncontent-length: {length}\r\n\r\n"
        );
        let answer = self.raw_bytes(&[head.as_bytes(), bytes].concat());
        assert!(answer.starts_with(b"HTTP/1.1 201"), "{}", String::from_utf8_lossy(&answer));
        digest
    }

    /// The names of all repositories.
    pub fn names(&self) -> Vec<String> {
        let answer = self.sdk(async |ecr| ecr.describe_repositories().send().await);
        self.calls();
        answer.repositories().iter().filter_map(|it| it.repository_name().map(str::to_owned)).collect()
    }
}

fn client(url: &str) -> aws_sdk_ecr::Client {
    let config = aws_sdk_ecr::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(url)
        .credentials_provider(Credentials::new("dummy", "dummy", None, None, "test"))
        .http_client(xtask_ecr::Connections::default())
        .build();
    aws_sdk_ecr::Client::from_conf(config)
}

impl Registry {
    /// Fetches a blob from the data plane, from where it redirects to.
    pub fn blob(&self, name: &str, digest: &str) -> Vec<u8> {
        let answer = self.get(&format!("/v2/{name}/blobs/{digest}"), Some(&self.basic()));
        let answer = String::from_utf8_lossy(&answer);
        let location = answer.lines().find_map(|it| it.strip_prefix("location: http://localhost"));
        let answer = self.get(location.unwrap_or_else(|| panic!("{answer}")), None);
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        let end = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
        answer[end + 4..].to_vec()
    }

    /// Fetches a manifest by tag or digest.
    pub fn manifest(&self, name: &str, reference: &str) -> serde_json::Value {
        let answer = self.get(&format!("/v2/{name}/manifests/{reference}"), Some(&self.basic()));
        let end = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
        serde_json::from_slice(&answer[end + 4..]).unwrap()
    }

    /// A value of the header `Authorization` that the data plane accepts.
    pub fn basic(&self) -> String {
        let answer = self.sdk(async |ecr| ecr.get_authorization_token().send().await);
        format!("Basic {}", answer.authorization_data()[0].authorization_token().unwrap())
    }

    /// The raw answer to a GET.
    pub fn get(&self, path: &str, authorization: Option<&str>) -> Vec<u8> {
        let authorization = authorization.map(|it| format!("authorization: {it}\r\n")).unwrap_or_default();
        self.raw(&format!(
            "GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n{authorization}\r\n"
        ))
    }

    /// The raw answer to a raw request.
    pub fn raw(&self, request: &str) -> Vec<u8> {
        self.raw_bytes(request.as_bytes())
    }

    fn raw_bytes(&self, request: &[u8]) -> Vec<u8> {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(self.host()).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    }
}
