//! The live page at `/`, and the one about the HTTP API at `/docs`: their files are part of the program, so that nothing else has to be installed, and no other site is asked.
//!
//! It has no rights of its own: whatever it shows or does goes over `/api/v1`, as the one who looks at it.

use axum::Router;
use axum::extract::Path;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Nothing but this engine's own files and answers; no script or style within the page, no text that becomes markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// A file of the page.
#[derive(Debug, Clone, Copy)]
struct File {
    name: &'static str,
    text: &'static str,
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$(File { name: $name, text: include_str!(concat!("../../page/", $name)) }),*]
    };
}

const INDEX: File = File { name: "index.html", text: include_str!("../../page/index.html") };

/// The routes of the HTTP API, from its OpenAPI document.
const DOCS: File = File { name: "docs.html", text: include_str!("../../page/docs.html") };

/// What the pages load.
const FILES: &[File] = &files![
    "alerts.js",
    "amounts.js",
    "api.js",
    "attempt.js",
    "chart.js",
    "decimal.js",
    "detail.js",
    "docs.css",
    "docs.js",
    "dom.js",
    "events.js",
    "forms.js",
    "health.js",
    "icon.svg",
    "levels.js",
    "list.js",
    "live.js",
    "main.js",
    "model.js",
    "prefs.js",
    "schema.js",
    "stream.js",
    "style.css",
    "time.js",
    "words.js",
];

impl File {
    fn content_type(self) -> &'static str {
        match self.name.rsplit_once('.').map(|(_, ending)| ending) {
            Some("html") => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "text/plain; charset=utf-8",
        }
    }

    /// A browser asks each time whether it has changed: an engine that was brought up to date shows its own page.
    fn answer(self, asked: &HeaderMap) -> Response {
        let mut hasher = DefaultHasher::new();
        self.text.hash(&mut hasher);
        let tag = format!("\"{:016x}\"", hasher.finish());
        let known = asked.get(IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
        let is_known = known.is_some_and(|tags| tags.split(',').any(|known| known.trim() == tag));
        let headers = [
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
            (CACHE_CONTROL, "no-cache"),
            (CONTENT_TYPE, self.content_type()),
        ];
        match is_known {
            true => (StatusCode::NOT_MODIFIED, headers, [(ETAG, tag)]).into_response(),
            false => (headers, [(ETAG, tag)], self.text).into_response(),
        }
    }
}

/// `/`, `/docs` and their files below `/page/`.
pub fn routes() -> Router {
    Router::new()
        .route("/", get(|asked: HeaderMap| async move { INDEX.answer(&asked) }))
        .route("/docs", get(|asked: HeaderMap| async move { DOCS.answer(&asked) }))
        .route("/page/{file}", get(file))
}

async fn file(Path(name): Path<String>, asked: HeaderMap) -> Response {
    match FILES.iter().find(|file| file.name == name) {
        Some(file) => file.answer(&asked),
        None => (StatusCode::NOT_FOUND, "the page has no such file\n").into_response(),
    }
}

#[cfg(test)]
mod tests;
