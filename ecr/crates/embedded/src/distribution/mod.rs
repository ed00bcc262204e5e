//! The data plane: OCI distribution under `/v2/`, with ECR's manners.
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
use super::shared::Shared;
use super::token::{self, Refused};

mod blobs;
mod manifests;
mod route;
mod uploads;

pub use blobs::send;
use route::{Route, Target};

/// A response, or a refusal.
type Answer = Result<Response, OciError>;
/// The same of requests that an injected fault may leave without a response.
type AnswerOrDrop = Result<Response, NoResponse>;

/// A request to one repository.
pub struct Call {
    /// What all requests share.
    pub shared: Arc<Shared>,
    /// The account and region that the password is good for.
    pub registry: RegistryKey,
    /// The repository.
    pub name: RepositoryName,
    /// The faults that strike the request.
    pub injected: InjectedFaults,
}

/// Answers one request under `/v2/`; `None` for one that a fault leaves without an answer.
pub async fn answer(shared: Arc<Shared>, mut request: Request<Incoming>) -> Option<Response> {
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
) -> AnswerOrDrop {
    let registry = authenticate(&shared, header(request, "authorization"), injected)?;
    let route = route.ok_or_else(|| OciError::new(404, "NAME_INVALID", "no such path"))?;
    let Some((name, target)) = route.repository() else {
        return Ok(json_response(200, &serde_json::json!({})));
    };
    let name = name
        .parse()
        .map_err(|it: ecr_types::InvalidName| OciError::new(400, "NAME_INVALID", it.to_string()))?;
    permit(&shared, operation, injected)?;
    carried.iter().try_for_each(|it| permitted(&shared, it))?;
    let call = Call { shared, registry, name, injected };
    call.check_repository()?;
    call.answer(request, target).await
}

impl Call {
    async fn answer(&self, request: &mut Request<Incoming>, target: Target) -> AnswerOrDrop {
        match target {
            Target::Uploads | Target::Upload(_) => self.upload(request, target).await,
            target => Ok(self.read_or_write(request, target).await?),
        }
    }

    async fn upload(&self, request: &mut Request<Incoming>, target: Target) -> AnswerOrDrop {
        match (request.method().clone(), target) {
            (Method::POST, Target::Uploads) => uploads::start(self, request).await,
            (Method::PATCH, Target::Upload(id)) => uploads::append(self, &id, request).await,
            (Method::PUT, Target::Upload(id)) => uploads::finish(self, &id, request).await,
            (Method::GET, Target::Upload(id)) => Ok(uploads::status(self, &id)?),
            (Method::DELETE, Target::Upload(id)) => Ok(uploads::cancel(self, &id)?),
            (method, _) => Err(unsupported(&method).into()),
        }
    }

    async fn read_or_write(&self, request: &mut Request<Incoming>, target: Target) -> Answer {
        let method = request.method().clone();
        match (&method, target) {
            (&Method::HEAD | &Method::GET, Target::Blob(digest)) => {
                blobs::get(self, &digest, &method, header(request, "range"))
            }
            (&Method::HEAD | &Method::GET, Target::Manifest(reference)) => {
                manifests::get(self, &reference, &method)
            }
            (&Method::PUT, Target::Manifest(reference)) => manifests::put(self, &reference, request).await,
            (&Method::DELETE, Target::Manifest(reference)) => manifests::delete(self, &reference),
            (&Method::GET, Target::Tags) => manifests::tags(self, request.uri().query()),
            (&Method::GET, Target::Referrers(digest)) => {
                manifests::referrers(self, &digest, query(request, "artifactType").as_deref())
            }
            (method, _) => Err(unsupported(method)),
        }
    }

    fn check_repository(&self) -> Result<(), OciError> {
        match self.shared.store().model().repository(&self.registry, &self.name) {
            Some(_) => Ok(()),
            None => Err(OciError::name_unknown(self.name.as_str(), self.shared.settings.account.as_str())),
        }
    }
}

fn unsupported(method: &Method) -> OciError {
    OciError::new(405, "UNSUPPORTED", format!("the embedded ECR does not support {method} here"))
}

/// The registry that the request's credentials are good for.
fn authenticate(
    shared: &Shared,
    authorization: Option<&str>,
    injected: InjectedFaults,
) -> Result<RegistryKey, OciError> {
    let now = shared.now() as u64;
    let checked = token::check(shared.store().secret(), authorization, now);
    let checked = if injected.expire { checked.and(Err(Refused::Expired)) } else { checked };
    checked.map_err(|refused| match refused {
        Refused::Missing => OciError::new(401, "UNAUTHORIZED", "no basic auth credentials"),
        Refused::Wrong => OciError::new(401, "UNAUTHORIZED", "Not Authorized"),
        Refused::Expired => OciError::new(
            403,
            "DENIED",
            "Your authorization token has expired. Reauthenticate and try again.",
        ),
    })
}

/// The permission that ECR wants for a request (AWS, "Private repository policies": the data plane is mapped
/// to the same actions as the control plane).
fn operation(method: &Method, target: &Target) -> &'static str {
    match (method, target) {
        (&Method::HEAD, Target::Blob(_)) => "BatchCheckLayerAvailability",
        (_, Target::Blob(_)) => "GetDownloadUrlForLayer",
        (_, Target::Uploads) => "InitiateLayerUpload",
        (&Method::PUT, Target::Upload(_)) => "CompleteLayerUpload",
        (_, Target::Upload(_)) => "UploadLayerPart",
        (&Method::PUT, Target::Manifest(_)) => "PutImage",
        (&Method::DELETE, Target::Manifest(_)) => "BatchDeleteImage",
        (_, Target::Manifest(_)) => "BatchGetImage",
        (_, Target::Referrers(_)) => "ListImageReferrers",
        (_, Target::Tags) => "ListImages",
    }
}

/// The further permissions that a request wants which does several things at once: the last one of an upload may bring
/// the bytes, the first one all of it.
fn carried(request: &Request<Incoming>, route: Option<&Route>) -> &'static [&'static str] {
    let has_body = !hyper::body::Body::is_end_stream(request.body());
    match (request.method(), route) {
        (&Method::PUT, Some(Route::In(_, Target::Upload(_)))) if has_body => &["UploadLayerPart"],
        (&Method::POST, Some(Route::In(_, Target::Uploads))) if query(request, "digest").is_some() => {
            &["UploadLayerPart", "CompleteLayerUpload"]
        }
        _ => &[],
    }
}

fn permit(shared: &Shared, operation: &str, injected: InjectedFaults) -> Result<(), OciError> {
    if injected.error {
        return Err(OciError::internal(&"a fault was asked for"));
    }
    if injected.throttle {
        return Err(OciError::new(429, "TOOMANYREQUESTS", "Rate exceeded"));
    }
    permitted(shared, operation)
}

fn permitted(shared: &Shared, operation: &str) -> Result<(), OciError> {
    match shared.faults.denies(operation) {
        true => Err(OciError::new(403, "DENIED", shared.denial(operation))),
        false => Ok(()),
    }
}

/// The most bytes of a refused request that are read to keep its connection.
const DRAINED: usize = 1024 * 1024;

/// A request that is refused before its body was read: a short body is read to its end, so that the connection can be
/// used again; with a long one the end of the connection is announced (RFC 9112, section 9.6).
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

/// What only the fuzzing sees.
#[cfg(test)]
pub mod fuzzing {
    pub use super::blobs::wanted_part as parse_range;
    pub use super::route::Route;
}
