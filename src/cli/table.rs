//! Tables that look the same in a log as on a terminal: columns, no boxes.
//!
//! In a pipe lines are as long as they need be, so that `grep` and `awk` see whole names. On a terminal the first
//! column gives way.

use std::io::IsTerminal;

use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table as Grid, presets,
};

use super::style::Paint;

/// How a cell looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// As it is.
    Plain,
    /// As it should be.
    Good,
    /// Worth a look.
    Odd,
    /// Failed.
    Bad,
    /// Less important.
    Dim,
    /// A name to copy.
    Name,
}

/// A table of texts.
#[derive(Debug)]
pub struct Table {
    headers: Vec<&'static str>,
    right: Vec<usize>,
    rows: Vec<Vec<(String, Look)>>,
}

impl Table {
    /// A table with these headers.
    pub fn new(headers: &[&'static str]) -> Self {
        Self { headers: headers.to_vec(), right: Vec::new(), rows: Vec::new() }
    }

    /// Aligns these columns to the right.
    pub fn right(mut self, columns: &[usize]) -> Self {
        self.right = columns.to_vec();
        self
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<(String, Look)>) {
        self.rows.push(cells);
    }

    /// The text for standard output, each line ended.
    pub fn render(&self, paint: Paint) -> String {
        self.lay_out(paint, std::io::stdout().is_terminal(), None)
    }

    fn lay_out(&self, paint: Paint, on_terminal: bool, width: Option<u16>) -> String {
        let mut grid = Grid::new();
        grid.load_style(presets::NOTHING);
        let arrangement = if on_terminal { ContentArrangement::Dynamic } else { ContentArrangement::Disabled };
        grid.set_content_arrangement(arrangement);
        if let Some(width) = width {
            grid.set_width(width);
        }
        if paint.is_on() {
            grid.enforce_styling();
        }
        let styled = |cell: Cell, look: Look| {
            if !paint.is_on() {
                return cell;
            }
            match look {
                Look::Plain => cell,
                Look::Good => cell.fg(Color::DarkGreen),
                Look::Odd => cell.fg(Color::DarkYellow),
                Look::Bad => cell.fg(Color::DarkRed),
                Look::Dim => cell.add_attribute(Attribute::Dim),
                Look::Name => cell.fg(Color::DarkCyan),
            }
        };
        let header = self.headers.iter().map(|text| {
            let cell = Cell::new(text);
            if paint.is_on() { cell.add_attribute(Attribute::Bold) } else { cell }
        });
        grid.set_header(header);
        for row in &self.rows {
            grid.add_row(row.iter().map(|(text, look)| styled(Cell::new(text), *look)));
        }
        for (index, column) in grid.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if self.right.contains(&index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
            if index != 0 {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        let mut text = String::new();
        for line in grid.lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["PACK", "ENV", "SIZE"]).right(&[2]);
        let cell = |text: &str| (text.to_owned(), Look::Plain);
        table.row(vec![cell("aws.s3"), cell("env:mfrggzdfmztw"), cell("1.0 MB")]);
        table.row(vec![cell(&"long.".repeat(20)), cell("env:mfrggzdfmztw"), cell("120.5 MB")]);
        table
    }

    #[test]
    fn a_pipe_gets_whole_lines_without_boxes() {
        let text = table().lay_out(Paint::plain(), false, None);
        assert_eq!(text.lines().count(), 3);
        assert!(text.is_ascii());
        assert!(
            text.lines().any(|line| line == format!("{}  env:mfrggzdfmztw  120.5 MB", "long.".repeat(20))),
            "{text}"
        );
    }

    #[test]
    fn eighty_columns_are_enough() {
        let text = table().lay_out(Paint::plain(), true, Some(80));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("env:mfrggzdfmztw"), "{text}");
    }
}
