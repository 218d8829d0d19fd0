//! JSON Pointers (RFC 6901) into JSON that is not taken apart further than to where they point.

use crate::failure::one_line;
use serde::de::{Deserializer as _, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Steps of a pointer; no message is that deep.
const STEPS_MAX: usize = 16;

/// A pointer such as `/data/0/price`; the empty one points to the whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

impl FromStr for Pointer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(steps) = text.strip_prefix('/') else {
            return if text.is_empty() { Ok(Self::default()) } else { Err("does not begin with /".to_owned()) };
        };
        let steps: Vec<_> = steps.split('/').map(unescaped).collect::<Result<_, _>>()?;
        if steps.len() > STEPS_MAX { Err(format!("has more than {STEPS_MAX} steps")) } else { Ok(Self(steps)) }
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| write!(f, "/{}", step.replace('~', "~0").replace('/', "~1")))
    }
}

/// `~1` is a slash and `~0` a tilde; nothing else may follow one.
fn unescaped(step: &str) -> Result<String, String> {
    let mut parts = step.split('~');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (character, rest) = match part.split_at_checked(1) {
            Some(("0", rest)) => ('~', rest),
            Some(("1", rest)) => ('/', rest),
            _ => return Err("has a ~ that neither 0 nor 1 follows".to_owned()),
        };
        text.push(character);
        text.push_str(rest);
    }
    Ok(text)
}

impl Pointer {
    /// What stands there; `None` where nothing does, or `null`.
    ///
    /// # Errors
    /// Where an object on the way has the name twice.
    pub(super) fn find<'a>(&self, whole: &'a RawValue) -> Result<Option<&'a RawValue>, String> {
        let mut at = whole;
        for step in &self.0 {
            let next = match at.get().as_bytes().first() {
                Some(b'{') => field(at.get(), step)?,
                Some(b'[') => item(at.get(), step)?,
                _ => None,
            };
            let Some(next) = next else { return Ok(None) };
            at = next;
        }
        Ok(Some(at).filter(|found| found.get() != "null"))
    }
}

/// An index has no leading zeros.
fn item<'a>(list: &'a str, step: &str) -> Result<Option<&'a RawValue>, String> {
    let plain = step == "0" || !step.starts_with('0');
    let Some(index) = step.parse::<usize>().ok().filter(|_| plain && !step.starts_with('+')) else { return Ok(None) };
    let items: Vec<&RawValue> = serde_json::from_str(list).map_err(|error| one_line(&error.to_string()))?;
    Ok(items.get(index).copied())
}

fn field<'a>(object: &'a str, name: &str) -> Result<Option<&'a RawValue>, String> {
    let mut json = serde_json::Deserializer::from_str(object);
    json.deserialize_map(Named(name)).map_err(|error| one_line(&error.to_string()))
}

/// Takes the field of a name. Of a name that stands there twice nobody can tell which one counts.
struct Named<'n>(&'n str);

impl<'de> Visitor<'de> for Named<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<Text<'de>>()? {
            let value = map.next_value::<&'de RawValue>()?;
            if name.0 == self.0 && found.replace(value).is_some() {
                return Err(A::Error::custom(format!("'{}' stands there twice", self.0)));
            }
        }
        Ok(found)
    }
}

#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
