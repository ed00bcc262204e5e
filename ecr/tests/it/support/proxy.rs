//! A proxy before a registry, which changes some of its answers as a proxy of a network or a broken server may do.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Registry;

/// What the client gets in place of the registry's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// This answer: status line, headers and body. The registry does not see the request.
    Instead(&'static str),
    /// The registry's answer, in which the second text stands for the first.
    Replaced(&'static str, &'static str),
}

/// A page for people, as a proxy answers.
pub const PAGE: Wrong = Wrong::Instead(
    "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 20\r\n\r\n<html>Log in!</html>",
);
/// Nothing.
pub const EMPTY: Wrong = Wrong::Instead("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
/// An object without members.
pub const BRACES: Wrong = Wrong::Instead(
    "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: 2\r\n\r\n{}",
);
/// No object.
pub const NULL: Wrong = Wrong::Instead(
    "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: 4\r\n\r\nnull",
);
/// The repository `my-app` under another name.
pub const OTHER_NAME: Wrong = Wrong::Replaced("my-app", "no-app");

/// A proxy that runs until the tests end.
pub struct Proxy {
    host: String,
    changed: Arc<AtomicUsize>,
}

impl Proxy {
    /// A proxy before `registry`, whose addresses it replaces by its own. `change` decides about the answer to an operation:
    /// the name of an operation of ECR or STS, or a method with the kind of a path under `/v2/`, such as `PUT manifests`.
    pub fn before(
        registry: &Registry,
        change: impl Fn(&str) -> Option<Wrong> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().to_string();
        Self::on(listener, Exchange { own, upstream: registry.host() }, change)
    }

    /// A proxy that leaves the addresses of the registry in its answers, so that only the API goes through it.
    pub fn transparent(
        registry: &Registry,
        change: impl Fn(&str) -> Option<Wrong> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::on(listener, Exchange { own: registry.host(), upstream: registry.host() }, change)
    }

    fn on(
        listener: TcpListener,
        exchange: Exchange,
        change: impl Fn(&str) -> Option<Wrong> + Send + Sync + 'static,
    ) -> Self {
        let host = listener.local_addr().unwrap().to_string();
        let changed = Arc::new(AtomicUsize::new(0));
        let exchange = Arc::new(exchange);
        let (change, count) = (Arc::new(change), changed.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (exchange, change, count) = (exchange.clone(), change.clone(), count.clone());
                std::thread::spawn(move || exchange.serve(stream, &*change, &count));
            }
        });
        Self { host, changed }
    }

    /// A proxy that changes the answers to one operation.
    pub fn with(registry: &Registry, operation: &'static str, wrong: Wrong) -> Self {
        Self::before(registry, move |it| (it == operation).then_some(wrong))
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.host)
    }

    /// The number of answers that were changed.
    pub fn changed(&self) -> usize {
        self.changed.load(Ordering::Relaxed)
    }
}

struct Exchange {
    own: String,
    upstream: String,
}

impl Exchange {
    fn serve(&self, mut client: TcpStream, change: &dyn Fn(&str) -> Option<Wrong>, count: &AtomicUsize) {
        let Some(request) = request(&mut client) else { return };
        let wrong = change(&operation(&request));
        count.fetch_add(usize::from(wrong.is_some()), Ordering::Relaxed);
        let answer = match wrong {
            Some(Wrong::Instead(answer)) => answer.as_bytes().to_vec(),
            Some(Wrong::Replaced(old, new)) => replaced(&self.forward(&request), old, new),
            None => self.forward(&request),
        };
        let _ = client.write_all(&with_header(&answer, "connection: close"));
    }

    /// The registry's answer, with the address of the proxy in place of its own.
    fn forward(&self, request: &[u8]) -> Vec<u8> {
        let mut upstream = TcpStream::connect(&self.upstream).unwrap();
        upstream.write_all(&with_header(request, "connection: close")).unwrap();
        let mut answer = Vec::new();
        let _ = upstream.read_to_end(&mut answer);
        replaced(&answer, &self.upstream, &self.own)
    }
}

/// A whole request, whose body has a `Content-Length`.
fn request(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    let mut buffer = [0; 65536];
    loop {
        let read = client.read(&mut buffer).ok().filter(|it| *it > 0)?;
        request.extend_from_slice(&buffer[..read]);
        let Some(end) = end_of_head(&request) else { continue };
        let length = header(&request[..end], "content-length").map_or(0, |it| it.parse().unwrap());
        if request.len() >= end + length {
            return Some(request);
        }
    }
}

/// The length of the head, with the empty line after it.
fn end_of_head(message: &[u8]) -> Option<usize> {
    message.windows(4).position(|it| it == b"\r\n\r\n").map(|it| it + 4)
}

fn header(head: &[u8], name: &str) -> Option<String> {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines().filter_map(|it| it.split_once(':'));
    lines.find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
}

fn operation(request: &[u8]) -> String {
    let (head, body) = request.split_at(end_of_head(request).unwrap());
    if let Some(target) = header(head, "x-amz-target") {
        return target.rsplit('.').next().unwrap().to_owned();
    }
    let line = String::from_utf8_lossy(head);
    let mut words = line.split_whitespace();
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let kinds = ["uploads", "manifests", "blobs"];
    match kinds.iter().find(|it| path.starts_with("/v2/") && path.contains(&format!("/{it}/"))) {
        Some(kind) => format!("{method} {kind}"),
        None => {
            let body = String::from_utf8_lossy(body);
            let action = body.split('&').find_map(|it| it.strip_prefix("Action="));
            action.unwrap_or_default().to_owned()
        }
    }
}

fn with_header(message: &[u8], line: &str) -> Vec<u8> {
    let end = end_of_head(message).unwrap_or(message.len());
    let head = String::from_utf8_lossy(&message[..end]).trim_end().to_owned();
    [format!("{head}\r\n{line}\r\n\r\n").as_bytes(), &message[end..]].concat()
}

/// The message with another text, in its head and, if it is an answer of ECR or STS, in its body.
fn replaced(message: &[u8], old: &str, new: &str) -> Vec<u8> {
    let Some(end) = end_of_head(message) else { return message.to_vec() };
    let head = String::from_utf8_lossy(&message[..end]).replace(old, new);
    let content_type = header(&message[..end], "content-type").unwrap_or_default();
    if !["application/x-amz", "text/xml"].iter().any(|it| content_type.starts_with(it)) {
        return [head.as_bytes(), &message[end..]].concat();
    }
    let body = String::from_utf8_lossy(&message[end..]).replace(old, new);
    let length = format!("content-length: {}\r\n", body.len());
    let lines = head.split_inclusive("\r\n");
    let head: String = lines.map(|it| if it.starts_with("content-length:") { &length } else { it }).collect();
    format!("{head}{body}").into_bytes()
}
