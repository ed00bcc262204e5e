//! The data plane: OCI distribution under `/v2/`, with ECR's manners.
//!
//! Specification: <https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md>

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request};

use super::error::RegistryError;
use super::http::{Response, header, json_response, with_header};
use super::model::RegistryKey;
use super::shared::Shared;
use super::token::{self, Refused};
use crate::name::RepositoryName;

mod blobs;
mod manifests;
mod route;
mod uploads;

use route::Route;
pub use uploads::Upload;

type Answer = Result<Response, RegistryError>;

/// A request to one repository.
pub struct Call {
    /// What all requests share.
    pub shared: Arc<Shared>,
    /// The account and region that the password is good for.
    pub registry: RegistryKey,
    /// The repository.
    pub name: RepositoryName,
}

/// Answers one request under `/v2/`.
pub async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Response {
    let host = shared.host.clone();
    match dispatch(shared, request).await {
        Ok(response) => response,
        Err(error) => refuse(&error, &host),
    }
}

async fn dispatch(shared: Arc<Shared>, request: Request<Incoming>) -> Answer {
    let registry = authenticate(&shared, header(&request, "authorization"))?;
    let path = request.uri().path().to_owned();
    let route = Route::parse(&path).ok_or_else(|| RegistryError::new(404, "NAME_INVALID", "no such path"))?;
    let Some((name, target)) = route.repository() else {
        return Ok(json_response(200, &serde_json::json!({})));
    };
    let name = name
        .parse()
        .map_err(|it: crate::name::InvalidName| RegistryError::new(400, "NAME_INVALID", it.to_string()))?;
    let operation = operation(request.method(), &target);
    shared.log(operation);
    permit(&shared, operation)?;
    let call = Call { shared, registry, name };
    call.check_repository()?;
    use route::Target;
    match (request.method().clone(), target) {
        (Method::HEAD | Method::GET, Target::Blob(digest)) => blobs::get(&call, &digest, request.method()),
        (Method::POST, Target::Uploads) => uploads::start(&call, request).await,
        (Method::PATCH, Target::Upload(id)) => uploads::append(&call, &id, request).await,
        (Method::PUT, Target::Upload(id)) => uploads::finish(&call, &id, request).await,
        (Method::GET, Target::Upload(id)) => uploads::status(&call, &id),
        (Method::DELETE, Target::Upload(id)) => uploads::cancel(&call, &id),
        (Method::HEAD | Method::GET, Target::Manifest(reference)) => {
            manifests::get(&call, &reference, request.method())
        }
        (Method::PUT, Target::Manifest(reference)) => manifests::put(&call, &reference, request).await,
        (Method::GET, Target::Tags) => manifests::tags(&call, request.uri().query()),
        (method, _) => {
            let message = format!("the embedded ECR does not support {method} here");
            Err(RegistryError::new(405, "UNSUPPORTED", message))
        }
    }
}

impl Call {
    fn check_repository(&self) -> Result<(), RegistryError> {
        match self.shared.store().model().repository(&self.registry, &self.name) {
            Some(_) => Ok(()),
            None => Err(RegistryError::name_unknown(self.name.as_str(), self.shared.account.as_str())),
        }
    }
}

/// The registry that the request's credentials are good for.
fn authenticate(shared: &Shared, authorization: Option<&str>) -> Result<RegistryKey, RegistryError> {
    let now = shared.now() as u64;
    token::check(shared.store().secret(), authorization, now).map_err(|refused| match refused {
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
fn operation(method: &Method, target: &route::Target) -> &'static str {
    use route::Target;
    match (method, target) {
        (&Method::HEAD, Target::Blob(_)) => "BatchCheckLayerAvailability",
        (_, Target::Blob(_)) => "GetDownloadUrlForLayer",
        (_, Target::Uploads) => "InitiateLayerUpload",
        (&Method::PUT, Target::Upload(_)) => "CompleteLayerUpload",
        (_, Target::Upload(_)) => "UploadLayerPart",
        (&Method::PUT, Target::Manifest(_)) => "PutImage",
        (_, Target::Manifest(_)) => "BatchGetImage",
        (_, Target::Tags) => "ListImages",
    }
}

fn permit(shared: &Shared, operation: &str) -> Result<(), RegistryError> {
    if shared.faults.throttles(operation) {
        return Err(RegistryError::new(429, "TOOMANYREQUESTS", "Rate exceeded"));
    }
    if shared.faults.denies(operation) {
        return Err(RegistryError::new(403, "DENIED", shared.denial(operation)));
    }
    Ok(())
}

fn refuse(error: &RegistryError, host: &str) -> Response {
    let response = json_response(error.status, &error.body());
    if error.status != 401 {
        return response;
    }
    let challenge = format!("Basic realm=\"http://{host}/\",service=\"ecr.amazonaws.com\"");
    with_header(response, "www-authenticate", &challenge)
}
