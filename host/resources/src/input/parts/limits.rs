//! Tables of limits.

use super::optional;
use crate::input::shape::{Object, Shape};

/// Upper bounds for turns.
pub const LIMITS: Shape = Shape::Object(&LIMITS_TABLE);

/// What numbers of JavaScript count without a gap.
const LARGEST: i64 = (1 << 53) - 1;

static LIMITS_TABLE: Object = Object {
    name: "LimitsInput",
    doc: "Upper bounds for a turn. What reaches one of them is stopped, and fails with the kind \
          `limit`; the session takes another prompt.",
    example: r#"{"max_rounds": 40, "max_cost_usd": 1.5}"#,
    disjoint: None,
    fields: &[
        optional(
            "max_rounds",
            "Requests to the model. Also where nothing is said, a turn ends that repeats a request \
             200 times to no avail.",
            Shape::Integer {
                min: 1,
                max: 100_000,
            },
        ),
        optional(
            "max_output_tokens",
            "Tokens that the model writes, as far as the runtime tells them.",
            Shape::Integer {
                min: 1,
                max: LARGEST,
            },
        ),
        optional(
            "max_cost_usd",
            "US dollars, as far as the runtime tells them.",
            Shape::Positive { max: 1e6 },
        ),
    ],
};
