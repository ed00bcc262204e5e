//! The data plane: OCI distribution under `/v2/`, with ECR's manners.
//!
//! Specification: <https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md>

use std::sync::Arc;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request};

use super::error::RegistryError;
use super::faults::Strikes;
use super::http::{Response, broken, header, json_response, query, with_header};
use super::model::RegistryKey;
use super::shared::Shared;
use super::token::{self, Refused};
use crate::name::RepositoryName;

mod blobs;
mod manifests;
mod route;
mod uploads;

pub use blobs::send;
use route::{Route, Target};

type Answer = Result<Response, RegistryError>;

/// A request to one repository.
pub struct Call {
    /// What all requests share.
    pub shared: Arc<Shared>,
    /// The account and region that the password is good for.
    pub registry: RegistryKey,
    /// The repository.
    pub name: RepositoryName,
    /// The faults that strike the request.
    pub strikes: Strikes,
}

/// Answers one request under `/v2/`; `None` for one that a fault leaves without an answer.
pub async fn answer(shared: Arc<Shared>, mut request: Request<Incoming>) -> Option<Response> {
    let route = Route::parse(request.uri().path());
    let operation = match &route {
        Some(Route::In(_, target)) => operation(request.method(), target),
        _ => "GetAuthorizationToken",
    };
    let carried = carried(&request, route.as_ref());
    [operation].iter().chain(carried).for_each(|it| shared.log(it));
    let strikes = shared.faults.strike(operation);
    strikes.wait().await;
    let host = shared.host.clone();
    let operations = (operation, carried);
    let response = match dispatch(shared, &mut request, route, operations, strikes).await {
        Ok(response) => response,
        Err(error) if error.status == 0 => return None,
        Err(error) => drained(refuse(&error, &host), &mut request).await,
    };
    Some(if strikes.drop { broken(response) } else { response })
}

async fn dispatch(
    shared: Arc<Shared>,
    request: &mut Request<Incoming>,
    route: Option<Route>,
    (operation, carried): (&str, &[&str]),
    strikes: Strikes,
) -> Answer {
    let registry = authenticate(&shared, header(request, "authorization"), strikes)?;
    let route = route.ok_or_else(|| RegistryError::new(404, "NAME_INVALID", "no such path"))?;
    let Some((name, target)) = route.repository() else {
        return Ok(json_response(200, &serde_json::json!({})));
    };
    let name = name
        .parse()
        .map_err(|it: crate::name::InvalidName| RegistryError::new(400, "NAME_INVALID", it.to_string()))?;
    permit(&shared, operation, strikes)?;
    carried.iter().try_for_each(|it| permitted(&shared, it))?;
    let call = Call { shared, registry, name, strikes };
    call.check_repository()?;
    call.answer(request, target).await
}

impl Call {
    async fn answer(&self, request: &mut Request<Incoming>, target: Target) -> Answer {
        let method = request.method().clone();
        match (&method, target) {
            (&Method::HEAD | &Method::GET, Target::Blob(digest)) => {
                blobs::get(self, &digest, &method, header(request, "range"))
            }
            (&Method::POST, Target::Uploads) => uploads::start(self, request).await,
            (&Method::PATCH, Target::Upload(id)) => uploads::append(self, &id, request).await,
            (&Method::PUT, Target::Upload(id)) => uploads::finish(self, &id, request).await,
            (&Method::GET, Target::Upload(id)) => uploads::status(self, &id),
            (&Method::DELETE, Target::Upload(id)) => uploads::cancel(self, &id),
            (&Method::HEAD | &Method::GET, Target::Manifest(reference)) => {
                manifests::get(self, &reference, &method)
            }
            (&Method::PUT, Target::Manifest(reference)) => manifests::put(self, &reference, request).await,
            (&Method::DELETE, Target::Manifest(reference)) => manifests::delete(self, &reference),
            (&Method::GET, Target::Tags) => manifests::tags(self, request.uri().query()),
            (&Method::GET, Target::Referrers(digest)) => {
                manifests::referrers(self, &digest, query(request, "artifactType").as_deref())
            }
            (method, _) => {
                let message = format!("the embedded ECR does not support {method} here");
                Err(RegistryError::new(405, "UNSUPPORTED", message))
            }
        }
    }

    fn check_repository(&self) -> Result<(), RegistryError> {
        match self.shared.store().model().repository(&self.registry, &self.name) {
            Some(_) => Ok(()),
            None => Err(RegistryError::name_unknown(self.name.as_str(), self.shared.account.as_str())),
        }
    }
}

/// The registry that the request's credentials are good for.
fn authenticate(
    shared: &Shared,
    authorization: Option<&str>,
    strikes: Strikes,
) -> Result<RegistryKey, RegistryError> {
    let now = shared.now() as u64;
    let checked = token::check(shared.store().secret(), authorization, now);
    let checked = if strikes.expire { checked.and(Err(Refused::Expired)) } else { checked };
    checked.map_err(|refused| match refused {
        Refused::Missing => RegistryError::new(401, "UNAUTHORIZED", "no basic auth credentials"),
        Refused::Wrong => RegistryError::new(401, "UNAUTHORIZED", "Not Authorized"),
        Refused::Expired => RegistryError::new(
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

fn permit(shared: &Shared, operation: &str, strikes: Strikes) -> Result<(), RegistryError> {
    if strikes.error {
        return Err(RegistryError::internal(&"a fault was asked for"));
    }
    if strikes.throttle {
        return Err(RegistryError::new(429, "TOOMANYREQUESTS", "Rate exceeded"));
    }
    permitted(shared, operation)
}

fn permitted(shared: &Shared, operation: &str) -> Result<(), RegistryError> {
    match shared.faults.denies(operation) {
        true => Err(RegistryError::new(403, "DENIED", shared.denial(operation))),
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

fn refuse(error: &RegistryError, host: &str) -> Response {
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
