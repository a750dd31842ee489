//! Whether a row of the table meets its own bar.

use anyhow::{Context as _, Result, ensure};

/// What the column `met` says of a bar that is missed.
pub(super) const MISSED: &str = "**no**";

/// Adds the column `met` to a row as a benchmark prints it: `| what | measured | against | ratio
/// | bar |`. The column says `yes`, [`MISSED`], or `–` where the bar is no number.
///
/// A bar in units of its own is held against what was measured, and one without (or of so much
/// "more") against the ratio. Where a cell has several such numbers, the worst counts.
///
/// # Errors
///
/// The row has other columns, or a bar that is a number has nothing to be held against.
pub(super) fn judged(row: &str) -> Result<String> {
    let row = row.trim_end();
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    let &["", what, measured, _, ratio, bar, ""] = cells.as_slice() else {
        anyhow::bail!("this row of the table does not have five columns: {row}");
    };
    let met = met(measured, ratio, bar)
        .with_context(|| format!("the bar of the row `{what}` cannot be checked"))?;
    let met = match met {
        Some(true) => "yes",
        Some(false) => MISSED,
        None => "–",
    };
    Ok(format!("{row} {met} |"))
}

/// Whether the bar is met; None where it is no number.
fn met(measured: &str, ratio: &str, bar: &str) -> Result<Option<bool>> {
    let Some(sign) = bar.chars().next().filter(|sign| "≥≤<".contains(*sign)) else {
        return Ok(None);
    };
    // What follows a comma or a colon explains the number.
    let bound = bar[sign.len_utf8()..].split([',', ':']).next();
    let bound = bound.unwrap_or_default();
    let (limit, unit) = *numbers(bound).first().context("its bar has no number")?;
    let held = match unit {
        Unit::None | Unit::Times => ratio,
        _ if bound.contains("more") => ratio,
        _ => measured,
    };
    let found: Vec<f64> = numbers(held)
        .into_iter()
        .filter(|(_, other)| other.kind() == unit.kind())
        .map(|(number, other)| number * other.size())
        .collect();
    ensure!(!found.is_empty(), "`{held}` has no number for `{bar}`");
    let limit = limit * unit.size();
    Ok(Some(found.into_iter().all(|number| match sign {
        '≥' => number >= limit,
        '≤' => number <= limit,
        _ => number < limit,
    })))
}

#[derive(Clone, Copy, Debug)]
enum Unit {
    None,
    Times,
    Bytes(f64),
    Seconds(f64),
    Other,
}

impl Unit {
    const fn kind(self) -> u8 {
        match self {
            Self::None | Self::Times => 0,
            Self::Bytes(_) => 1,
            Self::Seconds(_) => 2,
            Self::Other => 3,
        }
    }

    const fn size(self) -> f64 {
        match self {
            Self::Bytes(size) | Self::Seconds(size) => size,
            _ => 1.0,
        }
    }

    fn of(word: &str) -> Self {
        match word {
            "" => Self::None,
            "×" => Self::Times,
            "KiB" => Self::Bytes(1024.0),
            "MiB" => Self::Bytes(1_048_576.0),
            "ns" => Self::Seconds(1e-9),
            "µs" => Self::Seconds(1e-6),
            "ms" => Self::Seconds(1e-3),
            "s" => Self::Seconds(1.0),
            _ => Self::Other,
        }
    }
}

/// The numbers of a cell, each with the unit behind it.
fn numbers(cell: &str) -> Vec<(f64, Unit)> {
    let mut found = Vec::new();
    let mut rest = cell;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let digits = &rest[start..];
        let end = digits.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (number, after) = digits.split_at(end.unwrap_or(digits.len()));
        let word = after.trim_start();
        let length = word.find(|c: char| !c.is_alphabetic() && c != '×' && c != '/');
        let word = &word[..length.unwrap_or(word.len())];
        if let Ok(number) = number.trim_end_matches('.').parse() {
            found.push((number, Unit::of(word)));
        }
        rest = after;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last column of a row with these cells.
    fn verdict(measured: &str, ratio: &str, bar: &str) -> String {
        let row = judged(&format!("| x | {measured} | – | {ratio} | {bar} |")).unwrap();
        row.trim_end_matches(" |")
            .rsplit_once("| ")
            .unwrap()
            .1
            .to_owned()
    }

    #[test]
    fn a_bar_without_a_unit_is_held_against_the_ratio() {
        assert_eq!(verdict("260 MiB/s", "0.55", "≥ 0.5"), "yes");
        assert_eq!(verdict("260 MiB/s", "0.49", "≥ 0.5"), MISSED);
        assert_eq!(verdict("38.6 ms", "1.24×", "≤ 1.25×"), "yes");
        assert_eq!(verdict("617µs", "2.00×", "< 2×"), MISSED);
        let bar = "≥ 10× faster, well under 100 ms";
        assert_eq!(verdict("2.3ms", "627× faster", bar), "yes");
        assert_eq!(verdict("2.3ms", "9× faster", bar), MISSED);
        assert_eq!(verdict("45.0µs", "43.9µs more", "≤ 50 µs more"), "yes");
        assert_eq!(verdict("45.0µs", "1.1ms more", "≤ 50 µs more"), MISSED);
    }

    #[test]
    fn a_bar_in_units_is_held_against_what_was_measured() {
        assert_eq!(verdict("33.2µs", "", "≤ 30 µs"), MISSED);
        assert_eq!(verdict("0.01 ms", "", "≤ 30 µs"), "yes");
        let bar = "≤ 95.2 MiB: 64 MiB + 32 KiB a session";
        assert_eq!(verdict("47.9 MiB", "43.3 KiB a session", bar), "yes");
        assert_eq!(verdict("95.3 MiB", "43.3 KiB a session", bar), MISSED);
    }

    #[test]
    fn the_worst_of_several_numbers_counts() {
        let measured = "190 KiB, 1537 KiB at most";
        assert_eq!(verdict(measured, "", "≤ 1536 KiB"), MISSED);
    }

    #[test]
    fn a_bar_that_is_no_number_is_not_judged() {
        for bar in ["–", "one wake-up and one write a batch"] {
            assert_eq!(verdict("81 KiB", "", bar), "–");
        }
    }

    #[test]
    fn what_cannot_be_judged_is_an_error() {
        assert!(judged("| x | 1 | – | no number | ≥ 0.5 |").is_err());
        assert!(judged("| x | 1 | ≥ 0.5 |").is_err());
    }

    #[test]
    fn every_row_of_the_table_in_the_docs_says_what_is_true() {
        let page = include_str!("../../../docs/performance.md");
        let rows = page.lines().filter(|line| line.starts_with("| "));
        let mut judged_rows = 0;
        for row in rows.filter(|row| !row.starts_with("| what |")) {
            let (bare, _) = row.trim_end_matches(" |").rsplit_once(" | ").unwrap();
            assert_eq!(judged(&format!("{bare} |")).unwrap(), row);
            judged_rows += 1;
        }
        assert!(judged_rows > 10, "{judged_rows}");
    }
}
