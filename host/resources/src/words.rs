//! The words of enumerations.

/// The words of an enumeration's values, in their order, as a constant: `words!(Self::ALL)`, where
/// each value has a constant `as_str`.
macro_rules! words {
    ($all:expr) => {
        &{
            let mut words = [""; $all.len()];
            let mut index = 0;
            while index < words.len() {
                words[index] = $all[index].as_str();
                index += 1;
            }
            words
        }
    };
}
