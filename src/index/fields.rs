//! [`Fields`]: a row's columns, read from left to right.
//!
//! For rows that are read by the thousand and at every miss: to find a column by its name SQLite is asked for the names of all before it, 4 us
//! for the 23 of a binding.

use std::fmt::Display;
use std::str::FromStr;

use rusqlite::Row;
use rusqlite::types::FromSql;
use serde::de::value::{Error, StrDeserializer};
use serde::de::{Deserialize, DeserializeOwned, IntoDeserializer};

use super::corrupt_column;

/// A row and the column that is read next.
#[derive(Debug)]
pub(super) struct Fields<'a, 'statement> {
    row: &'a Row<'statement>,
    next: usize,
}

impl<'a, 'statement> Fields<'a, 'statement> {
    /// Begins with the first column.
    pub fn of(row: &'a Row<'statement>) -> Self {
        Self { row, next: 0 }
    }

    /// The next column.
    pub fn value<T: FromSql>(&mut self) -> rusqlite::Result<T> {
        self.next += 1;
        self.row.get(self.next - 1)
    }

    /// The next column, a text that must parse.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self) -> rusqlite::Result<T> {
        self.text(str::parse)
    }

    /// The next column, the serde name of an enum's variant.
    pub fn word<T: for<'de> Deserialize<'de>>(&mut self) -> rusqlite::Result<T> {
        self.text(|text| {
            let word: StrDeserializer<'_, Error> = text.into_deserializer();
            T::deserialize(word)
        })
    }

    /// The next column, JSON.
    pub fn json<T: DeserializeOwned>(&mut self) -> rusqlite::Result<T> {
        self.text(|text| serde_json::from_str(text))
    }

    /// The next column, a text, as something reads it.
    pub fn text<T, E: Display>(&mut self, read: impl FnOnce(&str) -> Result<T, E>) -> rusqlite::Result<T> {
        let column = self.next;
        self.next += 1;
        let text = self.row.get_ref(column)?.as_str()?;
        read(text).map_err(|error| corrupt_column(self.row.as_ref().column_name(column).unwrap_or_default(), &error))
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::index::State;

    #[test]
    fn columns_come_in_order_and_what_does_not_parse_is_named() {
        let db = Connection::open_in_memory().expect("opens");
        let read = |sql: &str| {
            db.query_row(sql, [], |row| {
                let mut fields = Fields::of(row);
                Ok((
                    fields.value::<i64>()?,
                    fields.word::<State>()?,
                    fields.json::<Vec<u8>>()?,
                    fields.parsed::<u16>()?,
                ))
            })
        };
        assert_eq!(read("SELECT 1, 'ready', '[2]', '3'"), Ok((1, State::Ready, vec![2], 3)));
        for (sql, column) in [
            ("SELECT 1, 'steady' AS state, '[2]', '3'", "state"),
            ("SELECT 1, 'ready', '[2' AS list, '3'", "list"),
            ("SELECT 1, 'ready', '[2]', '70000' AS number", "number"),
        ] {
            let error = read(sql).expect_err(sql).to_string();
            assert!(error.contains(&format!("column `{column}`")), "{error}");
        }
    }
}
