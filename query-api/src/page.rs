//! The page at `/`: plain files, part of the program.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

/// Nothing from anywhere else, nothing inline.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Path, media type and content of every file.
const FILES: &[(&str, &str, &str)] = &[
    ("/", "text/html; charset=utf-8", include_str!("../page/index.html")),
    ("/page/style.css", "text/css; charset=utf-8", include_str!("../page/style.css")),
    ("/page/icon.svg", "image/svg+xml", include_str!("../page/icon.svg")),
    ("/page/main.js", SCRIPT, include_str!("../page/main.js")),
    ("/page/feed.js", SCRIPT, include_str!("../page/feed.js")),
    ("/page/layout.js", SCRIPT, include_str!("../page/layout.js")),
    ("/page/map.js", SCRIPT, include_str!("../page/map.js")),
    ("/page/table.js", SCRIPT, include_str!("../page/table.js")),
    ("/page/words.js", SCRIPT, include_str!("../page/words.js")),
];

/// Serves the files. They are as old as the program, and small: a browser asks each time.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.iter().fold(Router::new(), |router, &(path, media_type, content)| {
        let headers = [
            (header::CONTENT_TYPE, media_type),
            (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CACHE_CONTROL, "no-cache"),
        ];
        router.route(path, get(async move || (headers, content).into_response()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_keeps_to_its_own_policy() {
        for (path, _, content) in FILES {
            for inline in ["<style", "style=\"", "onclick=", "javascript:", "innerHTML", "eval("] {
                assert!(!content.contains(inline), "{path} has {inline}");
            }
            let mut sources = content.split("src=\"").skip(1);
            assert!(sources.all(|source| source.starts_with('/')), "{path} loads from elsewhere");
        }
    }

    #[test]
    fn every_script_that_is_imported_is_served() {
        let imports = FILES.iter().flat_map(|(_, _, content)| content.split("from \"./").skip(1));
        for import in imports {
            let name = import.split('"').next().unwrap();
            assert!(FILES.iter().any(|(path, _, _)| *path == format!("/page/{name}")), "{name} isn't served");
        }
    }
}
