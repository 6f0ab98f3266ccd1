//! Answers for people: a table for a list, a line for each field of one thing.

use serde_json::Value;

/// What an answer has under this key; null where there is nothing.
pub fn at<'a>(value: &'a Value, key: &str) -> &'a Value {
    value.get(key).unwrap_or(&Value::Null)
}

/// The text that an answer has under this key; empty where there is none.
pub fn text(value: &Value, key: &str) -> String {
    at(value, key).as_str().unwrap_or_default().to_owned()
}

/// Prints a list: these fields of each entry under their names in capitals; a field of a field is
/// named by a dot.
pub fn table(list: &Value, fields: &[&str]) {
    print!("{}", table_text(list, fields));
}

/// Prints the items of an answer: as they came where JSON is wanted, else as a table in which `column`
/// is what `told` says of an item.
pub fn items(
    answer: &Value,
    json: bool,
    fields: &[&str],
    column: &str,
    told: impl Fn(&Value) -> String,
) {
    let items = at(answer, "items");
    if json {
        println!("{items}");
        return;
    }
    let mut items = items.as_array().cloned().unwrap_or_default();
    for item in &mut items {
        let told = told(item);
        if let Some(item) = item.as_object_mut() {
            item.insert(column.to_owned(), told.into());
        }
    }
    table(&Value::Array(items), fields);
}

fn table_text(list: &Value, fields: &[&str]) -> String {
    let head: Vec<String> =
        fields.iter().map(|it| it.replace(['_', '.'], " ").to_uppercase()).collect();
    let rows = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let rows = rows.iter().map(|row| fields.iter().map(|field| shown(row, field)).collect());
    let all: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| {
        let cells = all.iter().filter_map(|it| it.get(column));
        cells.map(|it| it.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..fields.len()).map(width).collect();
    let mut text = String::new();
    for row in &all {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Prints the fields of one thing.
pub fn fields(thing: &Value) {
    let Some(fields) = thing.as_object() else { return };
    let width = fields.keys().map(|it| it.chars().count()).max().unwrap_or(0);
    for key in fields.keys() {
        println!("{:width$}  {}", key.replace('_', " "), shown(thing, key));
    }
}

/// A field for people, on one line and without what a terminal would act on.
fn shown(row: &Value, field: &str) -> String {
    let value = field.split('.').try_fold(row, |value, key| value.get(key));
    let text = match value.unwrap_or(&Value::Null) {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            let parts =
                list.iter().map(|it| it.as_str().map_or_else(|| it.to_string(), str::to_owned));
            parts.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_cell_and_nothing_moves_the_terminal() {
        let list = json!([
            { "name": "anna", "signed_in": null, "by": { "name": "root" }, "scopes": ["a", "b"] },
            { "name": "борис\u{1b}[2J", "signed_in": true, "by": {}, "scopes": [] },
        ]);
        assert_eq!(
            table_text(&list, &["name", "signed_in", "by.name", "scopes"]),
            "NAME       SIGNED IN  BY NAME  SCOPES\n\
             anna       -          root     a, b\n\
             борис [2J  yes        -\n"
        );
    }
}
