//! A server, and raw requests to it.

use std::io::{Read, Write};
use std::net::TcpStream;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ecr_embedded::{Builder, Server};
use ecr_types::Digest;
use serde_json::{Value, json};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const ACCOUNT: &str = "111122223333";

/// A running server. Requests are signed with a key, which is that of no other account by default.
pub struct Ecr {
    pub server: Server,
    runtime: tokio::runtime::Runtime,
    key: String,
    region: String,
}

/// The answer to a request.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let line = |it: &&str| it.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name));
        self.head.lines().find(line).map(|it| it[name.len() + 1..].trim())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|it| panic!("{it}: {self:?}"))
    }

    /// The code and the message of an error of either plane.
    pub fn error(&self) -> String {
        let body = self.json();
        let error = if body["errors"].is_array() { &body["errors"][0] } else { &body };
        let code = if error["code"].is_string() { &error["code"] } else { &error["__type"] };
        format!("{} {}: {}", self.status, code.as_str().unwrap(), error["message"].as_str().unwrap())
    }
}

/// A server with the account 111122223333.
pub fn ecr() -> Ecr {
    start(Server::builder())
}

/// A server with the repository `my-app`.
pub fn with_repository() -> Ecr {
    let ecr = ecr();
    ecr.create("my-app");
    ecr
}

pub fn start(builder: Builder) -> Ecr {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(builder.account(ACCOUNT.parse().unwrap()).start()).unwrap();
    Ecr { server, runtime, key: "dummy".to_owned(), region: "us-east-1".to_owned() }
}

impl Ecr {
    /// Calls `request` with requests that are signed with another key, in another region.
    pub fn signed<T>(&mut self, key: &str, region: &str, request: impl FnOnce(&Self) -> T) -> T {
        let before = (
            std::mem::replace(&mut self.key, key.to_owned()),
            std::mem::replace(&mut self.region, region.to_owned()),
        );
        let result = request(self);
        (self.key, self.region) = before;
        result
    }

    pub fn host(&self) -> &str {
        self.server.url().leak().split_once("//").unwrap().1
    }

    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        // Blocking requests do not hold up the server's runtime.
        let _ = &self.runtime;
        let host = headers.iter().find(|(key, _)| *key == "host").map_or(self.host(), |it| it.1);
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
        for (key, value) in headers.iter().filter(|(key, _)| *key != "host") {
            request.push_str(&format!("{key}: {value}\r\n"));
        }
        if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
            request.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        let mut stream = TcpStream::connect(self.host()).unwrap();
        stream.write_all(&[request.as_bytes(), b"\r\n", body].concat()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = answer[end + 4..].to_vec();
        Answer { status, head, body }
    }

    /// A request to the ECR API.
    pub fn api(&self, operation: &str, input: Value) -> Answer {
        let target = format!("AmazonEC2ContainerRegistry_V20150921.{operation}");
        let credential =
            format!("AWS4-HMAC-SHA256 Credential={}/20260101/{}/ecr/aws4_request", self.key, self.region);
        let headers = [("x-amz-target", target.as_str()), ("authorization", credential.as_str())];
        self.ask("POST", "/", &headers, input.to_string().as_bytes())
    }

    /// The output of an operation that succeeds.
    pub fn ok(&self, operation: &str, input: Value) -> Value {
        let answer = self.api(operation, input);
        assert_eq!(answer.status, 200, "{operation}: {}", answer.text());
        answer.json()
    }

    /// The error of an operation that fails.
    pub fn fail(&self, operation: &str, input: Value) -> String {
        let answer = self.api(operation, input);
        assert_ne!(answer.status, 200, "{operation}: {}", answer.text());
        answer.error()
    }

    /// A value of the header `Authorization` for the registry.
    pub fn basic(&self) -> String {
        let token = &self.ok("GetAuthorizationToken", json!({}))["authorizationData"][0];
        format!("Basic {}", token["authorizationToken"].as_str().unwrap())
    }

    /// A request to the registry.
    pub fn v2(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let basic = self.basic();
        let headers = [&[("authorization", basic.as_str())], headers].concat();
        self.ask(method, &format!("/v2/{path}"), &headers, body)
    }

    pub fn create(&self, name: &str) {
        self.ok("CreateRepository", json!({ "repositoryName": name }));
    }

    /// Uploads a blob.
    pub fn blob(&self, name: &str, content: &[u8]) -> Digest {
        let digest = Digest::of(content);
        let answer = self.v2("POST", &format!("{name}/blobs/uploads/?digest={digest}"), &[], content);
        assert_eq!(answer.status, 201, "{}", answer.text());
        digest
    }

    /// The text of the manifest of an image with one layer, whose blobs are uploaded.
    pub fn manifest_of(&self, name: &str, media_type: &str, content: &str) -> Value {
        let (config, layer) = match media_type {
            MANIFEST => {
                ("application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip")
            }
            _ => (
                "application/vnd.docker.container.image.v1+json",
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
            ),
        };
        let descriptor = |media_type: &str, content: &str| {
            let digest = self.blob(name, content.as_bytes());
            json!({"mediaType": media_type, "digest": digest, "size": content.len()})
        };
        json!({"schemaVersion": 2, "mediaType": media_type, "config": descriptor(config, "{}"),
            "layers": [descriptor(layer, content)]})
    }

    /// Pushes a manifest.
    pub fn push(&self, name: &str, reference: &str, manifest: &Value) -> Answer {
        let media_type = manifest["mediaType"].as_str().unwrap_or(MANIFEST);
        let text = manifest.to_string();
        self.v2(
            "PUT",
            &format!("{name}/manifests/{reference}"),
            &[("content-type", media_type)],
            text.as_bytes(),
        )
    }

    /// Pushes an image, and returns its digest.
    pub fn image(&self, name: &str, tag: &str, content: &str) -> String {
        let manifest = self.manifest_of(name, MANIFEST, content);
        let answer = self.push(name, tag, &manifest);
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.header("docker-content-digest").unwrap().to_owned()
    }

    /// Uploads parts with the API, and returns the answer to the last request.
    pub fn upload_parts(&self, name: &str, parts: &[&[u8]]) -> Answer {
        let id = self.ok("InitiateLayerUpload", json!({ "repositoryName": name }))["uploadId"].clone();
        let mut first = 0;
        for part in parts {
            let last = first + part.len() - 1;
            self.ok(
                "UploadLayerPart",
                json!({"repositoryName": name, "uploadId": id, "partFirstByte": first,
                "partLastByte": last, "layerPartBlob": BASE64_STANDARD.encode(part)}),
            );
            first = last + 1;
        }
        let digest = Digest::of(&parts.concat());
        self.api(
            "CompleteLayerUpload",
            json!({"repositoryName": name, "uploadId": id, "layerDigests": [digest]}),
        )
    }
}

/// Begins an upload, and returns its path below `/v2/`.
pub fn begin(ecr: &Ecr, name: &str) -> String {
    let answer = ecr.v2("POST", &format!("{name}/blobs/uploads/"), &[], b"");
    assert_eq!(answer.status, 202);
    answer.header("location").unwrap().trim_start_matches("/v2/").to_owned()
}
