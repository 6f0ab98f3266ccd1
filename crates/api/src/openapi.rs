//! The description of the API, OpenAPI 3.1, made from the handlers themselves.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::Type;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    ContentBuilder, ObjectBuilder, OpenApi, PathItem, Ref, RefOr, Required, ResponseBuilder,
};
use utoipa::{Modify, OpenApi as _};

use crate::problem::ProblemBody;
use crate::{Api, patient, replay, routes};

/// What stands above the endpoints.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Plenum",
        description = "Meetings, people and calls of a Plenum server.\n\n\
            Errors are problem details (RFC 9457): programs read `code`, people `detail`. Lists come \
            in parts: give `next` as `after`. Entries carry an `ETag`; a change with `If-Match` is \
            refused with 412 if the entry has changed since it was read. A POST with an \
            `Idempotency-Key` is done once, however often it is sent. Who asks too often is answered \
            429, with `Retry-After`. A browser signs in with \
            POST /api/v1/session and sends the `csrf_token` back as `X-CSRF-Token` with every \
            change; a program sends an API token. The words in an endpoint's `security` are the \
            rights that it needs.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
        version = "1",
    ),
    components(schemas(ProblemBody)),
    modifiers(&Securities, &Problems),
)]
struct Head;

/// How callers show who they are.
struct Securities;

impl Modify for Securities {
    fn modify(&self, api: &mut OpenApi) {
        let components = api.components.get_or_insert_default();
        let bearer = |what: &str, format: &str| {
            let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format(format);
            SecurityScheme::Http(scheme.description(Some(what)).build())
        };
        let cookie = ApiKeyValue::with_description(
            "__Host-plenum",
            "Set by POST /api/v1/session; over plain HTTP, as with --dev, its name is `plenum`. \
             Changes need X-CSRF-Token too.",
        );
        for (name, scheme) in [
            ("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie))),
            ("token", bearer("An API token, made by POST /api/v1/tokens", "plenum_…")),
            ("livekit", bearer("A LiveKit token, signed with a key of the server", "JWT")),
        ] {
            components.add_security_scheme(name, scheme);
        }
    }
}

/// Which problems an endpoint may answer with: told by what it takes and asks for, in one place.
struct Problems;

/// The name of the one answer that all problems are.
const PROBLEM: &str = "Problem";

impl Modify for Problems {
    fn modify(&self, api: &mut OpenApi) {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(PROBLEM))).build();
        let problem = ResponseBuilder::new()
            .description("What went wrong, and what to do")
            .content("application/problem+json", content)
            .build();
        let components = api.components.get_or_insert_default();
        components.responses.insert(PROBLEM.to_owned(), problem.into());
        for (path, item) in &mut api.paths.paths {
            for (method, operation) in operations(item) {
                // Requests of nobody are not told apart, and so not repeated.
                let known = operation
                    .security
                    .iter()
                    .flatten()
                    .any(|it| *it != SecurityRequirement::default());
                if method == Method::Post && known {
                    operation.parameters.get_or_insert_default().push(idempotency_key().into());
                }
                let problems = problems(path, method, operation);
                let responses = &mut operation.responses.responses;
                // What an endpoint alone answers, it names itself, without the content.
                let own = responses.keys().filter(|it| it.starts_with(['4', '5'])).cloned();
                let all: Vec<String> = own.chain(problems.into_iter().map(str::to_owned)).collect();
                let answer = |status| (status, Ref::from_response_name(PROBLEM).into());
                responses.extend(all.into_iter().map(answer));
            }
        }
    }
}

/// The header by which a request is done once.
fn idempotency_key() -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(replay::MAX_KEY))
        .pattern(Some("^[!-~]+$"));
    let description = "A name for this request, such as a random UUID: within 24 hours the same \
                       request with the same name is answered the same and not done again";
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

/// The statuses of the problems that an endpoint may answer with.
fn problems(path: &str, method: Method, operation: &Operation) -> Vec<&'static str> {
    let parameters = operation.parameters.as_deref().unwrap_or_default();
    let takes = |name| parameters.iter().any(|it| matches!(it, RefOr::T(it) if it.name == name));
    // What is malformed, nobody who is known, what may not be done, too often, too slow, and what
    // is not the caller's fault.
    let mut statuses = vec!["400", "401", "403", "408", "429", "500", "503"];
    let mut when =
        |holds: bool, more: &[&'static str]| statuses.extend(more.iter().filter(|_| holds));
    when(path.contains('{'), &["404"]);
    when(method != Method::Get, &["409"]);
    when(takes("If-Match"), &["412"]);
    when(takes("Idempotency-Key"), &["422"]);
    when(operation.request_body.is_some(), &["413", "415"]);
    statuses
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Get,
    Post,
    Other,
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    use Method::{Get, Other, Post};
    let PathItem { get, put, post, delete, patch, .. } = path;
    [(Get, get), (Other, put), (Post, post), (Other, delete), (Other, patch)]
        .into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// The whole description as its golden file has it.
pub fn description() -> String {
    let mut text = described().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

fn described() -> OpenApi {
    let mut api = Head::openapi();
    api.merge(routes().to_openapi());
    api.merge(patient().to_openapi());
    Securities.modify(&mut api);
    Problems.modify(&mut api);
    api
}

/// `GET /api/v1/openapi.json`: this description.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "server", operation_id = "get_openapi",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value)),
    security(()))]
pub async fn show(State(api): State<Api>) -> impl IntoResponse {
    let kind = (header::CONTENT_TYPE, "application/json");
    ([kind, (header::CACHE_CONTROL, "no-cache")], api.description.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clients are written against this file: a change of it is a change for them.
    #[test]
    fn the_description_is_the_one_of_its_golden_file() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        if std::env::var_os("PLENUM_WRITE_DOCS").is_some() {
            std::fs::write(path, description()).unwrap();
        }
        let golden = std::fs::read_to_string(path).unwrap();
        let first = golden
            .lines()
            .zip(description().lines())
            .find(|(a, b)| a != b)
            .map(|it| format!("{} became {}", it.0, it.1));
        assert!(
            golden == description(),
            "{first:?}: see to it, or run again with PLENUM_WRITE_DOCS=1"
        );
    }

    #[test]
    fn every_endpoint_has_a_name_of_its_own_and_says_what_it_needs() {
        let mut api = described();
        let mut names = std::collections::HashSet::new();
        for (path, item) in &mut api.paths.paths {
            for (_, operation) in operations(item) {
                let name = operation.operation_id.clone().unwrap_or_default();
                assert!(names.insert(name.clone()), "{name} stands twice: {path}");
                assert!(operation.security.is_some(), "{name} does not say what it needs");
                let told = operation.summary.is_some() || operation.description.is_some();
                assert!(told, "{name} does not say what it does");
            }
        }
        assert!(names.len() > 30, "{names:?}");
    }
}
