//! Parses XML into elements. The limits stop files that are too large, too deep or too long.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::{Document, Element};
use crate::{Error, Result};

/// Limits on a file that is not trusted.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The size of the text in bytes.
    pub bytes: usize,
    /// How deeply elements may nest.
    pub depth: usize,
    /// The number of elements.
    pub elements: usize,
    /// The number of attributes of one element.
    pub attributes: usize,
    /// The size of the values of all attributes of one element, in bytes.
    pub attribute_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 256 << 20, depth: 64, elements: 8_000_000, attributes: 64, attribute_bytes: 65_536 }
    }
}

/// The state while a text is parsed.
struct Parser<'a> {
    text: &'a str,
    limits: &'a Limits,
    elements: Vec<Element>,
    open: Vec<u32>,
    /// Where the lines are counted up to, and the line there.
    counted: (usize, u32),
}

pub(super) fn parse(text: &str, limits: &Limits) -> Result<Document> {
    if text.len() > limits.bytes {
        return Err(Error::new(format!("the file has {} bytes; the limit is {}", text.len(), limits.bytes)));
    }
    let mut parser = Parser { text, limits, elements: Vec::new(), open: Vec::new(), counted: (0, 1) };
    let mut reader = Reader::from_str(text);
    let config = reader.config_mut();
    config.check_end_names = true;
    // Byte offsets of the reader do not count a byte-order mark. The caller removes it.
    loop {
        let start = position(reader.buffer_position(), text);
        let event = reader.read_event();
        let end = position(reader.buffer_position(), text);
        match event {
            Ok(Event::Eof) => break,
            Ok(event) => parser.event(event, start, end)?,
            Err(error) => {
                let line = parser.line(position(reader.error_position(), text));
                return Err(Error::at(line, format!("the XML is not well-formed: {error}")));
            }
        }
    }
    parser.finish()
}

fn position(offset: u64, text: &str) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX).min(text.len())
}

impl Parser<'_> {
    /// The line of a byte offset. Offsets come in ascending order, except those of errors.
    fn line(&mut self, offset: usize) -> u32 {
        let (from, line) = if offset >= self.counted.0 { self.counted } else { (0, 1) };
        let newlines = self.text.as_bytes()[from..offset].iter().filter(|&&byte| byte == b'\n').count();
        self.counted = (offset, line.saturating_add(u32::try_from(newlines).unwrap_or(u32::MAX)));
        self.counted.1
    }

    fn event(&mut self, event: Event<'_>, start: usize, end: usize) -> Result<()> {
        match event {
            Event::Start(tag) => {
                let index = self.push(&tag, start, end)?;
                self.open.push(index);
                if self.open.len() > self.limits.depth {
                    let limit = self.limits.depth;
                    return Err(Error::at(self.line(start), format!("elements nest more than {limit} deep")));
                }
                Ok(())
            }
            Event::Empty(tag) => self.push(&tag, start, end).map(|_| ()),
            Event::End(_) => {
                if let Some(index) = self.open.pop() {
                    self.elements[index as usize].span.end = end;
                }
                Ok(())
            }
            Event::Text(_) => self.add_text(&self.text[start..end]),
            Event::CData(_) => {
                let raw = &self.text[start..end];
                let inner = raw.strip_prefix("<![CDATA[").and_then(|rest| rest.strip_suffix("]]>"));
                self.add_text(inner.unwrap_or(raw))
            }
            Event::GeneralRef(_) => {
                let raw = &self.text[start..end];
                let value = quick_xml::escape::unescape(raw)
                    .map_err(|error| Error::at(self.line(start), format!("an entity is unknown: {error}")))?;
                self.add_text(&value)
            }
            _ => Ok(()),
        }
    }

    /// Adds character data to the innermost open element. White space alone is not kept.
    fn add_text(&mut self, text: &str) -> Result<()> {
        if let (Some(&index), false) = (self.open.last(), text.trim().is_empty()) {
            self.elements[index as usize].text.push_str(text);
        }
        Ok(())
    }

    fn push(&mut self, tag: &BytesStart<'_>, start: usize, end: usize) -> Result<u32> {
        let line = self.line(start);
        if self.elements.len() >= self.limits.elements {
            return Err(Error::at(line, format!("the file has more than {} elements", self.limits.elements)));
        }
        if self.open.is_empty() && !self.elements.is_empty() {
            return Err(Error::at(line, "the file has a second root element"));
        }
        let name = String::from_utf8_lossy(tag.name().as_ref()).into_owned();
        let attributes = self.attributes(tag, line, &name)?;
        let index = u32::try_from(self.elements.len()).expect("the limit on elements fits");
        if let Some(&parent) = self.open.last() {
            self.elements[parent as usize].children.push(index);
        }
        let (span, start_tag) = (start..end, start..end);
        let (text, children) = (String::new(), Vec::new());
        self.elements.push(Element { name, attributes, span, start_tag, line, text, children });
        Ok(index)
    }

    fn attributes(&self, tag: &BytesStart<'_>, line: u32, name: &str) -> Result<Vec<(String, String)>> {
        let mut attributes = Vec::new();
        let mut bytes = 0;
        for attribute in tag.attributes() {
            let refuse = |error: &dyn std::fmt::Display| Error::at(line, format!("`{name}`: {error}"));
            let attribute = attribute.map_err(|error| refuse(&error))?;
            let raw = std::str::from_utf8(&attribute.value).map_err(|error| refuse(&error))?;
            let value = quick_xml::escape::unescape(raw).map_err(|error| refuse(&error))?;
            bytes += value.len();
            if attributes.len() >= self.limits.attributes || bytes > self.limits.attribute_bytes {
                return Err(refuse(&"it has too many or too long attributes"));
            }
            let key = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
            attributes.push((key, value.into_owned()));
        }
        Ok(attributes)
    }

    fn finish(mut self) -> Result<Document> {
        if let Some(&index) = self.open.last() {
            let element = &self.elements[index as usize];
            return Err(Error::at(element.line, format!("the element `{}` is not closed", element.name))
                .hint("the file may be cut off"));
        }
        if self.elements.is_empty() {
            let line = self.line(self.text.len());
            return Err(Error::at(line, "the file has no XML element"));
        }
        Ok(Document { elements: self.elements })
    }
}
