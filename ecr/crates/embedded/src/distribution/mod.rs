//! The data plane: the OCI distribution API under `/v2/`, with the behaviour of ECR.
//!
//! Specification: <https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md>

use std::sync::Arc;

use ecr_types::RepositoryName;
use ecr_types::permission::RegistryRequest;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request};

use super::access::{Access, Target};
use super::error::{NoResponse, OciError};
use super::faults::InjectedFaults;
use super::http::{Response, broken, header, json_response, query, text_response, with_header};
use super::model::{RegistryKey, Repository};
use super::shared::{Compat, Shared};
use super::store::Queries;
use super::token::{self, CredentialsError};
use super::{creation, upstream};

mod blobs;
mod lists;
mod manifests;
mod route;
mod uploads;

pub use blobs::send;
use route::{Route, RouteTarget};

type OciResult = Result<Response, OciError>;
/// The result of requests that an injected fault may leave without a response.
type ResponseOrDrop = Result<Response, NoResponse>;

/// A request to a registry.
pub struct Registry {
    pub shared: Arc<Shared>,
    /// The account and region that are asked for.
    pub key: RegistryKey,
    /// The ARN of the caller.
    pub caller: String,
    /// The header `Host` of the request.
    pub host: String,
}

/// A request to one repository.
pub struct Call {
    pub registry: Registry,
    pub name: RepositoryName,
    pub repository: Repository,
    pub injected: InjectedFaults,
}

/// Answers a request under `/v2/`; `None` if an injected fault drops the connection.
pub async fn response(shared: Arc<Shared>, mut request: Request<Incoming>) -> Option<Response> {
    let route = Route::parse(request.uri().path());
    let actions = actions(&request, route.as_ref());
    actions.iter().for_each(|it| shared.note_operation(it));
    let injected = shared.faults.inject(actions.first().copied().unwrap_or_default());
    injected.wait().await;
    let host = header(&request, "host").unwrap_or(&shared.host).to_owned();
    let url = shared.url_of(&host);
    let is_ecr = shared.settings.compat == Compat::Ecr;
    let response = match dispatch(shared, &mut request, route, host, actions, injected).await {
        Ok(response) => response,
        Err(NoResponse::Dropped) => return None,
        Err(NoResponse::Refused(error)) => drained(refuse(&error, &url, is_ecr), &mut request).await,
    };
    Some(if injected.drop { broken(response) } else { response })
}

/// The actions that are checked for a request.
fn actions(request: &Request<Incoming>, route: Option<&Route>) -> &'static [&'static str] {
    let has_body = !hyper::body::Body::is_end_stream(request.body());
    let is_whole = query(request, "digest").is_some();
    let request = route.map(|it| it.request(request.method(), is_whole, has_body));
    request.unwrap_or(RegistryRequest::Version).actions()
}

async fn dispatch(
    shared: Arc<Shared>,
    request: &mut Request<Incoming>,
    route: Option<Route>,
    host: String,
    actions: &[&'static str],
    injected: InjectedFaults,
) -> ResponseOrDrop {
    let registry = authenticate(shared, header(request, "authorization"), host, injected)?;
    let Some(route) = route else {
        return Ok(text_response(404, "text/plain", "404 page not found\n".to_owned()));
    };
    injected_error(injected)?;
    match route {
        Route::Version => Ok(json_response(200, &serde_json::json!({}))),
        Route::Catalog => {
            actions.iter().try_for_each(|it| registry.permit(it, None))?;
            Ok(lists::catalog(&registry, request)?)
        }
        Route::In(name, target) => {
            let name: RepositoryName = name
                .parse()
                .map_err(|it: ecr_types::InvalidName| OciError::new(400, "NAME_INVALID", it.to_string()))?;
            let repository = registry.repository(&name, &target, request.method(), actions).await?;
            let call = Call { registry, name, repository, injected };
            call.response(request, target).await
        }
    }
}

impl Registry {
    /// The repository of a request, if the caller may do what it asks for. A pull through the cache and a push may create it.
    async fn repository(
        &self,
        name: &RepositoryName,
        target: &RouteTarget,
        method: &Method,
        actions: &[&str],
    ) -> Result<Repository, OciError> {
        let mut found = self.shared.store.read()?.repository(&self.key, name)?;
        let named = Target { name, repository: found.as_ref() };
        actions.iter().try_for_each(|it| self.permit(it, Some(named)))?;
        if let (RouteTarget::Manifest(tag), &(Method::GET | Method::HEAD)) = (target, method) {
            upstream::refresh(self, name, tag).await;
            found = self.shared.store.read()?.repository(&self.key, name)?;
        }
        let begins_push = matches!(
            (target, method),
            (RouteTarget::Uploads, &Method::POST) | (RouteTarget::Manifest(_), &Method::PUT)
        );
        let repository = match found {
            None if begins_push => creation::on_push(&self.shared, &self.key, &self.caller, name)?,
            found => found,
        };
        repository.ok_or_else(|| OciError::name_unknown(name.as_str(), self.key.account.as_str()))
    }

    /// Fails if the caller may not do this, in a repository or in the registry as a whole.
    fn permit(&self, operation: &str, target: Option<Target<'_>>) -> Result<(), OciError> {
        let record = self.shared.store.read()?.registry(&self.key)?;
        let access = Access { registry: &self.key, record: &record, caller: &self.caller, operation, target };
        let denied = access.denial(&self.shared);
        denied.map_or(Ok(()), |message| Err(OciError::new(403, "DENIED", message)))
    }
}

impl Call {
    /// Whether the server behaves as ECR does where the specification wants something else.
    fn is_ecr(&self) -> bool {
        self.registry.shared.settings.compat == Compat::Ecr
    }

    /// Fails if the caller may not mount blobs of another repository.
    fn permit_mount(&self, name: &RepositoryName, repository: &Repository) -> Result<(), OciError> {
        let target = Some(Target { name, repository: Some(repository) });
        let permit = |operation: &&str| {
            self.registry.shared.note_operation(operation);
            self.registry.permit(operation, target)
        };
        RegistryRequest::MountSource.actions().iter().try_for_each(permit)
    }

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
            (&Method::HEAD | &Method::GET, RouteTarget::Blob(digest)) => blobs::get(self, &digest, request),
            (&Method::HEAD | &Method::GET, RouteTarget::Manifest(reference)) => {
                manifests::get(self, &reference, request)
            }
            (&Method::PUT, RouteTarget::Manifest(reference)) => {
                manifests::put(self, &reference, request).await
            }
            (&Method::DELETE, RouteTarget::Manifest(reference)) => manifests::delete(self, &reference),
            (&Method::GET, RouteTarget::Tags) => lists::tags(self, request),
            (&Method::GET, RouteTarget::Referrers(digest)) => {
                manifests::referrers(self, &digest, query(request, "artifactType").as_deref())
            }
            (method, _) => Err(unsupported(method)),
        }
    }
}

fn unsupported(method: &Method) -> OciError {
    OciError::new(405, "UNSUPPORTED", format!("the embedded ECR does not support {method} here"))
}

/// The registry that a request asks for, if its credentials are valid. It is that of the host, else that for which the
/// password was issued.
fn authenticate(
    shared: Arc<Shared>,
    authorization: Option<&str>,
    host: String,
    injected: InjectedFaults,
) -> Result<Registry, OciError> {
    let checked = token::check(shared.store.secret(), authorization, shared.now() as u64);
    let checked = if injected.expire { checked.and(Err(CredentialsError::Expired)) } else { checked };
    let password = checked.map_err(|error| match error {
        CredentialsError::Missing | CredentialsError::Invalid => {
            OciError::new(401, "UNAUTHORIZED", "Not Authorized")
        }
        CredentialsError::Expired => OciError::new(
            403,
            "DENIED",
            "Your authorization token has expired. Reauthenticate and try again.",
        ),
    })?;
    let key = RegistryKey::of_host(&host).unwrap_or(password.registry);
    Ok(Registry { shared, key, caller: password.caller, host })
}

fn injected_error(injected: InjectedFaults) -> Result<(), OciError> {
    if injected.error {
        return Err(OciError::internal(&"injected fault"));
    }
    if injected.throttle {
        return Err(OciError::new(429, "TOOMANYREQUESTS", "Rate exceeded"));
    }
    Ok(())
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

/// `url` is that of the server.
fn refuse(error: &OciError, url: &str, is_ecr: bool) -> Response {
    let mut response = match (error.status, is_ecr) {
        // mdlavin/copy-docker-image#5, enix/kube-image-keeper#172
        (401, true) => text_response(401, "text/plain; charset=utf-8", format!("{}\n", error.message)),
        _ => json_response(error.status, &error.body()),
    };
    for (name, value) in &error.headers {
        response = with_header(response, name, value);
    }
    if error.status != 401 {
        return response;
    }
    let challenge = format!("Basic realm=\"{url}/\",service=\"ecr.amazonaws.com\"");
    with_header(response, "www-authenticate", &challenge)
}

/// The parsers, for fuzzing.
#[cfg(test)]
pub mod fuzzing {
    pub use super::blobs::requested_part as parse_range;
    pub use super::route::Route;
}
