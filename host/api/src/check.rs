//! Holds what was sent against a table of fields, and notes everything that is wrong with it.
//!
//! Deserialising with serde would stop at the first problem. What fits its table can be
//! deserialised: fields whose null means nothing are left out, and numbers are whole.

use std::collections::HashSet;

use aod_resources::Timestamp;
use aod_resources::shape::{Field, JSON_DEPTH, Need, Object, Pattern, Shape, Text, Union, Unique};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::problem::{Loc, MOST_PROBLEMS, Problem};

/// Holds a body against its table.
///
/// # Errors
/// Every problem.
pub(crate) fn body(table: &Object, value: Value) -> Result<Map<String, Value>, Vec<Problem>> {
    Check::default().whole(table, value, "body")
}

/// Holds a query's parameters, which are texts, against their table.
///
/// # Errors
/// Every problem.
pub(crate) fn query(
    table: &Object,
    values: Map<String, Value>,
) -> Result<Map<String, Value>, Vec<Problem>> {
    let check = Check {
        problems: Vec::new(),
        only_texts: true,
    };
    check.whole(table, Value::Object(values), "query")
}

/// An id in the only form that ids have: lower-case, with hyphens.
pub(crate) fn id(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text).ok()?;
    let mut buffer = Uuid::encode_buffer();
    (id.hyphenated().encode_lower(&mut buffer) == text).then_some(id)
}

/// The problems found so far.
#[derive(Default)]
struct Check {
    problems: Vec<Problem>,
    /// Whether numbers and truth values are given as texts.
    only_texts: bool,
}

impl Check {
    fn whole(
        mut self,
        table: &Object,
        value: Value,
        root: &'static str,
    ) -> Result<Map<String, Value>, Vec<Problem>> {
        let fields = self.object(table, value, &Loc::Root(root), None);
        match fields {
            Some(fields) if self.problems.is_empty() => Ok(fields),
            _ => Err(self.problems),
        }
    }

    fn note(
        &mut self,
        kind: &'static str,
        loc: &Loc<'_>,
        msg: impl Into<String>,
        given: Option<&Value>,
    ) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(Problem::new(kind, loc, msg, given));
        }
    }

    /// A value as its shape has it. Where it is wrong, that is noted and there is none.
    fn value(&mut self, shape: &Shape, value: Value, loc: &Loc<'_>) -> Option<Value> {
        match shape {
            Shape::Text(rule) => self.text(rule, value, loc),
            Shape::Integer { min, max } => self.integer(*min, *max, value, loc),
            Shape::Positive { max } => self.positive(*max, value, loc),
            Shape::Boolean => self.boolean(value, loc),
            Shape::Json(bytes) => self.json(*bytes, value, loc),
            Shape::JsonObject(bytes) => {
                let fields = self.fields(value, loc)?;
                self.json(*bytes, Value::Object(fields), loc)
            }
            Shape::Id => self.id(value, loc),
            Shape::Moment => self.moment(value, loc),
            Shape::Word(words) => self.word(words, value, loc),
            Shape::List { items, max, unique } => {
                self.list(items, *max, unique.as_ref(), value, loc)
            }
            Shape::TextOrList { items, max, .. } if value.is_array() => {
                if value.as_array().is_some_and(Vec::is_empty) {
                    self.note("too_short", loc, "List should have at least 1 item", None);
                    return None;
                }
                self.list(items, *max, None, value, loc)
            }
            Shape::TextOrList { text, .. } => self.text(text, value, loc),
            Shape::Map { keys, values } => self.map(*keys, values, value, loc),
            Shape::Object(table) => self.object(table, value, loc, None).map(Value::Object),
            Shape::Union(union) => self.union(union, value, loc).map(Value::Object),
        }
    }

    fn object(
        &mut self,
        table: &Object,
        value: Value,
        loc: &Loc<'_>,
        tag: Option<&str>,
    ) -> Option<Map<String, Value>> {
        let mut given = self.fields(value, loc)?;
        let mut fields = Map::new();
        if let Some(word) = tag {
            given.remove("type");
            fields.insert("type".to_owned(), json!(word));
        }
        for Field {
            name, need, shape, ..
        } in table.fields
        {
            let at = Loc::Key(loc, name);
            match (given.remove(*name), need) {
                (None, Need::Required) => self.note("missing", &at, "Field required", None),
                (None, Need::Optional | Need::Nullable) | (Some(Value::Null), Need::Optional) => {}
                (Some(Value::Null), Need::Nullable) => {
                    fields.insert((*name).to_owned(), Value::Null);
                }
                (Some(value), _) => {
                    if let Some(value) = self.value(shape, value, &at) {
                        fields.insert((*name).to_owned(), value);
                    }
                }
            }
        }
        if let Some(maps) = table.disjoint {
            self.disjoint(maps, &fields, loc);
        }
        let room = MOST_PROBLEMS.saturating_sub(self.problems.len());
        for name in given.keys().take(room) {
            let known = table.fields.iter().map(|field| field.name);
            let known = known.chain(tag.map(|_| "type"));
            let problem = Problem::unknown_field(&Loc::Key(loc, name), name, known);
            self.problems.push(problem);
        }
        Some(fields)
    }

    /// Notes the keys that both maps have, at the second.
    fn disjoint(&mut self, [first, second]: [&str; 2], fields: &Map<String, Value>, loc: &Loc<'_>) {
        let map = |name| fields.get(name).and_then(Value::as_object);
        let (Some(others), Some(map)) = (map(first), map(second)) else {
            return;
        };
        for key in map.keys().filter(|key| others.contains_key(*key)) {
            let msg = format!("{key} is in {first}, too: a variable is in one of them");
            let at = Loc::Key(loc, second);
            self.note("value_error", &Loc::Key(&at, key), msg, None);
        }
    }

    fn fields(&mut self, value: Value, loc: &Loc<'_>) -> Option<Map<String, Value>> {
        match value {
            Value::Object(fields) => Some(fields),
            other => {
                self.note("dict_type", loc, "Input should be an object", Some(&other));
                None
            }
        }
    }

    fn union(&mut self, union: &Union, value: Value, loc: &Loc<'_>) -> Option<Map<String, Value>> {
        let given = self.fields(value, loc)?;
        let Some(tag) = given.get("type") else {
            let Some(table) = union.untagged else {
                self.note("missing", &Loc::Key(loc, "type"), "Field required", None);
                return None;
            };
            return self.object(table, Value::Object(given), loc, None);
        };
        let tagged = tag
            .as_str()
            .and_then(|tag| union.tagged.iter().find(|(word, _)| *word == tag));
        let Some((word, table)) = tagged else {
            let words: Vec<&str> = union.tagged.iter().map(|(word, _)| *word).collect();
            let mut msg = format!("Input should be {}", choice(&words));
            if union.untagged.is_some() {
                msg.push_str(", or left out");
            }
            self.note("literal_error", &Loc::Key(loc, "type"), msg, Some(tag));
            return None;
        };
        self.object(table, Value::Object(given), loc, Some(word))
    }

    fn list(
        &mut self,
        items: &Shape,
        max: usize,
        unique: Option<&Unique>,
        value: Value,
        loc: &Loc<'_>,
    ) -> Option<Value> {
        let values = match value {
            Value::Array(values) => values,
            other => {
                self.note("list_type", loc, "Input should be a list", Some(&other));
                return None;
            }
        };
        if values.len() > max {
            let msg = format!("List should have at most {max} items");
            self.note("too_long", loc, msg, None);
            return None;
        }
        let mut read = Vec::with_capacity(values.len());
        let mut seen = HashSet::new();
        for (index, value) in values.into_iter().enumerate() {
            let Some(value) = self.value(items, value, &Loc::Index(loc, index)) else {
                continue;
            };
            if let Some(unique) = unique
                && let Some(key) = (unique.key)(&value)
                && !seen.insert(key.clone())
            {
                let msg = format!("{} {key:?}", unique.message);
                self.note("value_error", loc, msg, None);
            }
            read.push(value);
        }
        Some(Value::Array(read))
    }

    fn map(
        &mut self,
        keys: Option<&Pattern>,
        values: &Shape,
        value: Value,
        loc: &Loc<'_>,
    ) -> Option<Value> {
        let mut read = Map::new();
        for (key, value) in self.fields(value, loc)? {
            let at = Loc::Key(loc, &key);
            if let Some(keys) = keys
                && !keys.matches(&key)
            {
                self.note("string_pattern_mismatch", &at, keys.message, None);
            } else if let Some(value) = self.value(values, value, &at) {
                read.insert(key, value);
            }
        }
        Some(Value::Object(read))
    }

    fn text(&mut self, rule: &Text, value: Value, loc: &Loc<'_>) -> Option<Value> {
        let given = (!rule.hidden).then_some(&value);
        let Value::String(text) = &value else {
            self.note("string_type", loc, "Input should be a string", given);
            return None;
        };
        match wrong(rule, text) {
            None => Some(value),
            Some((kind, msg)) => {
                self.note(kind, loc, msg, given);
                None
            }
        }
    }

    fn integer(&mut self, min: i64, max: i64, value: Value, loc: &Loc<'_>) -> Option<Value> {
        let number = match &value {
            Value::String(text) if self.only_texts => text.parse().ok(),
            Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
            _ => None,
        };
        let Some(number) = number else {
            self.note(
                "int_type",
                loc,
                "Input should be a whole number",
                Some(&value),
            );
            return None;
        };
        let (kind, msg) = match number {
            _ if number < min => (
                "greater_than_equal",
                format!("greater than or equal to {min}"),
            ),
            _ if number > max => ("less_than_equal", format!("less than or equal to {max}")),
            _ => return Some(json!(number)),
        };
        self.note(kind, loc, format!("Input should be {msg}"), Some(&value));
        None
    }

    fn positive(&mut self, max: f64, value: Value, loc: &Loc<'_>) -> Option<Value> {
        let Some(number) = value.as_f64() else {
            self.note("float_type", loc, "Input should be a number", Some(&value));
            return None;
        };
        let (kind, msg) = match number {
            // Nothing else is a number in JSON.
            _ if number <= 0.0 => ("greater_than", "greater than 0".to_owned()),
            _ if number > max => ("less_than_equal", format!("less than or equal to {max}")),
            _ => return Some(value),
        };
        self.note(kind, loc, format!("Input should be {msg}"), Some(&value));
        None
    }

    fn boolean(&mut self, value: Value, loc: &Loc<'_>) -> Option<Value> {
        match &value {
            Value::Bool(_) => return Some(value),
            Value::String(text) if self.only_texts => match text.as_str() {
                "true" | "1" => return Some(Value::Bool(true)),
                "false" | "0" => return Some(Value::Bool(false)),
                _ => {}
            },
            _ => {}
        }
        self.note(
            "bool_type",
            loc,
            "Input should be true or false",
            Some(&value),
        );
        None
    }

    /// Any value that is neither too large nor too deep for what reads it later.
    fn json(&mut self, most: usize, value: Value, loc: &Loc<'_>) -> Option<Value> {
        let mut level = vec![&value];
        let mut depth = 0;
        while !level.is_empty() && depth <= JSON_DEPTH {
            depth += 1;
            level = level.into_iter().flat_map(parts).collect();
        }
        let msg = if !level.is_empty() {
            format!("Input should be nested at most {JSON_DEPTH} levels deep")
        } else if value.to_string().len() > most {
            format!("Input should have at most {most} bytes")
        } else {
            return Some(value);
        };
        self.note("value_error", loc, msg, None);
        None
    }

    fn id(&mut self, value: Value, loc: &Loc<'_>) -> Option<Value> {
        match &value {
            Value::String(text) if id(text).is_some() => return Some(value),
            Value::String(_) => {
                let msg = "Input should be a UUID, in lower case and with hyphens";
                self.note("uuid_parsing", loc, msg, Some(&value));
            }
            _ => self.note("uuid_type", loc, "Input should be a UUID", Some(&value)),
        }
        None
    }

    fn moment(&mut self, value: Value, loc: &Loc<'_>) -> Option<Value> {
        let text = value.as_str().filter(|text| text.len() <= 64);
        if text.is_some_and(|text| serde_json::from_value::<Timestamp>(json!(text)).is_ok()) {
            return Some(value);
        }
        let msg = "Input should be an RFC 3339 date and time";
        self.note("datetime_parsing", loc, msg, Some(&value));
        None
    }

    fn word(&mut self, words: &[&str], value: Value, loc: &Loc<'_>) -> Option<Value> {
        if value.as_str().is_some_and(|text| words.contains(&text)) {
            return Some(value);
        }
        let msg = format!("Input should be {}", choice(words));
        self.note("literal_error", loc, msg, Some(&value));
        None
    }
}

/// What stands right inside of a value.
fn parts(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(items) => Box::new(items.iter()),
        Value::Object(fields) => Box::new(fields.values()),
        _ => Box::new(std::iter::empty()),
    }
}

/// What is wrong with a text: a word for programs, and one for people.
fn wrong(rule: &Text, text: &str) -> Option<(&'static str, String)> {
    let Text { min, max, .. } = *rule;
    if text.contains('\0') {
        let msg = "Input should not contain a NUL character";
        return Some(("value_error", msg.to_owned()));
    }
    // Bytes bound characters from above, so long texts are counted only where it matters.
    if text.len() < min || (text.len() < min * 4 && text.chars().count() < min) {
        let plural = if min == 1 { "" } else { "s" };
        let msg = format!("String should have at least {min} character{plural}");
        return Some(("string_too_short", msg));
    }
    if text.len() > max && text.chars().count() > max {
        let msg = format!("String should have at most {max} characters");
        return Some(("string_too_long", msg));
    }
    if rule.max_bytes && text.len() > max {
        let msg = format!("String should have at most {max} bytes");
        return Some(("string_too_long", msg));
    }
    let pattern = rule.pattern.filter(|pattern| !pattern.matches(text))?;
    Some(("string_pattern_mismatch", pattern.message.to_owned()))
}

/// A number such as `60.0`, which JSON Schema calls an integer.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let exact = number.fract() == 0.0 && number.abs() <= EXACT;
    // Within the range in which every whole number has a value of its own.
    exact.then_some(number as i64)
}

fn choice(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    match quoted.split_last() {
        Some((last, others)) if !others.is_empty() => {
            format!("{} or {last}", others.join(", "))
        }
        _ => quoted.concat(),
    }
}

#[cfg(test)]
mod tests;
