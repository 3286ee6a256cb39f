//! The fields of one line, before their values are checked.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// The fields of a line that have a meaning; a line may have others.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Fields<'a> {
    #[serde(borrow)]
    pub(super) record: Option<Field<'a>>,
    #[serde(borrow)]
    pub(super) at_us: Option<Field<'a>>,
    #[serde(borrow)]
    pub(super) unit: Option<Field<'a>>,
    #[serde(borrow)]
    pub(super) name: Option<Field<'a>>,
    #[serde(borrow)]
    pub(super) policy: Option<Field<'a>>,
    #[serde(borrow)]
    pub(super) state: Option<Field<'a>>,
    #[serde(borrow)]
    pub(super) event: Option<Field<'a>>,
    #[serde(borrow)]
    pub(super) phase: Option<Field<'a>>,
    #[serde(borrow)]
    pub(super) delay_ms: Option<Field<'a>>,
    #[serde(borrow)]
    pub(super) save: Option<Field<'a>>,
    #[serde(borrow)]
    pub(super) actions: Option<Field<'a>>,
}

/// The value of a field. Values of the wrong kind are kept for the error that names them.
#[derive(Clone, Debug)]
pub(super) enum Field<'a> {
    Number(u64),
    Text(Cow<'a, str>),
    Texts(Vec<Cow<'a, str>>),
    Other(Value),
}

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => Value::from(&**text).fmt(f),
            Self::Texts(texts) => {
                Value::from(texts.iter().map(|text| &**text).collect::<Vec<_>>()).fmt(f)
            }
            Self::Other(value) => value.fmt(f),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Field<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Field<'de>, E> {
        Ok(Field::Number(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Field<'de>, E> {
        Ok(Field::Other(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Field<'de>, E> {
        Ok(Field::Other(number.into()))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Field<'de>, E> {
        Ok(Field::Other(value.into()))
    }

    fn visit_unit<E: Error>(self) -> Result<Field<'de>, E> {
        Ok(Field::Other(Value::Null))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Field<'de>, E> {
        Ok(Field::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Field<'de>, E> {
        Ok(Field::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Field<'de>, A::Error> {
        // A step has at most seven commands.
        let mut texts = Vec::with_capacity(7);
        while let Some(field) = list.next_element()? {
            let other = match field {
                Field::Text(text) => {
                    texts.push(text);
                    continue;
                }
                Field::Number(number) => number.into(),
                Field::Other(value) => value,
                Field::Texts(texts) => texts.into_iter().collect(),
            };
            let before = texts.into_iter().map(|text| Value::from(&*text));
            let mut values: Vec<Value> = before.chain([other]).collect();
            values.extend(Vec::<Value>::deserialize(SeqAccessDeserializer::new(list))?);
            return Ok(Field::Other(values.into()));
        }
        Ok(Field::Texts(texts))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Field<'de>, A::Error> {
        Value::deserialize(MapAccessDeserializer::new(map)).map(Field::Other)
    }
}
