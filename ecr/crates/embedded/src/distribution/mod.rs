//! The data plane: the OCI distribution API under `/v2/`, with the behaviour of ECR.
//!
//! Specification: <https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md>

use std::sync::Arc;

use ecr_types::RepositoryName;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request};

use super::error::{NoResponse, OciError};
use super::faults::InjectedFaults;
use super::http::{Response, broken, header, json_response, query, with_header};
use super::model::RegistryKey;
use super::shared::{Shared, denial};
use super::sts::Caller;
use super::token::{self, CredentialsError};

mod blobs;
mod manifests;
mod route;
mod uploads;

pub use blobs::send;
use route::{Route, RouteTarget};

type OciResult = Result<Response, OciError>;
/// The result of requests that an injected fault may leave without a response.
type ResponseOrDrop = Result<Response, NoResponse>;

/// A request to one repository.
pub struct Call {
    pub shared: Arc<Shared>,
    /// The account and region for which the password is valid.
    pub registry: RegistryKey,
    pub name: RepositoryName,
    pub injected: InjectedFaults,
}

/// Answers a request under `/v2/`; `None` if an injected fault drops the connection.
pub async fn response(shared: Arc<Shared>, mut request: Request<Incoming>) -> Option<Response> {
    let route = Route::parse(request.uri().path());
    let operation = match &route {
        Some(Route::In(_, target)) => operation(request.method(), target),
        _ => "GetAuthorizationToken",
    };
    let carried = carried(&request, route.as_ref());
    [operation].iter().chain(carried).for_each(|it| shared.note_operation(it));
    let injected = shared.faults.inject(operation);
    injected.wait().await;
    let host = shared.host.clone();
    let operations = (operation, carried);
    let response = match dispatch(shared, &mut request, route, operations, injected).await {
        Ok(response) => response,
        Err(NoResponse::Dropped) => return None,
        Err(NoResponse::Refused(error)) => drained(refuse(&error, &host), &mut request).await,
    };
    Some(if injected.drop { broken(response) } else { response })
}

async fn dispatch(
    shared: Arc<Shared>,
    request: &mut Request<Incoming>,
    route: Option<Route>,
    (operation, carried): (&str, &[&str]),
    injected: InjectedFaults,
) -> ResponseOrDrop {
    let registry = authenticate(&shared, header(request, "authorization"), injected)?;
    let route = route.ok_or_else(|| OciError::new(404, "NAME_INVALID", "no such path"))?;
    let Some((name, target)) = route.repository() else {
        return Ok(json_response(200, &serde_json::json!({})));
    };
    let name = name
        .parse()
        .map_err(|it: ecr_types::InvalidName| OciError::new(400, "NAME_INVALID", it.to_string()))?;
    permit(&shared, &registry, operation, injected)?;
    carried.iter().try_for_each(|it| permitted(&shared, &registry, it))?;
    let call = Call { shared, registry, name, injected };
    call.check_repository()?;
    call.response(request, target).await
}

impl Call {
    async fn response(&self, request: &mut Request<Incoming>, target: RouteTarget) -> ResponseOrDrop {
        match target {
            RouteTarget::Uploads | RouteTarget::Upload(_) => self.upload(request, target).await,
            target => Ok(self.read_or_write(request, target).await?),
        }
    }

    async fn upload(&self, request: &mut Request<Incoming>, target: RouteTarget) -> ResponseOrDrop {
        match (request.method().clone(), target) {
            (Method::POST, RouteTarget::Uploads) => uploads::start(self, request).await,
            (Method::PATCH, RouteTarget::Upload(id)) => uploads::append(self, &id, request).await,
            (Method::PUT, RouteTarget::Upload(id)) => uploads::finish(self, &id, request).await,
            (Method::GET, RouteTarget::Upload(id)) => Ok(uploads::status(self, &id)?),
            (Method::DELETE, RouteTarget::Upload(id)) => Ok(uploads::cancel(self, &id)?),
            (method, _) => Err(unsupported(&method).into()),
        }
    }

    async fn read_or_write(&self, request: &mut Request<Incoming>, target: RouteTarget) -> OciResult {
        let method = request.method().clone();
        match (&method, target) {
            (&Method::HEAD | &Method::GET, RouteTarget::Blob(digest)) => {
                blobs::get(self, &digest, &method, header(request, "range"))
            }
            (&Method::HEAD | &Method::GET, RouteTarget::Manifest(reference)) => {
                manifests::get(self, &reference, &method)
            }
            (&Method::PUT, RouteTarget::Manifest(reference)) => {
                manifests::put(self, &reference, request).await
            }
            (&Method::DELETE, RouteTarget::Manifest(reference)) => manifests::delete(self, &reference),
            (&Method::GET, RouteTarget::Tags) => manifests::tags(self, request),
            (&Method::GET, RouteTarget::Referrers(digest)) => {
                manifests::referrers(self, &digest, query(request, "artifactType").as_deref())
            }
            (method, _) => Err(unsupported(method)),
        }
    }

    fn check_repository(&self) -> Result<(), OciError> {
        match self.shared.store().model().repository(&self.registry, &self.name) {
            Some(_) => Ok(()),
            None => Err(OciError::name_unknown(self.name.as_str(), self.registry.account.as_str())),
        }
    }
}

fn unsupported(method: &Method) -> OciError {
    OciError::new(405, "UNSUPPORTED", format!("the embedded ECR does not support {method} here"))
}

/// The registry for which the request's credentials are valid.
fn authenticate(
    shared: &Shared,
    authorization: Option<&str>,
    injected: InjectedFaults,
) -> Result<RegistryKey, OciError> {
    let now = shared.now() as u64;
    let checked = token::check(shared.store().secret(), authorization, now);
    let checked = if injected.expire { checked.and(Err(CredentialsError::Expired)) } else { checked };
    checked.map_err(|error| match error {
        CredentialsError::Missing => OciError::new(401, "UNAUTHORIZED", "no basic auth credentials"),
        CredentialsError::Invalid => OciError::new(401, "UNAUTHORIZED", "Not Authorized"),
        CredentialsError::Expired => OciError::new(
            403,
            "DENIED",
            "Your authorization token has expired. Reauthenticate and try again.",
        ),
    })
}

/// The operation whose permission ECR requires for a request (Amazon ECR user guide, "Private repository policies": the data
/// plane has the same actions as the control plane).
fn operation(method: &Method, target: &RouteTarget) -> &'static str {
    match (method, target) {
        (&Method::HEAD, RouteTarget::Blob(_)) => "BatchCheckLayerAvailability",
        (_, RouteTarget::Blob(_)) => "GetDownloadUrlForLayer",
        (_, RouteTarget::Uploads) => "InitiateLayerUpload",
        (&Method::PUT, RouteTarget::Upload(_)) => "CompleteLayerUpload",
        (_, RouteTarget::Upload(_)) => "UploadLayerPart",
        (&Method::PUT, RouteTarget::Manifest(_)) => "PutImage",
        (&Method::DELETE, RouteTarget::Manifest(_)) => "BatchDeleteImage",
        (_, RouteTarget::Manifest(_)) => "BatchGetImage",
        (_, RouteTarget::Referrers(_)) => "ListImageReferrers",
        (_, RouteTarget::Tags) => "ListImages",
    }
}

/// The further operations of a request that does several things at once: the last request of an upload can have content, and
/// the first request can do the whole upload.
fn carried(request: &Request<Incoming>, route: Option<&Route>) -> &'static [&'static str] {
    let has_body = !hyper::body::Body::is_end_stream(request.body());
    match (request.method(), route) {
        (&Method::PUT, Some(Route::In(_, RouteTarget::Upload(_)))) if has_body => &["UploadLayerPart"],
        (&Method::POST, Some(Route::In(_, RouteTarget::Uploads))) if query(request, "digest").is_some() => {
            &["UploadLayerPart", "CompleteLayerUpload"]
        }
        _ => &[],
    }
}

fn permit(
    shared: &Shared,
    registry: &RegistryKey,
    operation: &str,
    injected: InjectedFaults,
) -> Result<(), OciError> {
    if injected.error {
        return Err(OciError::internal(&"injected fault"));
    }
    if injected.throttle {
        return Err(OciError::new(429, "TOOMANYREQUESTS", "Rate exceeded"));
    }
    permitted(shared, registry, operation)
}

fn permitted(shared: &Shared, registry: &RegistryKey, operation: &str) -> Result<(), OciError> {
    match shared.faults.denies(operation) {
        true => {
            let root = Caller::Root(registry.account.clone());
            Err(OciError::new(403, "DENIED", denial(operation, &root.arn())))
        }
        false => Ok(()),
    }
}

/// The maximum number of bytes of a rejected request that are read to keep its connection open.
const DRAINED: usize = 1024 * 1024;

/// Prepares the response to a request that is rejected before its body was read. A short body is read to its end, so that the
/// connection can be reused. With a long one, the response announces the end of the connection (RFC 9112, section 9.6).
async fn drained(response: Response, request: &mut Request<Incoming>) -> Response {
    match Limited::new(request.body_mut(), DRAINED).collect().await {
        Ok(_) => response,
        Err(_) => with_header(response, "connection", "close"),
    }
}

fn refuse(error: &OciError, host: &str) -> Response {
    let mut response = json_response(error.status, &error.body());
    for (name, value) in &error.headers {
        response = with_header(response, name, value);
    }
    if error.status != 401 {
        return response;
    }
    let challenge = format!("Basic realm=\"http://{host}/\",service=\"ecr.amazonaws.com\"");
    with_header(response, "www-authenticate", &challenge)
}

/// The parsers, for fuzzing.
#[cfg(test)]
pub mod fuzzing {
    pub use super::blobs::requested_part as parse_range;
    pub use super::route::Route;
}
