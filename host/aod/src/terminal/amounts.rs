//! Amounts as people read them.

use aod_resources::Timestamp;
use bytesize::ByteSize;

/// How long ago something was, in its largest unit.
pub(crate) fn age(at: Timestamp) -> String {
    let seconds = (Timestamp::now().as_micros() - at.as_micros()).max(0) / 1_000_000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Bytes, in the largest unit of which there is one, without white space.
pub(crate) fn size(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec_short().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short() {
        assert_eq!(size(0), "0B");
        assert_eq!(size(3 << 20), "3.0M");
        assert_eq!(age(Timestamp::now()), "0s");
    }
}
