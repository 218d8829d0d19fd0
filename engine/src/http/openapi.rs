//! The routes as an OpenAPI document, made from the code. It is kept in `docs/openapi.json`, so that a change of the interface is
//! seen for what it is.

use super::api::{Api, documented};
use axum::Json;
use std::sync::Arc;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "strat",
        description = "Strategies, orders, positions and events. Decimals are texts, times are epoch ms. Problems are application/problem+json with title, status, detail and a stable code; docs/http-api.md lists them.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(Told)),
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

/// What a refusal or a failure is told by.
#[derive(ToSchema)]
#[allow(dead_code, reason = "its form is described here and written by Problem")]
#[schema(as = Problem)]
struct Told {
    /// The status in words.
    title: String,
    status: u16,
    /// Stable, for programs.
    code: String,
    /// The cause and the next step.
    detail: String,
}

/// Says of every route what its refusals look like, and gives it a name of its own: two may be served by one function.
struct EachRoute;

impl Modify for EachRoute {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for (path, item) in &mut document.paths.paths {
            let words: String = path.trim_start_matches("/api/v1").replace(['{', '}'], "").replace(['/', '-'], "_");
            for (method, operation) in [
                ("get", &mut item.get),
                ("post", &mut item.post),
                ("put", &mut item.put),
                ("patch", &mut item.patch),
                ("delete", &mut item.delete),
            ] {
                let Some(operation) = operation else { continue };
                operation.operation_id = Some(format!("{method}{words}"));
                let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
                let refusal = ResponseBuilder::new()
                    .description("what is wrong, and what to do")
                    .content("application/problem+json", problem);
                operation.responses.responses.insert("default".to_owned(), RefOr::T(refusal.build()));
            }
        }
    }
}

/// The routes, and what is said of them.
pub(super) fn document() -> (axum::Router<Arc<Api>>, utoipa::openapi::OpenApi) {
    let begun = OpenApiRouter::with_openapi(Document::openapi());
    let (routes, mut document) = begun.nest("/api/v1", documented()).split_for_parts();
    EachRoute.modify(&mut document);
    (routes, document)
}

pub(super) async fn show(document: utoipa::openapi::OpenApi) -> Json<utoipa::openapi::OpenApi> {
    Json(document)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_document_is_the_one_that_is_kept() {
        let (_, document) = document();
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
