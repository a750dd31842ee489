//! Tables of fields as JSON Schema, for the API's description.

use serde_json::{Value, json};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, Discriminator, ObjectBuilder, OneOfBuilder, SchemaType,
    Type,
};
use utoipa::openapi::{KnownFormat, Ref, RefOr, Required, Schema, SchemaFormat};

use super::shape::{Need, Object, Shape, Text, Union};

/// The only form of an id.
pub const ID: &str = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$";

/// The schema of a table.
pub fn object(table: &Object) -> Schema {
    object_with_type(table, None)
}

/// The schema of a union. Its objects are among its [`union_parts`].
pub(crate) fn union(union: &Union) -> Schema {
    one_of(union)
}

/// The schemas of the objects of a union, by name.
pub(crate) fn union_parts(union: &'static Union, schemas: &mut Vec<(String, RefOr<Schema>)>) {
    shape_parts(&Shape::Union(union), schemas);
}

/// The schemas of the tables within a table, by name.
pub fn parts(table: &Object, schemas: &mut Vec<(String, RefOr<Schema>)>) {
    for field in table.fields {
        shape_parts(&field.shape, schemas);
    }
}

/// A table as parameters of a query.
pub fn query(table: &Object) -> Vec<Parameter> {
    let parameter = |field: &super::shape::Field| {
        let (name, of) = match &field.shape {
            // A parameter for each key.
            Shape::Map { values, .. } => (format!("{}.KEY", field.name), *values),
            of => (field.name.to_owned(), of),
        };
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Query)
            .required(match field.need {
                Need::Required => Required::True,
                Need::Optional | Need::Nullable => Required::False,
            })
            .description(Some(prose(field.doc)))
            .schema(Some(shape(of, false, None)))
            .build()
    };
    table.fields.iter().map(parameter).collect()
}

/// A header that a request may have.
pub fn header(name: &str, about: &str, of: &Shape) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(about))
        .schema(Some(shape(of, false, None)))
        .build()
}

/// A doc comment's lines as one text.
pub fn prose(doc: &str) -> String {
    let lines: Vec<&str> = doc.lines().map(str::trim).collect();
    lines.join(" ").trim().to_owned()
}

fn object_with_type(table: &Object, word: Option<&str>) -> Schema {
    let mut builder = ObjectBuilder::new().schema_type(Type::Object);
    if !table.doc.is_empty() {
        builder = builder.description(Some(prose(table.doc)));
    }
    if let Some(word) = word {
        let kind = ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some([word]));
        builder = builder.property("type", kind).required("type");
    }
    for field in table.fields {
        let nullable = field.need != Need::Required;
        builder = builder.property(
            field.name,
            shape(&field.shape, nullable, Some(&prose(field.doc))),
        );
        if field.need == Need::Required {
            builder = builder.required(field.name);
        }
    }
    if let Ok(example) = serde_json::from_str::<Value>(table.example) {
        builder = builder.examples([example]);
    }
    builder
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        .into()
}

fn shape_parts(shape: &Shape, schemas: &mut Vec<(String, RefOr<Schema>)>) {
    let mut add = |name: &str, schema: Schema| {
        if schemas.iter().all(|(known, _)| known != name) {
            schemas.push((name.to_owned(), schema.into()));
        }
    };
    match shape {
        Shape::Object(table) => {
            add(table.name, object(table));
            parts(table, schemas);
        }
        Shape::Union(union) => {
            add(union.name, one_of(union));
            for (word, table) in union.tagged {
                add(table.name, object_with_type(table, Some(word)));
            }
            if let Some(table) = union.untagged {
                add(table.name, object(table));
            }
            for table in union.tagged.iter().map(|(_, table)| *table) {
                parts(table, schemas);
            }
        }
        Shape::List { items, .. } | Shape::TextOrList { items, .. } => shape_parts(items, schemas),
        Shape::Map { values, .. } => shape_parts(values, schemas),
        Shape::Text(_)
        | Shape::Integer { .. }
        | Shape::Positive { .. }
        | Shape::Boolean
        | Shape::Json(_)
        | Shape::JsonObject(_)
        | Shape::Id
        | Shape::Moment
        | Shape::Word(_) => {}
    }
}

fn one_of(union: &Union) -> Schema {
    let mut builder = OneOfBuilder::new().description(Some(prose(union.doc)));
    for (_, table) in union.tagged {
        builder = builder.item(Ref::from_schema_name(table.name));
    }
    match union.untagged {
        Some(table) => builder = builder.item(Ref::from_schema_name(table.name)),
        // A discriminator must be there in each of them.
        None => {
            let mapping = union
                .tagged
                .iter()
                .map(|(word, table)| (*word, format!("#/components/schemas/{}", table.name)));
            builder = builder.discriminator(Some(Discriminator::with_mapping("type", mapping)));
        }
    }
    builder.into()
}

/// The schema of a value; `nullable` where null is allowed in its place.
fn shape(shape: &Shape, nullable: bool, doc: Option<&str>) -> RefOr<Schema> {
    let kind = |kind: Type| match nullable {
        true => SchemaType::Array(vec![kind, Type::Null]),
        false => SchemaType::Type(kind),
    };
    let builder = |of: Type| ObjectBuilder::new().schema_type(kind(of)).description(doc);
    match shape {
        Shape::Text(rule) => text(builder(Type::String), rule).into(),
        Shape::Integer { min, max } => builder(Type::Integer)
            .minimum(Some(*min))
            .maximum(Some(*max))
            .into(),
        Shape::Positive { max } => builder(Type::Number)
            .exclusive_minimum(Some(0))
            .maximum(Some(*max))
            .into(),
        Shape::Boolean => builder(Type::Boolean).into(),
        Shape::Json(_) => ObjectBuilder::new()
            .schema_type(SchemaType::AnyValue)
            .description(doc)
            .into(),
        Shape::JsonObject(_) => builder(Type::Object)
            .additional_properties(Some(AdditionalProperties::FreeForm(true)))
            .into(),
        Shape::Id => builder(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
            .pattern(Some(ID))
            .into(),
        Shape::Moment => builder(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .into(),
        Shape::Word(words) => {
            let mut values: Vec<Value> = words.iter().map(|word| json!(word)).collect();
            if nullable {
                values.push(Value::Null);
            }
            builder(Type::String).enum_values(Some(values)).into()
        }
        // What must differ is more than a schema can say, which is that the items do.
        Shape::List { items, max, unique } => ArrayBuilder::new()
            .schema_type(kind(Type::Array))
            .description(doc)
            .items(self::shape(items, false, None))
            .max_items(Some(*max))
            .unique_items(unique.is_some())
            .into(),
        Shape::TextOrList {
            text: rule,
            items,
            max,
        } => OneOfBuilder::new()
            .description(doc)
            .item(text(builder(Type::String), rule))
            .item(
                ArrayBuilder::new()
                    .items(self::shape(items, false, None))
                    .min_items(Some(1))
                    .max_items(Some(*max)),
            )
            .into(),
        Shape::Map { keys, values } => builder(Type::Object)
            .property_names(keys.map(|keys| {
                Schema::Object(
                    ObjectBuilder::new()
                        .schema_type(Type::String)
                        .pattern(Some(keys.regex))
                        .build(),
                )
            }))
            .additional_properties(Some(AdditionalProperties::RefOr(self::shape(
                values, false, None,
            ))))
            .into(),
        Shape::Object(Object { name, .. }) | Shape::Union(Union { name, .. }) => {
            let reference = Ref::from_schema_name(*name);
            match (nullable, doc) {
                (false, None) => reference.into(),
                (false, Some(doc)) => {
                    let mut reference = reference;
                    doc.clone_into(&mut reference.description);
                    reference.into()
                }
                (true, _) => OneOfBuilder::new()
                    .description(doc)
                    .item(ObjectBuilder::new().schema_type(Type::Null))
                    .item(reference)
                    .into(),
            }
        }
    }
}

fn text(builder: ObjectBuilder, rule: &Text) -> ObjectBuilder {
    let builder = builder
        .min_length((rule.min > 0).then_some(rule.min))
        .max_length(Some(rule.max))
        .pattern(Some(match rule.pattern {
            Some(pattern) => pattern.regex,
            // No text holds a NUL character.
            None => r"^[^\x00]*$",
        }));
    match rule.secret {
        true => builder.write_only(true),
        false => builder,
    }
}
