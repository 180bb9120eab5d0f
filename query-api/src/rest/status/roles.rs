//! The metrics pages of Weir's other processes.

use prometheus_client::registry::Registry;
use reqwest::{Client, Url};
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// A page that takes longer is not waited for.
const WITHIN: Duration = Duration::from_secs(2);
/// A processor of hundreds of shards has some 100 KiB.
const PAGE_BYTES: usize = 4 << 20;

/// Where the other roles show what they count.
#[derive(Debug, Clone)]
pub struct Roles {
    client: Client,
    urls: Vec<Url>,
}

/// One process of Weir.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleStatus {
    /// `ingest`, `processor`, `store` or `query-api`; "" if it doesn't say.
    pub role: String,
    /// Its version; "" if it doesn't say.
    pub version: String,
    /// Its metrics page; null for the server that answers.
    #[schema(value_type = Option<String>)]
    pub metrics: Option<String>,
    /// Whether it answers.
    pub answers: bool,
}

/// What a process says of itself.
pub struct Page {
    pub status: RoleStatus,
    pub text: String,
}

impl Roles {
    /// Pages at these addresses.
    ///
    /// # Errors
    /// No HTTP client can be made.
    pub fn new(urls: &[Url]) -> anyhow::Result<Self> {
        let client = Client::builder().no_proxy().timeout(WITHIN).redirect(reqwest::redirect::Policy::none());
        Ok(Self { client: client.build()?, urls: urls.to_vec() })
    }

    /// All pages, that of this process first.
    pub async fn ask(&self, own: &Registry) -> Vec<Page> {
        let mut text = String::new();
        let shown = prometheus_client::encoding::text::encode(&mut text, own);
        let own = Page::of(None, shown.is_ok().then_some(text));
        let others = self.urls.iter().map(async |url| {
            let text = self.fetch(url).await;
            if let Err(error) = &text {
                tracing::debug!(%error, "a metrics page");
            }
            Page::of(Some(url.to_string()), text.ok())
        });
        std::iter::once(own).chain(futures_util::future::join_all(others).await).collect()
    }

    async fn fetch(&self, url: &Url) -> anyhow::Result<String> {
        let mut response = self.client.get(url.clone()).send().await?.error_for_status()?;
        let mut page = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            anyhow::ensure!(page.len() + chunk.len() <= PAGE_BYTES, "{url} is longer than a metrics page");
            page.extend_from_slice(&chunk);
        }
        Ok(String::from_utf8(page)?)
    }
}

impl Page {
    fn of(metrics: Option<String>, text: Option<String>) -> Self {
        let answers = text.is_some();
        let text = text.unwrap_or_default();
        let build = text.lines().find(|line| line.starts_with("weir_build_info{")).unwrap_or_default();
        let label = |name: &str| {
            let value = build.split_once(&format!("{name}=\"")).and_then(|(_, rest)| rest.split_once('"'));
            value.map(|(value, _)| value.to_owned()).unwrap_or_default()
        };
        let status = RoleStatus { role: label("role"), version: label("version"), metrics, answers };
        Self { status, text }
    }
}

impl RoleStatus {
    /// What is wrong, for people.
    pub fn trouble(&self) -> Option<String> {
        let metrics = self.metrics.as_deref()?;
        (!self.answers).then(|| format!("{metrics} doesn't answer: is that process running?"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_whose_it_is() {
        let text = "weir_build_info{role=\"store\",version=\"0.1.0\"} 1\n".to_owned();
        let page = Page::of(Some("http://a/metrics".to_owned()), Some(text));
        assert_eq!((page.status.role.as_str(), page.status.version.as_str()), ("store", "0.1.0"));
        assert_eq!(page.status.trouble(), None);
        assert!(Page::of(Some("http://a/metrics".to_owned()), None).status.trouble().is_some());
    }
}
