//! What is kept as it is given: groups, templates, room systems, trunks, dial rules, contacts. Every
//! kind of it is listed, made, shown, changed and removed alike; a kind says what its fields are.

mod describe;
pub mod words;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use conference::kept::{Kept, KeptError};
use conference::people::{Right, Vault};
use conference::problem::{ProblemCode, Problems};
use conference::store::{Found, Search};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::Api;
use crate::caller::{Caller, now};
use crate::problem::{Problem, kept_failed, store_failed};
use crate::wire::{Asked, Body, ListQuery, Page, Versioned, expected, record_id, written};

pub use describe::{change_of, fields_of, routes};

/// The largest body: a group of ten thousand members, a meeting to which a thousand are invited.
pub const MAX_BODY: usize = 1 << 20;

/// A kind of what is kept, as the API shows it.
pub trait Shown: Kept + 'static {
    /// Below `/api/v1/`.
    const PATH: &'static str;
    /// One and several of them, in names of operations and in sentences.
    const WORDS: (&'static str, &'static str);
    /// The name of its schema.
    const SCHEMA: &'static str;
    /// Under which heading of the description its endpoints stand.
    const TAG: &'static str;
    /// What it needs to see them.
    const READ: Right;
    /// What it needs to make, change and remove them.
    const WRITE: Right;
    /// Fields that a change replaces as a whole.
    const WHOLE: &'static [&'static str] = &[];
    /// The field that is given and never answered; `has_…` says whether there is something.
    const SECRET: Option<&'static str> = None;

    /// Its fields: what is given, and what is answered but for the secret.
    type Fields: Serialize + DeserializeOwned + ToSchema + Send;

    /// What is answered.
    fn fields(&self) -> Self::Fields;

    /// What was given. What is left out of a secret is as `before`.
    ///
    /// # Errors
    /// What is wrong with it, or that its secret cannot be computed.
    fn read(
        fields: Self::Fields,
        before: Option<&Self>,
        vault: &dyn Vault,
    ) -> Result<Self, KeptError>;

    /// Whether its secret is there.
    fn has_secret(&self) -> bool {
        false
    }

    /// Its place in a list of which all is in order; without one they stand as they were made.
    fn place(&self) -> Option<u32> {
        None
    }
}

/// One of them.
#[derive(Serialize)]
pub struct Answer {
    id: String,
    #[serde(flatten)]
    fields: Map<String, Value>,
    created_at: String,
    changed_at: String,
}

fn answer<T: Shown>(found: Found<T>) -> Answer {
    let mut fields = object(&found.entity.fields());
    if let Some(secret) = T::SECRET {
        fields.remove(secret);
        fields.insert(format!("has_{secret}"), found.entity.has_secret().into());
    }
    Answer {
        id: found.id.to_string(),
        fields,
        created_at: written(found.created_at),
        changed_at: written(found.changed_at),
    }
}

fn object(fields: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(fields) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

async fn list<T: Shown>(
    State(api): State<Api>,
    caller: Caller,
    Asked(query): Asked<ListQuery>,
) -> Result<Json<Page<Answer>>, Problem> {
    caller.needs(&api, T::READ).await?;
    let (records, search) = (api.keeper()?.records(), query.search()?);
    if T::MOST.is_none() {
        let found = records.list::<T>(&search).await.map_err(store_failed)?;
        return Ok(Page::of(found, answer));
    }
    // So few that all of them are put in order.
    let all = Search { after: None, limit: Search::MAX_LIMIT, ..search.clone() };
    let mut all = every::<T>(&api, all).await?;
    let begin = match &search.after {
        None => 0,
        Some(after) => all.iter().position(|it| it.id == *after).map_or(all.len(), |it| it + 1),
    };
    let limit = if search.limit == 0 { Search::DEFAULT_LIMIT } else { search.limit } as usize;
    let rest = all.split_off(begin);
    let next = rest.get(limit).and(rest.get(limit.saturating_sub(1))).map(|it| it.id.to_string());
    let items = rest.into_iter().take(limit).map(answer).collect();
    Ok(Json(Page { items, next }))
}

/// All that a search finds, in order of their places.
pub async fn every<T: Shown>(api: &Api, mut search: Search) -> Result<Vec<Found<T>>, Problem> {
    let mut all = Vec::new();
    loop {
        let page = api.keeper()?.records().list::<T>(&search).await.map_err(store_failed)?;
        all.extend(page.items);
        match page.next {
            Some(next) => search.after = Some(next),
            None => break,
        }
    }
    all.sort_by(|a, b| (a.entity.place(), &a.id).cmp(&(b.entity.place(), &b.id)));
    Ok(all)
}

async fn create<T: Shown>(
    State(api): State<Api>,
    caller: Caller,
    body: Body<Value>,
) -> Result<Versioned<Answer>, Problem> {
    let who = caller.needs(&api, T::WRITE).await?;
    let keeper = api.keeper()?;
    let entity = T::read(read_fields(body.read()?)?, None, &**keeper.vault());
    let entity = entity.map_err(kept_failed)?;
    let found = keeper.create(who, entity, now()).await.map_err(kept_failed)?;
    Ok(Versioned(StatusCode::CREATED, found.version, answer(found)))
}

async fn show<T: Shown>(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Versioned<Answer>, Problem> {
    caller.needs(&api, T::READ).await?;
    let found = api.keeper()?.get::<T>(&record_id(&id)?, None).await.map_err(kept_failed)?;
    Ok(Versioned(StatusCode::OK, found.version, answer(found)))
}

async fn change<T: Shown>(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body<Value>,
) -> Result<Versioned<Answer>, Problem> {
    let who = caller.needs(&api, T::WRITE).await?;
    let (id, version, keeper) = (record_id(&id)?, expected(&headers)?, api.keeper()?);
    let before = keeper.get::<T>(&id, version).await.map_err(kept_failed)?;
    let fields = changed(&before.entity.fields(), body.read()?, T::WHOLE)?;
    let after = T::read(fields, Some(&before.entity), &**keeper.vault()).map_err(kept_failed)?;
    let found = keeper.change(who, before, after, now()).await.map_err(kept_failed)?;
    Ok(Versioned(StatusCode::OK, found.version, answer(found)))
}

async fn remove<T: Shown>(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let who = caller.needs(&api, T::WRITE).await?;
    let (id, version, keeper) = (record_id(&id)?, expected(&headers)?, api.keeper()?);
    let found = keeper.get::<T>(&id, version).await.map_err(kept_failed)?;
    keeper.remove(who, &found, now()).await.map_err(kept_failed)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Fields as they were sent.
pub fn read_fields<F: DeserializeOwned>(sent: Value) -> Result<F, Problem> {
    serde_json::from_value(sent).map_err(|error| Problem::bad("malformed", error.to_string()))
}

/// Fields after a change: what it leaves out stays. An object is changed field by field, but for
/// those that are replaced as a `whole`.
pub fn changed<F: Serialize + DeserializeOwned>(
    before: &F,
    change: Value,
    whole: &[&str],
) -> Result<F, Problem> {
    let Value::Object(mut change) = change else {
        return Err(Problem::bad("malformed", "give an object with the fields that change"));
    };
    let mut fields = object(before);
    for name in whole {
        if let Some((name, value)) = change.remove_entry(*name) {
            fields.insert(name, value);
        }
    }
    overlay(&mut fields, change);
    read_fields(Value::Object(fields))
}

fn overlay(fields: &mut Map<String, Value>, change: Map<String, Value>) {
    for (name, value) in change {
        match (fields.get_mut(&name), value) {
            (Some(Value::Object(inner)), Value::Object(value)) => overlay(inner, value),
            (_, value) => drop(fields.insert(name, value)),
        }
    }
}

/// Tells a field that is null (`Some(None)`) from one that is left out (`None`, by `default`).
pub fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(from).map(Some)
}

/// A text that has a form of its own; what is wrong with it is told with its field.
pub fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    text: &str,
    field: &str,
    problems: &mut Problems,
) -> Option<T> {
    let read = text.parse();
    read.map_err(|error: T::Err| problems.add(field, ProblemCode::Format, error.to_string())).ok()
}

/// The same of a list.
pub fn parsed_all<T: std::str::FromStr<Err: std::fmt::Display>>(
    texts: &[String],
    field: &str,
    problems: &mut Problems,
) -> Vec<T> {
    let texts = texts.iter().enumerate();
    texts.filter_map(|(at, it)| parsed(it, &format!("{field}[{at}]"), problems)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fields {
        name: String,
        note: Option<String>,
        limits: Limits,
        list: Vec<u8>,
        #[serde(default, skip_serializing, deserialize_with = "given")]
        secret: Option<Option<String>>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Limits {
        people: u8,
        minutes: Option<u8>,
    }

    fn before() -> Fields {
        let limits = Limits { people: 7, minutes: Some(5) };
        let (name, note) = ("a".to_owned(), Some("n".to_owned()));
        Fields { name, note, limits, list: vec![1, 2], secret: None }
    }

    #[test]
    fn what_a_change_leaves_out_stays_and_null_takes_away() {
        let change = json!({ "note": null, "limits": { "minutes": null }, "list": [3] });
        let after = changed(&before(), change, &[]).unwrap();
        let limits = Limits { people: 7, minutes: None };
        assert_eq!(after, Fields { note: None, limits, list: vec![3], ..before() });
        let secret = |it: Value| changed(&before(), it, &[]).unwrap().secret;
        assert_eq!(secret(json!({})), None);
        assert_eq!(secret(json!({ "secret": null })), Some(None));
        assert_eq!(secret(json!({ "secret": "x" })), Some(Some("x".to_owned())));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for wrong in [
            json!([]),
            json!({ "name": null }),
            json!({ "nmae": "b" }),
            json!({ "limits": { "people": "many" } }),
            json!({ "limits": { "e2ee": true } }),
        ] {
            assert_eq!(
                changed(&before(), wrong.clone(), &[]).unwrap_err().code,
                "malformed",
                "{wrong}"
            );
        }
        let whole = json!({ "limits": { "minutes": 3 } });
        assert!(changed(&before(), whole, &["limits"]).is_err(), "people are missing then");
    }
}
