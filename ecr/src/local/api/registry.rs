//! The registry as a whole: tokens, and its own scanning configuration.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Call};
use crate::local::error::ApiError;
use crate::local::model::Change;
use crate::local::token;

pub fn authorization_token(call: &Call<'_>) -> Answer {
    let expires_at = call.shared.now() as u64 + token::LIFETIME;
    let token = token::issue(call.shared.store().secret(), &call.registry, expires_at);
    Ok(json!({"authorizationData": [{
        "authorizationToken": token,
        "expiresAt": expires_at,
        "proxyEndpoint": format!("http://{}", call.shared.host),
    }]}))
}

pub fn describe(call: &Call<'_>) -> Answer {
    Ok(json!({"registryId": call.shared.account, "replicationConfiguration": {"rules": []}}))
}

pub fn get_scanning(call: &Call<'_>) -> Answer {
    let store = call.shared.store();
    let scanning = store.model().registry(&call.registry).and_then(|it| it.scanning.clone());
    let scanning = scanning.unwrap_or_else(|| json!({"scanType": "BASIC", "rules": []}));
    Ok(json!({"registryId": call.shared.account, "scanningConfiguration": scanning}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PutScanning {
    #[serde(default)]
    scan_type: Option<String>,
    #[serde(default)]
    rules: Vec<Value>,
}

pub fn put_scanning(call: &Call<'_>, input: PutScanning) -> Answer {
    let scan_type = input.scan_type.unwrap_or_else(|| "BASIC".to_owned());
    let scanning = json!({"scanType": scan_type, "rules": input.rules});
    let change = Change::PutScanning(call.registry.clone(), scanning.clone());
    call.shared.store().commit(vec![change]).map_err(|it| ApiError::internal(&it))?;
    Ok(json!({"registryScanningConfiguration": scanning}))
}
