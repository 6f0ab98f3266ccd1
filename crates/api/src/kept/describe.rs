//! The endpoints of one kind, and their description.

use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use conference::people::Right;
use utoipa::openapi::path::{
    Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, ObjectBuilder, Schema, SchemaFormat};
use utoipa::openapi::schema::{Object, SchemaType, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{
    ContentBuilder, HttpMethod, PathItem, Paths, Ref, RefOr, Required, ResponseBuilder,
};
use utoipa::{IntoParams, PartialSchema, ToSchema};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::{MAX_BODY, Shown, change, create, list, remove, show};
use crate::Api;
use crate::wire::ListQuery;

/// The endpoints of one kind.
pub fn routes<T: Shown>() -> OpenApiRouter<Api> {
    let (all, one) = (format!("/api/v1/{}", T::PATH), format!("/api/v1/{}/{{id}}", T::PATH));
    let mut of_all = PathItem::new(HttpMethod::Get, listing::<T>());
    of_all.merge_operations(PathItem::new(HttpMethod::Post, creating::<T>()));
    let mut of_one = PathItem::new(HttpMethod::Get, showing::<T>());
    of_one.merge_operations(PathItem::new(HttpMethod::Patch, changing::<T>()));
    of_one.merge_operations(PathItem::new(HttpMethod::Delete, removing::<T>()));
    let path = |path: &str, item| {
        let mut paths = Paths::new();
        paths.paths.insert(path.to_owned(), item);
        paths
    };
    let handlers = get(list::<T>).post(create::<T>);
    let many: UtoipaMethodRouter<Api> = (schemas::<T>(), path(&all, of_all), handlers);
    let handlers = get(show::<T>).patch(change::<T>).delete(remove::<T>);
    let single: UtoipaMethodRouter<Api> = (Vec::new(), path(&one, of_one), handlers);
    OpenApiRouter::new().routes(many).routes(single).layer(DefaultBodyLimit::max(MAX_BODY))
}

fn operation<T: Shown>(id: String, summary: String, right: Right) -> OperationBuilder {
    let needs = ["session", "token"].map(|it| SecurityRequirement::new(it, [right.scope()]));
    OperationBuilder::new()
        .operation_id(Some(id))
        .tag(T::TAG)
        .summary(Some(summary))
        .securities(Some(needs))
}

fn listing<T: Shown>() -> Operation {
    let (_, many) = T::WORDS;
    let told = match T::MOST {
        None => format!("Lists {}.", plain(many)),
        Some(most) => {
            format!("Lists {}, of which there are {most} at most, in order.", plain(many))
        }
    };
    let query = ListQuery::into_params(|| Some(ParameterIn::Query));
    operation::<T>(format!("list_{many}"), told, T::READ)
        .parameters(Some(query))
        .response("200", json(&format!("Page_{}", T::SCHEMA)))
        .build()
}

fn creating<T: Shown>() -> Operation {
    let (one, _) = T::WORDS;
    operation::<T>(format!("create_{one}"), format!("Makes a {}.", plain(one)), T::WRITE)
        .request_body(Some(body(&T::Fields::name())))
        .response("201", json(T::SCHEMA))
        .build()
}

fn showing<T: Shown>() -> Operation {
    let (one, _) = T::WORDS;
    operation::<T>(format!("get_{one}"), format!("Shows a {}.", plain(one)), T::READ)
        .parameter(id())
        .response("200", json(T::SCHEMA))
        .build()
}

fn changing<T: Shown>() -> Operation {
    let (one, _) = T::WORDS;
    let told = format!("Changes a {}: what is left out stays, null takes away.", plain(one));
    operation::<T>(format!("change_{one}"), told, T::WRITE)
        .parameter(id())
        .parameter(if_match())
        .request_body(Some(body(&format!("{}Change", T::SCHEMA))))
        .response("200", json(T::SCHEMA))
        .build()
}

fn removing<T: Shown>() -> Operation {
    let (one, _) = T::WORDS;
    operation::<T>(format!("remove_{one}"), format!("Removes a {}.", plain(one)), T::WRITE)
        .parameter(id())
        .parameter(if_match())
        .response("204", ResponseBuilder::new().description("It is gone").build())
        .build()
}

fn plain(words: &str) -> String {
    words.replace('_', " ")
}

fn id() -> Parameter {
    parameter("id", ParameterIn::Path, Required::True)
}

fn if_match() -> Parameter {
    parameter("If-Match", ParameterIn::Header, Required::False)
}

fn parameter(name: &str, place: ParameterIn, required: Required) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .schema(Some(text()))
        .build()
}

fn json(schema: &str) -> utoipa::openapi::Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
    ResponseBuilder::new().content("application/json", content).build()
}

fn body(schema: &str) -> utoipa::openapi::request_body::RequestBody {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
    let body = RequestBodyBuilder::new().content("application/json", content);
    body.required(Some(Required::True)).build()
}

fn schemas<T: Shown>() -> Vec<(String, RefOr<Schema>)> {
    let given = fields_of::<T::Fields>();
    let page = ObjectBuilder::new()
        .description(Some("A part of a list."))
        .property("items", ArrayBuilder::new().items(Ref::from_schema_name(T::SCHEMA)))
        .required("items")
        .property("next", or_null())
        .build();
    let mut schemas = vec![
        (T::Fields::name().into_owned(), whole(given.clone())),
        (format!("{}Change", T::SCHEMA), whole(change_of(given.clone()))),
        (T::SCHEMA.to_owned(), whole(answer_of(given, T::SECRET))),
        (format!("Page_{}", T::SCHEMA), whole(page)),
    ];
    T::Fields::schemas(&mut schemas);
    schemas
}

/// The schema of a struct's fields.
pub fn fields_of<F: PartialSchema>() -> Object {
    match F::schema() {
        RefOr::T(Schema::Object(object)) => object,
        _ => Object::new(),
    }
}

/// The same where every field may be left out.
pub fn change_of(mut given: Object) -> Object {
    given.description = Some("What is left out stays, null takes away.".to_owned());
    given.required.clear();
    given
}

/// The same as it is answered.
fn answer_of(mut given: Object, secret: Option<&str>) -> Object {
    if let Some(secret) = secret {
        given.properties.remove(secret);
        let has = Object::with_type(Type::Boolean);
        add(&mut given, &format!("has_{secret}"), has);
    }
    add(&mut given, "id", text());
    for name in ["created_at", "changed_at"] {
        let mut time = text();
        time.format = Some(SchemaFormat::KnownFormat(KnownFormat::DateTime));
        add(&mut given, name, time);
    }
    given
}

fn add(to: &mut Object, name: &str, schema: Object) {
    to.properties.insert(name.to_owned(), RefOr::T(Schema::Object(schema)));
    to.required.push(name.to_owned());
}

fn whole(object: Object) -> RefOr<Schema> {
    RefOr::T(Schema::Object(object))
}

fn text() -> Object {
    Object::with_type(Type::String)
}

fn or_null() -> Object {
    Object::with_type(SchemaType::from_iter([Type::String, Type::Null]))
}
