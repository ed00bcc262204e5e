//! A registry on loopback that answers as a test says, also as no good one would.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request, with what tests look at.
#[derive(Debug, Clone)]
pub struct Request {
    /// Method, path and query.
    pub line: String,
    headers: Vec<(String, String)>,
    pub body: String,
    /// How many requests with this line came before.
    pub earlier: usize,
}

/// The answer to a request.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// So many bytes of the body are sent; then the connection is closed.
    pub sent: Option<usize>,
    /// The connection stays open where it would be closed.
    pub stands_still: bool,
}

/// The server. It ends with the process.
pub struct Registry {
    /// `127.0.0.1:PORT`.
    pub host: String,
    log: Arc<Mutex<Vec<Request>>>,
}

impl Reply {
    pub fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::new(200) }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl Request {
    /// A header; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }
}

impl Registry {
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (answer, requests) = (Arc::new(answer), log.clone());
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (answer, requests) = (answer.clone(), requests.clone());
                thread::spawn(move || serve(connection.unwrap(), &*answer, &requests));
            }
        });
        Self { host, log }
    }

    /// The requests so far.
    pub fn log(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }
}

/// Answers one request. A client that closes its connection is no concern of a test.
fn serve(
    mut connection: TcpStream,
    answer: &(dyn Fn(&Request) -> Reply + Send + Sync),
    log: &Mutex<Vec<Request>>,
) {
    let Some(mut request) = read(&connection) else { return };
    let reply = {
        let mut log = log.lock().unwrap();
        request.earlier = log.iter().filter(|it: &&Request| it.line == request.line).count();
        log.push(request.clone());
        answer(&request)
    };
    let mut head = format!("HTTP/1.1 {} Reply\r\nConnection: close\r\n", reply.status);
    let has_length = reply.headers.iter().any(|(name, _)| *name == "Transfer-Encoding");
    if !has_length {
        head += &format!("Content-Length: {}\r\n", reply.body.len());
    }
    reply.headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    let sent = reply.sent.unwrap_or(reply.body.len());
    let _ = connection.write_all(format!("{head}\r\n").as_bytes());
    let _ = connection.write_all(&reply.body[..sent]);
    if reply.stands_still {
        thread::sleep(Duration::from_secs(30));
    }
}

fn read(connection: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(connection);
    let mut line = String::new();
    lines.read_line(&mut line).ok().filter(|it| *it > 0)?;
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        lines.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(": ") else { break };
        headers.push((name.to_owned(), value.to_owned()));
    }
    let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let mut request = Request { line, headers, body: String::new(), earlier: 0 };
    let length = request.header("content-length").parse().unwrap_or_default();
    lines.take(length).read_to_string(&mut request.body).ok()?;
    Some(request)
}
