//! A server whose answers a test writes byte by byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// A request as the server received it.
pub struct Request {
    /// The operation of the ECR API (`X-Amz-Target`), or `GetCallerIdentity`.
    pub operation: String,
}

/// Listens on a free port until the tests end. `answer` writes the response, after which the connection is closed.
pub fn serve(answer: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || {
                let mut stream = stream;
                if let Some(request) = read(&stream) {
                    answer(&request, &mut stream);
                }
            });
        }
    });
    address.to_string()
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let header = |name: &str| {
        let found = lines.iter().filter_map(|it| it.split_once(": "));
        found.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
    };
    let mut body = vec![0; header("content-length").and_then(|it| it.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let target = header("x-amz-target").unwrap_or_else(|| "GetCallerIdentity".to_owned());
    let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
    Some(Request { operation })
}

/// Writes a whole response.
pub fn respond(stream: &mut TcpStream, status: u16, kind: &str, body: &str) {
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
}

/// Answers `GetCallerIdentity`, and tells whether the request was that.
pub fn identity(request: &Request, stream: &mut TcpStream) -> bool {
    let body = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
                <Arn>arn:aws:iam::123456789012:root</Arn><UserId>x</UserId><Account>123456789012</Account>\
                </GetCallerIdentityResult></GetCallerIdentityResponse>";
    let is_identity = request.operation == "GetCallerIdentity";
    if is_identity {
        respond(stream, 200, "text/xml", body);
    }
    is_identity
}
