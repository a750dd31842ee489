/// How many characters a title has at most.
const LONGEST: usize = 200;

/// A text for people who look at a list: its first line with words in it, and at most 200
/// characters of that. None, if the text has no words.
#[must_use]
pub fn title(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    Some(match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::title;

    #[test]
    fn a_title_is_one_short_line() {
        assert_eq!(title("ls -la"), Some("ls -la".to_owned()));
        assert_eq!(title("\n\n  first\nsecond"), Some("first".to_owned()));
        assert_eq!(title(" \n\t"), None);
        let long = title(&"é".repeat(300)).unwrap_or_default();
        assert_eq!(long, format!("{}…", "é".repeat(200)));
    }
}
