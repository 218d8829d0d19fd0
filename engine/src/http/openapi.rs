//! The routes as an OpenAPI document, made from the code. It is kept in `docs/openapi.json`, so that a change of the interface is
//! seen for what it is.

use super::api::Api;
use axum::Json;
use std::sync::Arc;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "strat",
        description = "Strategies, orders, positions and events. Decimals are texts, times are epoch ms. Problems are application/problem+json with title, status, detail and a stable code; docs/http-api.md lists them.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    modifiers(&Bearer),
    security(("bearer" = []))
)]
struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        document.components.get_or_insert_default().add_security_scheme("bearer", SecurityScheme::Http(bearer));
    }
}

/// A document that has no routes yet.
pub(super) fn begun() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::with_openapi(Document::openapi())
}

pub(super) async fn show(document: utoipa::openapi::OpenApi) -> Json<utoipa::openapi::OpenApi> {
    Json(document)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::documented;
    use std::path::Path;

    #[test]
    fn the_document_is_the_one_that_is_kept() {
        let (_, document) = begun().nest("/api/v1", documented()).split_for_parts();
        let text = document.to_pretty_json().unwrap() + "\n";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
        if std::env::var_os("STRAT_RENEW").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == text,
            "the routes are not those of docs/openapi.json; where that is meant: STRAT_RENEW=1 cargo test -p strat-engine the_document_is"
        );
    }
}
