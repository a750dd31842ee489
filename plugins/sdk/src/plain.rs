use std::borrow::Cow;

/// Takes terminal control sequences out of a text.
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains('\u{1b}') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '\u{1b}' {
            plain.push(character);
        } else if characters.next_if_eq(&'[').is_some() {
            // Parameters, and then one letter or symbol that ends the sequence.
            let _ = characters.find(|next| ('\u{40}'..='\u{7e}').contains(next));
        } else {
            characters.next();
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn sequences_go_and_text_stays() {
        assert_eq!(
            plain("\u{1b}[91m\u{1b}[1mError: \u{1b}[0mSession"),
            "Error: Session"
        );
        assert_eq!(plain("no [sequence] é"), "no [sequence] é");
        assert_eq!(plain("cut \u{1b}[3"), "cut ");
        assert_eq!(plain("\u{1b}"), "");
    }
}
