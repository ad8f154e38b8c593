//! Typed attributes. Every error names the element, the attribute and the line.

use super::Node;
use crate::{Error, Result};

/// The largest absolute value of a number in a map. Distances on Earth in metres are smaller.
const LARGEST: f64 = 1e9;

impl<'a> Node<'a> {
    /// The value of an attribute, if the element has it.
    pub fn attribute(self, name: &str) -> Option<&'a str> {
        self.element().attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The value of an attribute that the element must have.
    pub fn text(self, name: &str) -> Result<&'a str> {
        self.attribute(name).ok_or_else(|| self.error(format!("the attribute `{name}` is missing")))
    }

    /// A number that the element must have. Refuses NaN, infinities and values beyond 1e9.
    pub fn number(self, name: &str) -> Result<f64> {
        let text = self.text(name)?;
        let value: f64 =
            text.trim().parse().map_err(|_| self.error(format!("`{name}` is not a number: {text:?}")))?;
        if !value.is_finite() || value.abs() > LARGEST {
            return Err(self.error(format!("`{name}` is not a finite number below 1e9: {text:?}")));
        }
        Ok(value)
    }

    /// A number, or `default` if the attribute is missing.
    pub fn number_or(self, name: &str, default: f64) -> Result<f64> {
        if self.attribute(name).is_some() { self.number(name) } else { Ok(default) }
    }

    /// A length or a position along a road, which must not be negative.
    pub fn length(self, name: &str) -> Result<f64> {
        let value = self.number(name)?;
        // Writers round, so tiny negative values stand for zero.
        if value < -1e-6 {
            return Err(self.error(format!("`{name}` is negative: {value}")));
        }
        Ok(value.max(0.0))
    }

    /// An integer that the element must have.
    pub fn integer(self, name: &str) -> Result<i32> {
        let text = self.text(name)?;
        text.trim().parse().map_err(|_| self.error(format!("`{name}` is not an integer: {text:?}")))
    }

    /// An error at this element.
    pub fn error(self, message: impl std::fmt::Display) -> Error {
        Error::at(self.element().line, format!("`{}`: {message}", self.name()))
    }
}
