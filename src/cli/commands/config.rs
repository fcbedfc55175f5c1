//! `config show`: each value and where it came from.

use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::config::{Entry, entries};
use crate::cli::context::Context;
use crate::cli::failure::Outcome;
use crate::cli::table::{Look, Table};
use crate::cli::{exit, units};

/// What `config show` answers.
#[derive(Debug, Serialize)]
struct Report {
    files: Vec<std::path::PathBuf>,
    values: Vec<Entry>,
}

/// Runs `config show`.
pub fn show(context: &Context) -> Outcome {
    let config = context.config()?;
    context.warn_of_foreign_settings(&config);
    let root = context.root()?;
    let read_only = context.read_only();
    let mut values = vec![
        Entry { key: "store".into(), value: json!(root.path), origin: root.origin.into() },
        Entry {
            key: "read_only".into(),
            value: json!(read_only.is_some()),
            origin: read_only.unwrap_or("default").into(),
        },
    ];
    values.extend(entries(&config));
    let report = Report { files: config.files, values };
    context.out.result(&report, |text| {
        let mut table = Table::new(&["KEY", "VALUE", "FROM"]);
        for entry in &report.values {
            let is_default = entry.origin == "default";
            for (index, value) in lines(&entry.key, &entry.value).into_iter().enumerate() {
                let first = |text: &str| if index == 0 { text.to_owned() } else { String::new() };
                table.row(vec![
                    (first(&entry.key), Look::Name),
                    (value, Look::Plain),
                    (first(&entry.origin), if is_default { Look::Dim } else { Look::Plain }),
                ]);
            }
        }
        *text = table.render(context.out.paint);
    })?;
    Ok(exit::OK)
}

/// A value for people: a line for each entry of a list.
fn lines(key: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Array(list) if !list.is_empty() => list.iter().flat_map(|one| lines(key, one)).collect(),
        Value::Number(bytes) if key.ends_with("_size") || key.ends_with("min_free") => {
            vec![bytes.as_u64().map_or_else(|| bytes.to_string(), units::size)]
        }
        Value::Object(index) => {
            let text = |key: &str| index.get(key).and_then(Value::as_str).unwrap_or_default();
            let mut line = format!("{} {}", text("name"), text("url"));
            if index.get("default") == Some(&Value::Bool(true)) {
                line.push_str(" (replaces PyPI)");
            }
            match text("credentials") {
                "" => vec![line],
                credentials => vec![line, format!("  credentials {credentials}")],
            }
        }
        Value::String(text) => vec![text.clone()],
        Value::Null | Value::Array(_) => vec!["-".into()],
        other => vec![other.to_string()],
    }
}
