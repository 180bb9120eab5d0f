//! How a browser logs in: the authorization-code flow of OpenID Connect with PKCE, state and nonce.

use super::claims::{self, Claims};
use super::provider::{self, Found, Provider};
use super::seal::random;
use super::sessions::{LOGIN, SESSION, Session, Sessions};
use super::settings::{Login, base64url};
use super::{Guard, permissions};
use crate::App;
use crate::access::{Access, Role};
use crate::ask::Ask;
use crate::error::ApiError;
use crate::rest::Problems;
use anyhow::Context as _;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;
use utoipa::ToSchema;

/// How long somebody may take to log in.
const LOGIN_TIME: Duration = Duration::from_secs(10 * 60);
/// Longest place to go to afterwards.
const NEXT_BYTES: usize = 1_024;
/// Longest code of the provider.
const CODE_BYTES: usize = 4_096;

/// A login in progress. Only the browser that has begun it can end it.
#[derive(Debug, Serialize, Deserialize)]
struct Pending {
    state: String,
    nonce: String,
    verifier: String,
    next: String,
    until: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginParameters {
    next: Option<String>,
}

/// What the provider sends the browser back with; providers add parameters of their own.
#[derive(Debug, Deserialize)]
struct CallbackParameters {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
    iss: Option<String>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    id_token: String,
}

/// Who the caller is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Me {
    /// `token:NAME`, `oidc:SUBJECT`, or `anonymous` where nobody is asked.
    who: String,
    /// Empty for programs, and where the provider doesn't say.
    name: String,
    role: Role,
    /// What they may know of; null: all.
    environments: Option<BTreeSet<String>>,
    /// As `environments`.
    namespaces: Option<BTreeSet<String>>,
    /// Whether `POST /auth/logout` ends something.
    can_log_out: bool,
}

/// `/auth/…`, for browsers; `/auth/me` is a question like others.
pub fn router() -> Router<App> {
    Router::new()
        .route("/auth/login", get(login))
        .route("/auth/callback", get(callback))
        .route("/auth/logout", post(logout))
}

async fn login(State(app): State<App>, Ask(asked): Ask<LoginParameters>) -> Result<Response, ApiError> {
    let (_, provider, login, sessions) = parts(&app)?;
    let next = asked.next.unwrap_or_else(|| "/".to_owned());
    if !is_local_path(&next) {
        return Err(ApiError::bad_request("next is no path of this server"));
    }
    let found = provider.places().await.map_err(|error| ApiError::too_many(error.to_string()))?;
    let secret = || base64url(&random::<32>());
    let until = Timestamp::now().as_second() + LOGIN_TIME.as_secs().cast_signed();
    let pending = Pending { state: secret(), nonce: secret(), verifier: secret(), next, until };
    let place = authorization(&found, login, &pending).map_err(misbehaves)?;
    let cookie = sessions.cookie(LOGIN, &sessions.close(LOGIN, &pending), LOGIN_TIME);
    redirect(place.as_str(), &[cookie])
}

fn authorization(found: &Found, login: &Login, pending: &Pending) -> anyhow::Result<Url> {
    let mut place =
        found.places.authorization_endpoint.clone().context("it names no authorization_endpoint")?;
    let challenge = base64url(digest(&SHA256, pending.verifier.as_bytes()).as_ref());
    place
        .query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &login.client_id)
        .append_pair("redirect_uri", &redirect_uri(login))
        .append_pair("scope", &login.scopes)
        .append_pair("state", &pending.state)
        .append_pair("nonce", &pending.nonce)
        .append_pair("code_challenge", &challenge)
        .append_pair("code_challenge_method", "S256");
    Ok(place)
}

async fn callback(
    State(app): State<App>,
    headers: HeaderMap,
    Ask(asked): Ask<CallbackParameters>,
) -> Result<Response, ApiError> {
    let (guard, provider, login, sessions) = parts(&app)?;
    let now = Timestamp::now().as_second();
    let pending: Option<Pending> = sessions.read(LOGIN, &headers);
    let pending = pending.filter(|pending| now < pending.until);
    let stale =
        || ApiError::bad_request("this login has expired or was begun elsewhere; begin again at /auth/login");
    let (pending, state) = pending.zip(asked.state).ok_or_else(stale)?;
    verify_slices_are_equal(pending.state.as_bytes(), state.as_bytes()).map_err(|_| stale())?;
    if asked.error.is_some() {
        return Err(ApiError::forbidden("the OpenID provider has refused the login"));
    }
    // RFC 9207: a code of another provider must not get here.
    let issuer = provider.settings.issuer.as_str().trim_end_matches('/');
    if asked.iss.is_some_and(|iss| iss.trim_end_matches('/') != issuer) {
        return Err(stale());
    }
    let code = asked.code.filter(|code| code.len() <= CODE_BYTES).ok_or_else(stale)?;
    let token = exchange(provider, login, &pending, &code).await.map_err(misbehaves)?;
    let claims = claims::verify(provider, &token, &login.client_id)
        .await
        .map_err(|error| ApiError::forbidden(error.to_string()))?;
    if !is_of_this_login(&claims, login, &pending) {
        return Err(ApiError::forbidden("the token of the OpenID provider is for another login"));
    }
    let grant = claims::grant(&guard.settings, &provider.settings.grants_claim, &claims)
        .ok_or_else(|| ApiError::forbidden("you are known, but nothing is granted to you here"))?;
    tracing::info!(target: "audit", who = claims::who(&claims), grant = grant.name, "logged in");
    let until = now + sessions.lasts.as_secs().cast_signed();
    let (who, name) = (claims::who(&claims), claims::name(&claims));
    let session = Session { who, name, grant: grant.name.clone(), until };
    let cookie = sessions.cookie(SESSION, &sessions.close(SESSION, &session), sessions.lasts);
    redirect(&pending.next, &[cookie, sessions.forget(LOGIN)])
}

/// The token for a code; only who has the verifier gets it.
async fn exchange(
    provider: &Provider,
    login: &Login,
    pending: &Pending,
    code: &str,
) -> anyhow::Result<String> {
    let found = provider.places().await?;
    let place = found.places.token_endpoint.clone().context("it names no token_endpoint")?;
    let uri = redirect_uri(login);
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &uri),
        ("code_verifier", &pending.verifier),
    ];
    let request = provider.client.post(place).header("accept", "application/json");
    let request = match &login.client_secret {
        Some(secret) if !found.secret_in_form() => {
            request.basic_auth(encoded(&login.client_id), Some(encoded(secret.reveal())))
        }
        Some(secret) => {
            form.extend([("client_id", login.client_id.as_str()), ("client_secret", secret.reveal())]);
            request
        }
        None => {
            form.push(("client_id", &login.client_id));
            request
        }
    };
    let request =
        request.header("content-type", "application/x-www-form-urlencoded").body(encoded_form(&form));
    let answer = request.send().await.map_err(reqwest::Error::without_url)?;
    anyhow::ensure!(answer.status().is_success(), "it answers a code with {}", answer.status());
    Ok(provider::read::<TokenAnswer>(answer).await?.id_token)
}

/// As forms are written.
fn encoded_form(pairs: &[(&str, &str)]) -> String {
    #[allow(clippy::expect_used, reason = "the text is a URL")]
    let mut url = Url::parse("http://form").expect("a URL");
    url.query_pairs_mut().extend_pairs(pairs);
    url.query().unwrap_or_default().to_owned()
}

/// RFC 6749, 2.3.1: names and secrets are encoded before they are put together.
fn encoded(text: &str) -> String {
    encoded_form(&[("", text)]).trim_start_matches('=').to_owned()
}

fn is_of_this_login(claims: &Claims, login: &Login, pending: &Pending) -> bool {
    let text = |name: &str| claims.get(name).and_then(serde_json::Value::as_str);
    let nonce = text("nonce").unwrap_or_default();
    let party = claims.get("azp").is_none() || text("azp") == Some(login.client_id.as_str());
    party && verify_slices_are_equal(nonce.as_bytes(), pending.nonce.as_bytes()).is_ok()
}

async fn logout(State(app): State<App>, headers: HeaderMap) -> Result<Response, ApiError> {
    let (_, _, _, sessions) = parts(&app)?;
    if !app.origins.allow_write(&headers) {
        return Err(ApiError::forbidden("another page may not log you out"));
    }
    let mut answer = StatusCode::NO_CONTENT.into_response();
    set_cookies(&mut answer, &[sessions.forget(SESSION)])?;
    Ok(answer)
}

/// Who the caller is, and what they may know of
#[utoipa::path(get, path = "/auth/me", tag = "access", responses((status = 200, body = Me), Problems))]
pub async fn me(State(app): State<App>, access: Access, headers: HeaderMap) -> Json<Me> {
    let names = |names: &crate::access::Names| names.as_deref().cloned();
    let sessions = app.auth.guard().and_then(|guard| guard.sessions.as_ref());
    let session = sessions.and_then(|sessions| sessions.of(&headers, Timestamp::now()));
    // A token may come along with the cookie of somebody else.
    let session = session.filter(|session| *session.who == *access.who);
    Json(Me {
        who: access.who.to_string(),
        can_log_out: session.is_some(),
        name: session.map(|session| session.name).unwrap_or_default(),
        role: access.role,
        environments: names(&access.allowed.environments),
        namespaces: names(&access.allowed.namespaces),
    })
}

fn parts(app: &App) -> Result<(&Guard, &Provider, &Login, &Sessions), ApiError> {
    let guard = app.auth.guard();
    guard
        .and_then(|guard| {
            let provider = guard.provider.as_ref()?;
            Some((guard, provider, provider.settings.login.as_ref()?, guard.sessions.as_ref()?))
        })
        .ok_or_else(|| ApiError::not_found("browsers can't log in here: [oidc.login] is not set"))
}

fn misbehaves(error: anyhow::Error) -> ApiError {
    tracing::warn!(error = %format!("{error:#}"), "the OpenID provider");
    ApiError::too_many("the OpenID provider does not answer as it should")
}

fn redirect_uri(login: &Login) -> String {
    format!("{}auth/callback", login.public_url)
}

/// A path of this very server. Browsers read `//host` and `/\host` as another one.
fn is_local_path(next: &str) -> bool {
    let rest = next.strip_prefix('/');
    next.len() <= NEXT_BYTES
        && rest.is_some_and(|rest| !rest.starts_with(['/', '\\']))
        && next.bytes().all(|byte| (0x21..0x7f).contains(&byte) && byte != b'\\')
        && permissions::need(next.split(['?', '#']).next().unwrap_or_default()) != permissions::Need::Nothing
}

/// Where a browser goes that has to log in first.
pub fn login_first(path_and_query: &str) -> Response {
    let next = if is_local_path(path_and_query) { path_and_query } else { "/" };
    redirect(&format!("/auth/login?{}", encoded_form(&[("next", next)])), &[])
        .unwrap_or_else(IntoResponse::into_response)
}

fn redirect(place: &str, cookies: &[String]) -> Result<Response, ApiError> {
    let place =
        HeaderValue::from_str(place).map_err(|_| ApiError::bad_request("that is no place to go to"))?;
    let mut answer = (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response();
    set_cookies(&mut answer, cookies)?;
    Ok(answer)
}

fn set_cookies(answer: &mut Response, cookies: &[String]) -> Result<(), ApiError> {
    for cookie in cookies {
        let value = HeaderValue::from_str(cookie).map_err(|_| ApiError::bad_request("that is no cookie"))?;
        answer.headers_mut().append(header::SET_COOKIE, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_goes_to_paths_of_this_server_only() {
        for next in ["/", "/?operation=login", "/api/docs/", "/flows/abc#map"] {
            assert!(is_local_path(next), "{next}");
        }
        for next in [
            "",
            "flows",
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "/a\\b",
            "/a b",
            "/a\r\nX: y",
            "/\t/evil.example",
            "javascript:alert(1)",
            "/auth/login",
            "/auth/logout",
            &format!("/{}", "x".repeat(1_024)),
        ] {
            assert!(!is_local_path(next), "{next}");
        }
    }

    #[test]
    fn secrets_are_encoded_as_in_forms() {
        assert_eq!(encoded("a:b c/ü="), "a%3Ab+c%2F%C3%BC%3D");
        assert_eq!(encoded_form(&[("code", "x&y"), ("a", "b")]), "code=x%26y&a=b");
    }
}
