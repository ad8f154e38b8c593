//! XML elements with their byte ranges in the text, so that an edit can replace exactly these bytes.

mod attributes;
mod parse;

use std::ops::Range;

pub use parse::Limits;

/// A parsed document. The element 0 is the root.
#[derive(Debug)]
pub struct Document {
    pub(crate) elements: Vec<Element>,
}

/// One element of a document.
#[derive(Debug)]
pub struct Element {
    /// The name as written, with its prefix.
    pub name: String,
    /// Names and unescaped values, in the order of the text.
    pub attributes: Vec<(String, String)>,
    /// The bytes from `<` of the start tag to `>` of the end tag.
    pub span: Range<usize>,
    /// The bytes of the start tag, or of the whole element if it is `<empty/>`.
    pub start_tag: Range<usize>,
    /// The line of the start tag, counted from 1.
    pub line: u32,
    /// The character data directly inside, without markup.
    pub text: String,
    pub(crate) children: Vec<u32>,
}

/// An element together with its document.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    document: &'a Document,
    index: u32,
}

impl Document {
    /// Parses `text` within `limits`.
    pub fn parse(text: &str, limits: &Limits) -> crate::Result<Self> {
        parse::parse(text, limits)
    }

    /// The root element.
    pub fn root(&self) -> Node<'_> {
        Node { document: self, index: 0 }
    }
}

impl<'a> Node<'a> {
    /// The element itself.
    pub fn element(self) -> &'a Element {
        &self.document.elements[self.index as usize]
    }

    /// The name of the element.
    pub fn name(self) -> &'a str {
        &self.element().name
    }

    /// The child elements, in the order of the text.
    pub fn children(self) -> impl Iterator<Item = Node<'a>> {
        self.element().children.iter().map(move |&index| Node { document: self.document, index })
    }

    /// The child elements of one name.
    pub fn all(self, name: &'a str) -> impl Iterator<Item = Node<'a>> {
        self.children().filter(move |child| child.name() == name)
    }

    /// The first child element of one name.
    pub fn first(self, name: &'a str) -> Option<Node<'a>> {
        self.children().find(|child| child.name() == name)
    }
}
