//! What happens when a CLI's own tools are to be called.

use crate::failure::unsupported;
use crate::{Context, Policy, Refusal};

/// The policies of a CLI's own tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnPolicies {
    /// For tools that nobody has named.
    pub default: Policy,
    /// For each tool that the adapter knows, in its order.
    pub each: Vec<(&'static str, Policy)>,
}

impl OwnPolicies {
    /// The tools of a policy.
    pub fn of(&self, policy: Policy) -> impl Iterator<Item = &'static str> {
        let each = self.each.iter();
        each.filter_map(move |(tool, own)| (*own == policy).then_some(*tool))
    }

    /// Whether anything is to be asked for.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.of(Policy::Ask).next().is_some()
    }
}

impl Context {
    /// The policies of the CLI's own tools, of which the adapter knows these; none where all may be
    /// called. Names may be written in any case.
    ///
    /// # Errors
    /// A policy for a tool that the adapter does not know: what is misspelt must not be allowed
    /// without a word.
    pub fn own_policies(&self, known: &[&'static str]) -> Result<Option<OwnPolicies>, Refusal> {
        let mut policies = OwnPolicies {
            default: Policy::Allow,
            each: Vec::new(),
        };
        let own = || {
            let all = self.tool_policies.iter();
            all.filter(|policy| policy.server.is_none())
        };
        if let Some(all) = own().find(|policy| policy.tool == "*") {
            policies.default = all.policy;
        }
        let same = |tool: &str| known.iter().position(|it| it.eq_ignore_ascii_case(tool));
        let every = known.iter().map(|tool| (*tool, policies.default));
        policies.each.extend(every);
        for policy in own().filter(|policy| policy.tool != "*") {
            let Some(index) = same(&policy.tool) else {
                return Err(unsupported(
                    &format!("permissions.tools.{}", policy.tool),
                    &format!(
                        "the CLI has no tool of this name; it has {}",
                        known.join(", ")
                    ),
                ));
            };
            policies.each[index].1 = policy.policy;
        }
        let says_nothing = policies
            .each
            .iter()
            .all(|(_, policy)| *policy == Policy::Allow);
        let says_nothing = says_nothing && policies.default == Policy::Allow;
        Ok((!says_nothing).then_some(policies))
    }
}
