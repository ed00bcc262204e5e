//! Bodies of requests and responses, and their progress.

use std::fmt;
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

use super::hosts::{Exchange, Hosts};
use super::{HttpError, Observer};

/// An error of any type, as bodies of other libraries have it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request.
pub type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// The number of bytes that are read from a file at once.
const CHUNK: usize = 128 * 1024;

/// An empty body.
pub fn empty() -> RequestBody {
    Empty::new().map_err(|it| match it {}).boxed_unsync()
}

/// A body with content in memory.
pub fn full(bytes: impl Into<Bytes>) -> RequestBody {
    Full::new(bytes.into()).map_err(|it| match it {}).boxed_unsync()
}

/// A body of another HTTP library, such as that of the AWS SDK.
pub fn boxed<B>(body: B) -> RequestBody
where
    B: Body<Data = Bytes, Error = BoxError> + Send + 'static,
{
    body.boxed_unsync()
}

/// A body from a stream of frames.
pub fn stream<S>(frames: S) -> RequestBody
where
    S: Stream<Item = Result<Frame<Bytes>, BoxError>> + Send + 'static,
{
    BodyExt::boxed_unsync(StreamBody::new(frames))
}

/// A body that is read from `file` in chunks while it is sent. `sent` is called with the number of bytes of each chunk, as
/// soon as the connection accepts it. A read error ends the request.
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

/// The progress of a request: the time at which the connection last accepted a part of its body.
#[derive(Clone)]
pub(super) struct Progress(Arc<State>);

struct State {
    began: Instant,
    /// The time of the last progress, in milliseconds after `began`.
    last: AtomicU64,
    is_sent: AtomicBool,
    /// Whose progress this is as well, but for that of the first chunk: the buffers of the system accept it without the host.
    host: Option<(Arc<Hosts>, String)>,
    has_begun: AtomicBool,
}

impl Progress {
    pub(super) fn begin(host: Option<(Arc<Hosts>, String)>) -> Self {
        let (last, is_sent, has_begun) = Default::default();
        Self(Arc::new(State { began: Instant::now(), last, is_sent, host, has_begun }))
    }

    /// Whether the connection has accepted the whole request, so that only the response is missing.
    pub(super) fn is_sent(&self) -> bool {
        self.0.is_sent.load(Ordering::Relaxed)
    }

    fn note(&self) {
        let since = u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last.store(since, Ordering::Relaxed);
        let has_begun = self.0.has_begun.swap(true, Ordering::Relaxed);
        self.0.host.iter().filter(|_| has_begun).for_each(|(hosts, host)| hosts.progress(host));
    }

    /// Waits until there was no progress for `idle`.
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

/// A request body that records its progress. hyper polls for the next frame only when the connection can accept it, so the
/// progress ends when the server stops reading.
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

/// The body of a response. Reading fails if no data arrives for [`super::Limits::idle`].
#[derive(Debug)]
pub struct ResponseBody {
    body: Incoming,
    idle: Duration,
    observed: Option<Observed>,
    /// Whose progress the data is.
    counted: Option<Exchange>,
    /// Runs while the next frame is awaited.
    timer: Option<Timer>,
}

/// The observer of a body, and the host from which it comes.
#[derive(Clone)]
pub(super) struct Observed {
    pub(super) observer: Observer,
    pub(super) host: String,
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observed {{ {} }}", self.host)
    }
}

#[derive(Debug)]
struct Timer {
    sleep: Pin<Box<Sleep>>,
    /// Whether the observer was told already, so that the end of the sleep is that of the wait.
    is_last: bool,
}

impl ResponseBody {
    pub(super) fn new(body: Incoming, idle: Duration, observed: Option<Observed>) -> Self {
        Self { body, idle, observed, counted: None, timer: None }
    }

    /// The same body, whose data is progress of its host.
    pub(super) fn counted(self, exchange: Exchange) -> Self {
        Self { counted: Some(exchange), ..self }
    }

    /// Ready when no data has arrived for `idle`. Tells the observer before.
    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let patience = self.observed.as_ref().map(|it| it.observer.patience).filter(|it| *it < self.idle);
        let timer = self.timer.get_or_insert_with(|| Timer {
            sleep: Box::pin(tokio::time::sleep(patience.unwrap_or(self.idle))),
            is_last: patience.is_none(),
        });
        ready!(timer.sleep.as_mut().poll(context));
        if !timer.is_last {
            timer.is_last = true;
            timer.sleep.as_mut().reset(Instant::now() + self.idle - patience.unwrap_or_default());
            self.observed.iter().for_each(|it| (it.observer.on_wait)(&it.host, None));
            ready!(timer.sleep.as_mut().poll(context));
        }
        Poll::Ready(())
    }

    /// Reads the whole body of at most `limit` bytes.
    ///
    /// # Errors
    /// [`HttpError::TooLong`], [`HttpError::Body`] if the connection breaks, or [`HttpError::BodyIdle`].
    pub async fn read(self, limit: usize) -> Result<Bytes, HttpError> {
        Ok(self.limited(limit).collect().await?.to_bytes())
    }

    /// The same body, which fails with [`HttpError::TooLong`] after `limit` bytes.
    pub fn limited(self, limit: usize) -> impl Body<Data = Bytes, Error = HttpError> + Send + Sync + 'static {
        http_body_util::Limited::new(self, limit).map_err(move |it| match it.downcast::<HttpError>() {
            Ok(error) => *error,
            Err(_) => HttpError::TooLong(limit),
        })
    }

    /// Reads the next chunk; `None` at the end of the body.
    ///
    /// # Errors
    /// [`HttpError::Body`] if the connection breaks, or [`HttpError::BodyIdle`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, HttpError> {
        while let Some(frame) = self.frame().await {
            // Trailers are ignored.
            if let Ok(data) = frame?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.timer = None;
            self.counted.iter().filter(|_| matches!(frame, Some(Ok(_)))).for_each(Exchange::progress);
            return Poll::Ready(frame.map(|it| it.map_err(HttpError::Body)));
        }
        ready!(self.poll_idle(context));
        Poll::Ready(Some(Err(HttpError::BodyIdle(self.idle))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
