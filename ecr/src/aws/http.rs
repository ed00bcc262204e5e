//! The SDK's requests over the connections that the registry's client uses, too: one HTTP stack to compile, not two.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use hyper_util::client::legacy;

use crate::error::causes;
use crate::http::{Client, Trust, client, is_tls};

/// The HTTP client that the SDK is given.
#[derive(Clone, Default)]
pub struct Connections(Arc<Mutex<Clients>>);

/// One for each time limit on connecting; the SDK uses few.
type Clients = BTreeMap<(Trust, Option<Duration>), Client<SdkBody>>;

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connections")
    }
}

impl Connections {
    fn client(&self, trust: Trust, connect_timeout: Option<Duration>) -> io::Result<Client<SdkBody>> {
        let mut clients = self.0.lock().unwrap_or_else(|it| it.into_inner());
        if let Some(known) = clients.get(&(trust, connect_timeout)) {
            return Ok(known.clone());
        }
        let new = client(trust, connect_timeout)?;
        clients.insert((trust, connect_timeout), new.clone());
        Ok(new)
    }
}

impl HttpClient for Connections {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Limited { connections: self.clone(), settings: settings.clone() })
    }
}

/// The connections with the time limits of one request.
#[derive(Debug)]
struct Limited {
    connections: Connections,
    settings: HttpConnectorSettings,
}

impl HttpConnector for Limited {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into()))),
        };
        let is_plain = request.uri().scheme_str() == Some("http");
        let trust = if is_plain { Trust::Nobody } else { Trust::System };
        let client = match self.connections.client(trust, self.settings.connect_timeout()) {
            Ok(client) => client,
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into()))),
        };
        let limit = self.settings.read_timeout();
        HttpConnectorFuture::new(async move {
            let answer = client.request(request);
            let answer = match limit {
                None => answer.await,
                Some(limit) => tokio::time::timeout(limit, answer).await.map_err(|_| late(limit))?,
            };
            let answer = answer.map_err(failed)?.map(SdkBody::from_body_1_x);
            HttpResponse::try_from(answer).map_err(|it| ConnectorError::other(it.into(), None))
        })
    }
}

fn late(limit: Duration) -> ConnectorError {
    ConnectorError::timeout(format!("no answer within {limit:?}").into())
}

/// What is worth another attempt: all but a request that cannot be sent, a server that speaks no HTTP, and one that is not
/// trusted.
fn failed(error: legacy::Error) -> ConnectorError {
    let of_hyper = causes(&error).find_map(|it| it.downcast_ref::<hyper::Error>());
    let is_user = of_hyper.is_some_and(hyper::Error::is_user);
    let is_lasting = of_hyper.is_some_and(hyper::Error::is_parse) || is_tls(&error);
    match (is_user, is_lasting) {
        (true, _) => ConnectorError::user(error.into()),
        (_, true) => ConnectorError::other(error.into(), None),
        _ => ConnectorError::io(error.into()),
    }
}
