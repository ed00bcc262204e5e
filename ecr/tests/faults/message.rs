//! Requests and answers of HTTP/1.1, as bytes with their names.

use std::io::{self, Read};
use std::net::TcpStream;

/// The head of a request and its body.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// The lines of the head after the first, without their ends.
    pub headers: Vec<String>,
    pub body: Vec<u8>,
}

/// An answer that was read as a whole.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<String>,
    pub body: Vec<u8>,
}

/// The bytes of a head that has arrived, which may be followed by a body; they stay in the socket. `None` if the client
/// has closed the connection.
pub fn peek(stream: &TcpStream) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let n = stream.peek(&mut buffer).ok().filter(|n| *n > 0)?;
        if is_complete(&buffer[..n]) {
            return Some(buffer[..n].to_vec());
        }
        // The rest of the head, or of a small body, is on its way.
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Whether the head is complete, and the body as well if it names the operation.
fn is_complete(bytes: &[u8]) -> bool {
    let Some(end) = end_of_head(bytes) else { return false };
    let request = Request::parse(&bytes[..end]);
    !request.is_query() || bytes.len() >= end + request.content_length()
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|it| it == b"\r\n\r\n").map(|at| at + 4)
}

impl Request {
    /// A request from the bytes of its head and the beginning of its body.
    pub fn parse(bytes: &[u8]) -> Self {
        let end = end_of_head(bytes).unwrap_or(bytes.len());
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.lines().filter(|it| !it.is_empty());
        let mut first = lines.next().unwrap_or_default().split(' ');
        let mut word = || first.next().unwrap_or_default().to_owned();
        let (method, path) = (word(), word());
        Self { method, path, headers: lines.map(str::to_owned).collect(), body: bytes[end..].to_vec() }
    }

    /// Reads a whole request.
    pub fn read(stream: &mut TcpStream) -> io::Result<Self> {
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let n = stream.read(&mut buffer)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes.extend_from_slice(&buffer[..n]);
            if let Some(end) = end_of_head(&bytes)
                && bytes.len() >= end + Self::parse(&bytes[..end]).content_length()
            {
                return Ok(Self::parse(&bytes));
            }
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    fn content_length(&self) -> usize {
        self.header("content-length").and_then(|it| it.parse().ok()).unwrap_or_default()
    }

    /// Whether this is a request to STS, which names its operation in the body.
    fn is_query(&self) -> bool {
        self.method == "POST" && self.path == "/" && self.header("x-amz-target").is_none()
    }

    /// The operation: its name in AWS's APIs, or method and kind of a request to the registry.
    pub fn operation(&self) -> String {
        if let Some(target) = self.header("x-amz-target") {
            return target.rsplit('.').next().unwrap_or_default().to_owned();
        }
        if self.is_query() {
            let body = String::from_utf8_lossy(&self.body);
            let action = body.split('&').find_map(|it| it.strip_prefix("Action=")).map(str::to_owned);
            return action.unwrap_or_default();
        }
        let kinds = ["/blobs/uploads", "/blobs/", "/manifests/"];
        let kind = kinds.iter().find(|it| self.path.contains(**it)).unwrap_or(&"/v2/");
        format!("{} {kind}", self.method)
    }

    /// Whether this is a request to the registry, and not to AWS's APIs.
    pub fn is_distribution(&self) -> bool {
        self.path.starts_with("/v2")
    }

    /// The bytes of the same request on a connection of its own.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.path).into_bytes();
        write_headers(&mut bytes, &self.headers, &["connection"]);
        bytes.extend_from_slice(b"connection: close\r\n\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

impl Answer {
    /// An answer that the proxy makes up.
    pub fn new(status: u16, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![format!("content-type: {media_type}")];
        Self { status, headers, body: body.into() }
    }

    /// An answer from all bytes of a connection.
    pub fn parse(bytes: &[u8]) -> Self {
        let end = end_of_head(bytes).unwrap_or(bytes.len());
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.lines().filter(|it| !it.is_empty());
        let status = lines.next().and_then(|it| it.split(' ').nth(1)).and_then(|it| it.parse().ok());
        let headers = lines.map(str::to_owned).collect();
        Self { status: status.unwrap_or_default(), headers, body: bytes[end..].to_vec() }
    }

    /// Sets a header.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|it| !is_named(it, name));
        self.headers.push(format!("{name}: {value}"));
        self
    }

    /// Replaces a text in headers and body.
    pub fn replaced(mut self, from: &str, to: &str) -> Self {
        self.headers.iter_mut().for_each(|it| *it = it.replace(from, to));
        if let Ok(text) = std::str::from_utf8(&self.body) {
            self.body = text.replace(from, to).into_bytes();
        }
        self
    }

    /// The bytes of the answer. An answer to HEAD keeps the length of the body that it lacks.
    pub fn bytes(&self, is_head: bool) -> Vec<u8> {
        let mut bytes = format!("HTTP/1.1 {} X\r\n", self.status).into_bytes();
        let length = find(&self.headers, "content-length").filter(|_| is_head).map(str::to_owned);
        let length = length.unwrap_or_else(|| self.body.len().to_string());
        write_headers(&mut bytes, &self.headers, &["connection", "content-length"]);
        bytes.extend_from_slice(format!("content-length: {length}\r\n\r\n").as_bytes());
        if !is_head {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

fn is_named(line: &str, name: &str) -> bool {
    line.split(':').next().is_some_and(|it| it.eq_ignore_ascii_case(name))
}

fn find<'a>(headers: &'a [String], name: &str) -> Option<&'a str> {
    let line = headers.iter().find(|it| is_named(it, name))?;
    Some(line.split_once(':')?.1.trim())
}

fn write_headers(bytes: &mut Vec<u8>, headers: &[String], without: &[&str]) {
    for line in headers.iter().filter(|line| !without.iter().any(|it| is_named(line, it))) {
        bytes.extend_from_slice(line.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
}
