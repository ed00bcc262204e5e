//! Helpers for HTTP requests and responses of both planes.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::Request;
use hyper::body::{Bytes, Frame};

/// A response with a body that is in memory or streamed from a file.
pub type Response = hyper::Response<Body>;
pub type Body = BoxBody<Bytes, io::Error>;

/// The number of bytes that are read from a file at once.
const CHUNK: usize = 256 * 1024;

/// A response with a status and the header that identifies a registry.
pub fn builder(status: u16) -> hyper::http::response::Builder {
    hyper::Response::builder().status(status).header("docker-distribution-api-version", "registry/2.0")
}

pub fn empty() -> Body {
    Empty::new().map_err(|it| match it {}).boxed()
}

pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|it| match it {}).boxed()
}

/// The next `length` bytes of a file, read while they are sent.
pub fn file_body(file: File, length: u64) -> Body {
    let chunks = futures_util::stream::unfold(Some((file, length)), |state| async {
        let (mut file, left) = state.filter(|(_, left)| *left > 0)?;
        let mut buffer = vec![0; usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK))];
        match file.read(&mut buffer) {
            // The file is too short: the connection is closed, so that the client sees an error.
            Ok(0) => Some((Err(io::ErrorKind::UnexpectedEof.into()), None)),
            Ok(n) => {
                buffer.truncate(n);
                Some((Ok(Frame::data(Bytes::from(buffer))), Some((file, left - n as u64))))
            }
            Err(error) => Some((Err(error), None)),
        }
    });
    BodyExt::boxed(StreamBody::new(chunks))
}

/// `response` with a body that breaks off after half of its length.
pub fn broken(response: Response) -> Response {
    let length =
        response.headers().get("content-length").and_then(|it| it.to_str().ok()?.parse::<u64>().ok());
    let half = length.unwrap_or_default() / 2;
    response.map(|body| {
        let chunks = futures_util::stream::unfold(Some((body, half)), |state| async {
            let (mut body, left) = state?;
            let frame = body.frame().await.and_then(Result::ok).and_then(|it| it.into_data().ok());
            match frame.filter(|_| left > 0) {
                Some(mut bytes) => {
                    bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                    let left = left - bytes.len() as u64;
                    Some((Ok(Frame::data(bytes)), Some((body, left))))
                }
                None => {
                    // Gives the connection time to send the first half before it is closed.
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                    Some((Err(io::ErrorKind::ConnectionAborted.into()), None))
                }
            }
        });
        BodyExt::boxed(StreamBody::new(chunks))
    })
}

pub fn json_response(status: u16, body: &serde_json::Value) -> Response {
    text_response(status, "application/json", body.to_string())
}

pub fn text_response(status: u16, media_type: &str, body: String) -> Response {
    let response = builder(status).header("content-type", media_type).header("content-length", body.len());
    response.body(full(body)).unwrap_or_else(|_| hyper::Response::new(empty()))
}

/// `response` with one more header. A value that is not valid in a header is left out.
pub fn with_header(mut response: Response, name: &'static str, value: &str) -> Response {
    if let Ok(value) = value.parse() {
        response.headers_mut().insert(name, value);
    }
    response
}

/// The value of a header, if it is visible ASCII.
pub fn header<'a, B>(request: &'a Request<B>, name: &str) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}

/// The first value of a key in the query, decoded (`application/x-www-form-urlencoded`).
pub fn query<B>(request: &Request<B>, key: &str) -> Option<String> {
    let query = request.uri().query()?;
    url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == key).map(|it| it.1.into_owned())
}

/// `text`, percent-decoded; `None` if the result is not UTF-8. A `%` without two hexadecimal digits is kept.
pub fn percent_decode(text: &str) -> Option<String> {
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned)
}
