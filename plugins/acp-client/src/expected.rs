//! What is known of calls before the agent says that they are made.

/// Inputs of calls, in the order in which the model has asked for them.
#[derive(Debug, Default)]
pub(crate) struct Expected(Vec<Input>);

#[derive(Debug)]
struct Input {
    /// The model's id of the call, where it has one.
    id: Option<String>,
    name: String,
    input: String,
}

/// So many are kept at most: what is never called is not kept for ever.
const MANY: usize = 64;

impl Expected {
    pub(crate) fn add(&mut self, id: Option<&str>, name: &str, input: &str) {
        if self.0.len() >= MANY {
            self.0.remove(0);
        }
        self.0.push(Input {
            id: id.map(str::to_owned),
            name: name.to_owned(),
            input: input.to_owned(),
        });
    }

    /// The input of a call: by the model's id, which the agent's ends with, or else the first of
    /// that tool.
    pub(crate) fn take(&mut self, id: &str, name: &str) -> Option<String> {
        let is_its = |input: &Input| match &input.id {
            Some(own) => id.strip_suffix(own.as_str()).is_some(),
            None => input.name == name,
        };
        let at = self.0.iter().position(is_its)?;
        Some(self.0.remove(at).input)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
