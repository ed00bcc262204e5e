//! Bodies of requests and answers, and whether they make progress.

use std::fs::File;
use std::io::Read;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::Stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use super::HttpError;

/// Any error, as bodies of different origin have it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request.
pub type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// Bytes read from a file at a time.
const CHUNK: usize = 128 * 1024;

/// No body.
pub fn empty() -> RequestBody {
    Empty::new().map_err(|it| match it {}).boxed_unsync()
}

/// A body that is in memory.
pub fn full(bytes: impl Into<Bytes>) -> RequestBody {
    Full::new(bytes.into()).map_err(|it| match it {}).boxed_unsync()
}

/// A body of another HTTP library.
pub fn boxed<B>(body: B) -> RequestBody
where
    B: Body<Data = Bytes, Error = BoxError> + Send + 'static,
{
    body.boxed_unsync()
}

/// A body that comes in pieces.
pub fn stream<S>(frames: S) -> RequestBody
where
    S: Stream<Item = Result<Frame<Bytes>, BoxError>> + Send + 'static,
{
    BodyExt::boxed_unsync(StreamBody::new(frames))
}

/// A file that is read while it is sent, so that memory does not grow with it. `sent` is told the bytes of each piece.
pub fn file(file: File, sent: impl Fn(u64) + Send + 'static) -> RequestBody {
    stream(futures_util::stream::unfold(Some((file, sent)), async |state| {
        let (mut file, sent) = state?;
        let mut buffer = vec![0; CHUNK];
        match file.read(&mut buffer) {
            Ok(0) => None,
            Ok(n) => {
                buffer.truncate(n);
                sent(n as u64);
                Some((Ok(Frame::data(Bytes::from(buffer))), Some((file, sent))))
            }
            Err(error) => Some((Err(error.into()), None)),
        }
    }))
}

/// When a request last made progress: the connection took a piece of its body.
#[derive(Debug, Clone)]
pub(super) struct Progress(Arc<State>);

#[derive(Debug)]
struct State {
    began: Instant,
    /// Milliseconds after `began`.
    last: AtomicU64,
    is_sent: AtomicBool,
}

impl Progress {
    pub(super) fn begin() -> Self {
        let state =
            State { began: Instant::now(), last: AtomicU64::default(), is_sent: AtomicBool::default() };
        Self(Arc::new(state))
    }

    /// Whether the whole request was taken, so that only the answer is missing.
    pub(super) fn is_sent(&self) -> bool {
        self.0.is_sent.load(Ordering::Relaxed)
    }

    fn note(&self) {
        let since = u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last.store(since, Ordering::Relaxed);
    }

    /// Ends once nothing has moved for `idle`.
    pub(super) async fn stalled(&self, idle: Duration) {
        loop {
            let end = self.0.began + Duration::from_millis(self.0.last.load(Ordering::Relaxed)) + idle;
            if Instant::now() >= end {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }
}

/// A request's body that notes when a piece of it is taken. hyper takes the next piece only when the connection has room,
/// so a server that stops reading shows here.
pub(super) struct Watched {
    body: RequestBody,
    progress: Progress,
}

impl Watched {
    pub(super) fn new(body: RequestBody, progress: Progress) -> Self {
        if body.is_end_stream() {
            progress.0.is_sent.store(true, Ordering::Relaxed);
        }
        Self { body, progress }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.progress.note();
        if frame.is_none() || self.body.is_end_stream() {
            self.progress.0.is_sent.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body: it fails when nothing comes for too long.
#[derive(Debug)]
pub struct AnswerBody {
    body: Incoming,
    idle: Duration,
    /// Runs while a piece is waited for.
    timer: Option<Pin<Box<Sleep>>>,
}

impl AnswerBody {
    pub(super) fn new(body: Incoming, idle: Duration) -> Self {
        Self { body, idle, timer: None }
    }

    /// Reads the whole body, of at most `limit` bytes.
    ///
    /// # Errors
    /// The body is longer, or breaks off, or nothing comes for too long.
    pub async fn read(self, limit: usize) -> Result<Bytes, HttpError> {
        let body = http_body_util::Limited::new(self, limit).collect().await;
        body.map(http_body_util::Collected::to_bytes).map_err(|it| match it.downcast::<HttpError>() {
            Ok(error) => *error,
            Err(_) => HttpError::TooLong(limit),
        })
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// The body breaks off, or nothing comes for too long.
    pub async fn next(&mut self) -> Result<Option<Bytes>, HttpError> {
        while let Some(frame) = self.frame().await {
            // Trailers are of no interest.
            if let Ok(data) = frame?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.timer = None;
            return Poll::Ready(frame.map(|it| it.map_err(HttpError::Body)));
        }
        let idle = self.idle;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Some(Err(HttpError::BodyIdle(idle))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
