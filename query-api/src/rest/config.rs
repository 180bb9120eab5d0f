//! How this process is set up, for those who run it. Each value is chosen here one by one, so that no secret can get
//! in by being added somewhere else.

use super::Problems;
use crate::auth::Auth;
use crate::auth::settings::{Grant, Oidc, Settings};
use crate::{App, Options};
use axum::Json;
use axum::extract::State;
use clap::ValueEnum as _;
use process::{ClickHouseOptions, KafkaOptions};
use reqwest::Url;
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(config))
}

/// The settings that are in force, without secrets.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigAnswer {
    /// Of this program.
    version: &'static str,
    listen: String,
    tls: bool,
    /// Origins whose pages may connect.
    origins: Vec<String>,
    /// Origins whose pages may read answers with a token.
    cors_origins: Vec<String>,
    topic_prefix: String,
    live_memory_mib: u32,
    degraded_error_rate: f64,
    down_error_rate: f64,
    status_least_requests: u32,
    /// Of one caller; 0: any number.
    requests_per_second: u32,
    kafka: KafkaShown,
    clickhouse: ClickHouseShown,
    auth: AuthShown,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct KafkaShown {
    brokers: String,
    security: String,
    user: Option<String>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ClickHouseShown {
    url: String,
    user: String,
    database: String,
}

#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AuthShown {
    on: bool,
    grants: Vec<GrantShown>,
    tokens: Vec<TokenShown>,
    oidc: Option<OidcShown>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct GrantShown {
    name: String,
    role: String,
    /// null: all.
    environments: Option<BTreeSet<String>>,
    /// null: all.
    namespaces: Option<BTreeSet<String>>,
    claims: Vec<String>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TokenShown {
    name: String,
    grant: String,
    expires: Option<String>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OidcShown {
    issuer: String,
    audience: Option<String>,
    grants_claim: String,
    client_id: Option<String>,
    public_url: Option<String>,
    session_seconds: Option<u64>,
}

/// How the query API is set up, without secrets
#[utoipa::path(get, path = "/api/v1/config", tag = "admin",
    responses((status = 200, body = ConfigAnswer), Problems))]
async fn config(State(app): State<App>) -> Json<ConfigAnswer> {
    Json(ConfigAnswer::clone(&app.config))
}

impl ConfigAnswer {
    /// From what was given at start.
    pub fn new(options: &Options, auth: &Auth) -> Arc<Self> {
        Arc::new(Self {
            version: env!("CARGO_PKG_VERSION"),
            listen: options.listen.to_string(),
            tls: options.tls_cert.is_some(),
            origins: options.origin.clone(),
            cors_origins: options.cors_origin.clone(),
            topic_prefix: options.topic_prefix.clone(),
            live_memory_mib: options.live_memory_mib,
            degraded_error_rate: options.degraded_error_rate,
            down_error_rate: options.down_error_rate,
            status_least_requests: options.status_least_requests,
            requests_per_second: options.requests_per_second,
            kafka: KafkaShown::new(&options.kafka),
            clickhouse: ClickHouseShown::new(&options.clickhouse),
            auth: AuthShown::new(auth),
        })
    }
}

impl KafkaShown {
    fn new(kafka: &KafkaOptions) -> Self {
        let security = kafka.kafka_security.to_possible_value();
        Self {
            brokers: kafka.kafka.clone(),
            security: security.map(|value| value.get_name().to_owned()).unwrap_or_default(),
            user: kafka.kafka_user.clone(),
        }
    }
}

impl ClickHouseShown {
    fn new(clickhouse: &ClickHouseOptions) -> Self {
        // An address may hold a name and a password, or parameters.
        let url = Url::parse(&clickhouse.clickhouse).map(|url| url.origin().ascii_serialization());
        Self {
            url: url.unwrap_or_default(),
            user: clickhouse.clickhouse_user.clone(),
            database: clickhouse.clickhouse_database.clone(),
        }
    }
}

impl AuthShown {
    fn new(auth: &Auth) -> Self {
        let Some(guard) = auth.guard() else { return Self::default() };
        let Settings { grants, tokens, .. } = &guard.settings;
        let tokens = tokens.iter().map(|token| TokenShown {
            name: token.name.clone(),
            grant: token.grant.name.clone(),
            expires: token.expires.map(|time| time.to_string()),
        });
        let oidc = guard.provider.as_ref().map(|provider| OidcShown::new(&provider.settings));
        Self {
            on: true,
            grants: grants.iter().map(|grant| GrantShown::new(grant)).collect(),
            tokens: tokens.collect(),
            oidc,
        }
    }
}

impl GrantShown {
    fn new(grant: &Grant) -> Self {
        Self {
            name: grant.name.clone(),
            role: grant.role.as_str().to_owned(),
            environments: grant.allowed.environments.as_deref().cloned(),
            namespaces: grant.allowed.namespaces.as_deref().cloned(),
            claims: grant.claims.clone(),
        }
    }
}

impl OidcShown {
    fn new(oidc: &Oidc) -> Self {
        let login = oidc.login.as_ref();
        Self {
            issuer: oidc.issuer.to_string(),
            audience: oidc.audience.clone(),
            grants_claim: oidc.grants_claim.clone(),
            client_id: login.map(|login| login.client_id.clone()),
            public_url: login.map(|login| login.public_url.to_string()),
            session_seconds: login.map(|login| login.session.as_secs()),
        }
    }
}
