//! What a turn leaves to the next.

/// The CLI's session, and what it had cost so far: older CLIs go on counting, and a turn's cost is
/// the difference.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Resume {
    pub(crate) session: String,
    pub(crate) cost_usd: f64,
}

impl Resume {
    /// Reads what `write` wrote.
    pub(crate) fn read(token: &str) -> Self {
        let (session, cost) = token.split_once(' ').unwrap_or((token, ""));
        Self {
            session: session.to_owned(),
            cost_usd: cost.parse().unwrap_or(0.0),
        }
    }

    /// The id, a blank, and the cost in US dollars.
    pub(crate) fn write(&self) -> String {
        format!("{} {}", self.session, self.cost_usd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let resume = Resume {
            session: "c0b5ebf1-aa16-422b-bf8b-446ed9569d83".to_owned(),
            cost_usd: 0.000_138,
        };
        assert_eq!(Resume::read(&resume.write()), resume);
        assert_eq!(Resume::read("id").cost_usd, 0.0);
    }
}
