//! Unified diffs of the texts that agents tell as before and after.

use similar::TextDiff;

/// Beyond so many lines that differ, before and after together, the smallest diff is not looked
/// for: it would take longer than a call may.
const MANY_LINES: usize = 4_000;

/// A unified diff with three lines around each change.
pub(crate) fn unified(before: &str, after: &str) -> String {
    if differing_lines(before, after) > MANY_LINES {
        return replaced(before, after);
    }
    TextDiff::from_lines(before, after)
        .unified_diff()
        .context_radius(3)
        .to_string()
}

/// The lines between what both have at their beginning and at their end.
fn differing_lines(before: &str, after: &str) -> usize {
    let lines = before.lines().count() + after.lines().count();
    let common = |pairs: &mut dyn Iterator<Item = (&str, &str)>| {
        2 * pairs.take_while(|(before, after)| before == after).count()
    };
    let start = common(&mut before.lines().zip(after.lines()));
    let end = common(&mut before.lines().rev().zip(after.lines().rev()));
    lines.saturating_sub(start + end)
}

/// All lines taken away, and all lines put there.
fn replaced(before: &str, after: &str) -> String {
    let range = |text: &str| match text.lines().count() {
        0 => "0,0".to_owned(),
        lines => format!("1,{lines}"),
    };
    let mut diff = format!("@@ -{} +{} @@\n", range(before), range(after));
    for (sign, text) in [('-', before), ('+', after)] {
        for line in text.split_inclusive('\n') {
            diff.push(sign);
            diff.push_str(line);
            if !line.ends_with('\n') {
                diff.push_str("\n\\ No newline at end of file\n");
            }
        }
    }
    diff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_changes_have_small_diffs() {
        assert_eq!(
            unified("a\nb\nc\n", "a\nx\nc\n"),
            "@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n"
        );
        assert_eq!(
            unified("", "new"),
            "@@ -0,0 +1 @@\n+new\n\\ No newline at end of file\n"
        );
        assert_eq!(unified("same\n", "same\n"), "");
    }

    #[test]
    fn what_is_written_anew_is_replaced() {
        let before: String = (0..3_000).map(|line| format!("a{line}\n")).collect();
        let after: String = (0..3_000).map(|line| format!("b{line}\n")).collect();
        let diff = unified(&before, &after);
        assert!(diff.starts_with("@@ -1,3000 +1,3000 @@\n-a0\n-a1\n"));
        assert_eq!(diff.lines().count(), 6_001);
        // A long text with a small change is not written anew.
        assert!(
            unified(&before, &before.replace("a7\n", "x\n"))
                .lines()
                .count()
                < 10
        );
    }
}
