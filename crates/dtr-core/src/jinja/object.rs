//! Python objects that have no counterpart among minijinja's values.

use std::fmt;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{Object, ObjectRepr};

/// The kind of number that a [`PythonObject`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberKind {
    /// An integer of any size, whose text is its decimal digits.
    Integer,
    /// A `decimal.Decimal`.
    Decimal,
}

/// A Python object that a template can print, such as an integer of more than 128 bits or a date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PythonObject {
    /// Python's `str` of the object.
    pub text: String,
    /// Python's `repr` of the object, which is printed if the object is an item of a list.
    pub repr: String,
    /// The kind of number, if the object is a number.
    pub number: Option<NumberKind>,
    /// Python's `bool` of the object.
    pub is_true: bool,
    /// The attributes of the object that are integers, such as the `year` of a date.
    pub attributes: Vec<(&'static str, i64)>,
}

impl PythonObject {
    /// Creates an object that has no attributes and is not a number.
    pub fn new(text: impl Into<String>, repr: impl Into<String>) -> Self {
        Self { text: text.into(), repr: repr.into(), number: None, is_true: true, attributes: Vec::new() }
    }

    /// Creates an integer from its decimal digits.
    pub fn integer(digits: impl Into<String>) -> Self {
        let text = digits.into();
        Self { number: Some(NumberKind::Integer), ..Self::new(text.clone(), text) }
    }
}

impl Object for PythonObject {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        self.attributes.iter().find(|(attribute, _)| *attribute == name).map(|(_, value)| Value::from(*value))
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.is_true
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
