//! How a browser logs in, what its cookie is good for, and what other people's pages can't make it do.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod alone;
mod oidc;

use alone::{Alone, free_address, problem, tokens};
use oidc::{Key, Provider};
use reqwest::{Response, Url};
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, http};

struct Site {
    provider: Provider,
    api: Alone,
    origin: String,
}

impl Site {
    async fn new() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(change: impl FnOnce(&mut query_api::Options)) -> Self {
        let provider = Provider::start(vec![Key::rsa("rsa")]).await;
        let address = free_address();
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "s/ecret\n").unwrap();
        let text = format!(
            "{}[oidc]\nissuer = \"{}\"\n[oidc.login]\nclient-id = \"weir\"\nclient-secret-file = \"{}\"\n\
             public-url = \"http://{address}\"\n",
            tokens(),
            provider.issuer,
            secret.display()
        );
        let api = Alone::start(address, Some(&text), change).await;
        Self { provider, origin: format!("http://{address}"), api }
    }

    /// Follows the way to the provider and back; the last answer is the callback's, with the login's cookie.
    async fn log_in(&self, next: &str) -> (Response, String) {
        let begun = self.api.get("/auth/login").query(&[("next", next)]).send().await.unwrap();
        assert_eq!(begun.status(), 303, "{:?}", begun.text().await);
        let login = cookie(&begun, "weir-login");
        let back = self.visit(&location(&begun), None).await;
        let back = location(&back);
        assert!(back.starts_with(&format!("{}/auth/callback?", self.origin)), "{back}");
        (self.visit(&back, Some(&login)).await, login)
    }

    /// The cookie of somebody who has logged in.
    async fn session(&self) -> String {
        let (answer, _) = self.log_in("/").await;
        assert_eq!((answer.status().as_u16(), location(&answer).as_str()), (303, "/"));
        cookie(&answer, "weir-session")
    }

    async fn visit(&self, url: &str, cookie: Option<&str>) -> Response {
        let request = alone::client().get(url);
        let request = cookie.into_iter().fold(request, |request, cookie| request.header("cookie", cookie));
        request.send().await.unwrap()
    }

    async fn with_cookie(&self, path: &str, cookie: &str) -> Response {
        self.api.get(path).header("cookie", cookie).send().await.unwrap()
    }
}

fn location(answer: &Response) -> String {
    answer.headers()["location"].to_str().unwrap().to_owned()
}

/// `name=value` of a cookie that was set, with its attributes checked.
fn cookie(answer: &Response, name: &str) -> String {
    let mut set = answer.headers().get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
    let set = set.find(|set| set.starts_with(&format!("{name}="))).unwrap();
    assert!(
        set.contains("; HttpOnly") && set.contains("; SameSite=Lax") && set.contains("; Path=/"),
        "{set}"
    );
    set.split(';').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_sent_to_log_in_and_comes_back_to_what_it_wanted() {
    let site = Site::new().await;
    let page = site.api.get("/?operation=login").header("accept", "text/html,*/*").send().await.unwrap();
    assert_eq!(
        (page.status().as_u16(), location(&page)),
        (303, "/auth/login?next=%2F%3Foperation%3Dlogin".to_owned())
    );
    assert_eq!(site.api.get("/api/v1/operations").send().await.unwrap().status(), 401, "a script is told");

    site.provider.say(json!({"name": "Alice Adams", "preferred_username": "alice"}));
    let (answer, _) = site.log_in("/?operation=login").await;
    assert_eq!(location(&answer), "/?operation=login");
    let session = cookie(&answer, "weir-session");
    let me: Value = site.with_cookie("/auth/me", &session).await.json().await.unwrap();
    assert_eq!(
        (&me["who"], &me["name"], &me["role"], &me["canLogOut"]),
        (&"oidc:alice".into(), &"Alice Adams".into(), &"viewer".into(), &true.into())
    );
    assert_eq!(site.with_cookie("/", &format!("theme=dark; {session}")).await.status(), 200);
    assert_eq!(site.with_cookie("/api/v1/flows/1", &session).await.status(), 403, "a viewer stays one");
    assert_eq!(site.with_cookie("/auth/me", &session.replace("session=", "session=A")).await.status(), 401);
    let as_login = session.replace("weir-session", "weir-login");
    assert_eq!(site.with_cookie("/auth/me", &as_login).await.status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_sent_elsewhere_after_a_login() {
    let site = Site::new().await;
    for next in [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/a\r\nset-cookie: a=b",
        "/auth/logout",
    ] {
        let answer = site.api.get("/auth/login").query(&[("next", next)]).send().await.unwrap();
        assert_eq!(problem(answer).await.0, 400, "{next}");
    }
    let page = site.api.get("//evil.example").header("accept", "text/html").send().await.unwrap();
    assert_eq!(location(&page), "/auth/login?next=%2F");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_ends_only_where_it_was_begun_and_once() {
    let site = Site::new().await;
    let begin = async || {
        let begun = site.api.get("/auth/login").send().await.unwrap();
        let back = location(&site.visit(&location(&begun), None).await);
        (cookie(&begun, "weir-login"), back)
    };
    let ((mine, my_way), (theirs, _)) = (begin().await, begin().await);
    assert_eq!(problem(site.visit(&my_way, None).await).await.0, 400, "without the cookie");
    assert_eq!(problem(site.visit(&my_way, Some(&theirs)).await).await.0, 400, "in another browser");
    let mut other = Url::parse(&my_way).unwrap();
    let pairs: Vec<(String, String)> =
        other.query_pairs().into_owned().filter(|(name, _)| name != "iss").collect();
    other.query_pairs_mut().clear().extend_pairs(pairs).append_pair("iss", "https://evil.example");
    assert_eq!(
        problem(site.visit(other.as_str(), Some(&mine)).await).await.0,
        400,
        "a code of another provider"
    );
    let refused = my_way.replace("code=", "error=access_denied&was=");
    assert_eq!(problem(site.visit(&refused, Some(&mine)).await).await.0, 403);
    assert_eq!(site.visit(&my_way, Some(&mine)).await.status(), 303);
    assert_eq!(
        problem(site.visit(&my_way, Some(&mine)).await).await.0,
        503,
        "the provider takes a code once"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_for_others_are_no_login() {
    let site = Site::new().await;
    for extra in [
        json!({"nonce": "of another login"}),
        json!({"aud": "other"}),
        json!({"aud": ["weir", "other"], "azp": "other"}),
        json!({"iss": "https://evil.example"}),
        json!({"exp": oidc::now() - 300}),
        json!({"groups": ["strangers"]}),
    ] {
        site.provider.say(extra.clone());
        assert_eq!(problem(site.log_in("/").await.0).await.0, 403, "{extra}");
    }
    site.provider.say(json!({"aud": ["weir", "other"], "azp": "weir"}));
    assert_eq!(site.log_in("/").await.0.status(), 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_pages_can_not_use_a_cookie() {
    let site = Site::new().await;
    let session = site.session().await;
    let post = async |name: &str, value: &str| {
        let request = site.api.request("POST", "/api/v1/graph").header("cookie", &session);
        let request = if name.is_empty() { request } else { request.header(name, value) };
        request.send().await.unwrap().status().as_u16()
    };
    // 405: it has come through to the path, which takes no POST.
    for (name, value, status) in [
        ("origin", site.origin.as_str(), 405),
        ("sec-fetch-site", "same-origin", 405),
        ("", "", 403),
        ("origin", "null", 403),
        ("origin", "https://evil.example", 403),
        ("origin", &format!("{}.evil.example", site.origin), 403),
        ("origin", &format!("{}0", site.origin), 403),
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-site", 403),
    ] {
        assert_eq!(post(name, value).await, status, "{name}: {value}");
    }
    let with_token =
        site.api.request("POST", "/api/v1/graph").bearer_auth("viewer-secret").send().await.unwrap();
    assert_eq!(with_token.status(), 405, "a program needs no origin");

    let logout = |origin: &str| {
        site.api.request("POST", "/auth/logout").header("cookie", &session).header("origin", origin)
    };
    assert_eq!(logout("https://evil.example").send().await.unwrap().status(), 403);
    let out = logout(&site.origin).send().await.unwrap();
    assert_eq!((out.status().as_u16(), cookie(&out, "weir-session").as_str()), (204, "weir-session="));
    assert_eq!(site.api.get("/auth/logout").header("cookie", &session).send().await.unwrap().status(), 405);
}

/// The status of a handshake; 101 where it succeeds.
async fn handshake(site: &Site, headers: &[(&str, &str)]) -> u16 {
    let mut request =
        format!("{}/api/v1/live", site.api.url.replacen("http", "ws", 1)).into_client_request().unwrap();
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    match connect_async(request).await {
        Ok((_, answer)) => answer.status().as_u16(),
        Err(Error::Http(answer)) => answer.status().as_u16(),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_take_a_cookie_from_our_own_page_only_and_a_token_from_anywhere() {
    let site = Site::with(|options| options.origin = vec!["https://flows.example.com".to_owned()]).await;
    let session = site.session().await;
    let own = site.origin.clone();
    for (origins, status) in [
        (&[own.as_str()][..], 101),
        (&["https://flows.example.com"], 101),
        (&[], 403),
        (&["null"], 403),
        (&[""], 403),
        (&["https://evil.example"], 403),
        (&["https://flows.example.com.evil.example"], 403),
        (&["https://evil-flows.example.com"], 403),
        (&["http://flows.example.com"], 403),
        (&["https://flows.example.com:444"], 403),
        (&[&own, "https://evil.example"], 403),
    ] {
        let mut headers = vec![("cookie", session.as_str())];
        headers.extend(origins.iter().map(|origin| ("origin", *origin)));
        assert_eq!(handshake(&site, &headers).await, status, "{origins:?}");
    }
    assert_eq!(handshake(&site, &[("authorization", "Bearer viewer-secret")]).await, 101);
    let from_page = [("authorization", "Bearer viewer-secret"), ("origin", "null")];
    assert_eq!(handshake(&site, &from_page).await, 403, "null is nobody");
    assert_eq!(handshake(&site, &[("origin", &own)]).await, 401);
}
