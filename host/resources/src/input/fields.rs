//! Bodies and queries as types, each written down once together with its table.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::shape::Object;

/// What a request holds, as a type with a table of its fields. [`input!`](crate::input) makes both.
pub trait Input: Sized {
    /// The table that requests are held against.
    fn table() -> &'static Object;

    /// Takes the fields out of an object that fits the table.
    ///
    /// # Errors
    /// Where a field is not what its type takes: the object does not fit the table, or the table
    /// allows more than the type does, which is a fault of the server.
    fn build(fields: Map<String, Value>) -> Result<Self, serde_json::Error>;
}

/// A required field. For [`input!`](crate::input).
#[doc(hidden)]
pub fn required<T: DeserializeOwned>(
    fields: &mut Map<String, Value>,
    name: &str,
) -> Result<T, serde_json::Error> {
    serde_json::from_value(fields.remove(name).unwrap_or_default())
}

/// A field that may be left out or be null. For [`input!`](crate::input).
#[doc(hidden)]
pub fn optional<T: DeserializeOwned + Default>(
    fields: &mut Map<String, Value>,
    name: &str,
) -> Result<T, serde_json::Error> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(T::default()),
        Some(value) => serde_json::from_value(value),
    }
}

/// A field that may be left out, and for which null is a value. For [`input!`](crate::input).
#[doc(hidden)]
pub fn nullable<T: DeserializeOwned>(
    fields: &mut Map<String, Value>,
    name: &str,
) -> Result<Option<Option<T>>, serde_json::Error> {
    match fields.remove(name) {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(None)),
        Some(value) => serde_json::from_value(value).map(|value| Some(Some(value))),
    }
}

/// Writes down a body or a query once: a type, its [`Input`], and its schema.
///
/// ```
/// use aod_resources::shape::{Shape, Text};
///
/// aod_resources::input! {
///     /// A letter.
///     example r#"{"to": "Ada"}"#
///     pub struct Letter {
///         /// Whom it is for.
///         required to: String = Text::new(1, 100).shape(),
///         /// How many stamps are on it.
///         optional stamps: Option<u32> = Shape::Integer { min: 1, max: 9 },
///     }
/// }
/// ```
///
/// A field is `required`; `optional`, where null is the same as nothing, and the type has a
/// default; or `nullable`, where the type is `Option<Option<_>>` and null is told from nothing.
/// Fields that no client sends come in a block `and { … }` behind the others, and begin with their
/// default. Two maps behind `disjoint` may not have a key in common; a function behind `then` gets
/// the finished value.
#[macro_export]
macro_rules! input {
    (
        $(#[doc = $about:literal])*
        example $example:literal
        $vis:vis struct $name:ident {
            $(
                $(#[doc = $doc:literal])*
                $need:ident $field:ident: $type:ty = $shape:expr
            ),* $(,)?
        }
        $(and {
            $(
                $(#[doc = $own_doc:literal])*
                $own:ident: $own_type:ty
            ),* $(,)?
        })?
        $(disjoint $first:ident and $second:ident)?
        $(then $then:path)?
    ) => {
        $(#[doc = $about])*
        #[derive(Debug)]
        $vis struct $name {
            $(
                $(#[doc = $doc])*
                $vis $field: $type,
            )*
            $($(
                $(#[doc = $own_doc])*
                $vis $own: $own_type,
            )*)?
        }

        impl $crate::Input for $name {
            fn table() -> &'static $crate::shape::Object {
                static TABLE: $crate::shape::Object = $crate::shape::Object {
                    name: stringify!($name),
                    doc: concat!($($about, "\n"),*),
                    example: $example,
                    fields: &[$($crate::shape::Field {
                        name: stringify!($field),
                        doc: concat!($($doc, "\n"),*),
                        need: $crate::input!(@need $need),
                        shape: $shape,
                    }),*],
                    disjoint: $crate::input!(@disjoint $($first $second)?),
                };
                &TABLE
            }

            fn build(
                mut fields: $crate::Map<String, $crate::Value>,
            ) -> ::std::result::Result<Self, $crate::FieldError> {
                #[allow(unused_mut, reason = "not every input has something left to do")]
                let mut built = Self {
                    $($field: $crate::fields::$need(&mut fields, stringify!($field))?,)*
                    $($($own: ::std::default::Default::default(),)*)?
                };
                $($then(&mut built);)?
                Ok(built)
            }
        }

        impl ::utoipa::PartialSchema for $name {
            fn schema() -> ::utoipa::openapi::RefOr<::utoipa::openapi::Schema> {
                $crate::schema::object(<Self as $crate::Input>::table()).into()
            }
        }

        impl ::utoipa::ToSchema for $name {
            fn schemas(
                schemas: &mut Vec<(String, ::utoipa::openapi::RefOr<::utoipa::openapi::Schema>)>,
            ) {
                $crate::schema::parts(<Self as $crate::Input>::table(), schemas);
            }
        }

        impl ::utoipa::IntoParams for $name {
            fn into_params(
                _: impl Fn() -> ::std::option::Option<::utoipa::openapi::path::ParameterIn>,
            ) -> Vec<::utoipa::openapi::path::Parameter> {
                $crate::schema::query(<Self as $crate::Input>::table())
            }
        }
    };
    (@disjoint) => { None };
    (@disjoint $first:ident $second:ident) => {
        Some([stringify!($first), stringify!($second)])
    };
    (@need required) => { $crate::shape::Need::Required };
    (@need optional) => { $crate::shape::Need::Optional };
    (@need nullable) => { $crate::shape::Need::Nullable };
}
