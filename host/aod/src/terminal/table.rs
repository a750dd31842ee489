//! Rows in columns.

use unicode_width::UnicodeWidthStr as _;

use super::{short, tame};

/// The most characters of a cell.
const CELL: usize = 60;

/// Rows in columns that are as wide as what is in them.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [&str; N]) {
        let cells = cells.iter().map(|cell| short(&tame(cell), CELL));
        self.rows.push(cells.collect());
    }

    /// As text, with two blanks between the columns.
    pub(crate) fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.width()).max().unwrap_or_default()
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.push_str(&" ".repeat(width - cell.width() + 2));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_whatever_is_in_them() {
        let mut table = Table::default();
        assert_eq!(table.text(), "");
        table.row(["a", "漢字", "x"]);
        table.row(["long\x1b[2J", "b", ""]);
        assert_eq!(table.text(), "a        漢字  x\nlong[2J  b\n");
    }
}
