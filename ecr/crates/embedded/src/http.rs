//! Small things of HTTP that both planes need.

use std::fs::File;
use std::io::{self, Read};

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::Request;
use hyper::body::{Bytes, Frame};

/// A response with a body that is in memory or streamed from a file.
pub type Response = hyper::Response<Body>;
/// The body of a [`Response`].
pub type Body = BoxBody<Bytes, io::Error>;

/// Bytes read from a file at a time.
const CHUNK: usize = 256 * 1024;

/// The beginning of a response.
pub fn builder(status: u16) -> hyper::http::response::Builder {
    hyper::Response::builder().status(status).header("docker-distribution-api-version", "registry/2.0")
}

/// No body.
pub fn empty() -> Body {
    Empty::new().map_err(|it| match it {}).boxed()
}

/// A body that is in memory.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|it| match it {}).boxed()
}

/// So many bytes from where a file stands, read while they are sent.
pub fn file_body(file: File, length: u64) -> Body {
    let chunks = futures_util::stream::unfold(Some((file, length)), |state| async {
        let (mut file, left) = state.filter(|(_, left)| *left > 0)?;
        let mut buffer = vec![0; usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK))];
        match file.read(&mut buffer) {
            // Shorter than it should be: the client is told by a connection that breaks.
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

/// `response` whose body breaks off half way.
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
                    // What came before is to be on its way when the connection ends.
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                    Some((Err(io::ErrorKind::ConnectionAborted.into()), None))
                }
            }
        });
        BodyExt::boxed(StreamBody::new(chunks))
    })
}

/// A JSON answer.
pub fn json_response(status: u16, body: &serde_json::Value) -> Response {
    text_response(status, "application/json", body.to_string())
}

/// An answer of some media type.
pub fn text_response(status: u16, media_type: &str, body: String) -> Response {
    let response = builder(status).header("content-type", media_type).header("content-length", body.len());
    response.body(full(body)).unwrap_or_else(|_| hyper::Response::new(empty()))
}

/// `response` with one more header; a value that is none is left out.
pub fn with_header(mut response: Response, name: &'static str, value: &str) -> Response {
    if let Ok(value) = value.parse() {
        response.headers_mut().insert(name, value);
    }
    response
}

/// A header's value, if it is text.
pub fn header<'a, B>(request: &'a Request<B>, name: &str) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}

/// The value of a key in the query, with `%XX` decoded.
pub fn query<B>(request: &Request<B>, key: &str) -> Option<String> {
    let pairs = request.uri().query()?.split('&');
    let value = pairs.filter_map(|it| it.split_once('=')).find(|(name, _)| *name == key)?.1;
    percent_decode(value)
}

/// `text` with `%XX` decoded; `None` where that is no text.
pub fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}
